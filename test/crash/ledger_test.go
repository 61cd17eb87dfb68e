package crash_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"

	"moraine/test/internal/vaultclient"
)

// vaults of the store under test; each archive lives in one of them.
var vaults = []string{"crash-a", "crash-b", "crash-c"}

const partSize = 1 << 20

type fate int

// What the test knows about an archive.
const (
	live    fate = iota // acknowledged, must be there
	dying               // a deletion is in flight
	deleted             // the deletion was acknowledged, must be gone
)

// archive is one archive as it must be.
type archive struct {
	id, vault, description string
	payload                vaultclient.Payload
	fate                   fate
	retained               bool // in a vault with a lock; the workload does not delete it
	checked                bool // its bytes were compared after some restart
}

// upload is one multipart upload as it must be.
type upload struct {
	id, vault, description string
	sizes                  []int64 // planned size of each part
	parts                  []part
	busy                   int  // requests in flight
	ending                 bool // a completion or abort was sent
	completed, aborted     bool // ... and acknowledged
}

// part is one slot of an upload. After a crash the slot may hold the
// acknowledged version or one that was in flight.
type part struct {
	acked *vaultclient.Payload
	maybe []vaultclient.Payload
	busy  bool
}

// ready reports whether every part was acknowledged and nothing is in flight.
func (u *upload) ready() bool {
	for _, p := range u.parts {
		if p.acked == nil || len(p.maybe) > 0 {
			return false
		}
	}
	return u.busy == 0 && !u.ending
}

// whole is the archive a completion makes.
func (u *upload) whole() vaultclient.Payload {
	var pieces [][]byte
	for _, p := range u.parts {
		pieces = append(pieces, p.acked.Pieces...)
	}
	return vaultclient.NewPayload(pieces...)
}

type job struct{ id, vault, archive string }

// ledger is the truth. Everything in it is guarded by mu.
type ledger struct {
	mu       sync.Mutex
	archives map[string]*archive // by id
	pending  map[string]*archive // by description: in flight, no id known
	uploads  map[string]*upload  // by id: open or ending
	opening  map[string]*upload  // by description: in flight, no id known
	jobs     []job
	next     uint64 // number of the next description and stamp
	counts   map[string]*count
	faults   []string

	documents   []*document
	capacities  []*capacity
	users       []*user
	revoked     []*accessKey // deleted keys
	auditor     *accessKey   // of a user who may do everything with vaults; nil for none
	locks       []*lockVault
	locksComing int // vaults being made
	locksLeft   int // vaults that may be made until the next kill
	unitsLeft   int // capacity units that may be bought until then

	notices      map[string]*notice // by job id: every acknowledged job
	acknowledged map[string]string  // by request id: every acknowledged write, and what it was

	base []byte // random bytes all payloads are cut from; never written
}

// count is a row of the final table.
type count struct{ sent, acknowledged, refused, inFlight int }

func newLedger(seed uint64) *ledger {
	l := &ledger{
		archives: map[string]*archive{}, pending: map[string]*archive{},
		uploads: map[string]*upload{}, opening: map[string]*upload{},
		counts:    map[string]*count{},
		documents: newDocuments(), capacities: newCapacities(), users: newUsers(),
		notices: map[string]*notice{}, acknowledged: map[string]string{},
		base: make([]byte, 32<<20),
	}
	r := rand.New(rand.NewPCG(seed, 7))
	for i := 0; i < len(l.base); i += 8 {
		binary.LittleEndian.PutUint64(l.base[i:], r.Uint64())
	}
	return l
}

// number returns a number never used before.
func (l *ledger) number() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	return l.next
}

// payload cuts n unique bytes: a stamp followed by a slice of the base.
func (l *ledger) payload(r *rand.Rand, n int64) vaultclient.Payload {
	stamp := make([]byte, 16)
	binary.BigEndian.PutUint64(stamp, l.number())
	binary.BigEndian.PutUint64(stamp[8:], r.Uint64())
	if n <= int64(len(stamp)) {
		return vaultclient.NewPayload(stamp[:n])
	}
	rest := int(n) - len(stamp)
	at := r.IntN(len(l.base) - rest)
	return vaultclient.NewPayload(stamp, l.base[at:at+rest])
}

// fault records a broken promise.
func (l *ledger) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

// do runs change under the lock.
func (l *ledger) do(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// pick returns a random archive that nobody is deleting, or nil.
func (l *ledger) pick(r *rand.Rand) *archive {
	l.mu.Lock()
	defer l.mu.Unlock()
	skip := r.IntN(max(1, len(l.archives)))
	var found *archive
	for _, a := range l.archives { // random order by itself; skip spreads it
		if a.fate == live && !a.retained {
			found = a
			if skip--; skip < 0 {
				break
			}
		}
	}
	return found
}

// liveBytes is the number and size of the archives that must be there.
func (l *ledger) liveBytes() (n int, bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.archives {
		if a.fate == live {
			n++
			bytes += a.payload.Size
		}
	}
	return n, bytes
}
