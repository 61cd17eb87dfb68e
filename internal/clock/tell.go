package clock

import (
	"context"
	"fmt"
	"time"
)

// Phase is what happened to the clock.
type Phase string

// The phases. They are names in the audit log. Format: never change. The last
// two are for who calls Confirm, and not told.
const (
	Believed     Phase = "believed"     // a jump was taken on trust
	Held         Phase = "held"         // a jump is pending
	Ended        Phase = "ended"        // it no longer is, for the system clock came back
	Back         Phase = "back"         // the system clock is behind the mark
	CaughtUp     Phase = "caughtUp"     // it no longer is
	Confirmed    Phase = "confirmed"    // an operator confirms the pending jump
	NotConfirmed Phase = "notConfirmed" // that had no effect, since it was not saved
)

// Notice is one thing that happened.
type Notice struct {
	Phase Phase
	Jump  Jump          // the time, and the system clock
	By    time.Duration // from one to the other; of jumps believed in quick succession their sum
}

// taken are jumps that were believed since this was last told.
type taken struct {
	Jump    // from the first to the last
	by      time.Duration
	jumps   int
	atStart bool
}

// told is what was last told, and so what is new.
type told struct {
	pending Jump
	behind  bool
}

// Counts count what happened since the process started.
type Counts struct {
	Held, Believed, Confirmed, Back int64
}

// Status is how the clock stands.
type Status struct {
	Now     time.Time
	System  time.Time // the system clock, moved in test mode
	Pending Jump      // waits for an operator; zero: none
	Behind  bool      // the system clock is far behind, and time stands still
	Counts  Counts
}

// Status reads the clocks.
func (c *Clock) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	wall := c.observe()
	return Status{Now: c.mark, System: wall, Pending: c.pending, Behind: c.behind, Counts: c.counts}
}

// Following reports whether all is well.
func (s *Status) Following() bool { return s.Pending.IsZero() && !s.Behind }

// Advice says in one sentence what is wrong and what to do; "" if nothing is.
func (s *Status) Advice() string {
	switch {
	case !s.Pending.IsZero():
		name := s.Pending.To.Format(time.RFC3339)
		return fmt.Sprintf("the system clock jumped to %s, %s ahead of what is believed, and time goes on without it: if it is right, run moraine clock confirm %s, else set it right",
			name, rounded(s.Pending.To.Sub(s.Pending.From)), name)
	case s.Behind:
		return fmt.Sprintf("the system clock is %s behind the newest time used, %s, and time stands still until it has caught up: set it right",
			rounded(s.Now.Sub(s.System)), s.Now.Format(time.RFC3339))
	}
	return ""
}

func rounded(d time.Duration) time.Duration { return d.Round(time.Second) }

// Run looks at the clocks and saves the state at once, each minute, soon after
// a reading that found a jump, and a last time when ctx is done. That the state
// cannot be saved is no reason to stop serving: the one saved before holds.
func (c *Clock) Run(ctx context.Context) error {
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	gap := time.NewTimer(hintGap)
	gap.Stop()
	defer gap.Stop()
	c.Check(ctx)
	for hints := c.hints; ; {
		select {
		case <-ctx.Done():
			c.Check(ctx)
			return nil
		case <-gap.C:
			hints = c.hints
			continue
		case <-hints:
			// A clock that goes to and fro must not fill the log.
			hints = nil
			gap.Reset(hintGap)
		case <-ticker.C:
		}
		c.Check(ctx)
	}
}

// Check looks at the clocks, saves the state and tells what is new.
func (c *Clock) Check(ctx context.Context) {
	c.saving.Lock()
	defer c.saving.Unlock()
	c.mu.Lock()
	wall := c.observe()
	state, taken, behind := c.state(), c.taken, c.behind
	c.taken.jumps, c.taken.by, c.taken.atStart = 0, 0, false
	c.mu.Unlock()
	if err := c.cfg.Save(state); err != nil {
		c.cfg.Log.ErrorContext(ctx, "newest time not saved", "err", err)
	}
	// The state is durable. A crash before it is told leaves the next start to
	// tell of a pending jump; one that was believed is not told.
	c.tellJumps(ctx, state, taken, wall)
	c.tellBehind(ctx, state, behind, wall)
}

// tellJumps tells of jumps that were believed, of one that is pending, and of
// one that no longer is. saving is held.
func (c *Clock) tellJumps(ctx context.Context, s State, t taken, wall time.Time) {
	if t.jumps > 0 {
		say := c.cfg.Log.WarnContext
		if t.atStart {
			say = c.cfg.Log.InfoContext // it was off
		}
		say(ctx, "the system clock jumped forward and is believed", "from", t.From, "to", t.To, "by", t.by, "jumps", t.jumps)
		c.cfg.Tell(Notice{Phase: Believed, Jump: t.Jump, By: t.by})
	}
	if s.Pending == c.told.pending {
		return
	}
	c.told.pending = s.Pending
	if s.Pending.IsZero() {
		c.cfg.Log.InfoContext(ctx, "the system clock came back from its jump; time follows it again", "system", wall)
		c.cfg.Tell(Notice{Phase: Ended, Jump: Jump{From: s.Mark, To: wall}, By: wall.Sub(s.Mark)})
		return
	}
	status := Status{Pending: s.Pending}
	by := s.Pending.To.Sub(s.Pending.From)
	c.cfg.Log.ErrorContext(ctx, "alarm: the system clock jumped forward and is not believed",
		"from", s.Pending.From, "to", s.Pending.To, "by", by, "advice", status.Advice())
	c.cfg.Tell(Notice{Phase: Held, Jump: s.Pending, By: by})
}

// tellBehind raises the alarm when the system clock has fallen behind the mark,
// once until it has caught up. saving is held.
func (c *Clock) tellBehind(ctx context.Context, s State, behind bool, wall time.Time) {
	if behind == c.told.behind {
		return
	}
	c.told.behind = behind
	n := Notice{Phase: CaughtUp, Jump: Jump{From: s.Mark, To: wall}, By: wall.Sub(s.Mark)}
	if behind {
		n.Phase = Back
		c.cfg.Log.ErrorContext(ctx, "alarm: the system clock went back; time stands still until it catches up",
			"system", wall, "newest", s.Mark, "behind", -n.By)
	} else {
		c.cfg.Log.InfoContext(ctx, "the system clock has caught up", "system", wall)
	}
	c.cfg.Tell(n)
}
