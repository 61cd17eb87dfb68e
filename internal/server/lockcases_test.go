package server_test

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"moraine/internal/config"
	"moraine/internal/sigv4"
	"moraine/internal/treehash"
)

// lockCase is a row of access-control §6.4.
type lockCase struct {
	policy, caller, action string
	age                    int    // days; none for no archive
	hold                   string // value of the tag LegalHold
	want                   string
}

const (
	none     = -1   // archive
	untagged = "-"  // vault
	plain    = "–"  // untagged, and asked without TLS
	allowed  = "A"  // by an identity policy, or because root asks
	byLock   = "DL" // lock-policy-explicit
	implicit = "DI" // identity-implicit
)

func lockCases() []lockCase {
	return []lockCase{
		{"W1", "bob", "DeleteArchive", 0, untagged, byLock},
		{"W1", "bob", "DeleteArchive", 364, untagged, byLock},
		{"W1", "bob", "DeleteArchive", 365, untagged, allowed},
		{"W1", "rootA", "DeleteArchive", 364, untagged, byLock},
		{"W1", "rootA", "DeleteArchive", 365, untagged, allowed},
		{"W1", "alice", "DeleteArchive", 400, untagged, implicit},
		{"W1", "bob", "DeleteArchive", none, untagged, allowed},
		{"W1", "bob", "UploadArchive", none, untagged, allowed},
		{"W1", "bob", "InitiateJob", 10, untagged, allowed},
		{"W1", "rootA", "DeleteVault", none, untagged, allowed},
		{"W2", "bob", "DeleteArchive", 400, "true", byLock},
		{"W2", "bob", "DeleteArchive", 400, "TRUE", byLock},
		{"W2", "bob", "DeleteArchive", 400, "", byLock},
		{"W2", "bob", "DeleteArchive", 400, "no", allowed},
		{"W2", "bob", "DeleteArchive", 400, untagged, allowed},
		{"W2", "rootA", "DeleteArchive", 400, "yes", byLock},
		{"W2", "bob", "RemoveTagsFromVault", none, "true", allowed},
		{"W3", "bob", "DeleteArchive", 400, untagged, allowed},
		{"W3", "bob", "DeleteArchive", 10, untagged, byLock},
		{"W3", "bob", "DeleteArchive", 400, "true", byLock},
		{"W3", "bob", "RemoveTagsFromVault", none, "true", byLock},
		{"W3", "rootA", "RemoveTagsFromVault", none, "true", byLock},
		{"W3", "comp", "RemoveTagsFromVault", none, "true", allowed},
		{"W3", "comp", "DeleteArchive", 10, untagged, byLock},
		{"W3", "rootA", "DeleteVault", none, untagged, byLock},
		{"W3", "bob", "GetVaultLock", none, untagged, allowed},
		{"W3", "bob", "GetVaultLock", none, plain, byLock},
		{"W3", "bob", "SetVaultAccessPolicy", none, untagged, allowed},
	}
}

// lockPolicy is W1, W2 or W3 for a vault of an account.
func lockPolicy(name, account, arn string) string {
	year := deny(arn, `"glacier:DeleteArchive"`, `{"NumericLessThan":{"glacier:ArchiveAgeInDays":"365"}}`)
	hold := deny(arn, `"glacier:DeleteArchive"`, `{"StringEqualsIgnoreCase":{"glacier:ResourceTag/LegalHold":["true","yes",""]}}`)
	all := map[string][]string{"W1": {year}, "W2": {hold}, "W3": {
		year, hold,
		deny(arn, `["glacier:AddTagsToVault","glacier:RemoveTagsFromVault"]`, `{"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::`+account+`:role/compliance"}}`),
		deny(arn, `"glacier:DeleteVault"`, ""),
		deny(arn, `"glacier:*"`, `{"Bool":{"aws:SecureTransport":"false"}}`),
	}}
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(all[name], ",") + `]}`
}

// as is the same server asked by somebody else.
func (g *guinea) as(k sigv4.Key) *guinea {
	other := *g
	other.key = k
	return &other
}

const everything = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["glacier:*","sts:AssumeRole"],"Resource":"*"}}`

// users makes bob, who may do everything, alice, who may do nothing, and a session
// of the role compliance, who may do everything.
func (g *guinea) users(account string) map[string]*guinea {
	const iam, sts = "2010-05-08", "2011-06-15"
	var out struct {
		Key     struct{ AccessKeyId, SecretAccessKey string }               `xml:"CreateAccessKeyResult>AccessKey"`
		Session struct{ AccessKeyId, SecretAccessKey, SessionToken string } `xml:"AssumeRoleResult>Credentials"`
	}
	do := func(k sigv4.Key, service, version string, params ...string) {
		g.t.Helper()
		form := url.Values{}
		for i := 0; i < len(params); i += 2 {
			form.Set(params[i], params[i+1])
		}
		answer := g.form(g.t, k, service, version, form)
		if strings.Contains(answer, "<Error>") {
			g.t.Fatalf("%v: %s", params, answer)
		}
		if err := xml.Unmarshal([]byte(answer), &out); err != nil {
			g.t.Fatalf("%v: %v: %s", params, err, answer)
		}
	}
	all := map[string]*guinea{"rootA": g}
	for _, name := range []string{"bob", "alice"} {
		do(g.key, "iam", iam, "Action", "CreateUser", "UserName", name)
		do(g.key, "iam", iam, "Action", "CreateAccessKey", "UserName", name)
		all[name] = g.as(sigv4.Key{ID: out.Key.AccessKeyId, Secret: sigv4.Secret(out.Key.SecretAccessKey)})
	}
	do(g.key, "iam", iam, "Action", "PutUserPolicy", "UserName", "bob", "PolicyName", "all", "PolicyDocument", everything)
	do(g.key, "iam", iam, "Action", "CreateRole", "RoleName", "compliance", "AssumeRolePolicyDocument",
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"`+account+`"},"Action":"sts:AssumeRole"}}`)
	do(g.key, "iam", iam, "Action", "PutRolePolicy", "RoleName", "compliance", "PolicyName", "all", "PolicyDocument", everything)
	do(all["bob"].key, "sts", sts, "Action", "AssumeRole", "RoleArn", "arn:aws:iam::"+account+":role/compliance", "RoleSessionName", "s1")
	all["comp"] = g.as(sigv4.Key{ID: out.Session.AccessKeyId, Secret: sigv4.Secret(out.Session.SecretAccessKey), Token: sigv4.Secret(out.Session.SessionToken)})
	return all
}

// perform does the action of a row on a vault and says what came of it.
func (g *guinea) perform(c lockCase, vault, archivePath, policy string) string {
	g.t.Helper()
	method, path, body, good := http.MethodDelete, vault, "", http.StatusNoContent
	switch c.action {
	case "DeleteArchive":
		path = archivePath
	case "UploadArchive":
		method, path, good = http.MethodPost, vault+"/archives", http.StatusCreated
	case "InitiateJob":
		_, id, _ := strings.Cut(archivePath, "/archives/")
		method, path, good = http.MethodPost, vault+"/jobs", http.StatusAccepted
		body = `{"Type":"archive-retrieval","ArchiveId":"` + id + `"}`
	case "DeleteVault":
	case "RemoveTagsFromVault":
		method, path, body = http.MethodPost, vault+"/tags?operation=remove", `{"TagKeys":["LegalHold"]}`
	case "GetVaultLock":
		method, path, good = http.MethodGet, vault+"/lock-policy", http.StatusOK
	case "SetVaultAccessPolicy":
		method, path, body = http.MethodPut, vault+"/access-policy", lockBody(policy)
	}
	h := map[string]string{}
	if c.action == "UploadArchive" {
		body = string(archive)
		h = archiveHeader()
	}
	resp, err := g.call(g.t, g.key, method, path, digestOf(body), strings.NewReader(body), h)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	switch {
	case resp.StatusCode == good, c.age == none && c.action == "DeleteArchive" && resp.StatusCode == http.StatusNotFound:
		return allowed
	case resp.StatusCode == http.StatusForbidden && strings.Contains(string(text), "with an explicit deny in a resource-based policy"):
		return byLock
	case resp.StatusCode == http.StatusForbidden && strings.Contains(string(text), "because no identity-based policy allows"):
		return implicit
	}
	return fmt.Sprintf("%s: %s", resp.Status, text)
}

// TestLockCases is the table of access-control §6.4 on the wire, in progress and
// locked, with archives that are as old as the rows say.
func TestLockCases(t *testing.T) {
	t.Parallel()
	var cfg config.Config
	g := startTestMode(t, func(c *config.Config) {
		dir := t.TempDir()
		c.TLS = config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
		certificate(t, c.TLS, 1)
		cfg = *c
	})
	type place struct {
		row           lockCase
		locked        bool
		vault, policy string
		archive       string // its path
	}
	var places []*place
	for i, row := range lockCases() {
		for _, locked := range []bool{false, true} {
			places = append(places, &place{row: row, locked: locked, vault: fmt.Sprintf("/-/vaults/row-%d-%v", i+1, locked)})
		}
	}
	// The oldest archives are stored first.
	ages := []int{400, 365, 364, 10, 0, none}
	for i, age := range ages {
		for _, p := range places {
			if p.row.age != age {
				continue
			}
			g.want(http.MethodPut, p.vault, nil, nil, http.StatusCreated, "")
			p.archive = p.vault + "/archives/" + strings.Repeat("x", 138)
			if age != none {
				h, _ := g.want(http.MethodPost, p.vault+"/archives", archive, archiveHeader(), http.StatusCreated, "")
				p.archive = p.vault + "/archives/" + h.Get("X-Amz-Archive-Id")
			}
		}
		if age > 0 {
			g.pull("clock", fmt.Sprintf(`{"advance":"%dh"}`, 24*(age-ages[i+1])))
		}
	}
	_, list := g.want(http.MethodGet, "/-/vaults?limit=1", nil, nil, http.StatusOK, "VaultARN")
	_, rest, _ := strings.Cut(list, "arn:aws:glacier:us-east-1:")
	account, _, _ := strings.Cut(rest, ":")
	callers := g.users(account)
	for _, p := range places {
		name := strings.TrimPrefix(p.vault, "/-/vaults/")
		p.policy = lockPolicy(p.row.policy, account, "arn:aws:glacier:us-east-1:"+account+":vaults/"+name)
		if p.row.hold != untagged && p.row.hold != plain {
			g.want(http.MethodPost, p.vault+"/tags?operation=add", []byte(`{"Tags":{"LegalHold":"`+p.row.hold+`"}}`), nil, http.StatusNoContent, "")
		}
		h, _ := g.want(http.MethodPost, p.vault+"/lock-policy", []byte(lockBody(p.policy)), nil, http.StatusCreated, "")
		if p.locked {
			g.want(http.MethodPost, p.vault+"/lock-policy/"+h.Get("X-Amz-Lock-Id"), nil, nil, http.StatusNoContent, "")
		}
		if p.row.hold == plain {
			continue
		}
		if got := callers[p.row.caller].perform(p.row, p.vault, p.archive, p.policy); got != p.row.want {
			t.Errorf("row %+v, locked %v: %s", p.row, p.locked, got)
		}
	}
	g.stop(t)
	cfg.TLS = config.TLS{}
	bob := callers["bob"]
	g.running = start(t, cfg)
	bob.running = g.running
	for _, p := range places {
		if p.row.hold != plain {
			continue
		}
		if got := bob.perform(p.row, p.vault, p.archive, p.policy); got != p.row.want {
			t.Errorf("row %+v, locked %v: %s", p.row, p.locked, got)
		}
	}
}

// digestOf is both hashes of a body that is short, in hex.
func digestOf(body string) string { return treehash.Leaf([]byte(body)).String() }

func archiveHeader() map[string]string {
	digest := digestOf(string(archive))
	return map[string]string{"X-Amz-Sha256-Tree-Hash": digest, "X-Amz-Content-Sha256": digest}
}
