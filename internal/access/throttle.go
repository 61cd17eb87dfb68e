package access

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"moraine"
)

// throttledMax bounds the principals a Throttle remembers. One that is
// forgotten begins anew with a full burst.
const throttledMax = 10_000

// Throttle bounds how often each principal may call. A nil Throttle does not.
type Throttle struct {
	limit rate.Limit
	burst int
	now   func() time.Time

	mu     sync.Mutex // guards what follows
	paces  map[string]*list.Element
	recent *list.List // of *pace, the latest first
}

type pace struct {
	arn   string
	limit *rate.Limiter
}

// NewThrottle returns a Throttle for so many requests a second on average, and
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
	if t == nil || t.pace(p.ARN).AllowN(t.now(), 1) {
		return nil
	}
	return moraine.Errorf(moraine.Throttled, "Rate exceeded")
}

// pace returns the limiter of a principal.
func (t *Throttle) pace(arn string) *rate.Limiter {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, ok := t.paces[arn]; ok {
		t.recent.MoveToFront(known)
		return known.Value.(*pace).limit
	}
	if t.recent.Len() >= throttledMax {
		delete(t.paces, t.recent.Remove(t.recent.Back()).(*pace).arn)
	}
	p := &pace{arn, rate.NewLimiter(t.limit, t.burst)}
	t.paces[arn] = t.recent.PushFront(p)
	return p.limit
}
