package policy_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/policy"
)

// TestPrincipals covers the forms of access-control §3.3: which callers an
// Allow reaches, seen by callers without any other right.
func TestPrincipals(t *testing.T) {
	t.Parallel()
	alice, erin, ops := user(accountA, "alice"), user(accountB, "erin"), session(accountA, "ops", "s1")
	deep := alice
	deep.ARN = "arn:aws:iam::111111111111:user/team/alice"
	const (
		yes = "A resource-direct"
		no  = "D identity-implicit"
	)
	quoted := func(s string) string { return `"` + s + `"` }
	tests := []struct {
		name, principal string
		caller          policy.Principal
		want            string
	}{
		{"everyone", `"*"`, alice, yes},
		{"everyone, foreign", `"*"`, erin, no},
		{"account", `"111111111111"`, alice, no},
		{"root", rootARN, alice, no},
		{"user", quoted(alice.ARN), alice, yes},
		{"user of another path", quoted(alice.ARN), deep, no},
		{"user with path", quoted(deep.ARN), deep, yes},
		{"user, other case", quoted("arn:aws:iam::111111111111:user/Alice"), alice, no},
		{"user id", quoted(alice.ID), alice, yes},
		{"another user id", quoted(erin.ID), alice, no},
		{"role", opsARN, ops, "A resource-role"},
		{"role id", quoted(ops.RoleID), ops, "A resource-role"},
		{"session", sessionARN, ops, yes},
		{"another session", quoted("arn:aws:sts::111111111111:assumed-role/ops/s2"), ops, no},
		{"role, seen by a user", opsARN, alice, no},
		{"closest form wins", opsARN + `,"111111111111",` + sessionARN, ops, yes},
	}
	for _, tt := range tests {
		d := parse(t, document(statement("Allow", `"Principal":{"AWS":[`+tt.principal+`]}`, "*", v1, "")))
		b, err := policy.Bind(d, lookup)
		if err != nil {
			t.Fatal(err)
		}
		p := &policy.Policies{Access: &policy.Policy{Document: d, Bindings: b}}
		if got := outcome(policy.Evaluate(request(tt.caller, "DescribeVault", v1, nil), p)); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestStability covers names that come to belong to somebody else
// (access-control §2.1; H10 of §5.3).
func TestStability(t *testing.T) {
	t.Parallel()
	alice := user(accountA, "alice")
	again := alice
	again.ID = userID("other")
	renamed := alice
	renamed.ARN = "arn:aws:iam::111111111111:user/alicia"
	ops := session(accountA, "ops", "s1")
	ops2 := ops
	ops2.RoleID, ops2.ID = roleID("other"), roleID("other")+":s1"
	bound := policy.Bindings{alice.ARN: alice.ID, ops.RoleARN: ops.RoleID, ops.ARN: ops.RoleID}
	unknown := policy.Bindings{alice.ARN: ""}
	tests := []struct {
		name, effect, principal string
		bindings                policy.Bindings
		caller                  policy.Principal
		applies                 bool
	}{
		{"allow", "Allow", to(`"` + alice.ARN + `"`), bound, alice, true},
		{"allow, made again", "Allow", to(`"` + alice.ARN + `"`), bound, again, false},
		{"allow, renamed", "Allow", to(`"` + alice.ARN + `"`), bound, renamed, false},
		{"allow, account not known then", "Allow", to(`"` + alice.ARN + `"`), unknown, alice, false},
		{"deny, account not known then", "Deny", to(`"` + alice.ARN + `"`), unknown, alice, true},
		{"excepted, account not known then", "Deny", notTo(`"`+alice.ARN+`"`, rootARN), unknown, alice, true},
		{"allow, no table", "Allow", to(`"` + alice.ARN + `"`), nil, alice, false},
		{"deny", "Deny", to(`"` + alice.ARN + `"`), bound, alice, true},
		{"deny, made again", "Deny", to(`"` + alice.ARN + `"`), bound, again, true},
		{"deny, renamed", "Deny", to(`"` + alice.ARN + `"`), bound, renamed, true},
		{"deny, no table", "Deny", to(`"` + alice.ARN + `"`), nil, alice, true},
		{"deny, no table, another", "Deny", to(`"` + alice.ARN + `"`), nil, renamed, false},
		{"allow session", "Allow", to(sessionARN), bound, ops, true},
		{"allow session, role made again", "Allow", to(sessionARN), bound, ops2, false},
		{"allow role, made again", "Allow", to(opsARN), bound, ops2, false},
		{"deny session, role made again", "Deny", to(sessionARN), bound, ops2, true},
		{"deny role, made again", "Deny", to(opsARN), bound, ops2, true},
		{"excepted", "Deny", notTo(`"`+alice.ARN+`"`, rootARN), bound, alice, false},
		{"excepted, made again", "Deny", notTo(`"`+alice.ARN+`"`, rootARN), bound, again, true},
		{"excepted, no table", "Deny", notTo(`"`+alice.ARN+`"`, rootARN), nil, alice, true},
		{"excepted by id", "Deny", notTo(`"`+alice.ID+`"`, rootARN), nil, alice, false},
		{"excepted session, role by id", "Deny", notTo(sessionARN, `"`+ops.RoleID+`"`, rootARN), bound, ops, false},
		{"deny another session", "Deny", to(`"arn:aws:sts::111111111111:assumed-role/ops/s2"`), policy.Bindings{"arn:aws:sts::111111111111:assumed-role/ops/s2": ops.RoleID}, ops, false},
		{"excepted session, not its role", "Deny", notTo(sessionARN, rootARN), bound, ops, true},
		{"excepted session, not its account", "Deny", notTo(sessionARN, opsARN), bound, ops, true},
		{"excepted account alone", "Deny", notTo(rootARN), bound, root(accountA), false},
	}
	for _, tt := range tests {
		d := parse(t, document(statement(tt.effect, tt.principal, "*", v1, "")))
		p := &policy.Policies{Access: &policy.Policy{Document: d, Bindings: tt.bindings}}
		got := policy.Evaluate(request(tt.caller, "DescribeVault", v1, nil), p)
		if applies := len(got.Statements) > 0; applies != tt.applies {
			t.Errorf("%s: got %s, applies %t, want %t", tt.name, outcome(got), applies, tt.applies)
		}
	}
}

func TestBind(t *testing.T) {
	t.Parallel()
	const (
		here      = "arn:aws:iam::111111111111:user/alice"
		gone      = "arn:aws:iam::111111111111:user/gone"
		elsewhere = "arn:aws:iam::999999999999:role/x"
		session   = "arn:aws:sts::111111111111:assumed-role/ops/s1"
	)
	errLookup := errors.New("lookup")
	find := func(principal string) (string, bool, error) {
		switch principal {
		case here, userID("alice"):
			return userID("alice"), true, nil
		case session:
			return roleID("ops"), true, nil
		case "arn:aws:iam::111111111111:user/broken":
			return "", false, errLookup
		default:
			return "", principal == gone, nil
		}
	}
	bind := func(principals string) (policy.Bindings, error) {
		return policy.Bind(parse(t, document(statement("Allow", to(principals), "*", v1, ""))), find)
	}
	got, err := bind(`["` + here + `","` + elsewhere + `","` + session + `","` + userID("alice") + `","*","111111111111"]`)
	want := policy.Bindings{here: userID("alice"), elsewhere: "", session: roleID("ops")}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	for _, principal := range []string{gone, userID("gone")} {
		_, err := bind(`["*","` + principal + `"]`)
		var e *policy.Error
		if !errors.As(err, &e) || e.Problem != policy.ProblemPrincipal || e.Pointer != "/Statement/0/Principal/AWS/1" {
			t.Errorf("%s: %v", principal, err)
		}
	}
	if _, err := bind(`"arn:aws:iam::111111111111:user/broken"`); !errors.Is(err, errLookup) {
		t.Errorf("lookup fails: %v", err)
	}
}
