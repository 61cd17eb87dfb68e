// Package clock is the time a server lives by: the system's clock, never
// running back, and in test mode moved into the future.
//
// It knows the system clock, the newest time ever used and how far the clock
// was moved. It must not know where that is kept, nor who asks for the time.
//
// The newest time ever used is the mark (access-control §6.6). A clock that was
// set back would make archives look younger than they are and locks run longer;
// one that was set back and forth would let what has expired live again. So the
// time is the later of the system's and the mark, and the mark survives a
// restart. What proves that a client signed just now is the system's business
// and does not come from here.
package clock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Bounds of the clock.
const (
	saveEvery = time.Minute
	// jumpMax is how far the system clock may be behind the mark before it is
	// worth an alarm.
	jumpMax = 5 * time.Minute
	// aheadMax bounds how far a clock can be moved in all.
	aheadMax = 100 * 365 * 24 * time.Hour
)

// State is what of a clock outlives a process.
type State struct {
	Mark  time.Time     // the newest time used; zero: none yet
	Ahead time.Duration // how far the clock was moved, in test mode
}

// Config is what a Clock is made of.
type Config struct {
	System func() time.Time  // zero: time.Now
	Save   func(State) error // required; durable when it returns nil
	State  State             // what was saved last
	Log    *slog.Logger      // zero: discard
}

// Clock tells the time. Its methods may be called at the same time; Run once.
type Clock struct {
	cfg    Config
	saving sync.Mutex // held while a state is saved, so that states are saved in order

	mu     sync.Mutex // guards the rest
	mark   time.Time
	ahead  time.Duration
	behind bool // the alarm was raised
}

// New assembles a Clock and touches nothing.
func New(cfg Config) *Clock {
	if cfg.System == nil {
		cfg.System = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Clock{cfg: cfg, mark: cfg.State.Mark.Round(0), ahead: cfg.State.Ahead}
}

// Now is the time, in UTC. It never runs back, and stands still while the
// system clock is behind the mark.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wall := c.wall(); wall.After(c.mark) {
		c.mark = wall
	}
	return c.mark
}

// Wall is the time without regard to the mark: the system's, moved. It is for
// what ends soon and must end even while the time stands still, as sessions do.
func (c *Clock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall()
}

// wall must be called with mu held. Times are compared as they read, not by
// how long the process runs: a system clock that was set must show.
func (c *Clock) wall() time.Time { return c.cfg.System().Add(c.ahead).Round(0).UTC() }

// Ahead is how far the clock was moved.
func (c *Clock) Ahead() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead
}

// Advance moves the clock and returns the time it then shows. The move is
// durable before it has any effect, so that a restart does not undo it.
func (c *Clock) Advance(by time.Duration) (time.Time, error) {
	c.saving.Lock()
	defer c.saving.Unlock()
	ahead := c.Ahead()
	if by <= 0 || by > aheadMax-ahead {
		return time.Time{}, fmt.Errorf("the clock only moves forward, and not more than %s in all; %s is no such move", aheadMax, by)
	}
	state := State{Mark: c.Now().Add(by), Ahead: ahead + by}
	if err := c.cfg.Save(state); err != nil {
		return time.Time{}, errors.Join(errNotSaved, err)
	}
	c.mu.Lock()
	c.ahead = state.Ahead
	if state.Mark.After(c.mark) {
		c.mark = state.Mark
	}
	c.mu.Unlock()
	return c.Now(), nil
}

// errNotSaved says that a move did not happen.
var errNotSaved = errors.New("the clock was not moved: its state cannot be saved")

// NotSaved reports whether err says that a move was in order but could not be
// kept.
func NotSaved(err error) bool { return errors.Is(err, errNotSaved) }

// Run looks at the system clock and saves the mark at once, each minute, and a
// last time when ctx is done. That the mark cannot be saved is no reason to
// stop serving: the one saved before holds.
func (c *Clock) Run(ctx context.Context) error {
	ticker := time.NewTicker(saveEvery)
	defer ticker.Stop()
	for {
		c.tick(ctx)
		select {
		case <-ctx.Done():
			c.tick(ctx)
			return nil
		case <-ticker.C:
		}
	}
}

func (c *Clock) tick(ctx context.Context) {
	c.compare(ctx)
	c.saving.Lock()
	defer c.saving.Unlock()
	if err := c.cfg.Save(State{Mark: c.Now(), Ahead: c.Ahead()}); err != nil {
		c.cfg.Log.ErrorContext(ctx, "newest time not saved", "err", err)
	}
}

// compare raises the alarm when the system clock has fallen behind the mark,
// once until it has caught up.
func (c *Clock) compare(ctx context.Context) {
	c.mu.Lock()
	mark, wall, raised := c.mark, c.wall(), c.behind
	behind := mark.Sub(wall)
	c.behind = behind > jumpMax || raised && behind > 0
	now := c.behind
	c.mu.Unlock()
	switch {
	case now && !raised:
		c.cfg.Log.ErrorContext(ctx, "alarm: the system clock went back; time stands still until it catches up",
			"system", wall, "newest", mark, "behind", behind)
	case raised && !now:
		c.cfg.Log.InfoContext(ctx, "the system clock has caught up", "system", wall)
	}
}
