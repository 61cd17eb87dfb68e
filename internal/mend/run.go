package mend

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/meta"
)

// Bounds of the worker.
const (
	// workers is how many blobs are mended at the same time: small ones share
	// the syncs of their pack then.
	workers = 8
	// batchMax is how many rows are looked at in one transaction, and how many
	// hints in one round.
	batchMax = 512
	// batchTries is how often the same rows are tried in which nothing succeeds.
	batchTries = 3
	// countEvery is the time between looks at every row when nothing is known to
	// be missing.
	countEvery = 24 * time.Hour
	// pauseMin and pauseMax bound the pause after a failure, which doubles.
	pauseMin = time.Second
	pauseMax = 5 * time.Minute
	// pendingPause is the pause for blobs whose rows are about to be committed.
	pendingPause = time.Second
)

// Run mends what is missing until ctx is done, and returns nil when the copies
// under way have been given up. First of all it looks at every row: what an
// earlier process left undone is found there.
func (s *Service) Run(ctx context.Context) error {
	w := &worker{s: s, lost: -1}
	for ctx.Err() == nil {
		timer := time.NewTimer(w.round(ctx))
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// pauses spread attempts after failures.
type pauses struct {
	until time.Time
	last  time.Duration // 0 after a success
}

// left is how long nothing is to be tried.
func (p *pauses) left() time.Duration { return max(0, time.Until(p.until)) }

func (p *pauses) succeeded() { *p = pauses{} }

func (p *pauses) failed() time.Duration {
	p.last = min(max(2*p.last, pauseMin), pauseMax)
	p.until = time.Now().Add(p.last)
	return p.last
}

// worker is what Run knows. One goroutine has it.
type worker struct {
	s            *Service
	hints, steps pauses

	pass *pass     // the one under way, nil for none
	next time.Time // when a pass begins by itself
	// lost is how many blobs the last pass that mended found without a good copy,
	// -1 if there was none since all was whole.
	lost int64
}

// pass is one way through the rows, in order of blob: to count, or to mend.
type pass struct {
	mends bool
	after moraine.BlobID
	tries int // of the present rows

	// Of one that counts.
	blobs, bytes int64
	lacking      int64 // blobs
	missing      []Missing
	// Of one that mends.
	worked bool // something was mended of late
	failed bool // something is left that may be mended later
	lost   int64
}

// round does the next piece of work and returns how long there is none.
func (w *worker) round(ctx context.Context) time.Duration {
	rest := w.hintRound(ctx)
	if w.steps.left() == 0 {
		if err := w.step(ctx); err != nil && ctx.Err() == nil {
			w.s.failed(ctx, err, w.steps.failed())
		}
	}
	switch {
	case w.steps.left() > 0:
		return min(rest, w.steps.left())
	case w.pass != nil:
		return 0
	}
	return min(rest, max(0, time.Until(w.next)))
}

// hintRound looks at the blobs that hints name and returns how long it has
// nothing to do.
func (w *worker) hintRound(ctx context.Context) time.Duration {
	if left := w.hints.left(); left > 0 {
		return left
	}
	more, err := w.s.mendHinted(ctx)
	switch {
	case ctx.Err() != nil:
		return 0
	case err != nil:
		pause := w.hints.failed()
		w.s.failed(ctx, err, pause)
		return pause
	case !more:
		w.hints.succeeded()
		return countEvery
	}
	w.hints.until, w.hints.last = time.Now().Add(pendingPause), 0
	return pendingPause
}

// step looks at the next rows. A pass counts; if it finds something missing one
// follows that mends, and after that another that counts, and sees whether all
// is done.
func (w *worker) step(ctx context.Context) error {
	if w.pass == nil {
		if time.Now().Before(w.next) && !w.s.takeMissed() {
			return nil
		}
		w.begin(&pass{})
	}
	p := w.pass
	done, err := w.s.batch(ctx, p)
	if p.worked {
		p.worked = false
		w.steps.succeeded()
	}
	if err != nil || !done {
		return err
	}
	if p.mends {
		w.lost = p.lost
		w.s.lost(p.lost)
		w.begin(&pass{})
		if p.failed {
			return errLeft
		}
		return nil
	}
	w.s.counted(p)
	switch {
	case p.lacking > max(0, w.lost):
		again := w.lost >= 0
		w.lost = -1
		w.begin(&pass{mends: true})
		if again {
			return errLeft // what came since; there may be more by and by
		}
		return nil
	case p.lacking == 0:
		w.s.lost(0)
	}
	w.begin(nil)
	if err := w.s.cfg.Whole(ctx); err != nil {
		return err // the next pass begins after the pause
	}
	w.lost = -1
	w.next = time.Now().Add(countEvery)
	w.steps.succeeded()
	w.s.whole()
	return nil
}

// errLeft says that another pass is needed, and not at once.
var errLeft = errors.New("some copies could not be made, or came to be missing meanwhile")

func (w *worker) begin(p *pass) {
	w.pass = p
	switch {
	case p == nil:
		w.s.doing("")
	case p.mends:
		w.s.doing("mending")
	default:
		w.s.doing("counting")
	}
}

// batch goes on with a pass and reports whether it is over.
func (s *Service) batch(ctx context.Context, p *pass) (done bool, err error) {
	var rows []moraine.Extent
	err = s.cfg.Meta.View(ctx, func(tx meta.Tx) (err error) {
		rows, err = tx.Bodies().Blobs(p.after, batchMax)
		return err
	})
	if err != nil || len(rows) == 0 {
		return err == nil, err
	}
	if p.mends {
		err = s.mendRows(ctx, p, rows)
	} else {
		err = s.countRows(ctx, p, rows)
	}
	if err == nil {
		p.after, p.tries = rows[len(rows)-1].Blob, 0
	}
	return false, err
}

func (s *Service) countRows(ctx context.Context, p *pass, rows []moraine.Extent) error {
	for _, e := range rows {
		missing, err := s.missing(ctx, e)
		if err != nil {
			return err
		}
		p.blobs++
		p.bytes += e.Size
		if len(missing) > 0 {
			p.lacking++
		}
		for _, place := range missing {
			p.missing = tally(p.missing, place, 1, e.Size)
		}
	}
	return nil
}

// missing names the places where a blob lacks its copy. A reference that makes no
// sense is for the check of the store to find.
func (s *Service) missing(ctx context.Context, e moraine.Extent) ([]string, error) {
	missing, err := s.cfg.Blobs.Missing(ctx, e.Ref)
	if moraine.IsKind(err, moraine.Invalid) {
		s.cfg.Log.ErrorContext(ctx, "the row of a blob has no reference", "blob", e.Blob.String(), "err", err)
		return nil, nil
	}
	return missing, err
}

// mendRows mends those of the rows that lack a copy. It fails if there are some
// and none of them could be mended.
func (s *Service) mendRows(ctx context.Context, p *pass, rows []moraine.Extent) error {
	var mu sync.Mutex // guards what follows
	var worked bool
	var lost int64
	var failed error
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, e := range rows {
		missing, err := s.missing(ctx, e)
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		if len(missing) == 0 {
			continue
		}
		group.Go(func() error {
			err := s.mend(gctx, e, missing)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				worked = true
			case moraine.IsKind(err, moraine.Corrupt):
				lost++
			default:
				failed = err
			}
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	p.worked = worked
	if failed != nil {
		p.failed = true
		if p.tries++; !worked && p.tries < batchTries {
			return failed
		}
		s.failed(ctx, failed, 0)
	}
	p.lost += lost
	return nil
}

// mend mends the blob of a row. A blob that is deleted meanwhile needs no copy.
func (s *Service) mend(ctx context.Context, e moraine.Extent, missing []string) error {
	m, err := s.MendBlob(ctx, blob.Info{ID: e.Blob, Ref: e.Ref, Size: e.Size})
	if err != nil {
		if gone, look := s.isGone(ctx, e); look != nil || gone {
			return look
		}
		if moraine.IsKind(err, moraine.Corrupt) {
			s.cfg.Log.ErrorContext(ctx, "blob has no good copy", "blob", e.Blob.String(), "ref", string(e.Ref), "err", err)
		}
		return err
	}
	s.made(missing, e.Size)
	if len(m.Drop) > 0 {
		s.cfg.Log.WarnContext(ctx, "bad copies were replaced", "blob", e.Blob.String(), "ref", string(m.Ref), "replaced", len(m.Drop))
	}
	return nil
}

// isGone reports whether a row is not there any more, or says something else.
func (s *Service) isGone(ctx context.Context, e moraine.Extent) (gone bool, err error) {
	row, err := s.row(ctx, e.Blob)
	if errors.Is(err, meta.ErrNotFound) {
		return true, nil
	}
	return row.Ref != e.Ref, err
}

func (s *Service) row(ctx context.Context, id moraine.BlobID) (e moraine.Extent, err error) {
	err = s.cfg.Meta.View(ctx, func(tx meta.Tx) (err error) {
		_, e, err = tx.Bodies().ByBlob(id)
		return err
	})
	return e, err
}

// mendHinted mends blobs that hints name, and reports whether some have to wait.
func (s *Service) mendHinted(ctx context.Context) (waits bool, err error) {
	ids := s.hinted(batchMax)
	var mu sync.Mutex // guards what follows
	var failed error
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, id := range ids {
		group.Go(func() error {
			later, err := s.mendHint(gctx, id)
			mu.Lock()
			defer mu.Unlock()
			waits = waits || later
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case later:
			case err == nil || moraine.IsKind(err, moraine.Corrupt):
				s.settled(id)
			default:
				failed = err
				s.putOff(id)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return false, err
	}
	return waits || len(ids) == batchMax, failed
}

// mendHint mends one blob, or says that it is too early. It asks in this order:
// is the blob pending, and if not, what does its row say. A blob leaves Pending
// only after its row is committed or will never be.
func (s *Service) mendHint(ctx context.Context, id moraine.BlobID) (later bool, err error) {
	pending := s.cfg.Pending.Has(id)
	e, err := s.row(ctx, id)
	if errors.Is(err, meta.ErrNotFound) {
		return pending, nil
	}
	if err != nil {
		return false, err
	}
	missing, err := s.missing(ctx, e)
	if err != nil {
		return false, err
	}
	return false, s.mend(ctx, e, missing)
}
