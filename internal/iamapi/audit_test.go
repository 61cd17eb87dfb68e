package iamapi_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moraine/internal/access"
	"moraine/internal/account"
	"moraine/internal/audit"
	"moraine/internal/audit/audittest"
	"moraine/internal/disk/crashfs"
	"moraine/internal/iamapi"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/seal"
	"moraine/internal/sigv4"
)

const here = "210987654321"

var root = sigv4.Key{ID: "AKIAMORAINETEST00001", Secret: sigv4.Secret("moraine/test/secret+key/0123456789abcdef")}

// office is the surface with an audit log on a file system in memory. Its clock
// stands still.
type office struct {
	t      *testing.T
	server *httptest.Server
	fsys   *crashfs.FS
	log    *audit.Log
	now    time.Time
}

func newOffice(t *testing.T, replays *sigv4.Replays) *office {
	t.Helper()
	o := &office{t: t, fsys: crashfs.New(), now: time.Date(2024, 11, 5, 8, 30, 11, 0, time.UTC)}
	now := func() time.Time { return o.now }
	var err error
	if o.log, err = audit.Open(audit.Config{FS: o.fsys, Dir: "audit", Region: "us-east-1", Now: now}); err != nil {
		t.Fatal(err)
	}
	rows, err := sqlmeta.Open(t.Context(), sqlmeta.Config{Path: filepath.Join(t.TempDir(), "meta.db")})
	if err != nil {
		t.Fatal(err)
	}
	keyring, err := seal.Parse([]byte(account.GenerateMaster()))
	if err != nil {
		t.Fatal(err)
	}
	accounts := account.New(account.Config{
		Meta: rows, Keyring: keyring, Root: account.Root{Account: here, KeyID: root.ID, Secret: root.Secret}, Now: now,
	})
	if err := accounts.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.server = httptest.NewServer(iamapi.New(iamapi.Config{
		Accounts: accounts, Principals: accounts, Audit: o.log, Replays: replays,
		Verifier: sigv4.New(sigv4.Config{
			Keys: accounts, Now: now, Services: []string{"iam", "sts"}, Regions: []string{"us-east-1"}, MaxSkew: 15 * time.Minute, MaxBody: iamapi.BodyMax,
		}),
		Claimed: func(ctx context.Context, keyID string) (access.Principal, bool) { return access.Principal{}, false },
	}))
	t.Cleanup(func() {
		o.server.Close()
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

var versions = map[string]string{"iam": "2010-05-08", "sts": "2011-06-15"}

// answer is the reply to a call.
type answer struct {
	status   int
	id, text string
}

// do sends an operation with parameters: names and values in turn.
func (o *office) do(k sigv4.Key, service, operation string, params ...string) answer {
	o.t.Helper()
	form := url.Values{"Action": {operation}, "Version": {versions[service]}}
	for i := 0; i+1 < len(params); i += 2 {
		form.Set(params[i], params[i+1])
	}
	body := form.Encode()
	r, err := http.NewRequestWithContext(o.t.Context(), http.MethodPost, o.server.URL+"/", strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sum := sha256.Sum256([]byte(body))
	if err := sigv4.Sign(r, k, "us-east-1", service, o.now, hex.EncodeToString(sum[:])); err != nil {
		o.t.Fatal(err)
	}
	resp, err := o.server.Client().Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header.Get("X-Amzn-Requestid"), string(text)}
}

// key makes an access key of a user.
func (o *office) key(user string) sigv4.Key {
	o.t.Helper()
	a := o.do(root, "iam", "CreateAccessKey", "UserName", user)
	var made struct {
		Key struct{ AccessKeyId, SecretAccessKey string } `xml:"CreateAccessKeyResult>AccessKey"`
	}
	if err := xml.Unmarshal([]byte(a.text), &made); err != nil || made.Key.SecretAccessKey == "" {
		o.t.Fatalf("%v: %s", err, a.text)
	}
	return sigv4.Key{ID: made.Key.AccessKeyId, Secret: sigv4.Secret(made.Key.SecretAccessKey)}
}

// written ends the server and returns the text of the log and its records.
func (o *office) written() (string, []audittest.Event) {
	o.t.Helper()
	o.server.Close()
	if err := o.log.Close(); err != nil {
		o.t.Fatal(err)
	}
	if _, err := audit.Verify(o.fsys, "audit", audit.First{}); err != nil {
		o.t.Error(err)
	}
	text := o.fsys.ReadFile("audit/audit-us-east-1-2024-11-05T08.jsonl")
	return string(text), audittest.Parse(o.t, text)
}

const (
	document = `{"Version":"2012-10-17","Statement":[{"Sid":"look","Effect":"Allow","Action":"glacier:List*","Resource":"*"}]}`
	trust    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + here + `:user/carol"},"Action":"sts:AssumeRole"}]}`
	managed  = "arn:aws:iam::" + here + ":policy/p"
)

// steps are all operations in an order in which each succeeds for root: a name
// and its parameters in turn. $KEY is the id of carol's key.
var steps = [][]string{
	{"CreateUser", "UserName", "alice", "Tags.member.1.Key", "a", "Tags.member.1.Value", "b"},
	{"GetUser", "UserName", "alice"}, {"ListUsers"}, {"UpdateUser", "UserName", "alice", "NewPath", "/x/"},
	{"CreateAccessKey", "UserName", "alice"}, {"ListAccessKeys", "UserName", "alice"},
	{"UpdateAccessKey", "UserName", "carol", "AccessKeyId", "$KEY", "Status", "Active"}, {"GetAccessKeyLastUsed", "AccessKeyId", "$KEY"},
	{"PutUserPolicy", "UserName", "alice", "PolicyName", "i", "PolicyDocument", document}, {"GetUserPolicy", "UserName", "alice", "PolicyName", "i"},
	{"ListUserPolicies", "UserName", "alice"}, {"DeleteUserPolicy", "UserName", "alice", "PolicyName", "i"},
	{"TagUser", "UserName", "alice", "Tags.member.1.Key", "c", "Tags.member.1.Value", "d"}, {"ListUserTags", "UserName", "alice"},
	{"UntagUser", "UserName", "alice", "TagKeys.member.1", "c"},
	{"CreatePolicy", "PolicyName", "p", "PolicyDocument", document}, {"GetPolicy", "PolicyArn", managed}, {"ListPolicies"},
	{"CreatePolicyVersion", "PolicyArn", managed, "PolicyDocument", document}, {"GetPolicyVersion", "PolicyArn", managed, "VersionId", "v2"},
	{"ListPolicyVersions", "PolicyArn", managed}, {"SetDefaultPolicyVersion", "PolicyArn", managed, "VersionId", "v2"},
	{"DeletePolicyVersion", "PolicyArn", managed, "VersionId", "v1"},
	{"TagPolicy", "PolicyArn", managed, "Tags.member.1.Key", "c", "Tags.member.1.Value", "d"}, {"ListPolicyTags", "PolicyArn", managed},
	{"UntagPolicy", "PolicyArn", managed, "TagKeys.member.1", "c"},
	{"AttachUserPolicy", "UserName", "alice", "PolicyArn", managed}, {"ListAttachedUserPolicies", "UserName", "alice"},
	{"ListEntitiesForPolicy", "PolicyArn", managed}, {"DetachUserPolicy", "UserName", "alice", "PolicyArn", managed},
	{"PutUserPermissionsBoundary", "UserName", "alice", "PermissionsBoundary", managed}, {"DeleteUserPermissionsBoundary", "UserName", "alice"},
	{"CreateGroup", "GroupName", "g"}, {"GetGroup", "GroupName", "g"}, {"ListGroups"}, {"UpdateGroup", "GroupName", "g", "NewPath", "/x/"},
	{"AddUserToGroup", "GroupName", "g", "UserName", "alice"}, {"ListGroupsForUser", "UserName", "alice"},
	{"RemoveUserFromGroup", "GroupName", "g", "UserName", "alice"},
	{"PutGroupPolicy", "GroupName", "g", "PolicyName", "i", "PolicyDocument", document}, {"GetGroupPolicy", "GroupName", "g", "PolicyName", "i"},
	{"ListGroupPolicies", "GroupName", "g"}, {"DeleteGroupPolicy", "GroupName", "g", "PolicyName", "i"},
	{"AttachGroupPolicy", "GroupName", "g", "PolicyArn", managed}, {"ListAttachedGroupPolicies", "GroupName", "g"},
	{"DetachGroupPolicy", "GroupName", "g", "PolicyArn", managed}, {"DeleteGroup", "GroupName", "g"},
	{"CreateRole", "RoleName", "r", "AssumeRolePolicyDocument", trust}, {"GetRole", "RoleName", "r"}, {"ListRoles"},
	{"UpdateRole", "RoleName", "r", "Description", "x"}, {"UpdateRoleDescription", "RoleName", "r", "Description", "y"},
	{"UpdateAssumeRolePolicy", "RoleName", "r", "PolicyDocument", trust},
	{"PutRolePolicy", "RoleName", "r", "PolicyName", "i", "PolicyDocument", document}, {"GetRolePolicy", "RoleName", "r", "PolicyName", "i"},
	{"ListRolePolicies", "RoleName", "r"}, {"DeleteRolePolicy", "RoleName", "r", "PolicyName", "i"},
	{"AttachRolePolicy", "RoleName", "r", "PolicyArn", managed}, {"ListAttachedRolePolicies", "RoleName", "r"},
	{"DetachRolePolicy", "RoleName", "r", "PolicyArn", managed},
	{"TagRole", "RoleName", "r", "Tags.member.1.Key", "c", "Tags.member.1.Value", "d"}, {"ListRoleTags", "RoleName", "r"},
	{"UntagRole", "RoleName", "r", "TagKeys.member.1", "c"}, {"ListInstanceProfilesForRole", "RoleName", "r"},
	{"PutRolePermissionsBoundary", "RoleName", "r", "PermissionsBoundary", managed}, {"DeleteRolePermissionsBoundary", "RoleName", "r"},
	{"SimulatePrincipalPolicy", "PolicySourceArn", "arn:aws:iam::" + here + ":role/r", "ActionNames.member.1", "glacier:ListVaults"},
	{"GetAccountSummary"}, {"ListAccountAliases"}, {"ListVirtualMFADevices"},
	{"ListSSHPublicKeys", "UserName", "alice"}, {"ListMFADevices", "UserName", "alice"}, {"ListSigningCertificates", "UserName", "alice"},
	{"ListServiceSpecificCredentials", "UserName", "alice"}, {"GetLoginProfile", "UserName", "alice"}, {"DeleteLoginProfile", "UserName", "alice"},
	{"RevokeRoleSessions", "RoleName", "r"},
	{"AssumeRole", "RoleArn", "arn:aws:iam::" + here + ":role/r", "RoleSessionName", "session"},
	{"GetCallerIdentity"}, {"GetSessionToken", "DurationSeconds", "900"},
	{"DeletePolicy", "PolicyArn", managed}, {"DeleteRole", "RoleName", "r"},
	{"DeleteAccessKey", "UserName", "carol", "AccessKeyId", "$KEY"}, {"DeleteUser", "UserName", "dave"},
}

// TestAuditOperations is AU1 and AU3 for IAM and STS: each operation has
// exactly one record when it succeeds and when it is denied, which says why, and
// none holds a secret.
func TestAuditOperations(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	for _, name := range []string{"nobody", "carol", "dave"} {
		if a := o.do(root, "iam", "CreateUser", "UserName", name); a.status != 200 {
			t.Fatal(a.text)
		}
	}
	nobody, carol := o.key("nobody"), o.key("carol")
	secrets := map[string]string{"root's": string(root.Secret), "nobody's": string(nobody.Secret), "carol's": string(carol.Secret)}
	type wanted struct {
		name   string
		denied bool
	}
	want := make(map[string]wanted) // by request id
	services := iamapi.OperationNames()
	for _, step := range steps {
		name, params := step[0], append([]string(nil), step[1:]...)
		for i := range params {
			params[i] = strings.ReplaceAll(params[i], "$KEY", carol.ID)
		}
		if a := o.do(nobody, services[name], name, params...); a.status == 403 {
			want[a.id] = wanted{name, true}
		} else if name != "GetCallerIdentity" && name != "GetSessionToken" {
			t.Errorf("%s for nobody: %d %s", name, a.status, a.text)
		}
		caller := root
		if name == "AssumeRole" {
			caller = carol
		}
		a := o.do(caller, services[name], name, params...)
		want[a.id] = wanted{name, false}
		if missing := strings.HasSuffix(name, "LoginProfile"); a.status != map[bool]int{false: 200, true: 404}[missing] {
			t.Errorf("%s: %d %s", name, a.status, a.text)
		}
		for _, element := range []string{"SecretAccessKey", "SessionToken"} {
			if _, rest, ok := strings.Cut(a.text, "<"+element+">"); ok {
				secret, _, _ := strings.Cut(rest, "<")
				secrets[element+" of "+name] = secret
			}
		}
		delete(services, name)
	}
	for name := range services {
		t.Errorf("%s is not tried", name)
	}
	text, all := o.written()
	services = iamapi.OperationNames()
	found := make(map[string]int)
	for _, r := range all {
		w, ok := want[r.RequestID]
		if !ok {
			continue
		}
		found[r.RequestID]++
		details := r.AdditionalEventData
		switch {
		case r.EventName != w.name || r.EventSource != services[w.name]+".amazonaws.com" || r.ReadOnly != audit.ReadOnly(w.name) || r.EventType != "AwsApiCall":
			t.Errorf("%+v is recorded as %+v", w, r)
		case w.denied && (r.ErrorCode != "AccessDenied" || r.UserIdentity.UserName != "nobody" || details["decision"] != "DENY" || details["reason"] == nil):
			t.Errorf("the denial of %s is recorded with %s, %v", w.name, r.ErrorCode, details)
		case !w.denied && (r.ErrorCode != "") != strings.HasSuffix(w.name, "LoginProfile"):
			t.Errorf("%s is recorded with %s", w.name, r.ErrorCode)
		case r.ReadOnly && r.ResponseElements != nil:
			t.Errorf("%s has elements %v", w.name, r.ResponseElements)
		}
	}
	for id, w := range want {
		if found[id] != 1 {
			t.Errorf("%+v has %d records", w, found[id])
		}
	}
	for whose, secret := range secrets {
		if strings.Contains(text, secret) || len(secret) < 20 {
			t.Errorf("a record holds a secret: %s", whose)
		}
	}
	if len(secrets) != 8 || strings.Contains(text, "AWS4-HMAC") {
		t.Errorf("%d secrets were seen", len(secrets))
	}
}

// TestAuditElements checks what is recorded of an answer: a new key without its
// secret.
func TestAuditElements(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	o.do(root, "iam", "CreateUser", "UserName", "alice")
	k := o.key("alice")
	_, all := o.written()
	last := all[len(all)-1]
	made, _ := last.ResponseElements["accessKey"].(map[string]any)
	if last.EventName != "CreateAccessKey" || made["accessKeyId"] != k.ID || made["userName"] != "alice" || made["secretAccessKey"] != nil {
		t.Errorf("the record is %+v", last)
	}
	if all[len(all)-2].RequestParameters["userName"] != "alice" {
		t.Errorf("the record is %+v", all[len(all)-2])
	}
}

// TestAuditDenied checks that a denial says which statement denied.
func TestAuditDenied(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	o.do(root, "iam", "CreateUser", "UserName", "bob")
	bob := o.key("bob")
	const deny = `{"Version":"2012-10-17","Statement":[{"Sid":"never","Effect":"Deny","Action":"iam:DeleteUser","Resource":"*"},{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	o.do(root, "iam", "PutUserPolicy", "UserName", "bob", "PolicyName", "all", "PolicyDocument", deny)
	if a := o.do(bob, "iam", "DeleteUser", "UserName", "bob"); a.status != 403 {
		t.Fatalf("%d %s", a.status, a.text)
	}
	o.do(root, "iam", "CreateRole", "RoleName", "r", "AssumeRolePolicyDocument", strings.Replace(trust, "carol", "bob", 1))
	o.do(root, "iam", "UpdateAssumeRolePolicy", "RoleName", "r", "PolicyDocument", strings.Replace(strings.Replace(trust, "carol", "bob", 1), `"Effect":"Allow"`, `"Sid":"notyou","Effect":"Deny"`, 1))
	if a := o.do(bob, "sts", "AssumeRole", "RoleArn", "arn:aws:iam::"+here+":role/r", "RoleSessionName", "session"); a.status != 403 {
		t.Fatalf("%d %s", a.status, a.text)
	}
	_, all := o.written()
	got := make(map[string]map[string]any)
	for _, r := range all {
		if r.ErrorCode != "" {
			got[r.EventName] = r.AdditionalEventData
		}
	}
	d := got["DeleteUser"]
	if d["reason"] != "identity-explicit" || d["matchedSid"] != "never" || d["policySource"] != "identity arn:aws:iam::"+here+":user/bob#all" {
		t.Errorf("DeleteUser: %v", d)
	}
	d = got["AssumeRole"]
	if d["reason"] != "trust-explicit" || d["matchedSid"] != "notyou" || d["policySource"] != "trust arn:aws:iam::"+here+":role/r#trust" {
		t.Errorf("AssumeRole: %v", d)
	}
}

// TestReplay repeats a captured CreateAccessKey, whose answer would hold a new
// secret (access-control §1.13).
func TestReplay(t *testing.T) {
	t.Parallel()
	for _, enforce := range []bool{false, true} {
		o := newOffice(t, sigv4.NewReplays(enforce, nil))
		o.do(root, "iam", "CreateUser", "UserName", "alice")
		o.key("alice")
		a := o.do(root, "iam", "CreateAccessKey", "UserName", "alice")
		if want := map[bool]int{false: 200, true: 403}[enforce]; a.status != want {
			t.Errorf("enforce %v: %d %s", enforce, a.status, a.text)
		}
		if a := o.do(root, "iam", "CreateUser", "UserName", "alice"); a.status != 409 {
			t.Errorf("CreateUser again: %d %s", a.status, a.text)
		}
		o.do(root, "iam", "ListUsers")
		o.do(root, "iam", "ListUsers")
		_, all := o.written()
		var marked []string
		for _, r := range all {
			if r.AdditionalEventData["replaySuspected"] == true {
				marked = append(marked, r.EventName)
			}
		}
		if got := strings.Join(marked, " "); got != "CreateAccessKey CreateUser" {
			t.Errorf("enforce %v: marked are %s", enforce, got)
		}
	}
}
