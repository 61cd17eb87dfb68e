package clock

import (
	"errors"
	"fmt"
	"time"
)

// observe reads both clocks and moves the time, as the package comment says. mu
// is held.
func (c *Clock) observe() (wall time.Time) {
	// The system clock is read first: what passes between the readings is then
	// proved and not claimed.
	wall = c.wall()
	step := c.measure()
	if c.mark.IsZero() {
		// The first time of all: there is nothing to compare with.
		c.mark, c.proved = wall, wall
	}
	held, on := !c.pending.IsZero(), c.mark.Add(step) // where the monotonic clock leads
	jump, off := wall.Sub(c.proved), c.pending.off(on, wall)
	switch {
	case jump <= 0:
		// It is no later than what is proved.
		c.pending = Jump{}
		c.mark = later(c.mark, wall)
	case held && off.Abs() <= jumpMin:
		// The jump that is pending.
		c.mark = on
	case (!held || off < 0) && c.trust(jump):
		c.take(Jump{From: c.mark, To: wall}, jump)
		c.pending = Jump{}
		c.mark, c.proved = wall, wall
	case jump <= jumpMin:
		// Trust for so little comes back within the hour.
		c.pending = Jump{}
		c.mark = c.proved
	default:
		c.mark = on
		c.pending = Jump{From: on, To: wall.Truncate(time.Second)}
		c.counts.Held++
		c.hint()
	}
	c.started = true
	c.watch(wall)
	return wall
}

// measure adds what the monotonic clock has measured since the last reading to
// what is proved. mu is held.
func (c *Clock) measure() (step time.Duration) {
	elapsed := c.cfg.Elapsed()
	if c.started {
		step = max(elapsed-c.elapsed, 0)
	}
	c.elapsed = elapsed
	c.proved = c.proved.Add(step)
	c.spent = max(c.spent-step, 0)
	return step
}

// trust spends on a jump and reports whether there was enough left. mu is held.
func (c *Clock) trust(jump time.Duration) bool {
	limit := runningMax
	if !c.started && c.pending.IsZero() {
		limit = c.cfg.MaxDowntime
	}
	if jump > limit {
		return false
	}
	cost := time.Duration(float64(jump) / float64(limit) * float64(trustBack))
	if c.spent+cost > trustBack {
		return false
	}
	c.spent += cost
	return true
}

// take notes a jump that is believed. mu is held.
func (c *Clock) take(j Jump, by time.Duration) {
	if by <= jumpMin {
		return
	}
	if c.taken.jumps == 0 {
		c.taken.Jump.From = j.From
	}
	c.taken.To = j.To
	c.taken.by += by
	c.taken.jumps++
	c.taken.atStart = c.taken.atStart || !c.started
	c.counts.Believed++
	c.hint()
}

// watch notes when the system clock falls behind and when it has caught up. mu
// is held.
func (c *Clock) watch(wall time.Time) {
	behind := c.mark.Sub(wall)
	switch {
	case !c.behind && behind > jumpMin:
		c.behind = true
		c.counts.Back++
		c.hint()
	case c.behind && behind <= 0:
		c.behind = false
		c.hint()
	}
}

// hint asks Run to save and to tell.
func (c *Clock) hint() {
	select {
	case c.hints <- struct{}{}:
	default: // it was asked already
	}
}

// A Refused error says why nothing was confirmed.
type Refused struct {
	// Pending is the jump that could be confirmed; zero if there is none.
	Pending Jump
}

func (e *Refused) Error() string {
	if e.Pending.IsZero() {
		return "no jump of the system clock is pending; there is nothing to confirm"
	}
	return fmt.Sprintf("the jump that is pending is the one to %s, and no other can be confirmed", e.Pending.To.Format(time.RFC3339))
}

// Confirm believes the system clock, if the jump that was found at its reading
// at is pending, and returns the time before and after. An error of record,
// which is called before anything is changed, calls the confirmation off.
func (c *Clock) Confirm(at time.Time, record func(Jump) error) (Jump, error) {
	c.saving.Lock()
	defer c.saving.Unlock()
	c.mu.Lock()
	wall := c.observe()
	state := c.state()
	c.mu.Unlock()
	if state.Pending.IsZero() || !at.Equal(state.Pending.To) {
		return Jump{}, &Refused{Pending: state.Pending}
	}
	done := Jump{From: state.Mark, To: wall}
	if err := record(done); err != nil {
		return Jump{}, err
	}
	// An operator has looked at the clock, so trust is back.
	state.Mark, state.Spent, state.Pending = wall, 0, Jump{}
	if err := c.cfg.Save(state); err != nil {
		return Jump{}, errors.Join(errNotSaved, err)
	}
	// The confirmation is durable: a crash from here on starts with the new
	// time. Before the save it starts with the jump pending; there is a record
	// of a confirmation then that had no effect, never the reverse.
	c.mu.Lock()
	c.mark, c.proved = later(c.mark, wall), later(c.proved, wall)
	c.spent, c.pending = 0, Jump{}
	c.counts.Confirmed++
	c.mu.Unlock()
	c.told.pending = Jump{}
	return done, nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
