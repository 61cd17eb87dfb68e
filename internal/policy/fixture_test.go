package policy_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"moraine/internal/policy"
)

// The accounts and names of the fixtures (access-control §5.3).
const (
	accountA = "111111111111"
	accountB = "222222222222"
	vaults   = "arn:aws:glacier:us-east-1:111111111111:vaults/"
	v1       = vaults + "v1"
)

var noon = time.Date(2024, 3, 15, 12, 0, 0, 0, time.UTC)

func parse(t testing.TB, text string) *policy.Document {
	t.Helper()
	d, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return d
}

// document wraps statements in a document of the newer version.
func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// identity writes a statement of an identity policy.
func identity(effect, actions, resources string) string {
	return fmt.Sprintf(`{"Effect":%q,%s,%s}`, effect, member("Action", actions), member("Resource", resources))
}

// member writes a member from "a b" or "!a b", the latter for its negation.
func member(name, words string) string {
	words, negated := strings.CutPrefix(words, "!")
	if negated {
		name = "Not" + name
	}
	return fmt.Sprintf(`%q:["%s"]`, name, strings.Join(strings.Fields(words), `","`))
}

func user(account, name string) policy.Principal {
	return policy.Principal{
		Type: policy.User, Account: account, ID: userID(name),
		ARN: "arn:aws:iam::" + account + ":user/" + name,
	}
}

func root(account string) policy.Principal {
	return policy.Principal{Type: policy.Account, Account: account, ARN: "arn:aws:iam::" + account + ":root", ID: account}
}

func session(account, role, name string) policy.Principal {
	return policy.Principal{
		Type: policy.AssumedRole, Account: account, ID: roleID(role) + ":" + name,
		ARN:     "arn:aws:sts::" + account + ":assumed-role/" + role + "/" + name,
		RoleARN: "arn:aws:iam::" + account + ":role/" + role, RoleID: roleID(role),
	}
}

func userID(name string) string { return uniqueID("AIDA", name) }
func roleID(name string) string { return uniqueID("AROA", name) }

func uniqueID(prefix, name string) string {
	random := strings.ToUpper(name) + strings.Repeat("X", 17)
	return prefix + random[:17]
}

// lookup knows every user and role of account A and of account B.
func lookup(principal string) (id string, local bool, err error) {
	parts := strings.Split(principal, "/")
	switch {
	case len(parts) == 1: // a unique id
		return principal, true, nil
	case strings.HasSuffix(parts[0], ":user"):
		return userID(parts[len(parts)-1]), true, nil
	default:
		return roleID(parts[1]), true, nil
	}
}

// caller is a principal with the policies attached to it.
type caller struct {
	principal policy.Principal
	policies  policy.Policies
}

// callers returns those of access-control §5.3 and §6.4.
func callers(t testing.TB) map[string]caller {
	t.Helper()
	one := func(statements ...string) []policy.Policy {
		return []policy.Policy{{Name: "inline", Document: parse(t, document(statements...))}}
	}
	all := identity("Allow", "glacier:*", "*")
	with := func(p policy.Principal, identity []policy.Policy) caller {
		return caller{p, policy.Policies{Identity: identity}}
	}
	m := map[string]caller{
		"rootA": with(root(accountA), nil),
		"rootB": with(root(accountB), nil),
		"alice": with(user(accountA, "alice"), nil),
		"bob":   with(user(accountA, "bob"), one(all)),
		"carol": with(user(accountA, "carol"), one(identity("Allow", "glacier:DescribeVault glacier:ListVaults", vaults+"*"))),
		"dave":  with(user(accountA, "dave"), one(all, identity("Deny", "glacier:DeleteArchive", "*"))),
		"gina":  with(user(accountA, "gina"), one(identity("Allow", "glacier:*", vaults+"${aws:username}-*"))),
		"hugo":  with(user(accountA, "hugo"), one(identity("Allow", "GLACIER:describe*", v1))),
		"ivan":  with(user(accountA, "ivan"), one(identity("Allow", "!glacier:Delete*", "*"))),
		"judy":  with(user(accountA, "judy"), one(identity("Allow", "glacier:*", "!"+vaults+"v2"))),
		"opsUp": with(session(accountA, "ops", "s1"), one(identity("Allow", "glacier:UploadArchive", v1))),
		"opsSP": with(session(accountA, "ops", "s1"), one(all)),
		"erin":  with(user(accountB, "erin"), one(all)),
		"frank": with(user(accountB, "frank"), nil),
		"comp":  with(session(accountA, "compliance", "s1"), one(all)),
	}
	bobPB := m["bob"]
	bobPB.policies.Boundary = &policy.Policy{Name: "boundary", Document: parse(t, document(identity("Allow", "glacier:Describe*", "*")))}
	m["bobPB"] = bobPB
	opsSP := m["opsSP"]
	opsSP.policies.Session = one(identity("Allow", "glacier:DescribeVault", "*"))
	m["opsSP"] = opsSP
	return m
}

// The principals of the vault policies.
const (
	bobARN     = `"arn:aws:iam::111111111111:user/bob"`
	rootARN    = `"arn:aws:iam::111111111111:root"`
	opsARN     = `"arn:aws:iam::111111111111:role/ops"`
	sessionARN = `"arn:aws:sts::111111111111:assumed-role/ops/s1"`
	anybody    = `"Principal":"*"`
	toAlice    = `"Principal":{"AWS":"arn:aws:iam::111111111111:user/alice"}`
	toErin     = `"Principal":{"AWS":"arn:aws:iam::222222222222:user/erin"}`
)

func to(principal string) string { return `"Principal":{"AWS":` + principal + `}` }
func notTo(principals ...string) string {
	return `"NotPrincipal":{"AWS":[` + strings.Join(principals, ",") + `]}`
}

// statement writes a statement about a vault's ARN; condition may be empty.
func statement(effect, principal, actions, resource, condition string) string {
	if condition != "" {
		condition = `,"Condition":{` + condition + `}`
	}
	return fmt.Sprintf(`{"Effect":%q,%s,%s,"Resource":%q%s}`, effect, principal, member("Action", actions), resource, condition)
}

// vaultPolicies are those of access-control §5.3 and §6.4 by name.
func vaultPolicies() map[string]string {
	const (
		archive  = "glacier:DeleteArchive"
		describe = "glacier:DescribeVault"
		all      = "glacier:*"
		tls      = `"Bool":{"aws:SecureTransport":"false"}`
	)
	oneYear := statement("Deny", anybody, archive, v1, `"NumericLessThan":{"glacier:ArchiveAgeInDays":"365"}`)
	hold := statement("Deny", anybody, archive, v1, `"StringEqualsIgnoreCase":{"glacier:ResourceTag/LegalHold":["true","yes",""]}`)
	m := map[string][]string{
		"AP1":  {statement("Allow", toAlice, describe, v1, "")},
		"AP2":  {statement("Allow", to(`"111111111111"`), describe, v1, "")},
		"AP3":  {statement("Allow", to(`"arn:aws:iam::222222222222:root"`), "glacier:UploadArchive glacier:InitiateMultipartUpload", v1, "")},
		"AP4":  {statement("Allow", anybody, describe, v1, "")},
		"AP5":  {statement("Deny", to(`"*"`), archive, v1, "")},
		"AP6":  {statement("Allow", toErin, archive, v1, `"Bool":{"aws:MultiFactorAuthPresent":"true"}`)},
		"AP7":  {statement("Deny", notTo(bobARN, rootARN), all, v1, "")},
		"AP8":  {statement("Allow", to(`"222222222222"`), all, v1, `"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`)},
		"AP9":  {statement("Deny", anybody, all, v1, tls)},
		"AP10": {statement("Allow", to(opsARN), archive, v1, "")},
		"AP11": {statement("Allow", to(sessionARN), archive, v1, "")},
		"AP12": {statement("Allow", toAlice, all, vaults+"v2", "")},
		"AP13": {statement("Deny", anybody, archive, v1, `"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}`)},
		"AP14": {statement("Deny", to(bobARN), "glacier:DeleteVault glacier:DeleteArchive", v1, "")},
		"AP15": {statement("Allow", toAlice, archive, v1, ""), statement("Deny", to(`"111111111111"`), archive, v1, "")},
		"AP16": {statement("Deny", notTo(bobARN), all, v1, "")},
		"AP17": {statement("Deny", notTo(sessionARN, opsARN, `"111111111111"`), all, v1, "")},
		"AP18": {statement("Deny", notTo(opsARN, `"111111111111"`), all, v1, "")},
		"AP19": {statement("Deny", anybody, all, v1, "")},
		"LP1":  {oneYear},
		"LP2":  {statement("Deny", anybody, archive, v1, `"StringEquals":{"glacier:ResourceTag/LegalHold":"true"}`)},
		"LP3":  {statement("Allow", toAlice, archive, v1, `"NumericGreaterThanEquals":{"glacier:ArchiveAgeInDays":365}`)},
		"LP4":  {statement("Deny", to(rootARN), archive, v1, "")},
		"LP5":  {statement("Deny", anybody, all, v1, "")},
		"W1":   {oneYear},
		"W2":   {hold},
		"W3": {
			oneYear, hold,
			statement("Deny", anybody, "glacier:AddTagsToVault glacier:RemoveTagsFromVault", v1,
				`"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::111111111111:role/compliance"}`),
			statement("Deny", anybody, "glacier:DeleteVault", v1, ""),
			statement("Deny", anybody, all, v1, tls),
		},
	}
	texts := make(map[string]string, len(m))
	for name, statements := range m {
		texts[name] = document(statements...)
	}
	return texts
}

// vaultPolicy parses, validates and binds a vault's policy.
func vaultPolicy(t testing.TB, name string, kind policy.Kind, vault string) *policy.Policy {
	t.Helper()
	d := parse(t, vaultPolicies()[name])
	if _, err := policy.Validate(d, policy.Target{Kind: kind, Vault: vault}); err != nil {
		t.Fatalf("Validate(%s): %v", name, err)
	}
	b, err := policy.Bind(d, lookup)
	if err != nil {
		t.Fatalf("Bind(%s): %v", name, err)
	}
	return &policy.Policy{Name: name, Document: d, Bindings: b}
}

// request is one with the base context of access-control §5.3, in which the
// given values replace others.
func request(p policy.Principal, action, resource string, values map[string]string) *policy.Request {
	r := &policy.Request{Principal: p, Action: "glacier:" + action, Resource: resource, Now: noon}
	base := map[string]string{"aws:SecureTransport": "true", "aws:SourceIp": "198.51.100.7"}
	for key, value := range values {
		base[key] = value
	}
	for key, value := range base {
		r.Context.Add(key, value)
	}
	return r
}

// table reads a table of testdata: columns between bars, comments after #.
func table(t *testing.T, name string) [][]string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		cells := strings.Split(line, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}
