package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"moraine/test/internal/vaultclient"
)

// Vaults: archives come and go in the first ones; the last has a completed lock
// that retains its archives for a year.
var (
	vaults   = []string{"soak-a", "soak-b", "soak-c"}
	retained = "soak-retained"
)

func allVaults() []string { return append(append([]string(nil), vaults...), retained) }

// fate is what is known of an archive.
type fate int

const (
	live    fate = iota // acknowledged: it must be there
	unsure              // its deletion was sent and has no answer: either
	deleted             // its deletion was acknowledged: it must be gone
)

// archive is one archive as it must be. Its bytes are a stamp and a piece of the
// ledger's random bytes.
type archive struct {
	id, vault, description string
	stamp                  [16]byte
	at, size               int64
	linear, tree           string
	fate                   fate
	slot                   int // in ledger.order while it is live and may be deleted
	checked                int // how often its bytes were compared
}

// count is a row of the final table.
type count struct{ sent, acknowledged, refused, unknown int64 }

// ledger is the truth.
type ledger struct {
	base []byte // random; never written

	mu       sync.Mutex          // guards the rest
	archives map[string]*archive // by id, but for those known to be deleted
	gone     map[string]bool     // ids of archives that were deleted
	pending  map[string]*archive // by description: sent, without an answer
	order    []*archive          // live ones that may be deleted
	bytes    int64               // of live ones
	kept     int64               // of retained ones
	next     uint64
	counts   map[string]*count
	faults   []string
	lost     int64
	wrong    int64
	acked    int64 // archives acknowledged
	read     int64 // archives compared
	readSize int64
	phase    phase
	full     int // times that the disk was full
	emptied  int // times that it was emptied after that
	low      int64
	disk     int64
	seen     time.Time // of the last refusal for want of space
}

// phase is what the load is at.
type phase int

const (
	filling phase = iota
	emptying
)

func newLedger(o options) *ledger {
	l := &ledger{
		base: make([]byte, 48<<20), archives: map[string]*archive{}, gone: map[string]bool{},
		pending: map[string]*archive{}, counts: map[string]*count{}, disk: o.disk, low: o.disk / 8,
	}
	r := rand.New(rand.NewPCG(o.seed, 7))
	for i := 0; i < len(l.base); i += 8 {
		binary.LittleEndian.PutUint64(l.base[i:], r.Uint64())
	}
	return l
}

// archive makes an archive that nobody has sent yet.
func (l *ledger) archive(r *rand.Rand, vault string, size int64) (*archive, vaultclient.Payload) {
	a := &archive{vault: vault, size: size, slot: -1}
	l.do(func() { l.next++; binary.BigEndian.PutUint64(a.stamp[:], l.next) })
	binary.BigEndian.PutUint64(a.stamp[8:], r.Uint64())
	a.at = r.Int64N(int64(len(l.base)) - size)
	a.description = fmt.Sprintf("%x", a.stamp)
	p := vaultclient.NewPayload(l.pieces(a)...)
	a.linear, a.tree = p.Linear, p.Tree
	return a, p
}

// pieces are the bytes of an archive, of at least the size of a stamp.
func (l *ledger) pieces(a *archive) [][]byte {
	n := a.size - int64(len(a.stamp))
	return [][]byte{a.stamp[:], l.base[a.at : a.at+n]}
}

// do runs change under the lock.
func (l *ledger) do(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// begin enters an archive that is about to be sent.
func (l *ledger) begin(a *archive) { l.do(func() { l.pending[a.description] = a }) }

// acknowledge enters an archive that is there.
func (l *ledger) acknowledge(a *archive, id string) {
	l.do(func() {
		delete(l.pending, a.description)
		l.acked++
		l.enter(a, id)
	})
}

// enter makes an archive live. The caller holds mu.
func (l *ledger) enter(a *archive, id string) {
	if l.archives[id] != nil || l.gone[id] {
		l.blame(&l.wrong, "archive id %s was given twice", id)
		return
	}
	a.id, a.fate = id, live
	l.archives[id] = a
	l.bytes += a.size
	if a.vault == retained {
		l.kept += a.size
		return
	}
	a.slot = len(l.order)
	l.order = append(l.order, a)
}

// leave takes an archive from those that are live. The caller holds mu.
func (l *ledger) leave(a *archive) {
	if a.slot < 0 {
		return
	}
	last := l.order[len(l.order)-1]
	l.order[a.slot], last.slot = last, a.slot
	l.order = l.order[:len(l.order)-1]
	a.slot = -1
	l.bytes -= a.size
}

// drop forgets an archive that is deleted. The caller holds mu.
func (l *ledger) drop(a *archive) {
	l.leave(a)
	a.fate = deleted
	delete(l.archives, a.id)
	l.gone[a.id] = true
}

// pick returns a live archive, nil if there is none. To delete it, it is taken
// out, with a fate that is open until the answer.
func (l *ledger) pick(r *rand.Rand, toDelete bool) (a *archive) {
	l.do(func() {
		if len(l.order) == 0 {
			return
		}
		a = l.order[r.IntN(len(l.order))]
		if toDelete {
			a.fate = unsure
			l.leave(a)
		}
	})
	return a
}

// liveBytes is the size of all that must be there.
func (l *ledger) liveBytes() (n int64) {
	l.do(func() { n = l.bytes })
	return n
}

// alive reports whether an archive must be there.
func (l *ledger) alive(a *archive) (yes bool) {
	l.do(func() { yes = a.fate == live })
	return yes
}

// blame counts a broken promise. The caller holds mu.
func (l *ledger) blame(of *int64, format string, args ...any) {
	*of++
	if text := fmt.Sprintf(format, args...); len(l.faults) < 100 {
		l.faults = append(l.faults, text)
	}
}

// isLost says that something acknowledged is not there; isWrong that something is
// not as it should be.
func (l *ledger) isLost(format string, args ...any) {
	l.do(func() { l.blame(&l.lost, "LOST: "+format, args...) })
}

func (l *ledger) isWrong(format string, args ...any) {
	l.do(func() { l.blame(&l.wrong, "WRONG: "+format, args...) })
}

// whole reports whether no promise was broken.
func (l *ledger) whole() (yes bool) {
	l.do(func() { yes = l.lost == 0 && l.wrong == 0 })
	return yes
}

// tally counts an operation.
func (l *ledger) tally(op string, add func(*count)) {
	l.do(func() {
		c := l.counts[op]
		if c == nil {
			c = &count{}
			l.counts[op] = c
		}
		c.sent++
		add(c)
	})
}

// refusedForSpace notes that the disk is full, and turns the load.
func (l *ledger) refusedForSpace(r *rand.Rand) {
	l.do(func() {
		l.seen = time.Now()
		// Space of what was deleted comes back by and by: a refusal with little
		// stored is not yet a full disk.
		if l.phase == filling && l.bytes > l.disk*2/5 {
			l.phase = emptying
			l.full++
			l.low = l.disk*int64(5+r.IntN(25))/100 + l.kept
		}
	})
}

// turn returns the phase, and turns from emptying to filling.
func (l *ledger) turn() (now phase, short bool) {
	l.do(func() {
		if l.phase == emptying && l.bytes <= l.low {
			l.phase = filling
			l.emptied++
		}
		now, short = l.phase, time.Since(l.seen) < time.Second
	})
	return now, short
}
