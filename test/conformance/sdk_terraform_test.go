package conformance_test

import (
	"errors"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glacier/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// The tests of this file make the calls that the AWS provider of Terraform
// makes for each resource of access-control §2.4, in its order: create, read,
// update, read, import, delete, and delete once more. Terraform plans anew what
// does not read as it was written, so every read is compared with the write.

// gone reports whether a read says that there is no such thing, which Terraform
// takes for "removed".
func gone(err error) bool {
	var identity *iamtypes.NoSuchEntityException
	var vault *types.ResourceNotFoundException
	return errors.As(err, &identity) || errors.As(err, &vault)
}

// removed wants a thing to be gone.
func removed(t *testing.T, what string, err error) {
	t.Helper()
	if !gone(err) {
		t.Errorf("%s: got %v, want that it is not there", what, err)
	}
}

// TestTerraformProvider is what the provider asks before anything else.
func TestTerraformProvider(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), rootCaller()
	who, err := root.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *who.Account != serverAccount || *who.Arn != identityARN+"root" {
		t.Errorf("GetCallerIdentity: %v, %v", who, err)
	}
	// Where it may not ask STS, it takes the account from one of these.
	self, err := root.iam.GetUser(ctx, &iam.GetUserInput{})
	if err != nil || *self.User.Arn != identityARN+"root" {
		t.Errorf("GetUser: %v, %v", self, err)
	}
	ok[*iam.ListRolesOutput](t)(root.iam.ListRoles(ctx, &iam.ListRolesInput{MaxItems: aws.Int32(1)}))
}

// readUser is the read of aws_iam_user.
func readUser(t *testing.T, c *caller, name string) (*iamtypes.User, map[string]string) {
	t.Helper()
	out, err := c.iam.GetUser(t.Context(), &iam.GetUserInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	_, listed := collect(t, iam.NewListUserTagsPaginator(c.iam, &iam.ListUserTagsInput{UserName: &name}), func(p *iam.ListUserTagsOutput) []iamtypes.Tag { return p.Tags })
	exactly(t, "tags of GetUser and ListUserTags", tagMap(out.User.Tags), tagMap(listed))
	return out.User, tagMap(listed)
}

func tagMap(tags []iamtypes.Tag) map[string]string {
	m := map[string]string{}
	for _, t := range tags {
		m[*t.Key] = *t.Value
	}
	return m
}

// tolerate wants a call to succeed, or to say that there is no such thing.
func tolerate(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil && !gone(err) {
		t.Fatalf("%s: %v", what, err)
	}
}

// each calls fn for the items of a list, which may turn out to be that of
// nobody.
func each[T, I any](t *testing.T, what string, pages pager[T], items func(T) []I, fn func(I)) {
	t.Helper()
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		tolerate(t, what, err)
		if err != nil {
			return
		}
		for _, item := range items(page) {
			fn(item)
		}
	}
}

// destroyUser is the delete of aws_iam_user with force_destroy. What is listed
// is deleted; of most things there are none.
func destroyUser(t *testing.T, c *caller, name string) {
	t.Helper()
	ctx := t.Context()
	each(t, "ListGroupsForUser", iam.NewListGroupsForUserPaginator(c.iam, &iam.ListGroupsForUserInput{UserName: &name}),
		func(p *iam.ListGroupsForUserOutput) []iamtypes.Group { return p.Groups },
		func(g iamtypes.Group) {
			tolerate(t, "RemoveUserFromGroup", failure(c.iam.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{UserName: &name, GroupName: g.GroupName})))
		})
	each(t, "ListAccessKeys", iam.NewListAccessKeysPaginator(c.iam, &iam.ListAccessKeysInput{UserName: &name}),
		func(p *iam.ListAccessKeysOutput) []iamtypes.AccessKeyMetadata { return p.AccessKeyMetadata },
		func(k iamtypes.AccessKeyMetadata) {
			tolerate(t, "DeleteAccessKey", failure(c.iam.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &name, AccessKeyId: k.AccessKeyId})))
		})
	each(t, "ListSSHPublicKeys", iam.NewListSSHPublicKeysPaginator(c.iam, &iam.ListSSHPublicKeysInput{UserName: &name}),
		func(p *iam.ListSSHPublicKeysOutput) []iamtypes.SSHPublicKeyMetadata { return p.SSHPublicKeys },
		func(k iamtypes.SSHPublicKeyMetadata) { t.Errorf("an SSH key: %v", k) })
	each(t, "ListVirtualMFADevices", iam.NewListVirtualMFADevicesPaginator(c.iam, &iam.ListVirtualMFADevicesInput{AssignmentStatus: iamtypes.AssignmentStatusTypeAssigned}),
		func(p *iam.ListVirtualMFADevicesOutput) []iamtypes.VirtualMFADevice { return p.VirtualMFADevices },
		func(d iamtypes.VirtualMFADevice) { t.Errorf("a virtual MFA device: %v", d) })
	each(t, "ListMFADevices", iam.NewListMFADevicesPaginator(c.iam, &iam.ListMFADevicesInput{UserName: &name}),
		func(p *iam.ListMFADevicesOutput) []iamtypes.MFADevice { return p.MFADevices },
		func(d iamtypes.MFADevice) { t.Errorf("an MFA device: %v", d) })
	removed(t, "DeleteLoginProfile", failure(c.iam.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: &name})))
	removed(t, "GetLoginProfile", failure(c.iam.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: &name})))
	each(t, "ListSigningCertificates", iam.NewListSigningCertificatesPaginator(c.iam, &iam.ListSigningCertificatesInput{UserName: &name}),
		func(p *iam.ListSigningCertificatesOutput) []iamtypes.SigningCertificate { return p.Certificates },
		func(s iamtypes.SigningCertificate) { t.Errorf("a certificate: %v", s) })
	specific, err := c.iam.ListServiceSpecificCredentials(ctx, &iam.ListServiceSpecificCredentialsInput{UserName: &name})
	tolerate(t, "ListServiceSpecificCredentials", err)
	if err == nil && len(specific.ServiceSpecificCredentials) != 0 {
		t.Errorf("ListServiceSpecificCredentials: %d, want none", len(specific.ServiceSpecificCredentials))
	}
	tolerate(t, "DeleteUser", failure(c.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: &name})))
	removed(t, "GetUser after destroy", failure(c.iam.GetUser(ctx, &iam.GetUserInput{UserName: &name})))
}

// TestTerraformUser is aws_iam_user with aws_iam_access_key,
// aws_iam_user_policy, aws_iam_user_policy_attachment and
// aws_iam_user_group_membership.
func TestTerraformUser(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), rootCaller()
	name := "tf-user"
	made, err := root.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: &name, Path: aws.String("/"), Tags: []iamtypes.Tag{{Key: aws.String("env"), Value: aws.String("test")}}})
	if err != nil {
		t.Fatal(err)
	}
	read, tags := readUser(t, root, name)
	exactly(t, "the user as created", []any{*read.Arn, *read.Path, *read.UserId, tags}, []any{identityARN + "user/tf-user", "/", *made.User.UserId, map[string]string{"env": "test"}})

	// Update: the provider sends the name also when only the path changes; then
	// both at once, then the boundary, then tags.
	ok[*iam.UpdateUserOutput](t)(root.iam.UpdateUser(ctx, &iam.UpdateUserInput{UserName: &name, NewUserName: &name, NewPath: aws.String("/tf/old/")}))
	if read, _ = readUser(t, root, name); *read.Arn != identityARN+"user/tf/old/tf-user" {
		t.Errorf("the user at another path: %s", *read.Arn)
	}
	boundary, err := root.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("tf-boundary"), Description: aws.String(""), Path: aws.String("/"), PolicyDocument: aws.String(document("*", "glacier:*"))})
	if err != nil {
		t.Fatal(err)
	}
	ok[*iam.UpdateUserOutput](t)(root.iam.UpdateUser(ctx, &iam.UpdateUserInput{UserName: &name, NewUserName: aws.String("tf-user-2"), NewPath: aws.String("/tf/")}))
	name = "tf-user-2"
	ok[*iam.PutUserPermissionsBoundaryOutput](t)(root.iam.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: &name, PermissionsBoundary: boundary.Policy.Arn}))
	ok[*iam.UntagUserOutput](t)(root.iam.UntagUser(ctx, &iam.UntagUserInput{UserName: &name, TagKeys: []string{"env"}}))
	ok[*iam.TagUserOutput](t)(root.iam.TagUser(ctx, &iam.TagUserInput{UserName: &name, Tags: []iamtypes.Tag{{Key: aws.String("team"), Value: aws.String("ops")}}}))
	read, tags = readUser(t, root, name)
	exactly(t, "the user as updated", []any{*read.Arn, *read.PermissionsBoundary.PermissionsBoundaryArn, tags},
		[]any{identityARN + "user/tf/tf-user-2", *boundary.Policy.Arn, map[string]string{"team": "ops"}})
	ok[*iam.DeleteUserPermissionsBoundaryOutput](t)(root.iam.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: &name}))
	if read, _ = readUser(t, root, name); read.PermissionsBoundary != nil {
		t.Errorf("the boundary is still there: %v", read.PermissionsBoundary)
	}

	t.Run("access key", func(t *testing.T) { terraformAccessKey(t, root, name) })
	t.Run("inline policy", func(t *testing.T) { terraformUserPolicy(t, root, name) })
	t.Run("attachment", func(t *testing.T) { terraformAttachment(t, root, name, boundary.Policy.Arn) })

	// What others hung on the user is removed by force.
	ok[*iam.CreateGroupOutput](t)(root.iam.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: aws.String("tf-others")}))
	ok[*iam.AddUserToGroupOutput](t)(root.iam.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: aws.String("tf-others"), UserName: &name}))
	ok[*iam.CreateAccessKeyOutput](t)(root.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name}))
	_, err = root.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: &name})
	wantError[*iamtypes.DeleteConflictException](t, "destroy without force", err, "Cannot delete entity, must delete access keys first.")
	destroyUser(t, root, name)
	destroyUser(t, root, name)
	ok[*iam.DeleteGroupOutput](t)(root.iam.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: aws.String("tf-others")}))
	ok[*iam.DeletePolicyOutput](t)(root.iam.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: boundary.Policy.Arn}))
}

// terraformAccessKey is aws_iam_access_key.
func terraformAccessKey(t *testing.T, root *caller, name string) {
	t.Helper()
	ctx := t.Context()
	key, err := root.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil || key.AccessKey.SecretAccessKey == nil {
		t.Fatalf("CreateAccessKey: %v", err)
	}
	id := key.AccessKey.AccessKeyId
	ok[*iam.UpdateAccessKeyOutput](t)(root.iam.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: &name, AccessKeyId: id, Status: iamtypes.StatusTypeInactive}))
	_, keys := collect(t, iam.NewListAccessKeysPaginator(root.iam, &iam.ListAccessKeysInput{UserName: &name}), func(p *iam.ListAccessKeysOutput) []iamtypes.AccessKeyMetadata { return p.AccessKeyMetadata })
	exactly(t, "the key", keys, []iamtypes.AccessKeyMetadata{{UserName: &name, AccessKeyId: id, Status: iamtypes.StatusTypeInactive, CreateDate: key.AccessKey.CreateDate}})
	imported, err := root.iam.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: id})
	if err != nil || *imported.UserName != name {
		t.Errorf("import of a key: %v, %v; want user %s", imported, err, name)
	}
	ok[*iam.DeleteAccessKeyOutput](t)(root.iam.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &name, AccessKeyId: id}))
	removed(t, "DeleteAccessKey again", failure(root.iam.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &name, AccessKeyId: id})))
}

// terraformUserPolicy is aws_iam_user_policy.
func terraformUserPolicy(t *testing.T, root *caller, name string) {
	t.Helper()
	ctx := t.Context()
	policy := document(vaultARN(serverRegion, "tf"), "glacier:UploadArchive", "glacier:InitiateJob")
	ok[*iam.PutUserPolicyOutput](t)(root.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("tf"), PolicyDocument: &policy}))
	inline, err := root.iam.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: &name, PolicyName: aws.String("tf")})
	if err != nil {
		t.Fatal(err)
	}
	exactly(t, "the inline policy", []string{*inline.UserName, *inline.PolicyName, unescaped(t, inline.PolicyDocument)}, []string{name, "tf", policy})
	ok[*iam.DeleteUserPolicyOutput](t)(root.iam.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: &name, PolicyName: aws.String("tf")}))
	removed(t, "GetUserPolicy", failure(root.iam.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: &name, PolicyName: aws.String("tf")})))
}

// terraformAttachment is aws_iam_user_policy_attachment.
func terraformAttachment(t *testing.T, root *caller, name string, arn *string) {
	t.Helper()
	ctx := t.Context()
	ok[*iam.AttachUserPolicyOutput](t)(root.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &name, PolicyArn: arn}))
	attached := func() []string {
		_, list := collect(t, iam.NewListAttachedUserPoliciesPaginator(root.iam, &iam.ListAttachedUserPoliciesInput{UserName: &name}),
			func(p *iam.ListAttachedUserPoliciesOutput) []iamtypes.AttachedPolicy { return p.AttachedPolicies })
		return names(list, func(a iamtypes.AttachedPolicy) *string { return a.PolicyArn })
	}
	exactly(t, "the attachment", attached(), []string{*arn})
	ok[*iam.DetachUserPolicyOutput](t)(root.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: &name, PolicyArn: arn}))
	exactly(t, "the attachment, destroyed", attached(), []string{})
	removed(t, "DetachUserPolicy again", failure(root.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: &name, PolicyArn: arn})))
}

// unescaped is the text of a policy as an answer has it.
func unescaped(t *testing.T, s *string) string {
	t.Helper()
	// The provider decodes as a query would; text with a plus survives, since
	// it is escaped.
	text, err := url.QueryUnescape(aws.ToString(s))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestTerraformPolicy is aws_iam_policy and aws_iam_policy_attachment.
func TestTerraformPolicy(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), rootCaller()
	texts := []string{document("arn:aws:glacier:*:*:vaults/a+b c", "glacier:*")}
	made, err := root.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{
		PolicyName: aws.String("tf-policy"), Description: aws.String("by Terraform"), Path: aws.String("/tf/"), PolicyDocument: &texts[0],
		Tags: []iamtypes.Tag{{Key: aws.String("env"), Value: aws.String("test")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	arn := made.Policy.Arn
	read := func() (*iamtypes.Policy, string) {
		t.Helper()
		p, err := root.iam.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: arn})
		if err != nil {
			t.Fatal(err)
		}
		v, err := root.iam.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: p.Policy.DefaultVersionId})
		if err != nil {
			t.Fatal(err)
		}
		return p.Policy, unescaped(t, v.PolicyVersion.Document)
	}
	p, text := read()
	exactly(t, "the policy as created", []any{*p.PolicyName, *p.Path, *p.Description, *p.PolicyId, tagMap(p.Tags), text},
		[]any{"tf-policy", "/tf/", "by Terraform", *made.Policy.PolicyId, map[string]string{"env": "test"}, texts[0]})

	// Each update prunes to four versions, adds one and puts it in force.
	for i := range 7 {
		text := document(vaultARN(serverRegion, "tf"), "glacier:List*", "glacier:Get"+string(rune('A'+i)))
		_, versions := collect(t, iam.NewListPolicyVersionsPaginator(root.iam, &iam.ListPolicyVersionsInput{PolicyArn: arn}),
			func(p *iam.ListPolicyVersionsOutput) []iamtypes.PolicyVersion { return p.Versions })
		if len(versions) >= 5 {
			var oldest *iamtypes.PolicyVersion
			for _, v := range versions {
				if !v.IsDefaultVersion && (oldest == nil || v.CreateDate.Before(*oldest.CreateDate)) {
					oldest = &v
				}
			}
			ok[*iam.DeletePolicyVersionOutput](t)(root.iam.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: oldest.VersionId}))
		}
		v, err := root.iam.CreatePolicyVersion(ctx, &iam.CreatePolicyVersionInput{PolicyArn: arn, PolicyDocument: &text})
		if err != nil {
			t.Fatal(err)
		}
		ok[*iam.SetDefaultPolicyVersionOutput](t)(root.iam.SetDefaultPolicyVersion(ctx, &iam.SetDefaultPolicyVersionInput{PolicyArn: arn, VersionId: v.PolicyVersion.VersionId}))
		if _, got := read(); got != text {
			t.Errorf("update %d reads as %s, want %s", i, got, text)
		}
	}
	ok[*iam.TagPolicyOutput](t)(root.iam.TagPolicy(ctx, &iam.TagPolicyInput{PolicyArn: arn, Tags: []iamtypes.Tag{{Key: aws.String("team"), Value: aws.String("ops")}}}))
	ok[*iam.UntagPolicyOutput](t)(root.iam.UntagPolicy(ctx, &iam.UntagPolicyInput{PolicyArn: arn, TagKeys: []string{"env"}}))
	if p, _ = read(); len(p.Tags) != 1 || *p.Tags[0].Key != "team" {
		t.Errorf("tags: %v", tagMap(p.Tags))
	}

	// aws_iam_policy_attachment owns all attachments of the policy.
	name := aws.String("tf-attached")
	root.createUser(t, *name)
	ok[*iam.AttachUserPolicyOutput](t)(root.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: name, PolicyArn: arn}))
	users, groups, roles := entitiesOf(t, root, &iam.ListEntitiesForPolicyInput{PolicyArn: arn}, 1)
	exactly(t, "attachments", []int{users, groups, roles}, []int{1, 0, 0})
	ok[*iam.DetachUserPolicyOutput](t)(root.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: name, PolicyArn: arn}))

	// Destroy: every version that is not in force, then the policy.
	_, versions := collect(t, iam.NewListPolicyVersionsPaginator(root.iam, &iam.ListPolicyVersionsInput{PolicyArn: arn}),
		func(p *iam.ListPolicyVersionsOutput) []iamtypes.PolicyVersion { return p.Versions })
	for _, v := range versions {
		if !v.IsDefaultVersion {
			ok[*iam.DeletePolicyVersionOutput](t)(root.iam.DeletePolicyVersion(ctx, &iam.DeletePolicyVersionInput{PolicyArn: arn, VersionId: v.VersionId}))
		}
	}
	ok[*iam.DeletePolicyOutput](t)(root.iam.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn}))
	_, err = root.iam.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: arn})
	removed(t, "GetPolicy after destroy", err)
	_, err = iam.NewListPolicyVersionsPaginator(root.iam, &iam.ListPolicyVersionsInput{PolicyArn: arn}).NextPage(ctx)
	removed(t, "ListPolicyVersions after destroy", err)
	_, err = root.iam.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: arn})
	removed(t, "DeletePolicy again", err)
}

// TestTerraformGroup is aws_iam_group, aws_iam_group_membership,
// aws_iam_group_policy and aws_iam_group_policy_attachment.
func TestTerraformGroup(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), rootCaller()
	group := aws.String("tf-group")
	ok[*iam.CreateGroupOutput](t)(root.iam.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: group, Path: aws.String("/")}))
	ok[*iam.UpdateGroupOutput](t)(root.iam.UpdateGroup(ctx, &iam.UpdateGroupInput{GroupName: group, NewGroupName: group, NewPath: aws.String("/old/")}))
	ok[*iam.UpdateGroupOutput](t)(root.iam.UpdateGroup(ctx, &iam.UpdateGroupInput{GroupName: group, NewGroupName: aws.String("tf-group-2"), NewPath: aws.String("/tf/")}))
	group = aws.String("tf-group-2")
	members := func() []string {
		t.Helper()
		_, users := collect(t, iam.NewGetGroupPaginator(root.iam, &iam.GetGroupInput{GroupName: group}), func(p *iam.GetGroupOutput) []iamtypes.User {
			if *p.Group.Arn != identityARN+"group/tf/tf-group-2" {
				t.Errorf("the group is %s", *p.Group.Arn)
			}
			return p.Users
		})
		return names(users, func(u iamtypes.User) *string { return u.UserName })
	}
	exactly(t, "a new group", members(), []string{})
	users := []string{"tf-member-1", "tf-member-2"}
	for _, u := range users {
		root.createUser(t, u)
		ok[*iam.AddUserToGroupOutput](t)(root.iam.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: group, UserName: &u}))
	}
	exactly(t, "members", members(), users)
	ok[*iam.RemoveUserFromGroupOutput](t)(root.iam.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: group, UserName: &users[0]}))
	exactly(t, "members after an update", members(), users[1:])

	policy := document("*", "glacier:ListVaults")
	ok[*iam.PutGroupPolicyOutput](t)(root.iam.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: group, PolicyName: aws.String("tf"), PolicyDocument: &policy}))
	inline, err := root.iam.GetGroupPolicy(ctx, &iam.GetGroupPolicyInput{GroupName: group, PolicyName: aws.String("tf")})
	if err != nil || unescaped(t, inline.PolicyDocument) != policy {
		t.Errorf("the inline policy: %v, %v", inline, err)
	}
	ok[*iam.DeleteGroupPolicyOutput](t)(root.iam.DeleteGroupPolicy(ctx, &iam.DeleteGroupPolicyInput{GroupName: group, PolicyName: aws.String("tf")}))
	_, err = root.iam.DeleteGroupPolicy(ctx, &iam.DeleteGroupPolicyInput{GroupName: group, PolicyName: aws.String("tf")})
	removed(t, "DeleteGroupPolicy again", err)

	managed, err := root.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("tf-group-policy"), PolicyDocument: &policy})
	if err != nil {
		t.Fatal(err)
	}
	ok[*iam.AttachGroupPolicyOutput](t)(root.iam.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: group, PolicyArn: managed.Policy.Arn}))
	_, list := collect(t, iam.NewListAttachedGroupPoliciesPaginator(root.iam, &iam.ListAttachedGroupPoliciesInput{GroupName: group}),
		func(p *iam.ListAttachedGroupPoliciesOutput) []iamtypes.AttachedPolicy { return p.AttachedPolicies })
	exactly(t, "the attachment", names(list, func(a iamtypes.AttachedPolicy) *string { return a.PolicyArn }), []string{*managed.Policy.Arn})
	ok[*iam.DetachGroupPolicyOutput](t)(root.iam.DetachGroupPolicy(ctx, &iam.DetachGroupPolicyInput{GroupName: group, PolicyArn: managed.Policy.Arn}))
	ok[*iam.DeletePolicyOutput](t)(root.iam.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: managed.Policy.Arn}))

	ok[*iam.RemoveUserFromGroupOutput](t)(root.iam.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: group, UserName: &users[1]}))
	ok[*iam.DeleteGroupOutput](t)(root.iam.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: group}))
	_, err = root.iam.GetGroup(ctx, &iam.GetGroupInput{GroupName: group})
	removed(t, "GetGroup after destroy", err)
	_, err = root.iam.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: group, UserName: &users[1]})
	removed(t, "RemoveUserFromGroup after destroy", err)
}

// TestTerraformRole is aws_iam_role with inline and managed policies.
func TestTerraformRole(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), rootCaller()
	name, first, second := aws.String("tf-role"), trust(serverAccount), trust("*")
	made, err := root.iam.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: name, Path: aws.String("/"), AssumeRolePolicyDocument: &first, Description: aws.String("one"), MaxSessionDuration: aws.Int32(3600),
		Tags: []iamtypes.Tag{{Key: aws.String("env"), Value: aws.String("test")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	managed, err := root.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String("tf-role-policy"), PolicyDocument: aws.String(document("*", "glacier:*"))})
	if err != nil {
		t.Fatal(err)
	}
	inline := document("*", "glacier:ListJobs")
	ok[*iam.PutRolePolicyOutput](t)(root.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("tf"), PolicyDocument: &inline}))
	ok[*iam.AttachRolePolicyOutput](t)(root.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: managed.Policy.Arn}))
	// read is everything the provider reads of a role, in its order.
	type state struct {
		id, arn, trust, description string
		session                     int32
		boundary                    string
		tags                        map[string]string
		inline                      map[string]string
		attached                    []string
	}
	read := func() state {
		t.Helper()
		out, err := root.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: name})
		if err != nil {
			t.Fatal(err)
		}
		r := out.Role
		s := state{
			*r.RoleId, *r.Arn, unescaped(t, r.AssumeRolePolicyDocument), aws.ToString(r.Description),
			*r.MaxSessionDuration, "", tagMap(r.Tags), map[string]string{}, nil,
		}
		if r.PermissionsBoundary != nil {
			s.boundary = *r.PermissionsBoundary.PermissionsBoundaryArn
		}
		_, policies := collect(t, iam.NewListRolePoliciesPaginator(root.iam, &iam.ListRolePoliciesInput{RoleName: name}), func(p *iam.ListRolePoliciesOutput) []string { return p.PolicyNames })
		for _, p := range policies {
			out, err := root.iam.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: name, PolicyName: &p})
			if err != nil {
				t.Fatal(err)
			}
			s.inline[p] = unescaped(t, out.PolicyDocument)
		}
		_, attached := collect(t, iam.NewListAttachedRolePoliciesPaginator(root.iam, &iam.ListAttachedRolePoliciesInput{RoleName: name}),
			func(p *iam.ListAttachedRolePoliciesOutput) []iamtypes.AttachedPolicy { return p.AttachedPolicies })
		s.attached = names(attached, func(a iamtypes.AttachedPolicy) *string { return a.PolicyArn })
		return s
	}
	want := state{
		*made.Role.RoleId, identityARN + "role/tf-role", first, "one", 3600, "",
		map[string]string{"env": "test"}, map[string]string{"tf": inline}, []string{*managed.Policy.Arn},
	}
	compare := func(what string) {
		t.Helper()
		exactly(t, what, read(), want)
	}
	compare("the role as created")

	ok[*iam.UpdateAssumeRolePolicyOutput](t)(root.iam.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: &second}))
	ok[*iam.UpdateRoleDescriptionOutput](t)(root.iam.UpdateRoleDescription(ctx, &iam.UpdateRoleDescriptionInput{RoleName: name, Description: aws.String("two")}))
	ok[*iam.UpdateRoleOutput](t)(root.iam.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: name, MaxSessionDuration: aws.Int32(43200)}))
	ok[*iam.PutRolePermissionsBoundaryOutput](t)(root.iam.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: name, PermissionsBoundary: managed.Policy.Arn}))
	ok[*iam.TagRoleOutput](t)(root.iam.TagRole(ctx, &iam.TagRoleInput{RoleName: name, Tags: []iamtypes.Tag{{Key: aws.String("env"), Value: aws.String("live")}}}))
	want.trust, want.description, want.session, want.boundary, want.tags = second, "two", 43200, *managed.Policy.Arn, map[string]string{"env": "live"}
	compare("the role as updated")
	ok[*iam.DeleteRolePermissionsBoundaryOutput](t)(root.iam.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: name}))
	want.boundary = ""
	compare("the role without boundary")

	// Destroy with force_detach_policies.
	_, profiles := collect(t, iam.NewListInstanceProfilesForRolePaginator(root.iam, &iam.ListInstanceProfilesForRoleInput{RoleName: name}),
		func(p *iam.ListInstanceProfilesForRoleOutput) []iamtypes.InstanceProfile { return p.InstanceProfiles })
	if len(profiles) != 0 {
		t.Errorf("%d instance profiles, want none", len(profiles))
	}
	_, err = root.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name})
	wantError[*iamtypes.DeleteConflictException](t, "destroy without force", err, "Cannot delete entity, must delete policies first.")
	ok[*iam.DetachRolePolicyOutput](t)(root.iam.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: managed.Policy.Arn}))
	ok[*iam.DeleteRolePolicyOutput](t)(root.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String("tf")}))
	root.deleteRole(t, name)
	ok[*iam.DeletePolicyOutput](t)(root.iam.DeletePolicy(ctx, &iam.DeletePolicyInput{PolicyArn: managed.Policy.Arn}))
	_, err = root.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: name})
	removed(t, "GetRole after destroy", err)
	_, err = iam.NewListInstanceProfilesForRolePaginator(root.iam, &iam.ListInstanceProfilesForRoleInput{RoleName: name}).NextPage(ctx)
	removed(t, "ListInstanceProfilesForRole after destroy", err)
	_, err = root.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name})
	removed(t, "DeleteRole again", err)
}
