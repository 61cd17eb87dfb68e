package sqlmeta

import "time"

// pace says how long a batch waits for more members: until there are as many as
// lately came together, for no longer than the last commit took. So a lone
// caller never waits, and among many nobody waits much longer than without. One
// goroutine uses it.
type pace struct {
	expected int           // members of a batch
	took     time.Duration // the last commit
	timer    *time.Timer   // of this batch; nil if it did not wait
}

// gatherMax bounds the moment that a batch waits.
const gatherMax = 2 * time.Millisecond

// note learns from a batch.
func (p *pace) note(members int, took time.Duration) {
	p.expected = max(members, p.expected*3/4)
	p.took = took
}

// moment is when a batch has waited long enough, which begins at its first
// call.
func (p *pace) moment() <-chan time.Time {
	if p.timer == nil {
		p.timer = time.NewTimer(min(p.took, gatherMax))
	}
	return p.timer.C
}

// end forgets the moment of a batch that waits no more.
func (p *pace) end() {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}
