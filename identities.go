package moraine

import "time"

// Account is a tenant of the server: the owner of vaults and identities.
type Account struct {
	ID      AccountID
	Created time.Time
	// Revision counts the changes of the account's identities and access keys.
	// What was compiled from them is good as long as it stands still.
	Revision int64
}

// IdentityKind is what sort of thing an Identity is.
type IdentityKind string

// The kinds. Format: stored, never change.
const (
	UserIdentity   IdentityKind = "user"
	GroupIdentity  IdentityKind = "group"
	RoleIdentity   IdentityKind = "role"
	PolicyIdentity IdentityKind = "policy" // a managed policy
)

// Identity is a user, group, role or managed policy of an account, as far as
// others than its keeper need to know it.
type Identity struct {
	ID      string // unique for ever: AIDA…, AGPA…, AROA… or ANPA…
	Account AccountID
	Kind    IdentityKind
	Name    string // in lower case: names are unique ignoring case
	ARN     string // with path, and the name as it was given
	// Document is everything else, in a form that its keeper chooses.
	Document []byte
}

// AccessKey is a long-term key of a user or of an account's root.
type AccessKey struct {
	ID      string // AKIA…
	Account AccountID
	Owner   string // unique id of the user, or the account id for root
	Active  bool
	Created time.Time
	Sealed  []byte // the secret, encrypted
	Used    KeyUse // zero if never
}

// KeyUse is the last use of an access key that was noted.
type KeyUse struct {
	At      time.Time
	Service string
	Region  string
}

// BlobKey is a key that wraps the keys of encrypted blobs, itself wrapped by a
// master that is kept elsewhere.
type BlobKey struct {
	ID        string
	Created   time.Time
	WrappedBy string // which master, in words that its keeper chooses
	Wrapped   []byte
}
