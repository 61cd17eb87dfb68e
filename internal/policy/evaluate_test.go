package policy_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"moraine/internal/policy"
)

// outcome writes a decision as the tables do.
func outcome(d policy.Decision) string {
	if d.Allowed {
		return "A " + d.Reason.String()
	}
	return "D " + d.Reason.String()
}

// TestDecisions runs the decision table of access-control §5.3.
func TestDecisions(t *testing.T) {
	t.Parallel()
	keys := map[string]string{
		"age": "glacier:ArchiveAgeInDays", "LegalHold": "glacier:ResourceTag/LegalHold",
		"MFA": "aws:MultiFactorAuthPresent", "ip": "aws:SourceIp", "tls": "aws:SecureTransport",
	}
	resources := map[string]string{
		"(list)": vaults, "retrieval policy": "arn:aws:glacier:us-east-1:111111111111:policies/retrieval-limit-policy",
	}
	rows := table(t, "decisions.txt")
	if len(rows) != 83 {
		t.Fatalf("%d rows, want 83", len(rows))
	}
	for _, row := range rows {
		t.Run(row[0]+" "+row[1]+" "+row[2], func(t *testing.T) {
			t.Parallel()
			c := callers(t)[row[1]]
			resource, ok := resources[row[3]]
			if !ok {
				resource = vaults + row[3]
			}
			for _, name := range strings.Split(row[4], "+") {
				switch {
				case strings.HasPrefix(name, "AP"):
					c.policies.Access = vaultPolicy(t, name, policy.AccessPolicy, resourceOf(name))
				case strings.HasPrefix(name, "LP"):
					c.policies.Lock = vaultPolicy(t, name, policy.LockPolicy, v1)
				}
			}
			values := make(map[string]string)
			if key, value, found := strings.Cut(row[5], "="); found {
				values[keys[key]] = value
			}
			d := policy.Evaluate(request(c.principal, row[2], resource, values), &c.policies)
			if got := outcome(d); got != row[6] {
				t.Errorf("%v\ngot %s, want %s; statements %+v", row, got, row[6], d.Statements)
			}
			if d.Reason.Explicit() != strings.HasSuffix(row[6], "-explicit") || d.Reason.Explicit() && len(d.Statements) == 0 {
				t.Errorf("%v: explicit %t, statements %+v", row, d.Reason.Explicit(), d.Statements)
			}
		})
	}
}

// resourceOf returns the vault a policy of the fixtures is written for.
func resourceOf(name string) string {
	if name == "AP12" {
		return vaults + "v2"
	}
	return v1
}

// TestLocks runs the lock cases of access-control §6.4.
func TestLocks(t *testing.T) {
	t.Parallel()
	rows := table(t, "locks.txt")
	if len(rows) != 28 {
		t.Fatalf("%d rows, want 28", len(rows))
	}
	for _, row := range rows {
		t.Run(strings.Join(row[:5], " "), func(t *testing.T) {
			t.Parallel()
			values := make(map[string]string)
			if row[3] != "-" {
				values["glacier:ArchiveAgeInDays"] = row[3]
			}
			switch row[4] {
			case "-":
			case "- (plain HTTP)":
				values["aws:SecureTransport"] = "false"
			default:
				values["glacier:ResourceTag/LegalHold"] = strings.Trim(row[4], `"`)
			}
			c := callers(t)[row[1]]
			c.policies.Lock = vaultPolicy(t, row[0], policy.LockPolicy, v1)
			d := policy.Evaluate(request(c.principal, row[2], v1, values), &c.policies)
			if got := outcome(d); got != row[5] {
				t.Errorf("%v: got %s, want %s", row, got, row[5])
			}
		})
	}
}

// TestLockAllowIsOverruled checks that an access policy cannot allow what a
// lock policy denies (access-control §6.5, L10).
func TestLockAllowIsOverruled(t *testing.T) {
	t.Parallel()
	c := callers(t)["alice"]
	c.policies.Lock = vaultPolicy(t, "W1", policy.LockPolicy, v1)
	d := parse(t, document(statement("Allow", anybody, "glacier:DeleteArchive", v1, "")))
	c.policies.Access = &policy.Policy{Name: "access", Document: d}
	values := map[string]string{"glacier:ArchiveAgeInDays": "1"}
	if got := outcome(policy.Evaluate(request(c.principal, "DeleteArchive", v1, values), &c.policies)); got != "D lock-policy-explicit" {
		t.Errorf("got %s", got)
	}
}

// TestStatements checks what a decision says about its grounds.
func TestStatements(t *testing.T) {
	t.Parallel()
	c := callers(t)["dave"]
	c.policies.Access = vaultPolicy(t, "AP5", policy.AccessPolicy, v1)
	tests := []struct {
		action string
		want   string
	}{
		{"DeleteArchive", "[identity inline 1 Deny access-policy AP5 0 Deny]"},
		{"UploadArchive", "[identity inline 0 Allow]"},
	}
	for _, tt := range tests {
		d := policy.Evaluate(request(c.principal, tt.action, v1, nil), &c.policies)
		var got []string
		for _, m := range d.Statements {
			got = append(got, fmt.Sprint(m.Kind, " ", m.Policy, " ", m.Index, " ", m.Effect))
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("%s: got %v, want %s", tt.action, got, tt.want)
		}
	}
}

// TestFailClosed checks that a document that does not parse, and more
// statements than allowed, deny even the root.
func TestFailClosed(t *testing.T) {
	t.Parallel()
	c := callers(t)["rootA"]
	r := request(c.principal, "DescribeVault", v1, nil)
	c.policies.Access = &policy.Policy{Name: "damaged"}
	d := policy.Evaluate(r, &c.policies)
	if got := outcome(d); got != "D policy-unreadable" || len(d.Statements) != 1 || d.Statements[0].Policy != "damaged" {
		t.Errorf("got %s, %+v", got, d.Statements)
	}
	many := slices.Repeat([]string{identity("Allow", "glacier:ListJobs", "*")}, 1001)
	c.policies.Access = nil
	big := parse(t, document(many...))
	c.policies.Identity = slices.Repeat([]policy.Policy{{Document: big}}, 10)
	if got := outcome(policy.Evaluate(r, &c.policies)); got != "D policy-exhausted" {
		t.Errorf("10010 statements: got %s", got)
	}
	c.policies.Identity = slices.Repeat([]policy.Policy{{Document: parse(t, document(many[:1000]...))}}, 10)
	if got := outcome(policy.Evaluate(r, &c.policies)); got != "A root" {
		t.Errorf("10000 statements: got %s", got)
	}
	c.policies.Session = []policy.Policy{{Document: parse(t, document(many[0]))}}
	if got := outcome(policy.Evaluate(r, &c.policies)); got != "D policy-exhausted" {
		t.Errorf("10001 statements: got %s", got)
	}
	if got := outcome(policy.Evaluate(r, &policy.Policies{})); got != "A root" {
		t.Errorf("no policies: got %s", got)
	}
	if got := outcome(policy.Decision{}); got != "D none" {
		t.Errorf("zero decision: got %s", got)
	}
}

// TestIdentityActions checks that a vault's policies have no say in what only
// identity policies govern (access-control §3.6).
func TestIdentityActions(t *testing.T) {
	t.Parallel()
	all := callers(t)
	alice, bob := all["alice"], all["bob"]
	alice.policies.Access = &policy.Policy{Document: parse(t, document(statement("Allow", anybody, "glacier:*", v1, "")))}
	bob.policies.Access = vaultPolicy(t, "AP19", policy.AccessPolicy, v1)
	if got := outcome(policy.Evaluate(request(alice.principal, "CreateVault", v1, nil), &alice.policies)); got != "D identity-implicit" {
		t.Errorf("alice: got %s", got)
	}
	if got := outcome(policy.Evaluate(request(bob.principal, "CreateVault", v1, nil), &bob.policies)); got != "A identity" {
		t.Errorf("bob: got %s", got)
	}
}

// TestExemptions checks how far the exemptions from step 1 reach: 1a is for
// the owner's root and the access policy, 1b for the lock policy.
func TestExemptions(t *testing.T) {
	t.Parallel()
	all := callers(t)
	access := vaultPolicy(t, "AP19", policy.AccessPolicy, v1)
	lock := vaultPolicy(t, "LP5", policy.LockPolicy, v1)
	open := &policy.Policy{Document: parse(t, document(statement("Allow", anybody, "glacier:*", v1, "")))}
	deny := []policy.Policy{{Document: parse(t, document(identity("Deny", "glacier:AbortVaultLock", "*")))}}
	tests := []struct {
		name, caller, action string
		policies             policy.Policies
		want                 string
	}{
		{"root sets", "rootA", "SetVaultAccessPolicy", policy.Policies{Access: access}, "A root-recovery"},
		{"root gets", "rootA", "GetVaultAccessPolicy", policy.Policies{Access: access}, "A root-recovery"},
		{"root deletes", "rootA", "DeleteVaultAccessPolicy", policy.Policies{Access: access}, "A root-recovery"},
		{"nothing to recover from", "rootA", "SetVaultAccessPolicy", policy.Policies{}, "A root"},
		{"locked too", "rootA", "SetVaultAccessPolicy", policy.Policies{Access: access, Lock: lock}, "D lock-policy-explicit"},
		{"foreign root", "rootB", "SetVaultAccessPolicy", policy.Policies{Access: access, Lock: open}, "D access-policy-explicit"},
		{"abort", "bob", "AbortVaultLock", policy.Policies{Identity: all["bob"].policies.Identity, Lock: lock}, "A identity"},
		{"abort, access policy", "bob", "AbortVaultLock", policy.Policies{Identity: all["bob"].policies.Identity, Access: access, Lock: lock}, "D access-policy-explicit"},
		{"abort, own policy", "bob", "AbortVaultLock", policy.Policies{Identity: deny, Lock: lock}, "D identity-explicit"},
	}
	for _, tt := range tests {
		d := policy.Evaluate(request(all[tt.caller].principal, tt.action, v1, nil), &tt.policies)
		if got := outcome(d); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestTrust checks the rules for assuming a role: the trust policy must allow,
// and an account it names delegates to its users' own policies.
func TestTrust(t *testing.T) {
	t.Parallel()
	const role = "arn:aws:iam::111111111111:role/ops"
	trust := func(effect, principal string) *policy.Policy {
		d := parse(t, document(fmt.Sprintf(`{"Effect":%q,%s,"Action":"sts:AssumeRole"}`, effect, principal)))
		if _, err := policy.Validate(d, policy.Target{Kind: policy.TrustPolicy}); err != nil {
			t.Fatal(err)
		}
		b, err := policy.Bind(d, lookup)
		if err != nil {
			t.Fatal(err)
		}
		return &policy.Policy{Name: "trust", Document: d, Bindings: b}
	}
	assume := []policy.Policy{{Document: parse(t, document(identity("Allow", "sts:*", "*")))}}
	tests := []struct {
		name     string
		caller   policy.Principal
		identity []policy.Policy
		trust    *policy.Policy
		want     string
	}{
		{"own policy alone", user(accountA, "bob"), assume, trust("Allow", toAlice), "D resource-implicit"},
		{"named", user(accountA, "alice"), nil, trust("Allow", toAlice), "A resource-direct"},
		{"account, no own policy", user(accountA, "alice"), nil, trust("Allow", to(`"111111111111"`)), "D identity-implicit"},
		{"account and own policy", user(accountA, "alice"), assume, trust("Allow", to(`"111111111111"`)), "A identity"},
		{"foreign", user(accountB, "erin"), assume, trust("Allow", toErin), "A cross-account"},
		{"foreign, one side", user(accountB, "erin"), nil, trust("Allow", toErin), "D identity-implicit"},
		{"denied", user(accountA, "alice"), assume, trust("Deny", anybody), "D trust-explicit"},
	}
	for _, tt := range tests {
		r := &policy.Request{Principal: tt.caller, Action: "sts:AssumeRole", Resource: role, Now: noon}
		p := &policy.Policies{Identity: tt.identity, Trust: tt.trust}
		if got := outcome(policy.Evaluate(r, p)); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestNarrowing checks which missing Allow is reported first where several
// are (access-control §5.2, steps 6 and 10).
func TestNarrowing(t *testing.T) {
	t.Parallel()
	nothing := policy.Policy{Document: parse(t, document(identity("Allow", "s3:*", "*")))}
	all := callers(t)
	access := vaultPolicy(t, "AP4", policy.AccessPolicy, v1)
	bob, erin := all["bob"], all["erin"]
	tests := []struct {
		name string
		c    caller
		p    policy.Policies
		want string
	}{
		{"all missing", bob, policy.Policies{Session: []policy.Policy{nothing}, Boundary: &nothing}, "D session-implicit"},
		{"boundary missing too", bob, policy.Policies{Boundary: &nothing}, "D boundary-implicit"},
		{"foreign, all missing", erin, policy.Policies{Session: []policy.Policy{nothing}, Boundary: &nothing, Access: access}, "D identity-implicit"},
		{"foreign, narrowed", erin, policy.Policies{Identity: erin.policies.Identity, Session: []policy.Policy{nothing}, Boundary: &nothing, Access: access}, "D session-implicit"},
		{"foreign, bounded", erin, policy.Policies{Identity: erin.policies.Identity, Boundary: &nothing, Access: access}, "D boundary-implicit"},
		{"either session policy will do", bob, policy.Policies{Identity: bob.policies.Identity, Session: []policy.Policy{nothing, bob.policies.Identity[0]}}, "A identity"},
	}
	for _, tt := range tests {
		d := policy.Evaluate(request(tt.c.principal, "DescribeVault", v1, nil), &tt.p)
		if got := outcome(d); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestTagAlternatives checks vault tags whose keys differ by case only
// (access-control §4.3).
func TestTagAlternatives(t *testing.T) {
	t.Parallel()
	condition := `"StringEquals":{"glacier:ResourceTag/legalhold":"true"}`
	tests := []struct {
		effect string
		values []string
		want   string
	}{
		{"Deny", []string{"true", "true"}, "D access-policy-explicit"},
		{"Deny", []string{"false", "true"}, "D access-policy-explicit"},
		{"Deny", []string{"false", "false"}, "D identity-implicit"},
		{"Allow", []string{"true", "true"}, "A resource-direct"},
		{"Allow", []string{"true", "false"}, "D identity-implicit"},
	}
	for _, tt := range tests {
		r := request(user(accountA, "alice"), "DeleteArchive", v1, nil)
		for i, value := range tt.values {
			r.Context.Add([]string{"glacier:ResourceTag/LegalHold", "glacier:ResourceTag/LEGALHOLD"}[i], value)
		}
		d := parse(t, document(statement(tt.effect, anybody, "glacier:DeleteArchive", v1, condition)))
		p := &policy.Policies{Access: &policy.Policy{Document: d}}
		if got := outcome(policy.Evaluate(r, p)); got != tt.want {
			t.Errorf("%s %v: got %s, want %s", tt.effect, tt.values, got, tt.want)
		}
	}
}

// TestDenyNeverAllows checks that one more Deny, anywhere, never turns a
// denied request into an allowed one.
func TestDenyNeverAllows(t *testing.T) {
	t.Parallel()
	everybody := callers(t)
	texts := vaultPolicies()
	names := slices.Sorted(maps.Keys(everybody))
	policies := slices.Sorted(maps.Keys(texts))
	actions := []string{"DescribeVault", "DeleteArchive", "UploadArchive", "SetVaultAccessPolicy", "AbortVaultLock", "CompleteVaultLock", "CreateVault"}
	rapid.Check(t, func(rt *rapid.T) {
		c := everybody[rapid.SampledFrom(names).Draw(rt, "caller")]
		values := map[string]string{
			"aws:SecureTransport":           rapid.SampledFrom([]string{"true", "false"}).Draw(rt, "tls"),
			"glacier:ArchiveAgeInDays":      rapid.SampledFrom([]string{"0", "364", "365"}).Draw(rt, "age"),
			"glacier:ResourceTag/LegalHold": rapid.SampledFrom([]string{"true", "no"}).Draw(rt, "hold"),
		}
		r := request(c.principal, rapid.SampledFrom(actions).Draw(rt, "action"), v1, values)
		draw := func(label string) *policy.Policy {
			if !rapid.Bool().Draw(rt, label) {
				return nil
			}
			name := rapid.SampledFrom(policies).Draw(rt, label+" policy")
			return vaultPolicy(t, name, policy.AccessPolicy, resourceOf(name))
		}
		p := c.policies
		p.Access, p.Lock = draw("access"), draw("lock")
		before := policy.Evaluate(r, &p)

		principal := rapid.SampledFrom([]string{anybody, toAlice, to(bobARN), notTo(bobARN, rootARN), to(opsARN)}).Draw(rt, "whom")
		effect := statement("Deny", principal, rapid.SampledFrom([]string{"glacier:*", "!glacier:Delete*", "glacier:DescribeVault"}).Draw(rt, "what"), v1, "")
		addDeny(t, &p, rapid.IntRange(0, 4).Draw(rt, "where"), effect, texts)
		after := policy.Evaluate(r, &p)
		if !before.Allowed && after.Allowed {
			rt.Fatalf("%s by %s: %s, then with %s: %s", r.Action, c.principal.ARN, outcome(before), effect, outcome(after))
		}
	})
}

// addDeny adds a statement to one of the policies. For a boundary it takes the
// place of what was there, which narrows too.
func addDeny(t *testing.T, p *policy.Policies, where int, effect string, texts map[string]string) {
	t.Helper()
	deny := policy.Policy{Name: "deny", Document: parse(t, document(effect))}
	switch where {
	case 0:
		p.Identity = append(slices.Clone(p.Identity), deny)
	case 1:
		p.Session = append(slices.Clone(p.Session), deny)
	case 2:
		p.Boundary = &deny
	case 3:
		p.Access = withStatement(t, p.Access, effect, texts)
	default:
		p.Lock = withStatement(t, p.Lock, effect, texts)
	}
}

func withStatement(t *testing.T, p *policy.Policy, effect string, texts map[string]string) *policy.Policy {
	t.Helper()
	text := document(effect)
	if p != nil {
		text = strings.TrimSuffix(texts[p.Name], "]}") + "," + effect + "]}"
	}
	d := parse(t, text)
	b, err := policy.Bind(d, lookup)
	if err != nil {
		t.Fatal(err)
	}
	return &policy.Policy{Name: "more", Document: d, Bindings: b}
}
