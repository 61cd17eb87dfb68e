package meta

import "moraine"

// Accounts is the table of accounts.
type Accounts interface {
	Get(id moraine.AccountID) (moraine.Account, error)
	// List returns at most limit accounts with a greater id, in order of id.
	List(after moraine.AccountID, limit int) ([]moraine.Account, error)
	// Insert adds an account with revision 0, whatever a says. That there is one
	// with this id already is an error.
	Insert(a moraine.Account) error
}

// Identities is the table of users, groups, roles and managed policies. Each
// change raises the revision of the account by one; in an account that does not
// exist it is ErrNotFound.
type Identities interface {
	// Get finds an identity by its lower-case name.
	Get(a moraine.AccountID, kind moraine.IdentityKind, name string) (moraine.Identity, error)
	ByID(id string) (moraine.Identity, error)
	// List returns at most limit identities of one kind in byte order of name,
	// the first one being the next after the given name.
	List(a moraine.AccountID, kind moraine.IdentityKind, after string, limit int) ([]moraine.Identity, error)
	Count(a moraine.AccountID, kind moraine.IdentityKind) (int, error)
	// Save inserts the identity or replaces the row with its ID. Callers Get
	// first in the same transaction: a second identity of the same account, kind
	// and name is an error. Account and kind of an ID do not change.
	Save(i moraine.Identity) error
	Delete(id string) error
}

// AccessKeys is the table of long-term access keys. Save and Delete raise the
// revision of the account as changes of identities do.
type AccessKeys interface {
	Get(id string) (moraine.AccessKey, error)
	// List returns at most limit keys of an owner in order of Created and ID.
	List(a moraine.AccountID, owner string, limit int) ([]moraine.AccessKey, error)
	// Save inserts the key or replaces the row with its ID, but for the last
	// use of a key that is there. Account and owner of an ID do not change.
	Save(k moraine.AccessKey) error
	Delete(id string) error
	// Touch notes a use of the key unless a later one is noted. It raises no
	// revision. A key that is gone is none to note.
	Touch(id string, use moraine.KeyUse) error
}

// BlobKeys is the table of keys that wrap the keys of encrypted blobs. They are
// few. None is ever removed: blobs may need it.
type BlobKeys interface {
	// List returns all keys in order of (Created, ID).
	List() ([]moraine.BlobKey, error)
	// Save inserts the key or replaces the row with its ID.
	Save(k moraine.BlobKey) error
}
