package conformance_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

func TestSDKManagedPolicies(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), rootCaller()
	name, path := aws.String("sdk-policy"), aws.String("/sdk-policies/")
	made, err := root.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{
		PolicyName: name, Path: path, PolicyDocument: aws.String(document("*", "glacier:List*")), Description: aws.String("lists"),
		Tags: []iamtypes.Tag{{Key: aws.String("team"), Value: aws.String("ops")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	arn := made.Policy.Arn
	exactly(t, "CreatePolicy", []any{*arn, *made.Policy.DefaultVersionId, *made.Policy.AttachmentCount, made.Policy.IsAttachable},
		[]any{identityARN + "policy/sdk-policies/sdk-policy", "v1", int32(0), true})
	if err := iam.NewPolicyExistsWaiter(root.iam).Wait(ctx, &iam.GetPolicyInput{PolicyArn: arn}, jobMax); err != nil {
		t.Error(err)
	}
	_, err = root.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: name, PolicyDocument: aws.String(document("*", "glacier:List*"))})
	wantError[*iamtypes.EntityAlreadyExistsException](t, "CreatePolicy again", err, "A policy called sdk-policy already exists. Duplicate names are not allowed.")
	_, err = root.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("x"), PolicyDocument: aws.String(document("vaults/v", "glacier:List*"))})
	wantError[*iamtypes.MalformedPolicyDocumentException](t, "CreatePolicy of nonsense", err, `Resource vaults/v must be in ARN format or "*".`)
	_, err = root.iam.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: aws.String("arn:aws:iam::aws:policy/AmazonGlacierReadOnlyAccess")})
	wantError[*iamtypes.NoSuchEntityException](t, "a policy of AWS", err, "Policy arn:aws:iam::aws:policy/AmazonGlacierReadOnlyAccess was not found.")

	text := func(v int) string { return document("*", fmt.Sprintf("glacier:List%d*", v)) }
	for v := 2; v <= 5; v++ {
		out, err := root.iam.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: aws.String(text(v)), SetAsDefault: v == 3})
		if err != nil {
			t.Fatal(err)
		}
		if *out.PolicyVersion.VersionId != fmt.Sprintf("v%d", v) || out.PolicyVersion.IsDefaultVersion != (v == 3) {
			t.Errorf("version %d: %s, in force %v", v, *out.PolicyVersion.VersionId, out.PolicyVersion.IsDefaultVersion)
		}
	}
	_, err = root.iam.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: aws.String(text(6))})
	wantError[*iamtypes.LimitExceededException](t, "a sixth version", err,
		"A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.")
	_, err = root.iam.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v3")})
	wantError[*iamtypes.DeleteConflictException](t, "the default version", err, "Cannot delete the default version of a policy.")
	ok[*iam.SetDefaultPolicyVersionOutput](t)(root.iam.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v5")}))
	version, err := root.iam.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v5")})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := url.PathUnescape(*version.PolicyVersion.Document); err != nil || got != text(5) || !version.PolicyVersion.IsDefaultVersion {
		t.Errorf("v5: %q, %v, in force %v", got, err, version.PolicyVersion.IsDefaultVersion)
	}
	sizes, versions := collect(t, iam.NewListPolicyVersionsPaginator(root.iam, &iam.ListPolicyVersionsInput{PolicyArn: arn, MaxItems: aws.Int32(2)}),
		func(p *iam.ListPolicyVersionsOutput) []iamtypes.PolicyVersion { return p.Versions })
	exactly(t, "pages of versions", sizes, []int{2, 2, 1})
	exactly(t, "versions", names(versions, func(v iamtypes.PolicyVersion) *string { return v.VersionId }), []string{"v5", "v4", "v3", "v2", "v1"})

	t.Run("attachments", func(t *testing.T) { policyAttachments(t, root, arn) })

	_, err = root.iam.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn})
	wantError[*iamtypes.DeleteConflictException](t, "a policy with versions", err,
		"This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
	for _, v := range []string{"v1", "v2", "v3", "v4"} {
		ok[*iam.DeletePolicyVersionOutput](t)(root.iam.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: &v}))
	}
	_, err = root.iam.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v4")})
	wantError[*iamtypes.NoSuchEntityException](t, "a deleted version", err, "Policy "+*arn+" version v4 does not exist or is not attachable.")

	ok[*iam.TagPolicyOutput](t)(root.iam.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: arn, Tags: []iamtypes.Tag{{Key: aws.String("site"), Value: aws.String("x")}}}))
	ok[*iam.UntagPolicyOutput](t)(root.iam.UntagPolicy(ctx, &iam.UntagPolicyInput{PolicyArn: arn, TagKeys: []string{"team"}}))
	_, tags := collect(t, iam.NewListPolicyTagsPaginator(root.iam, &iam.ListPolicyTagsInput{PolicyArn: arn}), func(p *iam.ListPolicyTagsOutput) []iamtypes.Tag { return p.Tags })
	exactly(t, "tags", tags, []iamtypes.Tag{{Key: aws.String("site"), Value: aws.String("x")}})

	var want []string
	for i := range 4 {
		name := fmt.Sprintf("sdk-policy-%d", i)
		out, err := root.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &name, Path: path, PolicyDocument: aws.String(text(1))})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, *out.Policy.Arn)
	}
	want = append([]string{*arn}, want...)
	sizes, policies := collect(t, iam.NewListPoliciesPaginator(root.iam, &iam.ListPoliciesInput{PathPrefix: path, Scope: iamtypes.PolicyScopeTypeLocal, MaxItems: aws.Int32(2)}),
		func(p *iam.ListPoliciesOutput) []iamtypes.Policy { return p.Policies })
	exactly(t, "pages of policies", sizes, []int{2, 2, 1})
	exactly(t, "policies", names(policies, func(p iamtypes.Policy) *string { return p.Arn }), want)
	_, policies = collect(t, iam.NewListPoliciesPaginator(root.iam, &iam.ListPoliciesInput{PathPrefix: path, OnlyAttached: true}),
		func(p *iam.ListPoliciesOutput) []iamtypes.Policy { return p.Policies })
	exactly(t, "attached policies", names(policies, func(p iamtypes.Policy) *string { return p.Arn }), []string{})
	for _, arn := range want {
		ok[*iam.DeletePolicyOutput](t)(root.iam.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: &arn}))
	}
	_, err = root.iam.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn})
	wantError[*iamtypes.NoSuchEntityException](t, "DeletePolicy again", err, "Policy "+*arn+" was not found.")
}

// policyAttachments hangs a policy on a user, a group and a role, and looks at
// it from both ends.
func policyAttachments(t *testing.T, root *caller, arn *string) {
	ctx := t.Context()
	name := aws.String("sdk-attached")
	root.createUser(t, *name)
	ok[*iam.CreateGroupOutput](t)(root.iam.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: name}))
	ok[*iam.CreateRoleOutput](t)(root.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(trust(serverAccount))}))
	for range 2 { // again is no error and counts once
		ok[*iam.AttachUserPolicyOutput](t)(root.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: name, PolicyArn: arn}))
		ok[*iam.AttachGroupPolicyOutput](t)(root.iam.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: name, PolicyArn: arn}))
		ok[*iam.AttachRolePolicyOutput](t)(root.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: arn}))
	}
	_, err := root.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: name, PolicyArn: aws.String(identityARN + "policy/none")})
	wantError[*iamtypes.NoSuchEntityException](t, "attach none", err, "Policy "+identityARN+"policy/none does not exist or is not attachable.")

	got, err := root.iam.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: arn})
	if err != nil || *got.Policy.AttachmentCount != 3 {
		t.Errorf("attachments: %v, %v; want 3", aws.ToInt32(got.Policy.AttachmentCount), err)
	}
	users, groups, roles := entitiesOf(t, root, &iam.ListEntitiesForPolicyInput{PolicyArn: arn, MaxItems: aws.Int32(1)}, 3)
	exactly(t, "who uses it", []int{users, groups, roles}, []int{1, 1, 1})
	users, groups, roles = entitiesOf(t, root, &iam.ListEntitiesForPolicyInput{PolicyArn: arn, EntityFilter: iamtypes.EntityTypeRole}, 1)
	exactly(t, "which roles use it", []int{users, groups, roles}, []int{0, 0, 1})

	attached := func(a iamtypes.AttachedPolicy) *string { return a.PolicyArn }
	_, ofUser := collect(t, iam.NewListAttachedUserPoliciesPaginator(root.iam, &iam.ListAttachedUserPoliciesInput{UserName: name, PathPrefix: aws.String("/sdk-policies/")}),
		func(p *iam.ListAttachedUserPoliciesOutput) []iamtypes.AttachedPolicy { return p.AttachedPolicies })
	_, ofGroup := collect(t, iam.NewListAttachedGroupPoliciesPaginator(root.iam, &iam.ListAttachedGroupPoliciesInput{GroupName: name}),
		func(p *iam.ListAttachedGroupPoliciesOutput) []iamtypes.AttachedPolicy { return p.AttachedPolicies })
	_, ofRole := collect(t, iam.NewListAttachedRolePoliciesPaginator(root.iam, &iam.ListAttachedRolePoliciesInput{RoleName: name}),
		func(p *iam.ListAttachedRolePoliciesOutput) []iamtypes.AttachedPolicy { return p.AttachedPolicies })
	exactly(t, "attached policies", names(slices.Concat(ofUser, ofGroup, ofRole), attached), []string{*arn, *arn, *arn})
	_, other := collect(t, iam.NewListAttachedUserPoliciesPaginator(root.iam, &iam.ListAttachedUserPoliciesInput{UserName: name, PathPrefix: aws.String("/other/")}),
		func(p *iam.ListAttachedUserPoliciesOutput) []iamtypes.AttachedPolicy { return p.AttachedPolicies })
	exactly(t, "attached policies of another path", names(other, attached), []string{})

	_, err = root.iam.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn})
	wantError[*iamtypes.DeleteConflictException](t, "an attached policy", err, "Cannot delete a policy attached to entities.")
	_, err = root.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name})
	wantError[*iamtypes.DeleteConflictException](t, "a role with an attached policy", err, "Cannot delete entity, must detach all policies first.")
	ok[*iam.DetachUserPolicyOutput](t)(root.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: name, PolicyArn: arn}))
	ok[*iam.DetachGroupPolicyOutput](t)(root.iam.DetachGroupPolicy(ctx, &iam.DetachGroupPolicyInput{GroupName: name, PolicyArn: arn}))
	ok[*iam.DetachRolePolicyOutput](t)(root.iam.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: arn}))
	_, err = root.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: name, PolicyArn: arn})
	wantError[*iamtypes.NoSuchEntityException](t, "detach again", err, "Policy "+*arn+" was not found.")

	ok[*iam.PutUserPermissionsBoundaryOutput](t)(root.iam.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: name, PermissionsBoundary: arn}))
	ok[*iam.PutRolePermissionsBoundaryOutput](t)(root.iam.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: arn}))
	users, groups, roles = entitiesOf(t, root, &iam.ListEntitiesForPolicyInput{PolicyArn: arn, PolicyUsageFilter: iamtypes.PolicyUsageTypePermissionsBoundary}, 1)
	exactly(t, "whom it bounds", []int{users, groups, roles}, []int{1, 0, 1})
	ok[*iam.DeleteUserPermissionsBoundaryOutput](t)(root.iam.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: name}))
	ok[*iam.DeleteRolePermissionsBoundaryOutput](t)(root.iam.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: name}))

	ok[*iam.DeleteGroupOutput](t)(root.iam.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: name}))
	ok[*iam.DeleteRoleOutput](t)(root.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name}))
}

// entitiesOf counts who uses a policy, on so many pages.
func entitiesOf(t *testing.T, root *caller, in *iam.ListEntitiesForPolicyInput, pages int) (users, groups, roles int) {
	t.Helper()
	sizes, _ := collect(t, iam.NewListEntitiesForPolicyPaginator(root.iam, in), func(p *iam.ListEntitiesForPolicyOutput) []string {
		users, groups, roles = users+len(p.PolicyUsers), groups+len(p.PolicyGroups), roles+len(p.PolicyRoles)
		return nil
	})
	if len(sizes) != pages {
		t.Errorf("%d pages, want %d", len(sizes), pages)
	}
	return users, groups, roles
}
