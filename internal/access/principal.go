package access

import (
	"time"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// Principal is an authenticated identity with everything a decision needs to
// know of it. It is not changed after it is made and may be shared.
type Principal struct {
	Account moraine.AccountID
	ARN     string // as policies and refusals name it
	Root    bool   // the account itself
	// ID is the unique id: AIDA… of a user, AROA…:session of a role's session;
	// empty for root, whose id is its account.
	ID string
	// RoleARN and RoleID are those of the role of a session, else empty.
	RoleARN, RoleID string

	// Identity are the policies of a user, its groups, or a role.
	Identity []policy.Policy
	// Session narrow this session; none for most.
	Session []policy.Policy
	// Boundary narrows the user or role; nil for most.
	Boundary *policy.Policy

	Tags []moraine.Tag // of the user or role and of its session
	// Transitive are the keys of Tags that go on to sessions begun from this one.
	Transitive []string
	// Issued is when the session of a temporary key began; zero for a long-term
	// key.
	Issued time.Time
	// RevokeBefore is when a session of the role must have begun to be good.
	RevokeBefore time.Time
	// Revocations is how many of them a session of the role must know of to be
	// good.
	Revocations int64
	// Renew confirms, inside the transaction that acts, that the key of the
	// request may still be used, and returns the principal as its policies are
	// there. A long request must not outlive a revocation. Nil for a principal
	// that nothing in the rows can change.
	Renew func(tx meta.Tx) (Principal, error)
	// SourceIdentity was set when the role was assumed, else empty.
	SourceIdentity string
}

// Fresh returns p as it is now, or why it may no longer act.
func (p *Principal) Fresh(tx meta.Tx) (Principal, error) {
	if p.Renew == nil {
		return *p, nil
	}
	return p.Renew(tx)
}

// Caller is the principal as the evaluator names it.
func (p *Principal) Caller() policy.Principal {
	c := policy.Principal{
		Type: policy.User, Account: string(p.Account), ARN: p.ARN, ID: p.ID, RoleARN: p.RoleARN, RoleID: p.RoleID,
	}
	switch {
	case p.Root:
		c.Type, c.ID = policy.Account, string(p.Account)
	case p.RoleID != "":
		c.Type = policy.AssumedRole
	}
	return c
}

// Policies are those of the principal. The caller adds the resource's.
func (p *Principal) Policies() policy.Policies {
	return policy.Policies{Identity: p.Identity, Session: p.Session, Boundary: p.Boundary}
}

// Describe adds the condition keys that say something of the principal and do
// not follow from Caller (access-control §4.3).
func (p *Principal) Describe(c *policy.Context) {
	for _, t := range p.Tags {
		c.Add("aws:PrincipalTag/"+t.Key, t.Value)
	}
	if !p.Issued.IsZero() {
		c.Add("aws:TokenIssueTime", p.Issued.UTC().Format(time.RFC3339))
		c.Add("aws:MultiFactorAuthPresent", "false")
	}
	if p.SourceIdentity != "" {
		c.Add("aws:SourceIdentity", p.SourceIdentity)
	}
}
