package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glacier"
	"github.com/aws/aws-sdk-go-v2/service/glacier/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// rightsRegion has no jobs of other tests whom a retrieval policy could
// concern.
const rightsRegion = "eu-west-1"

// operation is one of the 33 of the vault API, as the SDK calls it.
type operation struct {
	name     string
	resource string // after region and account; "" for the vault
	call     func(ctx context.Context, c *glacier.Client, vault *string) error
}

// failure drops the result of a call.
func failure[T any](_ T, err error) error { return err }

// operations are all of them. What they name beyond the vault need not exist:
// whether the caller may do it is decided before.
func operations() []operation {
	id := aws.String("none")
	harmless := func(vault *string) *string {
		return aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"glacier:DeleteArchive","Resource":"` +
			vaultARN(rightsRegion, *vault) + `","Condition":{"StringEquals":{"aws:UserAgent":"nobody"}}}]}`)
	}
	body := func() *bytes.Reader { return bytes.NewReader([]byte("x")) }
	return []operation{
		{"AbortMultipartUpload", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.AbortMultipartUpload(ctx, &glacier.AbortMultipartUploadInput{VaultName: v, UploadId: id}))
		}},
		{"AbortVaultLock", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.AbortVaultLock(ctx, &glacier.AbortVaultLockInput{VaultName: v}))
		}},
		{"AddTagsToVault", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.AddTagsToVault(ctx, &glacier.AddTagsToVaultInput{VaultName: v, Tags: map[string]string{"a": "b"}}))
		}},
		{"CompleteMultipartUpload", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.CompleteMultipartUpload(ctx, &glacier.CompleteMultipartUploadInput{
				VaultName: v, UploadId: id, ArchiveSize: aws.String("1"), Checksum: aws.String(strings.Repeat("0", 64)),
			}))
		}},
		{"CompleteVaultLock", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.CompleteVaultLock(ctx, &glacier.CompleteVaultLockInput{VaultName: v, LockId: id}))
		}},
		{"CreateVault", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.CreateVault(ctx, &glacier.CreateVaultInput{VaultName: v}))
		}},
		{"DeleteArchive", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.DeleteArchive(ctx, &glacier.DeleteArchiveInput{VaultName: v, ArchiveId: id}))
		}},
		{"DeleteVault", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.DeleteVault(ctx, &glacier.DeleteVaultInput{VaultName: v}))
		}},
		{"DeleteVaultAccessPolicy", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.DeleteVaultAccessPolicy(ctx, &glacier.DeleteVaultAccessPolicyInput{VaultName: v}))
		}},
		{"DeleteVaultNotifications", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.DeleteVaultNotifications(ctx, &glacier.DeleteVaultNotificationsInput{VaultName: v}))
		}},
		{"DescribeJob", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.DescribeJob(ctx, &glacier.DescribeJobInput{VaultName: v, JobId: id}))
		}},
		{"DescribeVault", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.DescribeVault(ctx, &glacier.DescribeVaultInput{VaultName: v}))
		}},
		{"GetDataRetrievalPolicy", "policies/retrieval-limit-policy", func(ctx context.Context, c *glacier.Client, _ *string) error {
			return failure(c.GetDataRetrievalPolicy(ctx, &glacier.GetDataRetrievalPolicyInput{}))
		}},
		{"GetJobOutput", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.GetJobOutput(ctx, &glacier.GetJobOutputInput{VaultName: v, JobId: id}))
		}},
		{"GetVaultAccessPolicy", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.GetVaultAccessPolicy(ctx, &glacier.GetVaultAccessPolicyInput{VaultName: v}))
		}},
		{"GetVaultLock", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.GetVaultLock(ctx, &glacier.GetVaultLockInput{VaultName: v}))
		}},
		{"GetVaultNotifications", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.GetVaultNotifications(ctx, &glacier.GetVaultNotificationsInput{VaultName: v}))
		}},
		{"InitiateJob", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.InitiateJob(ctx, &glacier.InitiateJobInput{VaultName: v, JobParameters: &types.JobParameters{Type: aws.String("archive-retrieval"), ArchiveId: id}}))
		}},
		{"InitiateMultipartUpload", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.InitiateMultipartUpload(ctx, &glacier.InitiateMultipartUploadInput{VaultName: v, PartSize: aws.String("1048576")}))
		}},
		{"InitiateVaultLock", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.InitiateVaultLock(ctx, &glacier.InitiateVaultLockInput{VaultName: v, Policy: &types.VaultLockPolicy{Policy: harmless(v)}}))
		}},
		{"ListJobs", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.ListJobs(ctx, &glacier.ListJobsInput{VaultName: v}))
		}},
		{"ListMultipartUploads", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.ListMultipartUploads(ctx, &glacier.ListMultipartUploadsInput{VaultName: v}))
		}},
		{"ListParts", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.ListParts(ctx, &glacier.ListPartsInput{VaultName: v, UploadId: id}))
		}},
		{"ListProvisionedCapacity", "provisioned-capacity", func(ctx context.Context, c *glacier.Client, _ *string) error {
			return failure(c.ListProvisionedCapacity(ctx, &glacier.ListProvisionedCapacityInput{}))
		}},
		{"ListTagsForVault", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.ListTagsForVault(ctx, &glacier.ListTagsForVaultInput{VaultName: v}))
		}},
		{"ListVaults", "vaults/", func(ctx context.Context, c *glacier.Client, _ *string) error {
			return failure(c.ListVaults(ctx, &glacier.ListVaultsInput{}))
		}},
		{"PurchaseProvisionedCapacity", "provisioned-capacity", func(ctx context.Context, c *glacier.Client, _ *string) error {
			return failure(c.PurchaseProvisionedCapacity(ctx, &glacier.PurchaseProvisionedCapacityInput{}))
		}},
		{"RemoveTagsFromVault", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.RemoveTagsFromVault(ctx, &glacier.RemoveTagsFromVaultInput{VaultName: v, TagKeys: []string{"a"}}))
		}},
		{"SetDataRetrievalPolicy", "policies/retrieval-limit-policy", func(ctx context.Context, c *glacier.Client, _ *string) error {
			return failure(c.SetDataRetrievalPolicy(ctx, &glacier.SetDataRetrievalPolicyInput{
				Policy: &types.DataRetrievalPolicy{Rules: []types.DataRetrievalRule{{Strategy: aws.String("None")}}},
			}))
		}},
		{"SetVaultAccessPolicy", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.SetVaultAccessPolicy(ctx, &glacier.SetVaultAccessPolicyInput{VaultName: v, Policy: &types.VaultAccessPolicy{Policy: harmless(v)}}))
		}},
		{"SetVaultNotifications", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.SetVaultNotifications(ctx, &glacier.SetVaultNotificationsInput{VaultName: v, VaultNotificationConfig: &types.VaultNotificationConfig{
				SNSTopic: aws.String("arn:aws:sns:" + rightsRegion + ":" + serverAccount + ":t"), Events: []string{"ArchiveRetrievalCompleted"},
			}}))
		}},
		{"UploadArchive", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.UploadArchive(ctx, &glacier.UploadArchiveInput{VaultName: v, Body: body()}))
		}},
		{"UploadMultipartPart", "", func(ctx context.Context, c *glacier.Client, v *string) error {
			return failure(c.UploadMultipartPart(ctx, &glacier.UploadMultipartPartInput{VaultName: v, UploadId: id, Range: aws.String("bytes 0-0/*"), Body: body()}))
		}},
	}
}

// resourceOf is what an operation on a vault is authorised for.
func (o *operation) resourceOf(vault string) string {
	if o.resource == "" {
		return vaultARN(rightsRegion, vault)
	}
	return "arn:aws:glacier:" + rightsRegion + ":" + serverAccount + ":" + o.resource
}

// denied reports whether err is the refusal of an operation to a user whose
// policies do not allow it, word for word.
func (o *operation) denied(err error, user, vault string) bool {
	var e apiError
	return errors.As(err, &e) && e.ErrorCode() == "AccessDeniedException" && e.ErrorMessage() == "User: "+user+" is not authorized to perform: glacier:"+o.name+
		" on resource: "+o.resourceOf(vault)+" because no identity-based policy allows the glacier:"+o.name+" action"
}

// isRefusal reports whether err is any refusal.
func isRefusal(err error) bool {
	var e apiError
	return errors.As(err, &e) && e.ErrorCode() == "AccessDeniedException"
}

// TestSDKRights makes a user with the SDK, allows it one operation at a time,
// and tries all of them: the one passes, each other is denied in the words of
// the service.
func TestSDKRights(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), rootCaller()
	const name = "sdk-rights"
	user := root.createUser(t, name)
	key := root.key(t, name)
	me, owner := as(key, rightsRegion).glacier, newCaller(root.glacier.Options().Credentials, rightsRegion).glacier
	all := operations()
	if len(all) != 33 {
		t.Fatalf("%d operations, want 33", len(all))
	}
	vault := aws.String(name)
	check := func(t *testing.T, allowed func(*operation) bool) {
		t.Helper()
		for _, o := range all {
			switch err := o.call(ctx, me, vault); {
			case allowed(&o) && isRefusal(err):
				t.Errorf("%s is refused: %v", o.name, err)
			case !allowed(&o) && !o.denied(err, *user.Arn, *vault):
				t.Errorf("%s is not denied as it should be: %v", o.name, err)
			}
		}
	}
	if _, err := owner.CreateVault(ctx, &glacier.CreateVaultInput{VaultName: vault}); err != nil {
		t.Fatal(err)
	}
	check(t, func(*operation) bool { return false })
	for _, only := range all {
		// Not parallel: there is one user.
		t.Run(only.name, func(t *testing.T) {
			// Deleted by an earlier turn, or about to be.
			if _, err := owner.CreateVault(ctx, &glacier.CreateVaultInput{VaultName: vault}); err != nil {
				t.Fatal(err)
			}
			root.inline(t, name, document(only.resourceOf(*vault), "glacier:"+only.name))
			check(t, func(o *operation) bool { return o.name == only.name })
		})
	}
	root.inline(t, name, document("*", "*"))
	check(t, func(*operation) bool { return true })
}

// TestSDKScope narrows rights by vault, path, tag and address, and takes them
// back.
func TestSDKScope(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), rootCaller()
	owner := newCaller(root.glacier.Options().Credentials, rightsRegion).glacier
	const name = "sdk-scope"
	user := root.createUser(t, name)
	me := as(root.key(t, name), rightsRegion).glacier
	mine, other := aws.String("sdk-scope-mine"), aws.String("sdk-scope-other")
	for _, v := range []*string{mine, other} {
		if _, err := owner.CreateVault(ctx, &glacier.CreateVaultInput{VaultName: v}); err != nil {
			t.Fatal(err)
		}
	}
	denial := func(action, vault, why string) string {
		return "User: " + *user.Arn + " is not authorized to perform: glacier:" + action + " on resource: " + vaultARN(rightsRegion, vault) + why
	}
	describe := func(v *string) error {
		return failure(me.DescribeVault(ctx, &glacier.DescribeVaultInput{VaultName: v}))
	}
	implicit := " because no identity-based policy allows the glacier:DescribeVault action"

	root.inline(t, name, document("arn:aws:glacier:*:*:vaults/${aws:username}-m*", "glacier:DescribeVault", "glacier:UploadArchive", "glacier:DeleteArchive"))
	if err := describe(mine); err != nil {
		t.Error(err)
	}
	wantCode(t, "another vault", describe(other), "AccessDeniedException", denial("DescribeVault", *other, implicit))
	wantCode(t, "a vault that is not there", describe(aws.String("sdk-scope-none")), "AccessDeniedException", denial("DescribeVault", "sdk-scope-none", implicit))
	up, err := me.UploadArchive(ctx, &glacier.UploadArchiveInput{VaultName: mine, Body: bytes.NewReader([]byte("mine"))})
	if err != nil {
		t.Fatal(err)
	}

	// A deny on a tag of the vault is stronger than any allow.
	root.inline(t, name, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"glacier:*","Resource":"*"},`+
		`{"Effect":"Deny","Action":"glacier:DeleteArchive","Resource":"*","Condition":{"StringEquals":{"glacier:ResourceTag/hold":"yes"}}}]}`)
	if _, err := owner.AddTagsToVault(ctx, &glacier.AddTagsToVaultInput{VaultName: mine, Tags: map[string]string{"hold": "yes"}}); err != nil {
		t.Fatal(err)
	}
	remove := func() error {
		return failure(me.DeleteArchive(ctx, &glacier.DeleteArchiveInput{VaultName: mine, ArchiveId: up.ArchiveId}))
	}
	wantCode(t, "a held vault", remove(), "AccessDeniedException", denial("DeleteArchive", *mine, " with an explicit deny in an identity-based policy"))
	if _, err := owner.RemoveTagsFromVault(ctx, &glacier.RemoveTagsFromVaultInput{VaultName: mine, TagKeys: []string{"hold"}}); err != nil {
		t.Fatal(err)
	}
	if err := remove(); err != nil {
		t.Error(err)
	}

	// A condition on the address of the caller.
	from := func(network string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"glacier:DescribeVault","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"` + network + `"}}}]}`
	}
	root.inline(t, name, from("203.0.113.0/24"))
	wantCode(t, "from elsewhere", describe(mine), "AccessDeniedException", denial("DescribeVault", *mine, implicit))
	root.inline(t, name, from("127.0.0.0/8"))
	if err := describe(mine); err != nil {
		t.Error(err)
	}

	// A boundary narrows, a policy of the vault widens, each from the next call.
	limits, err := root.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String(name), PolicyDocument: aws.String(document("*", "glacier:ListVaults"))})
	if err != nil {
		t.Fatal(err)
	}
	ok[*iam.PutUserPermissionsBoundaryOutput](t)(root.iam.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: aws.String(name), PermissionsBoundary: limits.Policy.Arn}))
	wantCode(t, "outside the boundary", describe(mine), "AccessDeniedException", denial("DescribeVault", *mine, " because no permissions boundary allows the glacier:DescribeVault action"))
	ok[*iam.DeleteUserPermissionsBoundaryOutput](t)(root.iam.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: aws.String(name)}))
	ok[*iam.DeletePolicyOutput](t)(root.iam.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: limits.Policy.Arn}))
	ok[*iam.DeleteUserPolicyOutput](t)(root.iam.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: aws.String(name), PolicyName: aws.String("inline")}))
	wantCode(t, "without policies", describe(mine), "AccessDeniedException", denial("DescribeVault", *mine, implicit))
	allow := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + *user.Arn + `"},"Action":"glacier:DescribeVault","Resource":"` + vaultARN(rightsRegion, *mine) + `"}]}`
	if _, err := owner.SetVaultAccessPolicy(ctx, &glacier.SetVaultAccessPolicyInput{VaultName: mine, Policy: &types.VaultAccessPolicy{Policy: &allow}}); err != nil {
		t.Fatal(err)
	}
	if err := describe(mine); err != nil {
		t.Error(err)
	}
	for _, v := range []*string{mine, other} {
		if _, err := owner.DeleteVault(ctx, &glacier.DeleteVaultInput{VaultName: v}); err != nil {
			t.Error(err)
		}
	}
}
