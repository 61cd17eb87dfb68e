package conformance_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/glacier"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
)

// during is who has the keys of a session.
func during(c *ststypes.Credentials) *caller {
	return newCaller(credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken), serverRegion)
}

func (c *caller) deleteRole(t *testing.T, name *string) {
	t.Helper()
	ok[*iam.DeleteRoleOutput](t)(c.iam.DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: name}))
}

func TestSDKRoles(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), rootCaller()
	name, path := aws.String("sdk-roles-0"), aws.String("/sdk-roles/")
	made, err := root.iam.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: name, Path: path, AssumeRolePolicyDocument: aws.String(trust(serverAccount)), Description: aws.String("first"),
		MaxSessionDuration: aws.Int32(7200), Tags: []iamtypes.Tag{{Key: aws.String("team"), Value: aws.String("ops")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := iam.NewRoleExistsWaiter(root.iam).Wait(ctx, &iam.GetRoleInput{RoleName: name}, jobMax); err != nil {
		t.Error(err)
	}
	_, err = root.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(trust(serverAccount))})
	wantError[*iamtypes.EntityAlreadyExistsException](t, "CreateRole again", err, "Role with name sdk-roles-0 already exists.")
	nobody := identityARN + "user/sdk-nobody"
	_, err = root.iam.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: aws.String(trust(nobody))})
	wantError[*iamtypes.MalformedPolicyDocumentException](t, "trust in nobody", err, `Invalid principal in policy: "AWS":"`+nobody+`"`)

	wider := trust("*")
	ok[*iam.UpdateAssumeRolePolicyOutput](t)(root.iam.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: &wider}))
	ok[*iam.UpdateRoleOutput](t)(root.iam.UpdateRole(ctx, &iam.UpdateRoleInput{RoleName: name, MaxSessionDuration: aws.Int32(3600)}))
	described, err := root.iam.UpdateRoleDescription(ctx, &iam.UpdateRoleDescriptionInput{RoleName: name, Description: aws.String("second")})
	if err != nil {
		t.Fatal(err)
	}
	got, err := root.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: name})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := url.PathUnescape(*got.Role.AssumeRolePolicyDocument)
	exactly(t, "a role", []any{*got.Role.RoleId, *got.Role.Arn, plain, err, *got.Role.Description, *got.Role.MaxSessionDuration},
		[]any{*made.Role.RoleId, identityARN + "role/sdk-roles/sdk-roles-0", wider, nil, *described.Role.Description, int32(3600)})

	ok[*iam.TagRoleOutput](t)(root.iam.TagRole(ctx, &iam.TagRoleInput{RoleName: name, Tags: []iamtypes.Tag{{Key: aws.String("site"), Value: aws.String("x")}}}))
	ok[*iam.UntagRoleOutput](t)(root.iam.UntagRole(ctx, &iam.UntagRoleInput{RoleName: name, TagKeys: []string{"team"}}))
	_, tags := collect(t, iam.NewListRoleTagsPaginator(root.iam, &iam.ListRoleTagsInput{RoleName: name}), func(p *iam.ListRoleTagsOutput) []iamtypes.Tag { return p.Tags })
	exactly(t, "tags", tags, []iamtypes.Tag{{Key: aws.String("site"), Value: aws.String("x")}})

	want := []string{*name}
	for i := 1; i < 5; i++ {
		name := fmt.Sprintf("sdk-roles-%d", i)
		ok[*iam.CreateRoleOutput](t)(root.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, Path: path, AssumeRolePolicyDocument: &wider}))
		want = append(want, name)
	}
	sizes, roles := collect(t, iam.NewListRolesPaginator(root.iam, &iam.ListRolesInput{PathPrefix: path, MaxItems: aws.Int32(2)}),
		func(p *iam.ListRolesOutput) []iamtypes.Role { return p.Roles })
	exactly(t, "pages of roles", sizes, []int{2, 2, 1})
	exactly(t, "roles", names(roles, func(r iamtypes.Role) *string { return r.RoleName }), want)
	for _, name := range want {
		root.deleteRole(t, &name)
	}
	_, err = root.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: name})
	wantError[*iamtypes.NoSuchEntityException](t, "GetRole of a deleted one", err, "The role with name sdk-roles-0 cannot be found.")
}

func TestSDKAssumeRole(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), rootCaller()
	name := aws.String("sdk-keeper")
	user := root.createUser(t, *name)
	me := as(root.key(t, *name), serverRegion)
	role, err := root.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(trust(*user.Arn))})
	if err != nil {
		t.Fatal(err)
	}
	arn := role.Role.Arn
	ok[*iam.PutRolePolicyOutput](t)(root.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: name, PolicyDocument: aws.String(document("*", "glacier:*", "iam:*"))}))
	vault := newVault(t, root.glacier)

	_, err = root.sts.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: arn, RoleSessionName: name})
	wantCode(t, "root", err, "AccessDenied", "Roles may not be assumed by root accounts.")
	_, err = me.sts.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String(*arn + "-none"), RoleSessionName: name})
	wantCode(t, "no such role", err, "AccessDenied", "User: "+*user.Arn+" is not authorized to perform: sts:AssumeRole on resource: "+*arn+"-none")
	_, err = me.sts.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: arn, RoleSessionName: name, Policy: aws.String("{}")})
	wantError[*ststypes.MalformedPolicyDocumentException](t, "a session policy that is none", err, "Syntax errors in policy.")
	tooMuch := document("arn:aws:glacier:*:*:vaults/"+strings.Repeat("v", 2048), "glacier:*")
	_, err = me.sts.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: arn, RoleSessionName: name, Policy: &tooMuch})
	wantError[*ststypes.PackedPolicyTooLargeException](t, "a session policy that is too long", err,
		fmt.Sprintf("Packed size of session tags and policies consumes %d%% of allotted space.", (len(tooMuch)*100+2047)/2048))
	_, err = me.sts.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: arn, RoleSessionName: name, DurationSeconds: aws.Int32(3601)})
	wantCode(t, "a session that is too long", err, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")

	// The SDK's own way to a role.
	provider := stscreds.NewAssumeRoleProvider(me.sts, *arn, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName, o.Duration = "night", time.Hour
	})
	night := newCaller(aws.NewCredentialsCache(provider), serverRegion)
	who, err := night.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		t.Fatal(err)
	}
	session := "arn:aws:sts::" + serverAccount + ":assumed-role/sdk-keeper/night"
	exactly(t, "the session", []string{*who.Arn, *who.UserId}, []string{session, *role.Role.RoleId + ":night"})
	ok[*glacier.DescribeVaultOutput](t)(night.glacier.DescribeVault(ctx, &glacier.DescribeVaultInput{VaultName: vault}))
	_, err = night.iam.GetUser(ctx, &iam.GetUserInput{})
	wantCode(t, "a session has no name", err, "ValidationError", "Must specify userName when calling with non-User credentials")

	// A session policy narrows what the role may do.
	policy := document("*", "glacier:DescribeVault")
	out, err := me.sts.AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: arn, RoleSessionName: aws.String("day"), Policy: &policy, DurationSeconds: aws.Int32(900)})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(*out.Credentials.Expiration); left > 15*time.Minute || left < 13*time.Minute || !strings.HasPrefix(*out.Credentials.AccessKeyId, "ASIA") {
		t.Errorf("a session of 900 s has %s left, key %s", left, *out.Credentials.AccessKeyId)
	}
	day := during(out.Credentials)
	ok[*glacier.DescribeVaultOutput](t)(day.glacier.DescribeVault(ctx, &glacier.DescribeVaultInput{VaultName: vault}))
	_, err = day.glacier.ListJobs(ctx, &glacier.ListJobsInput{VaultName: vault})
	wantCode(t, "what only the role may", err, "AccessDeniedException", "User: "+strings.Replace(session, "night", "day", 1)+
		" is not authorized to perform: glacier:ListJobs on resource: "+vaultARN(serverRegion, *vault)+" because no session policy allows the glacier:ListJobs action")

	// Changes of the role reach its sessions, and so does its end.
	ok[*iam.DeleteRolePolicyOutput](t)(root.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: name}))
	_, err = night.glacier.DescribeVault(ctx, &glacier.DescribeVaultInput{VaultName: vault})
	wantCode(t, "a role without policies", err, "AccessDeniedException", "User: "+session+
		" is not authorized to perform: glacier:DescribeVault on resource: "+vaultARN(serverRegion, *vault)+" because no identity-based policy allows the glacier:DescribeVault action")
	root.deleteRole(t, name)
	_, err = night.glacier.DescribeVault(ctx, &glacier.DescribeVaultInput{VaultName: vault})
	wantCode(t, "a session of a deleted role", err, "UnrecognizedClientException", "The security token included in the request is invalid.")
}

func TestSDKSessionToken(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), rootCaller()
	name := "sdk-session"
	user := root.createUser(t, name)
	me := as(root.key(t, name), serverRegion)
	root.inline(t, name, document("*", "glacier:ListVaults"))
	out, err := me.sts.GetSessionToken(ctx, &sts.GetSessionTokenInput{DurationSeconds: aws.Int32(900)})
	if err != nil {
		t.Fatal(err)
	}
	session := during(out.Credentials)
	who, err := session.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil || *who.Arn != *user.Arn || *who.UserId != *user.UserId {
		t.Errorf("the session of a user is %v, %v; want %s", who, err, *user.Arn)
	}
	ok[*glacier.ListVaultsOutput](t)(session.glacier.ListVaults(ctx, &glacier.ListVaultsInput{}))
	_, err = session.sts.GetSessionToken(ctx, &sts.GetSessionTokenInput{})
	wantCode(t, "a session from a session", err, "AccessDenied", "Cannot call GetSessionToken with session credentials")
	_, err = me.sts.GetSessionToken(ctx, &sts.GetSessionTokenInput{DurationSeconds: aws.Int32(899)})
	wantCode(t, "too short a session", err, "ValidationError",
		"1 validation error detected: Value '899' at 'durationSeconds' failed to satisfy constraint: Member must have value from 900 to 129600")
	_, err = me.sts.GetSessionToken(ctx, &sts.GetSessionTokenInput{SerialNumber: aws.String("arn:aws:iam::" + serverAccount + ":mfa/x"), TokenCode: aws.String("123456")})
	wantCode(t, "MFA", err, "AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code.")
	forged := *out.Credentials
	forged.SessionToken = aws.String(strings.ToLower(*forged.SessionToken))
	_, err = during(&forged).sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	wantCode(t, "a forged token", err, "InvalidClientTokenId", "The security token included in the request is invalid.")
}

// TestSDKQuestions asks about the account and about what somebody might do.
func TestSDKQuestions(t *testing.T) {
	t.Parallel()
	ctx, root := t.Context(), rootCaller()
	summary, err := root.iam.GetAccountSummary(ctx, &iam.GetAccountSummaryInput{})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]int32{"UsersQuota": 5000, "GroupsQuota": 300, "AccessKeysPerUserQuota": 2, "VersionsPerPolicyQuota": 5, "MFADevices": 0} {
		if got, known := summary.SummaryMap[key]; !known || got != want {
			t.Errorf("%s: %d, known %v; want %d", key, got, known, want)
		}
	}
	self, err := root.iam.GetUser(ctx, &iam.GetUserInput{})
	if err != nil || *self.User.Arn != identityARN+"root" || *self.User.UserId != serverAccount {
		t.Errorf("root: %v, %v", self, err)
	}
	aliases, err := root.iam.ListAccountAliases(ctx, &iam.ListAccountAliasesInput{})
	if err != nil || len(aliases.AccountAliases) != 0 || aliases.IsTruncated {
		t.Errorf("aliases: %v, %v", aliases, err)
	}

	name := "sdk-questions"
	user := root.createUser(t, name)
	vault := vaultARN(serverRegion, "sdk-questions")
	root.inline(t, name, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"glacier:*","Resource":"`+vault+`"},`+
		`{"Effect":"Deny","Action":"glacier:DeleteArchive","Resource":"*","Condition":{"NumericLessThan":{"glacier:ArchiveAgeInDays":"365"}}}]}`)
	ask := func(age string) []string {
		t.Helper()
		_, answers := collect(t, iam.NewSimulatePrincipalPolicyPaginator(root.iam, &iam.SimulatePrincipalPolicyInput{
			PolicySourceArn: user.Arn, ActionNames: []string{"glacier:DeleteArchive", "glacier:UploadArchive", "iam:ListUsers"}, ResourceArns: []string{vault},
			ContextEntries: []iamtypes.ContextEntry{{
				ContextKeyName: aws.String("glacier:ArchiveAgeInDays"), ContextKeyType: iamtypes.ContextKeyTypeEnumNumeric, ContextKeyValues: []string{age},
			}},
		}), func(p *iam.SimulatePrincipalPolicyOutput) []iamtypes.EvaluationResult { return p.EvaluationResults })
		var out []string
		for _, a := range answers {
			out = append(out, *a.EvalActionName+" "+string(a.EvalDecision))
		}
		return out
	}
	exactly(t, "a young archive", ask("10"), []string{"glacier:DeleteArchive explicitDeny", "glacier:UploadArchive allowed", "iam:ListUsers implicitDeny"})
	exactly(t, "an old archive", ask("400"), []string{"glacier:DeleteArchive allowed", "glacier:UploadArchive allowed", "iam:ListUsers implicitDeny"})
	_, err = root.iam.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: aws.String(identityARN + "user/sdk-nobody"), ActionNames: []string{"iam:GetUser"}})
	wantError[*iamtypes.NoSuchEntityException](t, "of nobody", err, "The user with name sdk-nobody cannot be found.")
	_, err = root.iam.SimulatePrincipalPolicy(ctx, &iam.SimulatePrincipalPolicyInput{PolicySourceArn: aws.String(identityARN + "policy/sdk-none"), ActionNames: []string{"iam:GetUser"}})
	wantError[*iamtypes.InvalidInputException](t, "of a policy", err, "Invalid Entity Arn: "+identityARN+"policy/sdk-none does not clearly define entity type and name.")
}

// vaultARN is the ARN of a vault of the account.
func vaultARN(region, name string) string {
	return "arn:aws:glacier:" + region + ":" + serverAccount + ":vaults/" + name
}
