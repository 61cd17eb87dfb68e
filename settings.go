package moraine

import (
	"crypto/rand"
	"time"
)

// Tag is a label of a vault. Keys are unique in a vault and case-sensitive.
type Tag struct {
	Key, Value string
}

// VaultPolicy is the access policy of a vault.
type VaultPolicy struct {
	Text string // byte for byte as it was set
	// Principals are the unique ids that the principals named in Text had when
	// it was set, in a form that package access chooses.
	Principals string
}

// LockState is how far the lock of a vault is.
type LockState string

// The states of a lock; a vault without one has no row. Format: stored, never
// change.
const (
	LockInProgress LockState = "InProgress"
	LockLocked     LockState = "Locked"
)

// Lock is the lock of a vault and its policy (access-control §6.1).
type Lock struct {
	Vault  VaultID
	Policy VaultPolicy
	State  LockState
	// Proof is the SHA-256 of the lock id, which only the client knows.
	Proof   [32]byte
	Created time.Time // when the lock was initiated
	Expires time.Time // zero once locked
}

// Over reports whether the time of a lock that was never completed has passed:
// such a lock is as good as none.
func (l *Lock) Over(now time.Time) bool { return l.State == LockInProgress && !now.Before(l.Expires) }

// lockIDChars make up lock ids.
const lockIDChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// NewLockID makes a secret of 142 random bits (§1.15, access-control §6.1).
func NewLockID() string {
	id := make([]byte, 0, shortIDLen)
	var raw [2 * shortIDLen]byte
	for len(id) < shortIDLen {
		rand.Read(raw[:])
		for _, b := range raw {
			// Six bits, of which 62 of 64 values are letters or digits.
			if b &= 63; int(b) < len(lockIDChars) && len(id) < shortIDLen {
				id = append(id, lockIDChars[b])
			}
		}
	}
	return string(id)
}

// Strategy says which retrievals an account allows itself.
type Strategy string

// The strategies (§10.1). Format: stored, never change.
const (
	BytesPerHour Strategy = "BytesPerHour"
	FreeTier     Strategy = "FreeTier"
	NoLimit      Strategy = "None"
)

// RetrievalPolicy is the data retrieval policy of an account in a region.
type RetrievalPolicy struct {
	Strategy     Strategy
	BytesPerHour int64 // of the strategy BytesPerHour, else 0
}

// CapacityUnit is a month of provisioned capacity for Expedited retrievals.
type CapacityUnit struct {
	ID      CapacityID
	Account AccountID
	Region  Region
	Start   time.Time
	Expires time.Time // whole seconds
}
