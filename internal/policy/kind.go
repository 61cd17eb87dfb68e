package policy

// Kind is what a policy is attached to, and so what it may say
// (access-control §5.1).
type Kind uint8

// The kinds of policies.
const (
	IdentityPolicy Kind = iota // of a user, a group or a role, inline or managed
	SessionPolicy              // narrows one session
	BoundaryPolicy             // narrows a user or a role
	AccessPolicy               // of a vault
	LockPolicy                 // of a vault's lock
	TrustPolicy                // of a role: who may assume it
)

var kindNames = [...]string{"identity", "session", "boundary", "access-policy", "lock-policy", "trust"}

// String returns the word for the kind in reason codes.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// ofVault reports whether the policy belongs to a vault.
func (k Kind) ofVault() bool { return k == AccessPolicy || k == LockPolicy }

// ofResource reports whether the policy says whom it concerns.
func (k Kind) ofResource() bool { return k.ofVault() || k == TrustPolicy }
