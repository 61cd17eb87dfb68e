package conformance_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/glacier"
	"github.com/aws/aws-sdk-go-v2/service/glacier/types"

	"moraine/test/internal/moraineproc"
)

// lever pulls one of a server in test mode.
func lever(t *testing.T, s *moraineproc.Server, name, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.AdminAddr+"/test/"+name, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d", name, resp.StatusCode)
	}
}

// TestSDKSettings drives the operations on settings, tags, policies and locks,
// and wants every error of the service in the type that the SDK has for it.
func TestSDKSettings(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := ownServer(t, "--test-mode")
	c := glacier.New(glacier.Options{
		BaseEndpoint: aws.String("http://" + s.Addr), Region: serverRegion, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(serverKeyID, serverSecret, ""),
	})
	vault := newVault(t, c)
	arn := vaultARN(serverRegion, *vault)
	archive := aws.String(put(t, c, vault, "settings", []byte("a stone")))
	retrieve := func(tier string) error {
		return failure(c.InitiateJob(ctx, &glacier.InitiateJobInput{VaultName: vault, JobParameters: &types.JobParameters{
			Type: aws.String("archive-retrieval"), ArchiveId: archive, Tier: &tier,
		}}))
	}

	// Data retrieval policy.
	rules := func() []types.DataRetrievalRule {
		t.Helper()
		out, err := c.GetDataRetrievalPolicy(ctx, &glacier.GetDataRetrievalPolicyInput{})
		if err != nil {
			t.Fatal(err)
		}
		return out.Policy.Rules
	}
	set := func(rules ...types.DataRetrievalRule) error {
		return failure(c.SetDataRetrievalPolicy(ctx, &glacier.SetDataRetrievalPolicyInput{Policy: &types.DataRetrievalPolicy{Rules: rules}}))
	}
	none, one := types.DataRetrievalRule{Strategy: aws.String("None")}, types.DataRetrievalRule{Strategy: aws.String("BytesPerHour"), BytesPerHour: aws.Int64(1)}
	exactly(t, "the default policy", rules(), []types.DataRetrievalRule{none})
	if err := set(one); err != nil {
		t.Fatal(err)
	}
	exactly(t, "the policy", rules(), []types.DataRetrievalRule{one})
	wantError[*types.PolicyEnforcedException](t, "a Standard retrieval", retrieve("Standard"), "InitiateJob request denied by current data retrieval policy.")
	if err := retrieve("Bulk"); err != nil {
		t.Error(err)
	}
	wantError[*types.InvalidParameterValueException](t, "two rules", set(one, none), "Invalid Rules: 2 rules where exactly one is allowed")
	wantError[*types.MissingParameterValueException](t, "no rate", set(types.DataRetrievalRule{Strategy: aws.String("BytesPerHour")}), "Required parameter missing: bytesPerHour")
	if err := set(none); err != nil {
		t.Fatal(err)
	}

	// Provisioned capacity.
	lever(t, s, "scarce-expedited", `{"on":true}`)
	wantError[*types.InsufficientCapacityException](t, "an Expedited retrieval", retrieve("Expedited"), "There is insufficient capacity to process this expedited request.")
	var bought []string
	for range 2 {
		out, err := c.PurchaseProvisionedCapacity(ctx, &glacier.PurchaseProvisionedCapacityInput{})
		if err != nil {
			t.Fatal(err)
		}
		bought = append(bought, *out.CapacityId)
	}
	units, err := c.ListProvisionedCapacity(ctx, &glacier.ListProvisionedCapacityInput{})
	if err != nil {
		t.Fatal(err)
	}
	exactly(t, "units", names(units.ProvisionedCapacityList, func(u types.ProvisionedCapacityDescription) *string { return u.CapacityId }), bought)
	wantError[*types.LimitExceededException](t, "a third unit", failure(c.PurchaseProvisionedCapacity(ctx, &glacier.PurchaseProvisionedCapacityInput{})),
		"Provisioned capacity limit exceeded for account: "+serverAccount)
	if err := retrieve("Expedited"); err != nil {
		t.Error(err)
	}

	// Tags.
	tags := func() map[string]string {
		t.Helper()
		out, err := c.ListTagsForVault(ctx, &glacier.ListTagsForVaultInput{VaultName: vault})
		if err != nil {
			t.Fatal(err)
		}
		return out.Tags
	}
	ok[*glacier.AddTagsToVaultOutput](t)(c.AddTagsToVault(ctx, &glacier.AddTagsToVaultInput{VaultName: vault, Tags: map[string]string{"a": "ä b", "c": ""}}))
	ok[*glacier.RemoveTagsFromVaultOutput](t)(c.RemoveTagsFromVault(ctx, &glacier.RemoveTagsFromVaultInput{VaultName: vault, TagKeys: []string{"c", "none"}}))
	exactly(t, "tags", tags(), map[string]string{"a": "ä b"})
	wantError[*types.InvalidParameterValueException](t, "a reserved tag",
		failure(c.AddTagsToVault(ctx, &glacier.AddTagsToVaultInput{VaultName: vault, Tags: map[string]string{"aws:x": ""}})), "Invalid tag key: aws:x")
	for i := range 5 {
		many := map[string]string{}
		for j := range 10 {
			many[strings.Repeat("k", 10*i+j+1)] = ""
		}
		delete(many, strings.Repeat("k", 50)) // with "a" there are fifty
		ok[*glacier.AddTagsToVaultOutput](t)(c.AddTagsToVault(ctx, &glacier.AddTagsToVaultInput{VaultName: vault, Tags: many}))
	}
	wantError[*types.LimitExceededException](t, "the fifty-first tag", failure(c.AddTagsToVault(ctx, &glacier.AddTagsToVaultInput{VaultName: vault, Tags: map[string]string{"more": ""}})),
		"The quota for the number of tags that can be assigned to this resource has been reached.")

	// Notifications and policies.
	wantError[*types.ResourceNotFoundException](t, "no notifications", failure(c.GetVaultNotifications(ctx, &glacier.GetVaultNotificationsInput{VaultName: vault})),
		"No notification configuration is set for vault: "+arn)
	config := &types.VaultNotificationConfig{SNSTopic: aws.String("arn:aws:sns:" + serverRegion + ":" + serverAccount + ":done"), Events: []string{"InventoryRetrievalCompleted"}}
	ok[*glacier.SetVaultNotificationsOutput](t)(c.SetVaultNotifications(ctx, &glacier.SetVaultNotificationsInput{VaultName: vault, VaultNotificationConfig: config}))
	configured, err := c.GetVaultNotifications(ctx, &glacier.GetVaultNotificationsInput{VaultName: vault})
	if err != nil {
		t.Fatal(err)
	}
	exactly(t, "notifications", configured.VaultNotificationConfig, config)
	ok[*glacier.DeleteVaultNotificationsOutput](t)(c.DeleteVaultNotifications(ctx, &glacier.DeleteVaultNotificationsInput{VaultName: vault}))

	deny := func(action string) *string {
		return aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"glacier:` + action + `","Resource":"` + arn + `"}]}`)
	}
	wantError[*types.ResourceNotFoundException](t, "no access policy", failure(c.GetVaultAccessPolicy(ctx, &glacier.GetVaultAccessPolicyInput{VaultName: vault})),
		"No vault access policy is set for: "+*vault)
	ok[*glacier.SetVaultAccessPolicyOutput](t)(c.SetVaultAccessPolicy(ctx, &glacier.SetVaultAccessPolicyInput{VaultName: vault, Policy: &types.VaultAccessPolicy{Policy: deny("ListParts")}}))
	policy, err := c.GetVaultAccessPolicy(ctx, &glacier.GetVaultAccessPolicyInput{VaultName: vault})
	if err != nil || *policy.Policy.Policy != *deny("ListParts") {
		t.Errorf("the access policy: %v, %v", policy, err)
	}
	wantCode(t, "a policy binds root", failure(c.ListParts(ctx, &glacier.ListPartsInput{VaultName: vault, UploadId: archive})), "AccessDeniedException",
		"User: "+identityARN+"root is not authorized to perform: glacier:ListParts on resource: "+arn+" with an explicit deny in a resource-based policy")
	wantError[*types.InvalidParameterValueException](t, "a policy that is none",
		failure(c.SetVaultAccessPolicy(ctx, &glacier.SetVaultAccessPolicyInput{VaultName: vault, Policy: &types.VaultAccessPolicy{Policy: aws.String("{}")}})),
		"The specified vault access policy is invalid. Provide a valid policy. (/Statement: missing)")
	ok[*glacier.DeleteVaultAccessPolicyOutput](t)(c.DeleteVaultAccessPolicy(ctx, &glacier.DeleteVaultAccessPolicyInput{VaultName: vault}))

	// The lock, whose window passes once.
	initiate := func() *string {
		t.Helper()
		out, err := c.InitiateVaultLock(ctx, &glacier.InitiateVaultLockInput{VaultName: vault, Policy: &types.VaultLockPolicy{Policy: deny("DeleteArchive")}})
		if err != nil {
			t.Fatal(err)
		}
		return out.LockId
	}
	complete := func(id *string) error {
		return failure(c.CompleteVaultLock(ctx, &glacier.CompleteVaultLockInput{VaultName: vault, LockId: id}))
	}
	wantError[*types.ResourceNotFoundException](t, "no lock", failure(c.GetVaultLock(ctx, &glacier.GetVaultLockInput{VaultName: vault})), "No vault lock policy is set for: "+*vault)
	late := initiate()
	lever(t, s, "clock", `{"advance":"24h"}`)
	wantError[*types.ResourceNotFoundException](t, "a window that is over", complete(late), "No vault lock in progress for: "+arn)
	aborted := initiate()
	ok[*glacier.AbortVaultLockOutput](t)(c.AbortVaultLock(ctx, &glacier.AbortVaultLockInput{VaultName: vault}))
	id := initiate()
	wantError[*types.InvalidParameterValueException](t, "the id of another lock", complete(aborted), "Invalid lock ID: "+*aborted)
	if err := complete(id); err != nil {
		t.Fatal(err)
	}
	lock, err := c.GetVaultLock(ctx, &glacier.GetVaultLockInput{VaultName: vault})
	if err != nil {
		t.Fatal(err)
	}
	exactly(t, "the lock", []any{*lock.State, *lock.Policy, lock.ExpirationDate}, []any{"Locked", *deny("DeleteArchive"), (*string)(nil)})
	wantCode(t, "a locked vault", failure(c.DeleteArchive(ctx, &glacier.DeleteArchiveInput{VaultName: vault, ArchiveId: archive})), "AccessDeniedException",
		"User: "+identityARN+"root is not authorized to perform: glacier:DeleteArchive on resource: "+arn+" with an explicit deny in a resource-based policy")

	// What a client should survive.
	lever(t, s, "timeout-next-upload", "")
	wantError[*types.RequestTimeoutException](t, "an upload that takes too long",
		failure(c.UploadArchive(ctx, &glacier.UploadArchiveInput{VaultName: vault, Body: bytes.NewReader([]byte("x"))})), "Request timed out.")
	lever(t, s, "throttle", `{"requests":1}`)
	wantCode(t, "a request too many", failure(c.ListVaults(ctx, &glacier.ListVaultsInput{})), "ThrottlingException", "Rate exceeded")
}
