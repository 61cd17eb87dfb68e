package access

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"moraine"
)

// throttledMax bounds the names a Throttle remembers. One that is forgotten
// begins anew with a full burst.
const throttledMax = 10_000

// Throttle bounds how often something may happen to each of many: a call of a
// principal, a failure of a source. A nil Throttle does not.
type Throttle struct {
	limit rate.Limit
	burst int
	now   func() time.Time

	mu     sync.Mutex // guards what follows
	paces  map[string]*list.Element
	recent *list.List // of *pace, the latest first
}

type pace struct {
	name  string
	limit *rate.Limiter
}

// NewThrottle returns a Throttle for so many times a second on average, and
// burst at once.
func NewThrottle(perSecond float64, burst int, now func() time.Time) *Throttle {
	if now == nil {
		now = time.Now
	}
	return &Throttle{
		limit: rate.Limit(perSecond), burst: burst, now: now,
		paces: make(map[string]*list.Element), recent: list.New(),
	}
}

// Admit returns an error of kind Throttled if p calls too often.
func (t *Throttle) Admit(p *Principal) error {
	if t.Spend(p.ARN) {
		return nil
	}
	return moraine.Errorf(moraine.Throttled, "Rate exceeded")
}

// Spend reports whether it may happen once more to a name, and counts it.
func (t *Throttle) Spend(name string) bool { return t == nil || t.pace(name).AllowN(t.now(), 1) }

// Left reports the same and counts nothing.
func (t *Throttle) Left(name string) bool { return t == nil || t.pace(name).TokensAt(t.now()) >= 1 }

// pace returns the limiter of a name.
func (t *Throttle) pace(name string) *rate.Limiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, ok := t.paces[name]; ok {
		t.recent.MoveToFront(known)
		return known.Value.(*pace).limit
	}
	if t.recent.Len() >= throttledMax {
		delete(t.paces, t.recent.Remove(t.recent.Back()).(*pace).name)
	}
	p := &pace{name, rate.NewLimiter(t.limit, t.burst)}
	t.paces[name] = t.recent.PushFront(p)
	return p.limit
}
