package lease

import (
	"sync/atomic"
	"time"

	"moraine/internal/meta"
)

// Clock tells about what time it is at the store, between two looks at it, by
// the clock of the process. It is safe for concurrent use.
type Clock struct {
	now   func() time.Time
	off   atomic.Int64 // how far the store is ahead, as a time.Duration
	known atomic.Bool  // there was a look
}

// NewClock returns a Clock that goes on by now between looks.
func NewClock(now func() time.Time) *Clock { return &Clock{now: now} }

// Read returns the time of the store and notes how far it is from that of the
// process.
func (c *Clock) Read(tx meta.Tx) (time.Time, error) {
	before := c.now()
	at, err := tx.Time()
	after := c.now()
	if err != nil {
		return at, err
	}
	off := time.Duration(0) // as far as can be told, if it is between the two
	switch {
	case at.Before(before):
		off = at.Sub(before)
	case at.After(after):
		off = at.Sub(after)
	}
	c.off.Store(int64(off))
	c.known.Store(true)
	return at, nil
}

// Now is about the time of the store, once there was a Read.
func (c *Clock) Now() time.Time {
	return c.now().Add(time.Duration(c.off.Load())).UTC().Truncate(time.Millisecond)
}

// Off is how far the store is ahead, as far as the last Read could tell.
func (c *Clock) Off() time.Duration { return time.Duration(c.off.Load()) }

// Past is the time up to which what has expired may be taken from everybody: that
// of the process or that of the store, whichever is behind. A process whose clock
// is fast takes nothing that others still have.
func (c *Clock) Past() time.Time {
	return c.now().Add(min(c.Off(), 0)).UTC().Truncate(time.Millisecond)
}

// Dated is the instant for what is dated in a transaction, where processes share
// the rows: that of the process or of the store, whichever is ahead. What a
// process dates whose clock is slow would be old, or over, before its time.
func (c *Clock) Dated(tx meta.Tx) (time.Time, error) {
	at, err := c.Read(tx)
	if now := c.now(); now.After(at) {
		at = now
	}
	return at.UTC().Truncate(time.Millisecond), err
}

// Known reports whether there was a Read.
func (c *Clock) Known() bool { return c.known.Load() }
