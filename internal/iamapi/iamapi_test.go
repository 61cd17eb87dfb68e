package iamapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"moraine"
	"moraine/internal/account"
	"moraine/internal/sigv4"
)

// TestOperations holds the table against access-control §2.3.
func TestOperations(t *testing.T) {
	t.Parallel()
	const wanted = `
CreateUser GetUser ListUsers UpdateUser DeleteUser CreateAccessKey ListAccessKeys UpdateAccessKey DeleteAccessKey GetAccessKeyLastUsed
PutUserPolicy GetUserPolicy DeleteUserPolicy ListUserPolicies ListGroupsForUser ListAttachedUserPolicies TagUser UntagUser ListUserTags
ListSSHPublicKeys ListMFADevices ListVirtualMFADevices ListSigningCertificates ListServiceSpecificCredentials ListAccountAliases ListPolicies
GetAccountSummary GetLoginProfile DeleteLoginProfile CreateGroup GetGroup ListGroups UpdateGroup DeleteGroup AddUserToGroup
RemoveUserFromGroup PutGroupPolicy GetGroupPolicy DeleteGroupPolicy ListGroupPolicies CreatePolicy GetPolicy DeletePolicy
CreatePolicyVersion SetDefaultPolicyVersion DeletePolicyVersion GetPolicyVersion ListPolicyVersions ListEntitiesForPolicy AttachUserPolicy
DetachUserPolicy AttachGroupPolicy DetachGroupPolicy AttachRolePolicy DetachRolePolicy ListAttachedGroupPolicies CreateRole GetRole ListRoles
UpdateRole DeleteRole UpdateAssumeRolePolicy PutRolePolicy GetRolePolicy DeleteRolePolicy ListRolePolicies ListAttachedRolePolicies
ListInstanceProfilesForRole PutUserPermissionsBoundary DeleteUserPermissionsBoundary PutRolePermissionsBoundary DeleteRolePermissionsBoundary
SimulatePrincipalPolicy`
	for name := range strings.FieldsSeq(wanted) {
		if operations["iam:"+name] == nil {
			t.Errorf("iam:%s is missing", name)
		}
	}
	for _, name := range []string{"GetCallerIdentity", "AssumeRole", "GetSessionToken"} {
		if operations["sts:"+name] == nil {
			t.Errorf("sts:%s is missing", name)
		}
	}
}

// TestServes asks which of the two APIs on one listener answers.
func TestServes(t *testing.T) {
	t.Parallel()
	scope := func(service string) string {
		return "AWS4-HMAC-SHA256 Credential=K/20240315/us-east-1/" + service + "/aws4_request, SignedHeaders=host, Signature=s"
	}
	for _, row := range []struct {
		name, method, target, authorization string
		want                                bool
	}{
		{"IAM", "POST", "/", scope("iam"), true},
		{"STS in a query", "GET", "/?Action=GetCallerIdentity", scope("sts"), true},
		{"IAM at a path of vaults", "PUT", "/-/vaults/v", scope("iam"), true},
		{"vaults", "GET", "/-/vaults", scope("glacier"), false},
		{"vaults at the root", "POST", "/", scope("glacier"), false},
		{"a service of nobody", "POST", "/", scope("s3"), false},
		{"a form without a signature", "POST", "/", "", true},
		{"the same with a query", "POST", "/?a=b", "", true},
		{"a scope that is cut", "POST", "/", "AWS4-HMAC-SHA256 Credential=K/iam", true},
		{"basic authentication", "POST", "/", "Basic cm9vdA==", true},
		{"a vault without a signature", "POST", "/-/vaults/v/archives", "", false},
		{"a browser", "GET", "/", "", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(row.method, row.target, nil)
			if row.authorization != "" {
				r.Header.Set("Authorization", row.authorization)
			}
			if got := Serves(r); got != row.want {
				t.Errorf("Serves: %v, want %v", got, row.want)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		err     error
		status  int
		code    string
		message string
	}{
		{sigv4.Refuse("A1"), 403, "MissingAuthenticationToken", "Request is missing Authentication Token"},
		{sigv4.Refuse("A3", "x"), 400, "IncompleteSignature", "Unsupported AWS 'algorithm': 'x'."},
		{sigv4.Refuse("A13", "x"), 403, "SignatureDoesNotMatch", "x"},
		{sigv4.Refuse("A14"), 403, "InvalidClientTokenId", "The security token included in the request is invalid."},
		{sigv4.Refuse("A16"), 403, "ExpiredToken", "The security token included in the request is expired"},
		{sigv4.Refuse("T1"), 400, "ValidationError", "Transfer-Encoding is not supported"},
		{&account.Error{Code: account.NoSuchEntity, Message: "x"}, 404, "NoSuchEntity", "x"},
		{moraine.Errorf(moraine.Denied, "x"), 403, "AccessDenied", "x"},
		{moraine.Wrap(errors.New("secret"), moraine.Unavailable, "y"), 500, "ServiceFailure", internalMessage},
		{moraine.Errorf(moraine.Corrupt, "y"), 500, "ServiceFailure", internalMessage},
		{errors.New("secret"), 500, "ServiceFailure", internalMessage},
	} {
		if got := *toWire(row.err); got != (wireError{row.status, row.code, row.message}) {
			t.Errorf("%v becomes %+v", row.err, got)
		}
	}
	for code, status := range statuses {
		if status < http.StatusBadRequest || status >= http.StatusInternalServerError {
			t.Errorf("%s has status %d", code, status)
		}
	}
}
