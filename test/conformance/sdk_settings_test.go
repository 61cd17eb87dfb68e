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

// shop is a server of its own with a vault and an archive in it.
type shop struct {
	*moraineproc.Server
	c              *glacier.Client
	vault, archive *string
	arn            string // of the vault
}

// TestSDKSettings drives the operations on settings, tags, policies and locks,
// and wants every error of the service in the type that the SDK has for it.
func TestSDKSettings(t *testing.T) {
	t.Parallel()
	s := &shop{Server: ownServer(t, "--test-mode")}
	s.c = glacier.New(glacier.Options{
		BaseEndpoint: aws.String("http://" + s.Addr), Region: serverRegion, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(serverKeyID, serverSecret, ""),
	})
	s.vault = newVault(t, s.c)
	s.arn = vaultARN(serverRegion, *s.vault)
	s.archive = aws.String(put(t, s.c, s.vault, "settings", []byte("a stone")))
	// Not parallel: the lock moves the clock and forbids deletion for good.
	t.Run("retrieval policy", s.retrievalPolicy)
	t.Run("capacity", s.capacity)
	t.Run("tags", s.tags)
	t.Run("notifications", s.notifications)
	t.Run("access policy", s.accessPolicy)
	t.Run("lock", s.lock)
	t.Run("troubles", s.troubles)
}

// retrieve asks for the archive.
func (s *shop) retrieve(t *testing.T, tier string) error {
	t.Helper()
	return failure(s.c.InitiateJob(t.Context(), &glacier.InitiateJobInput{VaultName: s.vault, JobParameters: &types.JobParameters{
		Type: aws.String("archive-retrieval"), ArchiveId: s.archive, Tier: &tier,
	}}))
}

// deny is a policy of the vault that forbids everybody an action.
func (s *shop) deny(action string) *string {
	return aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"glacier:` + action + `","Resource":"` + s.arn + `"}]}`)
}

// retrievalPolicy limits what is retrieved.
func (s *shop) retrievalPolicy(t *testing.T) {
	ctx := t.Context()
	rules := func() []types.DataRetrievalRule {
		t.Helper()
		out, err := s.c.GetDataRetrievalPolicy(ctx, &glacier.GetDataRetrievalPolicyInput{})
		if err != nil {
			t.Fatal(err)
		}
		return out.Policy.Rules
	}
	set := func(rules ...types.DataRetrievalRule) error {
		return failure(s.c.SetDataRetrievalPolicy(ctx, &glacier.SetDataRetrievalPolicyInput{Policy: &types.DataRetrievalPolicy{Rules: rules}}))
	}
	none, one := types.DataRetrievalRule{Strategy: aws.String("None")}, types.DataRetrievalRule{Strategy: aws.String("BytesPerHour"), BytesPerHour: aws.Int64(1)}
	exactly(t, "the default policy", rules(), []types.DataRetrievalRule{none})
	if err := set(one); err != nil {
		t.Fatal(err)
	}
	exactly(t, "the policy", rules(), []types.DataRetrievalRule{one})
	wantError[*types.PolicyEnforcedException](t, "a Standard retrieval", s.retrieve(t, "Standard"), "InitiateJob request denied by current data retrieval policy.")
	if err := s.retrieve(t, "Bulk"); err != nil {
		t.Error(err)
	}
	wantError[*types.InvalidParameterValueException](t, "two rules", set(one, none), "Invalid Rules: 2 rules where exactly one is allowed")
	wantError[*types.MissingParameterValueException](t, "no rate", set(types.DataRetrievalRule{Strategy: aws.String("BytesPerHour")}), "Required parameter missing: bytesPerHour")
	if err := set(none); err != nil {
		t.Fatal(err)
	}
}

// capacity buys units where Expedited retrievals are scarce.
func (s *shop) capacity(t *testing.T) {
	ctx := t.Context()
	lever(t, s.Server, "scarce-expedited", `{"on":true}`)
	wantError[*types.InsufficientCapacityException](t, "an Expedited retrieval", s.retrieve(t, "Expedited"), "There is insufficient capacity to process this expedited request.")
	var bought []string
	for range 2 {
		out, err := s.c.PurchaseProvisionedCapacity(ctx, &glacier.PurchaseProvisionedCapacityInput{})
		if err != nil {
			t.Fatal(err)
		}
		bought = append(bought, *out.CapacityId)
	}
	units, err := s.c.ListProvisionedCapacity(ctx, &glacier.ListProvisionedCapacityInput{})
	if err != nil {
		t.Fatal(err)
	}
	exactly(t, "units", names(units.ProvisionedCapacityList, func(u types.ProvisionedCapacityDescription) *string { return u.CapacityId }), bought)
	wantError[*types.LimitExceededException](t, "a third unit", failure(s.c.PurchaseProvisionedCapacity(ctx, &glacier.PurchaseProvisionedCapacityInput{})),
		"Provisioned capacity limit exceeded for account: "+serverAccount)
	if err := s.retrieve(t, "Expedited"); err != nil {
		t.Error(err)
	}
}

// tags fills a vault with them.
func (s *shop) tags(t *testing.T) {
	ctx := t.Context()
	tags := func() map[string]string {
		t.Helper()
		out, err := s.c.ListTagsForVault(ctx, &glacier.ListTagsForVaultInput{VaultName: s.vault})
		if err != nil {
			t.Fatal(err)
		}
		return out.Tags
	}
	ok[*glacier.AddTagsToVaultOutput](t)(s.c.AddTagsToVault(ctx, &glacier.AddTagsToVaultInput{VaultName: s.vault, Tags: map[string]string{"a": "ä b", "c": ""}}))
	ok[*glacier.RemoveTagsFromVaultOutput](t)(s.c.RemoveTagsFromVault(ctx, &glacier.RemoveTagsFromVaultInput{VaultName: s.vault, TagKeys: []string{"c", "none"}}))
	exactly(t, "tags", tags(), map[string]string{"a": "ä b"})
	wantError[*types.InvalidParameterValueException](t, "a reserved tag",
		failure(s.c.AddTagsToVault(ctx, &glacier.AddTagsToVaultInput{VaultName: s.vault, Tags: map[string]string{"aws:x": ""}})), "Invalid tag key: aws:x")
	for i := range 5 {
		many := map[string]string{}
		for j := range 10 {
			many[strings.Repeat("k", 10*i+j+1)] = ""
		}
		delete(many, strings.Repeat("k", 50)) // with "a" there are fifty
		ok[*glacier.AddTagsToVaultOutput](t)(s.c.AddTagsToVault(ctx, &glacier.AddTagsToVaultInput{VaultName: s.vault, Tags: many}))
	}
	wantError[*types.LimitExceededException](t, "the fifty-first tag", failure(s.c.AddTagsToVault(ctx, &glacier.AddTagsToVaultInput{VaultName: s.vault, Tags: map[string]string{"more": ""}})),
		"The quota for the number of tags that can be assigned to this resource has been reached.")
}

// notifications sets a topic and drops it.
func (s *shop) notifications(t *testing.T) {
	ctx := t.Context()
	wantError[*types.ResourceNotFoundException](t, "no notifications", failure(s.c.GetVaultNotifications(ctx, &glacier.GetVaultNotificationsInput{VaultName: s.vault})),
		"No notification configuration is set for vault: "+s.arn)
	config := &types.VaultNotificationConfig{SNSTopic: aws.String("arn:aws:sns:" + serverRegion + ":" + serverAccount + ":done"), Events: []string{"InventoryRetrievalCompleted"}}
	ok[*glacier.SetVaultNotificationsOutput](t)(s.c.SetVaultNotifications(ctx, &glacier.SetVaultNotificationsInput{VaultName: s.vault, VaultNotificationConfig: config}))
	configured, err := s.c.GetVaultNotifications(ctx, &glacier.GetVaultNotificationsInput{VaultName: s.vault})
	if err != nil {
		t.Fatal(err)
	}
	exactly(t, "notifications", configured.VaultNotificationConfig, config)
	ok[*glacier.DeleteVaultNotificationsOutput](t)(s.c.DeleteVaultNotifications(ctx, &glacier.DeleteVaultNotificationsInput{VaultName: s.vault}))
}

// accessPolicy sets one that binds root.
func (s *shop) accessPolicy(t *testing.T) {
	ctx := t.Context()
	wantError[*types.ResourceNotFoundException](t, "no access policy", failure(s.c.GetVaultAccessPolicy(ctx, &glacier.GetVaultAccessPolicyInput{VaultName: s.vault})),
		"No vault access policy is set for: "+*s.vault)
	ok[*glacier.SetVaultAccessPolicyOutput](t)(s.c.SetVaultAccessPolicy(ctx, &glacier.SetVaultAccessPolicyInput{VaultName: s.vault, Policy: &types.VaultAccessPolicy{Policy: s.deny("ListParts")}}))
	policy, err := s.c.GetVaultAccessPolicy(ctx, &glacier.GetVaultAccessPolicyInput{VaultName: s.vault})
	if err != nil || *policy.Policy.Policy != *s.deny("ListParts") {
		t.Errorf("the access policy: %v, %v", policy, err)
	}
	wantCode(t, "a policy binds root", failure(s.c.ListParts(ctx, &glacier.ListPartsInput{VaultName: s.vault, UploadId: s.archive})), "AccessDeniedException",
		"User: "+identityARN+"root is not authorized to perform: glacier:ListParts on resource: "+s.arn+" with an explicit deny in a resource-based policy")
	wantError[*types.InvalidParameterValueException](t, "a policy that is none",
		failure(s.c.SetVaultAccessPolicy(ctx, &glacier.SetVaultAccessPolicyInput{VaultName: s.vault, Policy: &types.VaultAccessPolicy{Policy: aws.String("{}")}})),
		"The specified vault access policy is invalid. Provide a valid policy. (/Statement: missing)")
	ok[*glacier.DeleteVaultAccessPolicyOutput](t)(s.c.DeleteVaultAccessPolicy(ctx, &glacier.DeleteVaultAccessPolicyInput{VaultName: s.vault}))
}

// lock completes one, after the window of another passed.
func (s *shop) lock(t *testing.T) {
	ctx := t.Context()
	initiate := func() *string {
		t.Helper()
		out, err := s.c.InitiateVaultLock(ctx, &glacier.InitiateVaultLockInput{VaultName: s.vault, Policy: &types.VaultLockPolicy{Policy: s.deny("DeleteArchive")}})
		if err != nil {
			t.Fatal(err)
		}
		return out.LockId
	}
	complete := func(id *string) error {
		return failure(s.c.CompleteVaultLock(ctx, &glacier.CompleteVaultLockInput{VaultName: s.vault, LockId: id}))
	}
	wantError[*types.ResourceNotFoundException](t, "no lock", failure(s.c.GetVaultLock(ctx, &glacier.GetVaultLockInput{VaultName: s.vault})), "No vault lock policy is set for: "+*s.vault)
	late := initiate()
	lever(t, s.Server, "clock", `{"advance":"24h"}`)
	wantError[*types.ResourceNotFoundException](t, "a window that is over", complete(late), "No vault lock in progress for: "+s.arn)
	aborted := initiate()
	ok[*glacier.AbortVaultLockOutput](t)(s.c.AbortVaultLock(ctx, &glacier.AbortVaultLockInput{VaultName: s.vault}))
	id := initiate()
	wantError[*types.InvalidParameterValueException](t, "the id of another lock", complete(aborted), "Invalid lock ID: "+*aborted)
	if err := complete(id); err != nil {
		t.Fatal(err)
	}
	lock, err := s.c.GetVaultLock(ctx, &glacier.GetVaultLockInput{VaultName: s.vault})
	if err != nil {
		t.Fatal(err)
	}
	exactly(t, "the lock", []any{*lock.State, *lock.Policy, lock.ExpirationDate}, []any{"Locked", *s.deny("DeleteArchive"), (*string)(nil)})
	wantCode(t, "a locked vault", failure(s.c.DeleteArchive(ctx, &glacier.DeleteArchiveInput{VaultName: s.vault, ArchiveId: s.archive})), "AccessDeniedException",
		"User: "+identityARN+"root is not authorized to perform: glacier:DeleteArchive on resource: "+s.arn+" with an explicit deny in a resource-based policy")
}

// troubles are what a client should survive.
func (s *shop) troubles(t *testing.T) {
	ctx := t.Context()
	lever(t, s.Server, "timeout-next-upload", "")
	wantError[*types.RequestTimeoutException](t, "an upload that takes too long",
		failure(s.c.UploadArchive(ctx, &glacier.UploadArchiveInput{VaultName: s.vault, Body: bytes.NewReader([]byte("x"))})), "Request timed out.")
	lever(t, s.Server, "throttle", `{"requests":1}`)
	wantCode(t, "a request too many", failure(s.c.ListVaults(ctx, &glacier.ListVaultsInput{})), "ThrottlingException", "Rate exceeded")
}
