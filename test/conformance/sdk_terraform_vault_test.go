package conformance_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glacier"
	"github.com/aws/aws-sdk-go-v2/service/glacier/types"
)

// TestTerraformVault is aws_glacier_vault with policy, notifications and tags.
func TestTerraformVault(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), rootCaller().glacier
	vault := aws.String("tf-vault")
	policy := `{"Version":"2012-10-17","Statement":[{"Sid":"add-read-only-perm","Effect":"Allow","Principal":"*","Action":["glacier:InitiateJob","glacier:GetJobOutput"],"Resource":"` +
		vaultARN(serverRegion, *vault) + `"}]}`
	topic := aws.String("arn:aws:sns:" + serverRegion + ":" + serverAccount + ":glacier-sns-topic")
	events := []string{"ArchiveRetrievalCompleted", "InventoryRetrievalCompleted"}
	// read is everything the provider reads; what is not set is not found.
	type state struct {
		arn, policy string
		events      []string
		tags        map[string]string
	}
	read := func() state {
		t.Helper()
		described, err := c.DescribeVault(ctx, &glacier.DescribeVaultInput{VaultName: vault})
		if err != nil {
			t.Fatal(err)
		}
		s := state{arn: *described.VaultARN}
		tags, err := c.ListTagsForVault(ctx, &glacier.ListTagsForVaultInput{VaultName: vault})
		if err != nil {
			t.Fatal(err)
		}
		s.tags = tags.Tags
		switch p, err := c.GetVaultAccessPolicy(ctx, &glacier.GetVaultAccessPolicyInput{VaultName: vault}); {
		case err == nil:
			s.policy = *p.Policy.Policy
		case !gone(err):
			t.Fatal(err)
		}
		switch n, err := c.GetVaultNotifications(ctx, &glacier.GetVaultNotificationsInput{VaultName: vault}); {
		case err == nil:
			s.events = append(n.VaultNotificationConfig.Events, *n.VaultNotificationConfig.SNSTopic)
		case !gone(err):
			t.Fatal(err)
		}
		return s
	}
	compare := func(what string, want state) {
		t.Helper()
		exactly(t, what, read(), want)
	}
	if _, err := c.CreateVault(ctx, &glacier.CreateVaultInput{VaultName: vault}); err != nil {
		t.Fatal(err)
	}
	compare("a bare vault", state{arn: vaultARN(serverRegion, *vault), tags: map[string]string{}})
	ok[*glacier.AddTagsToVaultOutput](t)(c.AddTagsToVault(ctx, &glacier.AddTagsToVaultInput{VaultName: vault, Tags: map[string]string{"Test": "MyArchive"}}))
	ok[*glacier.SetVaultAccessPolicyOutput](t)(c.SetVaultAccessPolicy(ctx, &glacier.SetVaultAccessPolicyInput{VaultName: vault, Policy: &types.VaultAccessPolicy{Policy: &policy}}))
	ok[*glacier.SetVaultNotificationsOutput](t)(c.SetVaultNotifications(ctx, &glacier.SetVaultNotificationsInput{
		VaultName: vault, VaultNotificationConfig: &types.VaultNotificationConfig{SNSTopic: topic, Events: events},
	}))
	compare("the vault as created", state{vaultARN(serverRegion, *vault), policy, append(events, *topic), map[string]string{"Test": "MyArchive"}})

	ok[*glacier.RemoveTagsFromVaultOutput](t)(c.RemoveTagsFromVault(ctx, &glacier.RemoveTagsFromVaultInput{VaultName: vault, TagKeys: []string{"Test"}}))
	ok[*glacier.DeleteVaultAccessPolicyOutput](t)(c.DeleteVaultAccessPolicy(ctx, &glacier.DeleteVaultAccessPolicyInput{VaultName: vault}))
	ok[*glacier.DeleteVaultNotificationsOutput](t)(c.DeleteVaultNotifications(ctx, &glacier.DeleteVaultNotificationsInput{VaultName: vault}))
	compare("the vault as updated", state{arn: vaultARN(serverRegion, *vault), tags: map[string]string{}})
	for range 2 {
		ok[*glacier.DeleteVaultOutput](t)(c.DeleteVault(ctx, &glacier.DeleteVaultInput{VaultName: vault}))
	}
	_, err := c.DescribeVault(ctx, &glacier.DescribeVaultInput{VaultName: vault})
	removed(t, "DescribeVault after destroy", err)
}

// TestTerraformVaultLock is aws_glacier_vault_lock, first without complete_lock
// and then with it.
func TestTerraformVaultLock(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), rootCaller().glacier
	vault, account := aws.String("tf-lock"), aws.String("-")
	if _, err := c.CreateVault(ctx, &glacier.CreateVaultInput{VaultName: vault}); err != nil {
		t.Fatal(err)
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Sid":"keep","Effect":"Deny","Principal":"*","Action":"glacier:DeleteArchive","Resource":"` + vaultARN(serverRegion, *vault) +
		`","Condition":{"NumericLessThanEquals":{"glacier:ArchiveAgeInDays":"365"}}}]}`
	initiate := func() *string {
		t.Helper()
		out, err := c.InitiateVaultLock(ctx, &glacier.InitiateVaultLockInput{AccountId: account, VaultName: vault, Policy: &types.VaultLockPolicy{Policy: &policy}})
		if err != nil {
			t.Fatal(err)
		}
		return out.LockId
	}
	state := func() (string, string, error) {
		out, err := c.GetVaultLock(ctx, &glacier.GetVaultLockInput{AccountId: account, VaultName: vault})
		if err != nil {
			return "", "", err
		}
		return aws.ToString(out.State), aws.ToString(out.Policy), nil
	}
	_, _, err := state()
	removed(t, "GetVaultLock before", err)
	initiate()
	if s, p, err := state(); s != "InProgress" || p != policy || err != nil {
		t.Errorf("the lock is %s, %s, %v", s, p, err)
	}
	for range 2 {
		ok[*glacier.AbortVaultLockOutput](t)(c.AbortVaultLock(ctx, &glacier.AbortVaultLockInput{VaultName: vault}))
	}
	_, _, err = state()
	removed(t, "GetVaultLock after destroy", err)

	id := initiate()
	ok[*glacier.CompleteVaultLockOutput](t)(c.CompleteVaultLock(ctx, &glacier.CompleteVaultLockInput{VaultName: vault, LockId: id}))
	if s, p, err := state(); s != "Locked" || p != policy || err != nil {
		t.Errorf("the lock is %s, %s, %v", s, p, err)
	}
	// Destroy fails unless ignore_deletion_error is set.
	_, err = c.AbortVaultLock(ctx, &glacier.AbortVaultLockInput{VaultName: vault})
	wantCode(t, "destroy of a complete lock", err, "AccessDeniedException", "Vault is already locked: "+vaultARN(serverRegion, *vault))
	ok[*glacier.DeleteVaultOutput](t)(c.DeleteVault(ctx, &glacier.DeleteVaultInput{VaultName: vault}))
	_, _, err = state()
	removed(t, "GetVaultLock without the vault", err)
	_, err = c.AbortVaultLock(ctx, &glacier.AbortVaultLockInput{VaultName: vault})
	removed(t, "AbortVaultLock without the vault", err)
}
