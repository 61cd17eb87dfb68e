package audit

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of what is recorded of callers that nobody knows (access-control
// §8.3).
const (
	noiseRate    = 10 // records a second and source
	sourcesMax   = 4096
	summaryEvery = time.Minute
)

// noise limits the records of unauthenticated calls of each source.
type noise struct {
	now func() time.Time

	mu      sync.Mutex // guards what follows
	sources map[string]*list.Element
	order   *list.List // of *source, the latest seen first
	lost    int64      // calls not recorded of sources forgotten since
	summary time.Time  // of the last summary
}

type source struct {
	address string
	limit   *rate.Limiter
	omitted int64
}

func newNoise(now func() time.Time) *noise {
	return &noise{now: now, sources: make(map[string]*list.Element), order: list.New(), summary: now()}
}

// Admit reports whether one more call of a source that did not authenticate
// gets a record. Calls that do not are counted in a summary record.
func (l *Log) Admit(address string) bool {
	n := l.noise
	n.mu.Lock()
	defer n.mu.Unlock()
	element, ok := n.sources[address]
	if ok {
		n.order.MoveToFront(element)
	} else {
		if n.order.Len() >= sourcesMax {
			oldest := n.order.Remove(n.order.Back()).(*source)
			delete(n.sources, oldest.address)
			n.lost += oldest.omitted
		}
		element = n.order.PushFront(&source{address: address, limit: rate.NewLimiter(noiseRate, noiseRate)})
		n.sources[address] = element
	}
	s := element.Value.(*source)
	if s.limit.AllowN(n.now(), 1) {
		return true
	}
	s.omitted++
	return false
}

// summarize records how many calls have no record of their own: once a minute,
// or at once if it is the end.
func (n *noise) summarize(l *Log, end bool) {
	n.mu.Lock()
	now := n.now()
	if !end && now.Sub(n.summary) < summaryEvery {
		n.mu.Unlock()
		return
	}
	since := n.summary
	n.summary = now
	var all []map[string]any
	for e := n.order.Front(); e != nil; e = e.Next() {
		if s := e.Value.(*source); s.omitted > 0 {
			all = append(all, map[string]any{"sourceIPAddress": s.address, "calls": s.omitted, "since": Stamp(since)})
			s.omitted = 0
		}
	}
	if n.lost > 0 {
		all = append(all, map[string]any{"sourceIPAddress": "others", "calls": n.lost, "since": Stamp(since)})
		n.lost = 0
	}
	n.mu.Unlock()
	for _, details := range all {
		l.Service(UnauthenticatedCalls, details)
	}
}
