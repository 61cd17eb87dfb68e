package sigv4

import (
	"encoding/binary"
	"encoding/hex"
	"sync"
	"time"
)

// Bounds of what Replays remembers (access-control §1.13). A signature is good
// for at most a quarter of an hour either way, and by default for five minutes.
const (
	replayTTL    = 10 * time.Minute
	replayShards = 16
	// replayShardMax bounds one generation of a shard: both generations of all
	// shards together are half a million requests, in about 10 MiB.
	replayShardMax = 16 << 10
)

// Replays remembers the signatures of verified requests for ten minutes, or the
// last quarter of a million of them if there are more, to tell when one comes
// again. A client that tries again within the same second sends the same
// signature, so that a repetition is no proof of an attack. Its methods may be
// called at the same time; a nil Replays remembers nothing.
type Replays struct {
	now     func() time.Time
	enforce bool
	shards  [replayShards]replayShard
}

// replayShard is two generations of signatures. When the young one is old or
// full it becomes the old one, and that one is forgotten.
type replayShard struct {
	mu    sync.Mutex // guards what follows
	since time.Time  // of young
	young map[uint64]bool
	old   map[uint64]bool // whether the request was completed
}

// NewReplays returns an empty Replays. With enforce it refuses repetitions of
// requests that were completed.
func NewReplays(enforce bool, now func() time.Time) *Replays {
	if now == nil {
		now = time.Now
	}
	return &Replays{now: now, enforce: enforce}
}

// fingerprint is 64 bits of a signature, which is random to whoever has not the
// key. Another key has other signatures.
func fingerprint(res *Result) uint64 {
	var b [8]byte
	if _, err := hex.Decode(b[:], []byte(res.Signature[:min(len(res.Signature), 2*len(b))])); err != nil {
		return 0 // no verified request has such a signature
	}
	return binary.LittleEndian.Uint64(b[:])
}

func (r *Replays) shard(f uint64) *replayShard { return &r.shards[f%replayShards] }

// Note remembers a verified request and reports whether one with its signature
// was here before. If once, that is, if the request must not be performed
// twice, and the earlier one was completed, and repetitions are not only
// noted, the error is the refusal of row A20.
func (r *Replays) Note(res *Result, once bool) (seen bool, err error) {
	if r == nil {
		return false, nil
	}
	f := fingerprint(res)
	s := r.shard(f)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.age(r.now())
	completed, seen := s.young[f]
	if !seen {
		completed, seen = s.old[f]
		s.young[f] = completed
	}
	if completed && once && r.enforce {
		return true, Refuse("A20")
	}
	return seen, nil
}

// Completed says that a request that was noted has succeeded.
func (r *Replays) Completed(res *Result) {
	if r == nil {
		return
	}
	f := fingerprint(res)
	s := r.shard(f)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.age(r.now())
	s.young[f] = true
}

// age begins a new generation if it is time. s.mu is held.
func (s *replayShard) age(now time.Time) {
	if s.young == nil {
		s.young, s.old, s.since = make(map[uint64]bool), make(map[uint64]bool), now
	}
	age := now.Sub(s.since)
	if len(s.young) < replayShardMax && age < replayTTL {
		return
	}
	s.young, s.old = s.old, s.young
	clear(s.young)
	if age >= 2*replayTTL {
		clear(s.old)
	}
	s.since = now
}
