package policy

import "fmt"

// Reason says which rule decided (access-control §5.2).
type Reason uint8

// The reasons. The zero value denies.
const (
	ReasonNone Reason = iota // not evaluated

	ReasonRoot             // the account's own root
	ReasonRootRecovery     // the same, against a Deny it is allowed to undo
	ReasonResourceDirect   // named by the vault's policies
	ReasonResourceRole     // its role is, and nothing narrows it
	ReasonIdentity         // its own policies
	ReasonCrossAccount     // both sides
	ReasonCrossAccountRoot // the vault's policies, to the root of another account

	ReasonIdentityExplicit // a Deny in …
	ReasonSessionExplicit
	ReasonBoundaryExplicit
	ReasonAccessExplicit
	ReasonLockExplicit
	ReasonTrustExplicit

	ReasonIdentityImplicit // no Allow in …
	ReasonSessionImplicit
	ReasonBoundaryImplicit
	ReasonResourceImplicit

	ReasonUnreadable // a stored policy does not parse
	ReasonExhausted  // more statements than a request may cost
)

var reasonCodes = [...]string{
	"none",
	"root", "root-recovery", "resource-direct", "resource-role", "identity", "cross-account", "cross-account(root)",
	"identity-explicit", "session-explicit", "boundary-explicit", "access-policy-explicit", "lock-policy-explicit", "trust-explicit",
	"identity-implicit", "session-implicit", "boundary-implicit", "resource-implicit",
	"policy-unreadable", "policy-exhausted",
}

// String returns the reason code.
func (r Reason) String() string {
	if int(r) < len(reasonCodes) {
		return reasonCodes[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// Explicit reports whether a Deny statement decided.
func (r Reason) Explicit() bool { return r >= ReasonIdentityExplicit && r <= ReasonTrustExplicit }

// explicit returns the reason for a Deny in a policy of kind k.
func (k Kind) explicit() Reason {
	switch k {
	case IdentityPolicy:
		return ReasonIdentityExplicit
	case SessionPolicy:
		return ReasonSessionExplicit
	case BoundaryPolicy:
		return ReasonBoundaryExplicit
	case AccessPolicy:
		return ReasonAccessExplicit
	case LockPolicy:
		return ReasonLockExplicit
	default:
		return ReasonTrustExplicit
	}
}

// Match is a statement that matched a request.
type Match struct {
	Kind   Kind
	Policy string // Policy.Name
	Index  int    // of the statement, from zero; -1 for a policy that does not parse
	Sid    string
	Effect Effect
}

// Decision is the outcome of Evaluate. The zero value denies.
type Decision struct {
	Allowed bool
	Reason  Reason
	// Statements are those that decided: every Deny that applied, or every
	// Allow the reason rests on, or the policy that does not parse. None if a
	// rule decided or an Allow was missing.
	Statements []Match
}

// Denial returns the sentence that tells the caller of r why d denies it
// (access-control §5.4). Callers of another account learn nothing about the
// owner's policies.
func (d *Decision) Denial(r *Request) string {
	prefix := "User: " + r.Principal.ARN + " is not authorized to perform: " + r.Action + " on resource: " + r.Resource
	if r.owner() != r.Principal.Account {
		return prefix
	}
	switch d.Reason {
	case ReasonIdentityExplicit:
		return prefix + " with an explicit deny in an identity-based policy"
	case ReasonSessionExplicit:
		return prefix + " with an explicit deny in a session policy"
	case ReasonBoundaryExplicit:
		return prefix + " with an explicit deny in a permissions boundary"
	case ReasonAccessExplicit, ReasonLockExplicit, ReasonTrustExplicit:
		return prefix + " with an explicit deny in a resource-based policy"
	case ReasonIdentityImplicit:
		return prefix + " because no identity-based policy allows the " + r.Action + " action"
	case ReasonSessionImplicit:
		return prefix + " because no session policy allows the " + r.Action + " action"
	case ReasonBoundaryImplicit:
		return prefix + " because no permissions boundary allows the " + r.Action + " action"
	case ReasonResourceImplicit:
		return prefix + " because no resource-based policy allows the " + r.Action + " action"
	default:
		return prefix
	}
}
