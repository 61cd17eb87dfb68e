package policy_test

import (
	"testing"

	"moraine/internal/policy"
)

// TestDenial covers the sentences of access-control §5.4.
func TestDenial(t *testing.T) {
	t.Parallel()
	const (
		tail   = " is not authorized to perform: glacier:DeleteArchive on resource: " + v1
		bob    = "User: arn:aws:iam::111111111111:user/bob" + tail
		action = " allows the glacier:DeleteArchive action"
	)
	tests := []struct {
		reason policy.Reason
		caller policy.Principal
		want   string
	}{
		{policy.ReasonIdentityImplicit, user(accountA, "bob"), bob + " because no identity-based policy" + action},
		{policy.ReasonResourceImplicit, user(accountA, "bob"), bob + " because no resource-based policy" + action},
		{policy.ReasonBoundaryImplicit, user(accountA, "bob"), bob + " because no permissions boundary" + action},
		{policy.ReasonSessionImplicit, user(accountA, "bob"), bob + " because no session policy" + action},
		{policy.ReasonIdentityExplicit, user(accountA, "bob"), bob + " with an explicit deny in an identity-based policy"},
		{policy.ReasonAccessExplicit, user(accountA, "bob"), bob + " with an explicit deny in a resource-based policy"},
		{policy.ReasonLockExplicit, user(accountA, "bob"), bob + " with an explicit deny in a resource-based policy"},
		{policy.ReasonTrustExplicit, user(accountA, "bob"), bob + " with an explicit deny in a resource-based policy"},
		{policy.ReasonBoundaryExplicit, user(accountA, "bob"), bob + " with an explicit deny in a permissions boundary"},
		{policy.ReasonSessionExplicit, user(accountA, "bob"), bob + " with an explicit deny in a session policy"},
		{policy.ReasonUnreadable, user(accountA, "bob"), bob},
		{policy.ReasonExhausted, user(accountA, "bob"), bob},
		{policy.ReasonLockExplicit, session(accountA, "ops", "s1"), "User: arn:aws:sts::111111111111:assumed-role/ops/s1" + tail + " with an explicit deny in a resource-based policy"},
		{policy.ReasonAccessExplicit, user(accountB, "erin"), "User: arn:aws:iam::222222222222:user/erin" + tail},
		{policy.ReasonIdentityImplicit, user(accountB, "erin"), "User: arn:aws:iam::222222222222:user/erin" + tail},
	}
	for _, tt := range tests {
		d := policy.Decision{Reason: tt.reason}
		if got := d.Denial(request(tt.caller, "DeleteArchive", v1, nil)); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.reason, got, tt.want)
		}
	}
}

// TestOwner checks that the owner of a resource can be told apart from what
// its ARN says, and that a resource of nobody is not the caller's.
func TestOwner(t *testing.T) {
	t.Parallel()
	c := callers(t)["bob"]
	tests := []struct{ resource, owner, want string }{
		{v1, "", "A identity"},
		{v1, accountB, "D resource-implicit"},
		{"*", accountA, "A identity"},
		{"*", "", "D resource-implicit"},
		{"arn:aws:s3:::bucket", "", "D resource-implicit"},
	}
	for _, tt := range tests {
		r := request(c.principal, "DescribeVault", tt.resource, nil)
		r.Owner = tt.owner
		if got := outcome(policy.Evaluate(r, &c.policies)); got != tt.want {
			t.Errorf("%s of %q: got %s, want %s", tt.resource, tt.owner, got, tt.want)
		}
	}
}
