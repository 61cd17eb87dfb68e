package conformance_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func TestSDKUsers(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), rootCaller()
	name, path := aws.String("sdk-users-ann"), aws.String("/sdk-users/")
	made, err := root.iam.CreateUser(ctx, &iam.CreateUserInput{
		UserName: name, Path: path, Tags: []iamtypes.Tag{{Key: aws.String("team"), Value: aws.String("a b+é")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^AIDA[A-Z2-7]{17}$`).MatchString(*made.User.UserId) || *made.User.Arn != identityARN+"user/sdk-users/sdk-users-ann" {
		t.Errorf("a user: id %s, ARN %s", *made.User.UserId, *made.User.Arn)
	}
	if err := iam.NewUserExistsWaiter(root.iam).Wait(ctx, &iam.GetUserInput{UserName: name}, jobMax); err != nil {
		t.Error(err)
	}
	got, err := root.iam.GetUser(ctx, &iam.GetUserInput{UserName: name})
	if err != nil {
		t.Fatal(err)
	}
	exactly(t, "GetUser", got.User, made.User)

	_, err = root.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("SDK-users-ann")})
	wantError[*iamtypes.EntityAlreadyExistsException](t, "CreateUser again", err, "User with name SDK-users-ann already exists.")
	_, err = root.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("x"), Tags: []iamtypes.Tag{{Key: aws.String("aws:x"), Value: aws.String("")}}})
	wantError[*iamtypes.InvalidInputException](t, "CreateUser with a reserved tag", err, "Tag keys beginning with aws: are reserved")
	_, err = root.iam.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("sdk-nobody")})
	wantError[*iamtypes.NoSuchEntityException](t, "GetUser of nobody", err, "The user with name sdk-nobody cannot be found.")
	_, err = root.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("a b")})
	wantCode(t, "CreateUser with a blank", err, "ValidationError",
		`1 validation error detected: Value 'a b' at 'userName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]+`)

	ok[*iam.TagUserOutput](t)(root.iam.TagUser(ctx, &iam.TagUserInput{UserName: name, Tags: []iamtypes.Tag{
		{Key: aws.String("Team"), Value: aws.String("red")}, {Key: aws.String("site"), Value: aws.String("")},
	}}))
	ok[*iam.UntagUserOutput](t)(root.iam.UntagUser(ctx, &iam.UntagUserInput{UserName: name, TagKeys: []string{"SITE", "none"}}))
	_, tags := collect(t, iam.NewListUserTagsPaginator(root.iam, &iam.ListUserTagsInput{UserName: name}), func(p *iam.ListUserTagsOutput) []iamtypes.Tag { return p.Tags })
	exactly(t, "tags ignore case", tags, []iamtypes.Tag{{Key: aws.String("Team"), Value: aws.String("red")}})

	ok[*iam.UpdateUserOutput](t)(root.iam.UpdateUser(ctx, &iam.UpdateUserInput{UserName: name, NewUserName: aws.String("sdk-users-anna"), NewPath: aws.String("/sdk-users/dev/")}))
	got, err = root.iam.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("sdk-users-anna")})
	if err != nil {
		t.Fatal(err)
	}
	if *got.User.UserId != *made.User.UserId || *got.User.Arn != identityARN+"user/sdk-users/dev/sdk-users-anna" {
		t.Errorf("a renamed user: id %s, ARN %s", *got.User.UserId, *got.User.Arn)
	}
	ok[*iam.DeleteUserOutput](t)(root.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: aws.String("sdk-users-anna")}))

	var want []string
	for i := range 7 {
		name := fmt.Sprintf("sdk-users-%02d", i)
		ok[*iam.CreateUserOutput](t)(root.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: &name, Path: path}))
		want = append(want, name)
	}
	sizes, users := collect(t, iam.NewListUsersPaginator(root.iam, &iam.ListUsersInput{PathPrefix: path, MaxItems: aws.Int32(3)}),
		func(p *iam.ListUsersOutput) []iamtypes.User { return p.Users })
	exactly(t, "pages of users", sizes, []int{3, 3, 1})
	exactly(t, "users", names(users, func(u iamtypes.User) *string { return u.UserName }), want)
	for _, name := range want {
		ok[*iam.DeleteUserOutput](t)(root.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: &name}))
	}
	_, err = root.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: &want[0]})
	wantError[*iamtypes.NoSuchEntityException](t, "DeleteUser again", err, "The user with name sdk-users-00 cannot be found.")
}

func TestSDKAccessKeys(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), rootCaller()
	user := "sdk-keys"
	made := root.createUser(t, user)
	first, second := root.key(t, user), root.key(t, user)
	_, err := root.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &user})
	wantError[*iamtypes.LimitExceededException](t, "a third key", err, "Cannot exceed quota for AccessKeysPerUser: 2")

	unused, err := root.iam.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: second.AccessKeyId})
	if err != nil {
		t.Fatal(err)
	}
	if u := unused.AccessKeyLastUsed; u.LastUsedDate != nil || *u.ServiceName != "N/A" || *u.Region != "N/A" {
		t.Errorf("the use of a key that was never used: %v %s %s", u.LastUsedDate, *u.ServiceName, *u.Region)
	}
	me := as(first, "us-east-1")
	who, err := me.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	exactly(t, "who has the key", []string{*who.Arn, *who.UserId, *who.Account}, []string{*made.Arn, *made.UserId, serverAccount})
	used, err := root.iam.GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: first.AccessKeyId})
	if err != nil {
		t.Fatal(err)
	}
	if u := used.AccessKeyLastUsed; *used.UserName != user || u.LastUsedDate == nil || *u.ServiceName != "sts" || *u.Region != "us-east-1" {
		t.Errorf("the use of a key: user %s, %v %s %s", *used.UserName, u.LastUsedDate, *u.ServiceName, *u.Region)
	}

	status := func(want iamtypes.StatusType) {
		t.Helper()
		ok[*iam.UpdateAccessKeyOutput](t)(root.iam.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: &user, AccessKeyId: first.AccessKeyId, Status: want}))
		sizes, keys := collect(t, iam.NewListAccessKeysPaginator(root.iam, &iam.ListAccessKeysInput{UserName: &user, MaxItems: aws.Int32(1)}),
			func(p *iam.ListAccessKeysOutput) []iamtypes.AccessKeyMetadata { return p.AccessKeyMetadata })
		exactly(t, "pages of keys", sizes, []int{1, 1})
		for _, k := range keys {
			expected := iamtypes.StatusTypeActive
			if *k.AccessKeyId == *first.AccessKeyId {
				expected = want
			}
			if k.Status != expected {
				t.Errorf("key %s is %s, want %s", *k.AccessKeyId, k.Status, expected)
			}
		}
	}
	status(iamtypes.StatusTypeInactive)
	_, err = me.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	wantCode(t, "an inactive key", err, "InvalidClientTokenId", "The security token included in the request is invalid.")
	status(iamtypes.StatusTypeActive)
	ok[*sts.GetCallerIdentityOutput](t)(me.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}))

	_, err = root.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: &user})
	wantError[*iamtypes.DeleteConflictException](t, "DeleteUser with keys", err, "Cannot delete entity, must delete access keys first.")
	_, err = root.iam.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{AccessKeyId: aws.String(serverKeyID), Status: iamtypes.StatusTypeInactive})
	wantCode(t, "the key of root", err, "UnmodifiableEntity", "The key "+serverKeyID+" is kept outside the database by the operator of the server.")
	ok[*iam.DeleteAccessKeyOutput](t)(root.iam.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &user, AccessKeyId: first.AccessKeyId}))
	_, err = root.iam.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &user, AccessKeyId: first.AccessKeyId})
	wantError[*iamtypes.NoSuchEntityException](t, "DeleteAccessKey again", err, "The Access Key with id "+*first.AccessKeyId+" cannot be found")
	_, err = me.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	wantCode(t, "a deleted key", err, "InvalidClientTokenId", "The security token included in the request is invalid.")
}

func TestSDKGroups(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), rootCaller()
	path := aws.String("/sdk-groups/")
	group := func(name string) *string {
		t.Helper()
		ok[*iam.CreateGroupOutput](t)(root.iam.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: &name, Path: path}))
		return &name
	}
	staff := group("sdk-groups-0")
	_, err := root.iam.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: staff})
	wantError[*iamtypes.EntityAlreadyExistsException](t, "CreateGroup again", err, "Group with name sdk-groups-0 already exists.")
	var users []string
	for i := range 3 {
		name := fmt.Sprintf("sdk-groups-%d", i)
		root.createUser(t, name)
		ok[*iam.AddUserToGroupOutput](t)(root.iam.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: staff, UserName: &name}))
		users = append(users, name)
	}
	sizes, members := collect(t, iam.NewGetGroupPaginator(root.iam, &iam.GetGroupInput{GroupName: staff, MaxItems: aws.Int32(2)}),
		func(p *iam.GetGroupOutput) []iamtypes.User { return p.Users })
	exactly(t, "pages of members", sizes, []int{2, 1})
	exactly(t, "members", names(members, func(u iamtypes.User) *string { return u.UserName }), users)

	all := []string{*staff}
	for i := 1; i <= 10; i++ {
		name := *group(fmt.Sprintf("sdk-groups-%d", i))
		_, err := root.iam.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: &name, UserName: &users[0]})
		if i < 10 && err != nil {
			t.Fatal(err)
		}
		if i == 10 {
			wantError[*iamtypes.LimitExceededException](t, "an eleventh group of a user", err, "Cannot exceed quota for GroupsPerUser: 10")
		}
		all = append(all, name)
	}
	sizes, of := collect(t, iam.NewListGroupsForUserPaginator(root.iam, &iam.ListGroupsForUserInput{UserName: &users[0], MaxItems: aws.Int32(4)}),
		func(p *iam.ListGroupsForUserOutput) []iamtypes.Group { return p.Groups })
	exactly(t, "pages of groups of a user", sizes, []int{4, 4, 2})
	exactly(t, "groups of a user", names(of, func(g iamtypes.Group) *string { return g.GroupName }), all[:10])
	sizes, _ = collect(t, iam.NewListGroupsPaginator(root.iam, &iam.ListGroupsInput{PathPrefix: path, MaxItems: aws.Int32(6)}),
		func(p *iam.ListGroupsOutput) []iamtypes.Group { return p.Groups })
	exactly(t, "pages of groups", sizes, []int{6, 5})

	_, err = root.iam.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: staff})
	wantError[*iamtypes.DeleteConflictException](t, "DeleteGroup with members", err, "Cannot delete entity, must remove users from group first.")
	_, err = root.iam.AddUserToGroup(ctx, &iam.AddUserToGroupInput{GroupName: aws.String("sdk-none"), UserName: &users[0]})
	wantError[*iamtypes.NoSuchEntityException](t, "AddUserToGroup of none", err, "The group with name sdk-none cannot be found.")
	ok[*iam.UpdateGroupOutput](t)(root.iam.UpdateGroup(ctx, &iam.UpdateGroupInput{GroupName: staff, NewGroupName: aws.String("sdk-groups-new")}))
	all[0] = "sdk-groups-new"
	for _, g := range all {
		for _, u := range users {
			ok[*iam.RemoveUserFromGroupOutput](t)(root.iam.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: &g, UserName: &u}))
		}
		ok[*iam.DeleteGroupOutput](t)(root.iam.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: &g}))
	}
	_, err = root.iam.GetGroup(ctx, &iam.GetGroupInput{GroupName: staff})
	wantError[*iamtypes.NoSuchEntityException](t, "GetGroup of a deleted one", err, "The group with name sdk-groups-0 cannot be found.")
}

// TestSDKInlinePolicies does the same with a user, a group and a role.
func TestSDKInlinePolicies(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), rootCaller()
	name := "sdk-inline"
	root.createUser(t, name)
	ok[*iam.CreateGroupOutput](t)(root.iam.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: &name}))
	ok[*iam.CreateRoleOutput](t)(root.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: aws.String(trust(serverAccount))}))
	type owner struct {
		kind   string
		put    func(policy, text string) error
		get    func(policy string) (*string, error)
		list   func() ([]int, []string)
		drop   func(policy string) error
		delete func() error
	}
	for _, o := range []owner{
		{
			"user",
			func(p, text string) error {
				_, err := root.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: &p, PolicyDocument: &text})
				return err
			},
			func(p string) (*string, error) {
				out, err := root.iam.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: &name, PolicyName: &p})
				if err != nil {
					return nil, err
				}
				return out.PolicyDocument, nil
			},
			func() ([]int, []string) {
				return collect(t, iam.NewListUserPoliciesPaginator(root.iam, &iam.ListUserPoliciesInput{UserName: &name, MaxItems: aws.Int32(1)}),
					func(p *iam.ListUserPoliciesOutput) []string { return p.PolicyNames })
			},
			func(p string) error {
				_, err := root.iam.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: &name, PolicyName: &p})
				return err
			},
			func() error {
				_, err := root.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: &name})
				return err
			},
		},
		{
			"group",
			func(p, text string) error {
				_, err := root.iam.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: &name, PolicyName: &p, PolicyDocument: &text})
				return err
			},
			func(p string) (*string, error) {
				out, err := root.iam.GetGroupPolicy(ctx, &iam.GetGroupPolicyInput{GroupName: &name, PolicyName: &p})
				if err != nil {
					return nil, err
				}
				return out.PolicyDocument, nil
			},
			func() ([]int, []string) {
				return collect(t, iam.NewListGroupPoliciesPaginator(root.iam, &iam.ListGroupPoliciesInput{GroupName: &name, MaxItems: aws.Int32(1)}),
					func(p *iam.ListGroupPoliciesOutput) []string { return p.PolicyNames })
			},
			func(p string) error {
				_, err := root.iam.DeleteGroupPolicy(ctx, &iam.DeleteGroupPolicyInput{GroupName: &name, PolicyName: &p})
				return err
			},
			func() error {
				_, err := root.iam.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: &name})
				return err
			},
		},
		{
			"role",
			func(p, text string) error {
				_, err := root.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &name, PolicyName: &p, PolicyDocument: &text})
				return err
			},
			func(p string) (*string, error) {
				out, err := root.iam.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &name, PolicyName: &p})
				if err != nil {
					return nil, err
				}
				return out.PolicyDocument, nil
			},
			func() ([]int, []string) {
				return collect(t, iam.NewListRolePoliciesPaginator(root.iam, &iam.ListRolePoliciesInput{RoleName: &name, MaxItems: aws.Int32(1)}),
					func(p *iam.ListRolePoliciesOutput) []string { return p.PolicyNames })
			},
			func(p string) error {
				_, err := root.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: &p})
				return err
			},
			func() error {
				_, err := root.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &name})
				return err
			},
		},
	} {
		t.Run(o.kind, func(t *testing.T) {
			text := " " + document("arn:aws:glacier:*:*:vaults/a b+<é>", "glacier:*") + "\n"
			for _, p := range []string{"b", "a", "c", "a"} {
				if err := o.put(p, text); err != nil {
					t.Fatal(err)
				}
			}
			got, err := o.get("a")
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := url.PathUnescape(*got); err != nil || plain != text {
				t.Errorf("a policy comes back as %q, %v; want %q", plain, err, text)
			}
			sizes, list := o.list()
			exactly(t, "pages", sizes, []int{1, 1, 1})
			exactly(t, "policies", list, []string{"a", "b", "c"})
			wantError[*iamtypes.MalformedPolicyDocumentException](t, "not a policy", o.put("d", "{"), "Syntax errors in policy.")
			quota := map[string]int{"user": 2048, "group": 5120, "role": 10240}[o.kind]
			wantError[*iamtypes.LimitExceededException](t, "too long", o.put("d", document("arn:aws:glacier:*:*:vaults/"+strings.Repeat("v", quota), "glacier:*")),
				fmt.Sprintf("Maximum policy size of %d bytes exceeded for %s %s", quota, o.kind, name))
			wantError[*iamtypes.DeleteConflictException](t, "delete with policies", o.delete(), "Cannot delete entity, must delete policies first.")
			for _, p := range list {
				if err := o.drop(p); err != nil {
					t.Fatal(err)
				}
			}
			_, err = o.get("a")
			wantError[*iamtypes.NoSuchEntityException](t, "get of a deleted one", err, "The "+o.kind+" policy with name a cannot be found.")
			wantError[*iamtypes.NoSuchEntityException](t, "delete of a deleted one", o.drop("a"), "The "+o.kind+" policy with name a cannot be found.")
			if err := o.delete(); err != nil {
				t.Error(err)
			}
		})
	}
}
