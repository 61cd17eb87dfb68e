package mend

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/lease"
	"moraine/internal/meta"
)

// SparseStore keeps many blobs in a file.
type SparseStore interface {
	blob.Store
	blob.Compactor
	blob.Checker
}

// CompactionConfig is what a Compaction is made of.
type CompactionConfig struct {
	Meta  meta.Store  // required
	Blobs SparseStore // required; it knows the references as rows have them
	// Period is from the begin of a pass to that of the next; the first begins
	// with Run. Zero: a pass begins only when asked for.
	Period time.Duration
	// From says which files are emptied.
	From  blob.Sparsity
	Pacer *Pacer // bounds what is read; zero: nothing does
	// Grace is how long a copy that was replaced is kept, for those who read it.
	// Zero: moraine.Retention, which no download outlives.
	Grace time.Duration
	// Suspect hears of blobs that could not be copied since they are damaged, or
	// not there. It must not block. Zero: nobody.
	Suspect func(moraine.BlobID)
	// Lease is that of the passes. Nil: no other process shares rows and blobs.
	Lease *lease.Lease
	Now   func() time.Time // zero: time.Now
	Log   *slog.Logger     // zero: discard
}

// Compaction empties files that are mostly of deleted blobs. Its methods may be
// called at the same time.
type Compaction struct {
	cfg   CompactionConfig
	mover mover
	asked chan struct{} // holds one token when a pass was asked for

	mu     sync.Mutex // guards status and away
	status CompactionStatus
	away   int // blobs of the pass under way that could not be copied now

	passing sync.Mutex // held by the pass under way; guards the rest
	surplus *surplus
	held    *lease.Held // nil until there is something to do
}

// CompactionStatus is what is known of the compaction since the start.
type CompactionStatus struct {
	// Started is when the pass under way began, zero if there is none, and
	// Finished when the last ended that was whole.
	Started, Finished time.Time
	Pass              CompactionTally // of the pass under way, or of the last
	Moved, Bytes      int64           // blobs in all, and their bytes
	// Error is why the last pass ended early and At when that was; "" if it did
	// not.
	Error string
	At    time.Time
}

// CompactionTally is what a pass met in sparse files.
type CompactionTally struct {
	Blobs       int64 // that rows name
	Moved       int64
	Bytes       int64 // of those
	Quarantined int64 // left where they are
	Failed      int64 // damaged, not there, or not to be copied now
	Surplus     int64 // copies deleted that no row names
}

// NewCompaction assembles a Compaction and touches nothing.
func NewCompaction(cfg CompactionConfig) *Compaction {
	if cfg.Pacer == nil {
		cfg.Pacer = NewPacer(0)
	}
	if cfg.Grace == 0 {
		cfg.Grace = moraine.Retention
	}
	if cfg.Suspect == nil {
		cfg.Suspect = func(moraine.BlobID) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := mover{rows: cfg.Meta, blobs: cfg.Blobs, grace: cfg.Grace, now: cfg.Now, log: cfg.Log}
	return &Compaction{cfg: cfg, mover: m, asked: make(chan struct{}, 1), surplus: newSurplus(nil)}
}

const (
	// compactWorkers is how many blobs are copied at the same time: small ones
	// share the syncs of their pack then.
	compactWorkers = 32
	// compactRest is how long a pass rests after an error, at most.
	compactRest = time.Hour
	// compactAway is how many blobs that cannot be copied now end a pass: fewer are
	// sectors that cannot be read, which must not keep the rest where it is.
	compactAway = 8
)

// Ask has a pass begin now, or after the one under way.
func (c *Compaction) Ask() {
	select {
	case c.asked <- struct{}{}:
	default:
	}
}

// Status returns what is known now.
func (c *Compaction) Status() CompactionStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// Run makes passes until ctx is done, and returns nil when the copies under way
// have been given up. What a pass left undone is found by the next.
func (c *Compaction) Run(ctx context.Context) error {
	if c.cfg.Period > 0 {
		c.Ask()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C // it runs only when a pass is due by itself
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.asked:
			timer.Stop()
		case <-timer.C:
		}
		began, rest := time.Now(), c.cfg.Period
		if err := c.Pass(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Log.WarnContext(ctx, "compaction ended early", "err", err)
			rest = min(rest, compactRest)
		}
		if rest > 0 {
			timer.Reset(max(rest-time.Since(began), time.Second))
		}
	}
}

// Pass goes through the sparse files once and copies what rows name in them. If
// another process is at it, there is nothing to do.
func (c *Compaction) Pass(ctx context.Context) error {
	c.passing.Lock()
	defer c.passing.Unlock()
	err := c.pass(ctx)
	if c.held != nil {
		err = errors.Join(err, c.held.Release(ctx))
		c.held = nil
	}
	return err
}

func (c *Compaction) pass(ctx context.Context) error {
	c.surplus = newSurplus(c.surplus)
	c.note(func(st *CompactionStatus) { st.Started, st.Pass, c.away = c.time(), CompactionTally{}, 0 })
	var batch []blob.Info
	err := c.cfg.Blobs.Sparse(ctx, c.cfg.From, func(i blob.Info) error {
		if batch = append(batch, i); len(batch) < batchMax {
			return nil
		}
		defer func() { batch = batch[:0] }()
		return c.batch(ctx, batch)
	})
	if err == nil {
		err = c.batch(ctx, batch)
	}
	elsewhere := errors.Is(err, lease.ErrElsewhere)
	if elsewhere {
		err = nil
	}
	c.note(func(st *CompactionStatus) {
		st.Started = time.Time{}
		switch {
		case elsewhere:
		case err == nil:
			st.Finished, st.Error, st.At = c.time(), "", time.Time{}
		case ctx.Err() == nil:
			st.Error, st.At = shortened(err), c.time()
		}
	})
	if st := c.Status(); st.Pass.Moved > 0 {
		c.cfg.Log.InfoContext(ctx, "blobs moved out of files that are mostly of deleted ones", "blobs", st.Pass.Moved, "bytes", st.Pass.Bytes)
	}
	return err
}

// time is the instant of an event: UTC, whole milliseconds.
func (c *Compaction) time() time.Time { return c.cfg.Now().UTC().Truncate(time.Millisecond) }

func (c *Compaction) note(change func(*CompactionStatus)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.status)
}

// placed is a row and a place where its blob was seen, which it may not name.
type placed struct {
	row moraine.Extent
	at  moraine.BlobRef
}

// batch copies those of the blobs that rows name. One that is being put, deleted
// or searched for as an orphan is the business of others, and its file is looked
// at again in the next pass.
func (c *Compaction) batch(ctx context.Context, seen []blob.Info) error {
	if len(seen) == 0 {
		return nil
	}
	if err := c.claim(ctx); err != nil {
		return err
	}
	var todo []placed
	quarantined := int64(0)
	err := c.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		for _, i := range seen {
			_, e, err := tx.Bodies().ByBlob(i.ID)
			switch {
			case errors.Is(err, meta.ErrNotFound):
			case err != nil:
				return err
			case quarantine(e):
				quarantined++
			default:
				todo = append(todo, placed{e, i.Ref})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.note(func(st *CompactionStatus) {
		st.Pass.Blobs += int64(len(todo)) + quarantined
		st.Pass.Quarantined += quarantined
	})
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(compactWorkers)
	for _, p := range todo {
		group.Go(func() error { return c.copy(gctx, p) })
	}
	return group.Wait()
}

// claim takes the lease, or keeps it. Two that copied the same blob would do no
// harm, for rows are moved if they still are what they were; they would do work
// for nothing.
func (c *Compaction) claim(ctx context.Context) (err error) {
	if c.held != nil {
		return c.held.Keep(ctx)
	}
	c.held, err = c.cfg.Lease.Take(ctx)
	return err
}

func quarantine(e moraine.Extent) bool { return e.Fault != "" }

// failed notes that a blob could not be copied. It returns err if so many could not
// be that the store is to blame, and not they.
func (c *Compaction) failed(ctx context.Context, p placed, err error) error {
	c.cfg.Log.WarnContext(ctx, "blob not moved", "blob", p.row.Blob.String(), "ref", string(p.at), "err", err)
	c.cfg.Suspect(p.row.Blob)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.Pass.Failed++
	if !moraine.IsKind(err, moraine.Corrupt) && !moraine.IsKind(err, moraine.NotFound) && !moraine.IsKind(err, moraine.Invalid) {
		c.away++
	}
	if c.away < compactAway {
		return nil
	}
	return err
}

// copy makes the copy of a blob and moves its row. Damage of one blob is told and
// does not end the pass.
func (c *Compaction) copy(ctx context.Context, p placed) error {
	i := blob.Info{ID: p.row.Blob, Ref: p.row.Ref, Size: p.row.Size}
	m, err := c.cfg.Blobs.Rewrite(ctx, i, p.at, func(n int) error {
		return errors.Join(c.held.Keep(ctx), c.cfg.Pacer.Wait(ctx, n))
	})
	switch {
	case err == nil:
		// A copy that was made is settled also when the pass is being stopped.
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, lease.ErrElsewhere):
		return lease.ErrElsewhere
	default:
		// It may have been deleted meanwhile; whoever checks it finds out.
		return c.failed(ctx, p, err)
	}
	if m.Ref == i.Ref {
		return c.leftOver(ctx, i, p.at)
	}
	// A fault that was found meanwhile is about the bytes where they are: they
	// stay there.
	moved, err := c.mover.settle(ctx, i, m, func(e moraine.Extent) bool { return !quarantine(e) })
	if err != nil || !moved {
		return err
	}
	c.note(func(st *CompactionStatus) {
		st.Pass.Moved++
		st.Pass.Bytes += i.Size
		st.Moved++
		st.Bytes += i.Size
	})
	return nil
}
