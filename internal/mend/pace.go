package mend

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"moraine/internal/treehash"
)

// Pacer bounds how many bytes a second are read to be copied, and measures it.
type Pacer struct {
	limit *rate.Limiter

	mu      sync.Mutex // guards the rest
	seconds [window]int64
	at      int64 // the second that the first entry of seconds is of
	total   int64
}

// window is over how many seconds the rate is measured.
const window = 10

// NewPacer returns a Pacer for so many bytes a second; 0 for no bound.
func NewPacer(bytesPerSecond int64) *Pacer {
	p := &Pacer{limit: rate.NewLimiter(rate.Inf, 0)}
	if bytesPerSecond > 0 {
		// A leaf is read at once, however slow the pace.
		p.limit = rate.NewLimiter(rate.Limit(bytesPerSecond), int(max(bytesPerSecond, treehash.LeafSize)))
	}
	return p
}

// Wait waits until n bytes may be read.
func (p *Pacer) Wait(ctx context.Context, n int) error {
	if err := p.limit.WaitN(ctx, n); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn(time.Now().Unix())
	p.seconds[p.at%window] += int64(n)
	p.total += int64(n)
	return nil
}

// turn clears the seconds that have passed. The caller holds mu.
func (p *Pacer) turn(now int64) {
	if now-p.at >= window || now < p.at {
		p.seconds = [window]int64{}
		p.at = now
	}
	for p.at < now {
		p.at++
		p.seconds[p.at%window] = 0
	}
}

// Rate returns how many bytes a second were read of late, and how many in all.
func (p *Pacer) Rate() (perSecond float64, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn(time.Now().Unix())
	var sum int64
	for _, n := range p.seconds {
		sum += n
	}
	return float64(sum) / window, p.total
}
