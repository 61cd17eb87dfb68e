package server_test

import (
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"moraine/internal/server"
	"moraine/internal/sigv4"
)

// tenant makes identities of one account.
type tenant struct {
	t    *testing.T
	r    *running
	root sigv4.Key
}

func (a tenant) iam(k sigv4.Key, action string, pairs ...string) string {
	a.t.Helper()
	params := url.Values{"Action": {action}}
	for i := 0; i+1 < len(pairs); i += 2 {
		params.Set(pairs[i], pairs[i+1])
	}
	service, version := "iam", "2010-05-08"
	if action == "AssumeRole" {
		service, version = "sts", "2011-06-15"
	}
	return a.r.form(a.t, k, service, version, params)
}

// must asks as root for what must succeed.
func (a tenant) must(action string, pairs ...string) string {
	a.t.Helper()
	answer := a.iam(a.root, action, pairs...)
	if !strings.Contains(answer, "<"+action+"Response") {
		a.t.Fatalf("%s: %s", action, answer)
	}
	return answer
}

// user makes a user who may do everything in its account's stead, if the
// resource agrees, and returns its ARN and a key.
func (a tenant) user(name, actions string) (arn string, k sigv4.Key) {
	a.t.Helper()
	var made struct {
		Arn string                                        `xml:"CreateUserResult>User>Arn"`
		Key struct{ AccessKeyId, SecretAccessKey string } `xml:"CreateAccessKeyResult>AccessKey"`
	}
	for _, answer := range []string{a.must("CreateUser", "UserName", name), a.must("CreateAccessKey", "UserName", name)} {
		if err := xml.Unmarshal([]byte(strings.Replace(answer, "CreateUserResponse", "Response", 2)), &made); err != nil {
			a.t.Fatal(err)
		}
	}
	a.must("PutUserPolicy", "UserName", name, "PolicyName", "p", "PolicyDocument",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"`+actions+`","Resource":"*"}}`)
	return made.Arn, sigv4.Key{ID: made.Key.AccessKeyId, Secret: sigv4.Secret(made.Key.SecretAccessKey)}
}

// again deletes a user and makes another one of the same name.
func (a tenant) again(name, actions string, old sigv4.Key) sigv4.Key {
	a.t.Helper()
	a.must("DeleteAccessKey", "UserName", name, "AccessKeyId", old.ID)
	a.must("DeleteUserPolicy", "UserName", name, "PolicyName", "p")
	a.must("DeleteUser", "UserName", name)
	_, k := a.user(name, actions)
	return k
}

// TestPrincipalsBound names users in each kind of policy that names principals,
// and makes the users anew: they inherit nothing that was allowed, and stay
// under what was denied to their names.
func TestPrincipalsBound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, settings(t, dir))
	here := tenant{t, r, key(t, dir)}
	put := func(k sigv4.Key, path, text string, want int) {
		t.Helper()
		method := http.MethodPut
		if strings.HasSuffix(path, "lock-policy") {
			method = http.MethodPost
		}
		body, err := json.Marshal(map[string]string{"Policy": text})
		if err != nil {
			t.Fatal(err)
		}
		r.send(t, k, method, path, string(body), want)
	}
	statement := func(effect, principal, action, vault string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"` + effect + `",` + principal + `,"Action":"glacier:` + action + `","Resource":"arn:aws:glacier:us-east-1:*:vaults/` + vault + `"}}`
	}
	to := func(arn string) string { return `"Principal":{"AWS":"` + arn + `"}` }

	alice, k := here.user("alice", "sts:Get*") // what she may do, resources allow her
	account := strings.Split(alice, ":")[4]
	for _, vault := range []string{"access", "lock", "deny", "except"} {
		r.send(t, here.root, http.MethodPut, "/-/vaults/"+vault, "", http.StatusCreated)
	}
	put(here.root, "/-/vaults/access/access-policy", statement("Allow", to(alice), "DescribeVault", "access"), http.StatusNoContent)
	put(here.root, "/-/vaults/lock/lock-policy", statement("Allow", to(alice), "DescribeVault", "lock"), http.StatusCreated)
	put(here.root, "/-/vaults/deny/access-policy", `{"Version":"2012-10-17","Statement":[`+
		`{"Effect":"Allow","Principal":"*","Action":"glacier:DescribeVault","Resource":"arn:aws:glacier:us-east-1:*:vaults/deny"},`+
		`{"Effect":"Deny",`+to(alice)+`,"Action":"glacier:DescribeVault","Resource":"arn:aws:glacier:us-east-1:*:vaults/deny"}]}`, http.StatusNoContent)
	put(here.root, "/-/vaults/except/lock-policy", `{"Version":"2012-10-17","Statement":[`+
		`{"Effect":"Allow","Principal":"*","Action":"glacier:DescribeVault","Resource":"arn:aws:glacier:us-east-1:*:vaults/except"},`+
		`{"Effect":"Deny","NotPrincipal":{"AWS":["`+alice+`","`+account+`"]},"Action":"glacier:DescribeVault","Resource":"arn:aws:glacier:us-east-1:*:vaults/except"}]}`, http.StatusCreated)
	here.must("CreateRole", "RoleName", "ops", "AssumeRolePolicyDocument", `{"Version":"2012-10-17","Statement":{"Effect":"Allow",`+to(alice)+`,"Action":"sts:AssumeRole"}}`)
	want := func(who string, k sigv4.Key, statuses map[string]int, assumes bool) {
		t.Helper()
		for vault, status := range statuses {
			resp, err := r.call(t, k, http.MethodGet, "/-/vaults/"+vault, emptyHash, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != status {
				t.Errorf("%s and the vault %s: status %d, want %d", who, vault, resp.StatusCode, status)
			}
		}
		answer := here.iam(k, "AssumeRole", "RoleArn", "arn:aws:iam::"+account+":role/ops", "RoleSessionName", "s1")
		if strings.Contains(answer, "<AssumeRoleResponse") != assumes {
			t.Errorf("%s assumes the role: %s", who, answer)
		}
	}
	want("alice", k, map[string]int{"access": 200, "lock": 200, "deny": 403, "except": 200}, true)
	k = here.again("alice", "sts:Get*", k)
	want("another alice", k, map[string]int{"access": 403, "lock": 403, "deny": 403, "except": 403}, false)
	r.stop(t)
}

// TestPrincipalsOfLaterAccount names a user of an account that is not here yet.
// When there is one of that name, it gains nothing until the policy is set
// again, and then the one there is.
func TestPrincipalsOfLaterAccount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const later = "222222222222"
	const erin = "arn:aws:iam::" + later + ":user/erin"
	r := start(t, settings(t, dir))
	k := key(t, dir)
	r.send(t, k, http.MethodPut, "/-/vaults/v", "", http.StatusCreated)
	policy, err := json.Marshal(map[string]string{"Policy": `{"Version":"2012-10-17","Statement":{"Effect":"Allow",` +
		`"Principal":{"AWS":"` + erin + `"},"Action":"glacier:DescribeVault","Resource":"arn:aws:glacier:us-east-1:*:vaults/v"}}`})
	if err != nil {
		t.Fatal(err)
	}
	set := func() {
		t.Helper()
		r.send(t, k, http.MethodPut, "/-/vaults/v/access-policy", string(policy), http.StatusNoContent)
	}
	set()
	var owner struct{ VaultARN string }
	resp, err := r.call(t, k, http.MethodGet, "/-/vaults/v", emptyHash, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(resp.Body).Decode(&owner); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	path := "/" + strings.Split(owner.VaultARN, ":")[4] + "/vaults/v"
	r.stop(t)

	foreign, err := server.Offline{Data: dir}.CreateAccount(t.Context(), later)
	if err != nil {
		t.Fatal(err)
	}
	r = start(t, settings(t, dir))
	there := tenant{t, r, sigv4.Key{ID: foreign.KeyID, Secret: foreign.Secret}}
	want := func(who string, k sigv4.Key, status int) {
		t.Helper()
		resp, err := r.call(t, k, http.MethodGet, path, emptyHash, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%s: status %d, want %d", who, resp.StatusCode, status)
		}
	}
	_, first := there.user("erin", "glacier:*")
	want("the first erin", first, http.StatusForbidden)
	second := there.again("erin", "glacier:*", first)
	want("the second erin, whom the policy never meant", second, http.StatusForbidden)
	set()
	want("the erin of the policy set again", second, http.StatusOK)
	third := there.again("erin", "glacier:*", second)
	want("the third erin", third, http.StatusForbidden)
	r.stop(t)
}
