// Package mend makes copies of blobs and changes the rows that name them, for two
// reasons. Service sees to it that every blob has all its copies: it makes those
// that are missing or were found damaged. Compaction empties the files of which
// deleted blobs take up the most, by copying what is left in them.
//
// It knows when to look, what is urgent, how fast to go and when to try again;
// what is still to do is in the rows and the store, so it may be stopped anywhere.
// It must not know how a reference names copies nor where they are: that is for
// the store, a blob.Mender and blob.Compactor, to say.
package mend

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/meta"
)

// Store keeps several copies of each blob.
type Store interface {
	blob.Store
	blob.Mender
}

// Config is what a Service is made of.
type Config struct {
	Meta    meta.Store    // required
	Blobs   Store         // required; it knows the references as rows have them
	Pending *blob.Pending // required; shared with everyone who puts blobs
	Pacer   *Pacer        // the one the store waits for; zero: none
	// Grace is how long a copy that was replaced is kept, for those who read it.
	// Zero: moraine.Retention, which no download outlives.
	Grace time.Duration
	// Hints is how many blobs are remembered to be looked at soon. What does not
	// fit is found by the next look at every row, if its reference says that a
	// copy is missing. Zero: 65,536.
	Hints int
	// Whole is told when a look at every row and all the mending after it have
	// left no copy to be made, but for blobs that have no good one. If it fails
	// it is told again. Zero: nobody.
	Whole func(ctx context.Context) error
	Now   func() time.Time // zero: time.Now
	Log   *slog.Logger     // zero: discard
}

// Service makes copies. Its methods may be called at the same time.
type Service struct {
	cfg   Config
	mover mover
	wake  chan struct{} // holds one token when there is something new to do

	mu     sync.Mutex             // guards the rest
	hints  map[moraine.BlobID]int // blobs to look at soon, and how often that failed
	missed bool                   // there was no room for a hint
	status Status
}

// New assembles a Service and touches nothing.
func New(cfg Config) *Service {
	if cfg.Grace == 0 {
		cfg.Grace = moraine.Retention
	}
	if cfg.Hints == 0 {
		cfg.Hints = 1 << 16
	}
	if cfg.Whole == nil {
		cfg.Whole = func(context.Context) error { return nil }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := mover{rows: cfg.Meta, blobs: cfg.Blobs, grace: cfg.Grace, now: cfg.Now, log: cfg.Log}
	return &Service{cfg: cfg, mover: m, wake: make(chan struct{}, 1), hints: map[moraine.BlobID]int{}}
}

func (s *Service) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Millisecond) }

// Hint says that a blob may lack a good copy. It does not block.
func (s *Service) Hint(id moraine.BlobID) {
	s.mu.Lock()
	if _, known := s.hints[id]; !known && len(s.hints) >= s.cfg.Hints {
		s.missed = true
	} else if !known {
		s.hints[id] = 0
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// MendBlob makes the missing and damaged copies of a blob whose row has the
// reference i.Ref, and returns what it made; if the row was changed or went
// meanwhile, that is nothing. Whoever replaced or deleted the blob has seen to
// the copies that the row named.
func (s *Service) MendBlob(ctx context.Context, i blob.Info) (blob.Mended, error) {
	m, err := s.cfg.Blobs.Mend(ctx, i)
	if err != nil || m.Ref == i.Ref {
		return m, err
	}
	moved, err := s.mover.settle(ctx, i, m, always)
	switch {
	case err != nil:
		return blob.Mended{}, err
	case moved:
		return m, nil
	}
	return blob.Mended{Ref: i.Ref}, nil
}

func always(moraine.Extent) bool { return true }
