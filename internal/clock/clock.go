package clock

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Bounds of the clock.
const (
	saveEvery = time.Minute
	// hintGap is the least time between two savings that readings ask for.
	hintGap = time.Second
	// jumpMin is how far the system clock may be off before it is worth a word.
	jumpMin = 5 * time.Minute
	// runningMax is how much is believed of a process that runs, and trustBack
	// the proved time in which trust that was spent entirely comes back.
	runningMax = 24 * time.Hour
	trustBack  = 7 * 24 * time.Hour
	// aheadMax bounds how far a clock can be moved in all.
	aheadMax = 100 * 365 * 24 * time.Hour
)

// Config is what a Clock is made of.
type Config struct {
	System func() time.Time // zero: time.Now
	// Elapsed is the time since some instant, by a clock that nobody can set.
	// Zero: the monotonic clock of the process.
	Elapsed func() time.Duration
	Save    func(State) error // required; durable when it returns nil
	State   State             // what was saved last
	// MaxDowntime is how much of a jump is believed at the start. Zero: as much
	// as while running.
	MaxDowntime time.Duration
	Movable     bool // there is test mode, and Advance works
	// Tell learns of what happens to the clock, one at a time. Zero: nobody.
	Tell func(Notice)
	Log  *slog.Logger // zero: discard
}

// Clock tells the time. Its methods may be called at the same time; Run once.
type Clock struct {
	cfg    Config
	hints  chan struct{} // a reading has found what is to be saved
	saving sync.Mutex    // held while a state is saved, so that states are saved in order
	told   told          // guarded by saving

	mu      sync.Mutex // guards the rest
	mark    time.Time
	ahead   time.Duration
	proved  time.Time     // the latest time that needs no trust; not before mark
	elapsed time.Duration // reading of the monotonic clock at which that was so
	started bool          // the system clock was read once
	spent   time.Duration // of the trust: proved time until all of it is back
	pending Jump
	behind  bool  // the system clock is jumpMin behind, or was and has not caught up
	taken   taken // what was believed and not told yet
	counts  Counts
}

// New assembles a Clock and touches nothing.
func New(cfg Config) *Clock {
	if cfg.System == nil {
		cfg.System = time.Now
	}
	if cfg.Elapsed == nil {
		start := time.Now()
		cfg.Elapsed = func() time.Duration { return time.Since(start) }
	}
	if cfg.MaxDowntime <= 0 {
		cfg.MaxDowntime = runningMax
	}
	if cfg.Tell == nil {
		cfg.Tell = func(Notice) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := cfg.State
	mark := s.Mark.Round(0).UTC()
	return &Clock{
		cfg: cfg, hints: make(chan struct{}, 1),
		mark: mark, proved: mark, ahead: s.Ahead, spent: s.Spent, pending: s.Pending,
	}
}

// Now is the time, in UTC. It never runs back.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observe()
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

// State is what is to outlive the process, as of now.
func (c *Clock) State() State { return c.read() }

// Ahead is how far the clock was moved.
func (c *Clock) Ahead() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead
}

// Advance moves the clock and returns the time it then shows. The move is
// durable before it has any effect, so that a restart does not undo it.
func (c *Clock) Advance(by time.Duration) (time.Time, error) {
	if !c.cfg.Movable {
		return time.Time{}, errors.New("the clock is moved in test mode only")
	}
	c.saving.Lock()
	defer c.saving.Unlock()
	state := c.read()
	if by <= 0 || by > aheadMax-state.Ahead {
		return time.Time{}, fmt.Errorf("the clock only moves forward, and not more than %s in all; %s is no such move", aheadMax, by)
	}
	state.Mark, state.Ahead = state.Mark.Add(by), state.Ahead+by
	if err := c.cfg.Save(state); err != nil {
		return time.Time{}, errors.Join(errNotSaved, err)
	}
	// The move is durable: a crash from here on starts after it.
	c.mu.Lock()
	c.ahead = state.Ahead
	c.proved = c.proved.Add(by)
	c.mark = c.mark.Add(by)
	c.mu.Unlock()
	return c.Now(), nil
}

// read reads the clocks and returns what is to be saved.
func (c *Clock) read() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.observe()
	return c.state()
}

// state must be called with mu held.
func (c *Clock) state() State {
	return State{Mark: c.mark, Ahead: c.ahead, Spent: c.spent, Pending: c.pending}
}

// errNotSaved says that a move or a confirmation did not happen.
var errNotSaved = errors.New("nothing was changed, since the state of the clock cannot be saved")

// NotSaved reports whether err says that a move or a confirmation was in order
// but could not be kept.
func NotSaved(err error) bool { return errors.Is(err, errNotSaved) }
