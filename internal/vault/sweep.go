package vault

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/lease"
	"moraine/internal/meta"
)

// Bounds of the sweep: rows per transaction, the longest time between looks,
// and the time between searches for orphans.
const (
	sweepBatch  = 500
	sweepEvery  = time.Minute
	orphanEvery = 24 * time.Hour
	// stuckPause is how long a blob that cannot be deleted is left in peace.
	stuckPause = 24 * time.Hour
	// awayPause is how long one is left that cannot be deleted now, and awayMax how
	// many of them end a step: more of them mean that the store is away.
	awayPause = 10 * time.Minute
	awayMax   = 8
	// orphansMax is how many orphans one search deletes at most. A crash leaves
	// about one for each upload under way; many more mean that rows are
	// missing, and then the bytes are worth more than their space.
	orphansMax = 10_000
)

// Run sweeps until ctx is done: it expires uploads and locks, gives the bytes of deleted
// things back, takes inventories that are due, and searches for orphans. It
// returns nil when the step under way has ended.
func (s *Service) Run(ctx context.Context) error {
	var searching sync.WaitGroup
	searching.Go(func() { s.searchOrphans(ctx) })
	defer searching.Wait()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.ErrorContext(ctx, "sweep stopped early", "err", err)
		}
		timer := time.NewTimer(s.pause())
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-s.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// searchOrphans searches now and then until ctx is done, beside the sweep: it
// reads every header of every pack and may take hours.
func (s *Service) searchOrphans(ctx context.Context) {
	tick := time.NewTicker(orphanEvery)
	defer tick.Stop()
	for {
		if n, err := s.SweepOrphans(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.ErrorContext(ctx, "search for orphans stopped early", "err", err)
		} else if n > 0 {
			s.cfg.Log.InfoContext(ctx, "orphan blobs removed", "blobs", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// pause is how long the sweep may sleep: a fraction of the shortest period it
// serves, so that tests with short periods need no long wait.
func (s *Service) pause() time.Duration {
	d := min(sweepEvery, s.cfg.Retention/4)
	if s.cfg.InventoryInterval > 0 {
		d = min(d, s.cfg.InventoryInterval/4)
	}
	return max(d, 10*time.Millisecond)
}

// Sweep does all that is due now, in short transactions. Each step may be
// interrupted anywhere and is simply done again. If another process is at it,
// there is nothing to do.
func (s *Service) Sweep(ctx context.Context) error {
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		_, err := s.clock.Read(tx)
		return err
	})
	if err != nil {
		return err
	}
	steps := []struct {
		name string
		run  func(context.Context) (int, error)
	}{
		{"inventories", s.takeInventories}, {"locks", s.dropLocks}, {"expired_uploads", s.expireUploads}, {"ended_uploads", s.forgetUploads},
		{"dead_vaults", s.bury}, {"condemned_bodies", s.release}, {"garbage", s.deleteGarbage},
	}
	for _, step := range steps {
		for {
			n, err := step.run(ctx)
			if errors.Is(err, lease.ErrElsewhere) {
				return nil
			}
			if err != nil {
				return err
			}
			s.cfg.Swept(step.name, n)
			if n == 0 {
				break
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// update runs one step of the sweep as a transaction and returns its count. If
// there was something to do, the transaction takes the lease: an idle server
// writes nothing.
func (s *Service) update(ctx context.Context, fn func(tx meta.Tx) (int, error)) (n int, err error) {
	err = s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		err := s.cfg.Sweeping.Free(tx)
		if err != nil {
			return err
		}
		if n, err = fn(tx); err != nil || n == 0 {
			return err
		}
		return s.cfg.Sweeping.Enter(tx)
	})
	return n, err
}

// due runs question in a view first, so that an idle server writes nothing.
func (s *Service) due(ctx context.Context, question func(tx meta.Tx) (int, error)) (bool, error) {
	var n int
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) (err error) {
		n, err = question(tx)
		return err
	})
	return n > 0, err
}

// takeInventories snapshots the vaults whose inventory is due (§8.1). The
// figures and the instant change in one row, so that DescribeVault, the
// inventory document and the DeleteVault test change together.
func (s *Service) takeInventories(ctx context.Context) (int, error) {
	if s.cfg.InventoryInterval == 0 {
		return 0, nil
	}
	before := s.clock.Past().Add(-s.cfg.InventoryInterval)
	some, err := s.due(ctx, func(tx meta.Tx) (int, error) {
		vaults, err := tx.Sweeps().DueInventories(before, 1)
		return len(vaults), err
	})
	if err != nil || !some {
		return 0, err
	}
	return s.update(ctx, func(tx meta.Tx) (int, error) {
		vaults, err := tx.Sweeps().DueInventories(before, sweepBatch)
		if err != nil {
			return 0, err
		}
		now := s.clock.Past()
		for _, v := range vaults {
			v.TakeInventory(now)
			if err := tx.Vaults().Save(v); err != nil {
				return 0, err
			}
		}
		return len(vaults), nil
	})
}

// expireUploads ends open uploads without activity (§5.1). Their ids are not
// remembered: Active stays in the past.
func (s *Service) expireUploads(ctx context.Context) (int, error) {
	before := s.clock.Past().Add(-s.cfg.Retention)
	idle := func(tx meta.Tx, limit int) ([]moraine.Upload, error) { return tx.Sweeps().IdleUploads(before, limit) }
	some, err := s.due(ctx, func(tx meta.Tx) (int, error) {
		uploads, err := idle(tx, 1)
		return len(uploads), err
	})
	if err != nil || !some {
		return 0, err
	}
	return s.update(ctx, func(tx meta.Tx) (int, error) {
		uploads, err := idle(tx, sweepBatch)
		if err != nil {
			return 0, err
		}
		for _, u := range uploads {
			if err := endUpload(tx, u, u.Active); err != nil {
				return 0, err
			}
		}
		return len(uploads), nil
	})
}

// forgetUploads drops the memory of ended uploads after their time.
func (s *Service) forgetUploads(ctx context.Context) (int, error) {
	before := s.clock.Past().Add(-s.cfg.Retention)
	return s.update(ctx, func(tx meta.Tx) (int, error) { return tx.Sweeps().DropEndedUploads(before, sweepBatch) })
}

// bury clears away what deleted vaults left.
func (s *Service) bury(ctx context.Context) (int, error) {
	now := s.clock.Past()
	return s.update(ctx, func(tx meta.Tx) (int, error) { return tx.Sweeps().Bury(now, sweepBatch) })
}

// release turns the extents of condemned bodies that no job needs into
// garbage. Nothing can come to need them again: a new job finds its archive
// deleted in the same kind of transaction.
func (s *Service) release(ctx context.Context) (int, error) {
	now := s.clock.Past()
	return s.update(ctx, func(tx meta.Tx) (int, error) { return tx.Sweeps().Release(now, sweepBatch) })
}

// deleteGarbage deletes blobs that no row names, then forgets them. Those whose
// instant is still to come have readers until then, and wait. All wait for the
// grace: no database that is put back as it was within it names what is gone.
func (s *Service) deleteGarbage(ctx context.Context) (int, error) {
	var garbage []moraine.Garbage
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) (err error) {
		garbage, err = tx.Sweeps().Garbage(sweepBatch)
		return err
	})
	if err != nil {
		return 0, err
	}
	now := s.clock.Past()
	before := now.Add(-s.cfg.GarbageGrace)
	if len(garbage) == 0 || garbage[0].Since.After(before) {
		return 0, nil
	}
	held, err := s.cfg.Sweeping.Take(ctx)
	if err != nil {
		return 0, err
	}
	var gone []moraine.BlobID
	var stuck []moraine.Garbage
	var failed error
	away := 0
	for _, g := range garbage {
		if g.Since.After(before) {
			break // as are all that follow
		}
		if err := held.Keep(ctx); err != nil {
			failed = err
			break
		}
		err := s.cfg.Blobs.Delete(ctx, g.Ref)
		if ctx.Err() != nil {
			failed = ctx.Err()
			break
		}
		if moraine.IsKind(err, moraine.Corrupt) || moraine.IsKind(err, moraine.Invalid) {
			// It cannot be deleted, and must not keep others from it.
			s.cfg.Log.ErrorContext(ctx, "a damaged blob keeps its space", "blob", g.Blob.String(), "err", err)
			g.Since = before.Add(stuckPause)
			stuck = append(stuck, g)
			continue
		}
		if err != nil {
			// One sector that cannot be read must not keep others from going either.
			failed = err
			g.Since = before.Add(awayPause)
			stuck = append(stuck, g)
			if away++; away == awayMax {
				break
			}
			continue
		}
		gone = append(gone, g.Blob)
	}
	if len(gone)+len(stuck) == 0 {
		return 0, failed
	}
	// The bytes are gone for good before the rows that remember them: a crash
	// here deletes the same blobs once more, which is no error. So does another
	// process, if it took the lease meanwhile.
	n, err := s.update(ctx, func(tx meta.Tx) (int, error) {
		errs := []error{held.Check(tx), tx.Sweeps().DropGarbage(gone)}
		for _, g := range stuck {
			errs = append(errs, tx.Sweeps().DropGarbage([]moraine.BlobID{g.Blob}), tx.Sweeps().Discard(g))
		}
		return len(gone) + len(stuck), errors.Join(errs...)
	})
	return n, errors.Join(err, failed)
}

// SweepOrphans deletes blobs that no row has named for at least the grace, and
// returns how many. Blobs become orphans when the process dies, or a commit
// fails, between the bytes and the row.
//
// Of its own blobs it asks in this order: is the blob pending, and if not, does a
// row name it. A blob leaves Pending only after its row is committed or will
// never be, so one that is neither pending nor named is nobody's. Blobs of other
// processes are pending there. Of them it is known that no row comes when half
// the grace has passed since their bodies ended (blob.NameWithin), so the rows
// are asked once more when the grace is over, and then the answer stays. The
// grace counts by the time of the store, as the other half does.
//
// The grace counts from the search that first found the blob without a row, and
// begins anew with each process: rows may have been lost or put back from a
// backup, and whoever did that must have time to notice.
func (s *Service) SweepOrphans(ctx context.Context) (int, error) {
	walker, ok := s.cfg.Blobs.(blob.Walker)
	if !ok {
		return 0, nil
	}
	held, err := s.cfg.Searching.Take(ctx)
	if errors.Is(err, lease.ErrElsewhere) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := s.sweepOrphans(ctx, walker, held)
	if errors.Is(err, lease.ErrElsewhere) {
		err = nil // it took so long that another searches now
	}
	return n, errors.Join(err, held.Release(ctx))
}

func (s *Service) sweepOrphans(ctx context.Context, walker blob.Walker, held *lease.Held) (int, error) {
	found, named, err := s.findOrphans(ctx, walker, held)
	if err != nil {
		return 0, err
	}
	due, err := s.suspect(ctx, found)
	if err != nil {
		return 0, err
	}
	if len(due) > orphansMax || len(due) > 0 && named == 0 {
		return 0, moraine.Errorf(moraine.Internal,
			"%d blobs are named by no row and %d are, so none was deleted: lost rows look like this; see docs/operations.md", len(due), named)
	}
	n, away := 0, 0
	for batch := range slices.Chunk(due, sweepBatch) {
		if batch, err = s.orphans(ctx, batch); err != nil {
			return n, err
		}
		for _, o := range batch {
			if err := held.Keep(ctx); err != nil {
				return n, err
			}
			if err := s.cfg.Blobs.Delete(ctx, o.Ref); err != nil {
				// It keeps its space, and must not keep others from going.
				s.cfg.Log.ErrorContext(ctx, "an orphan blob keeps its space", "blob", o.ID.String(), "err", err)
				if away++; away == awayMax || ctx.Err() != nil {
					return n, err
				}
				continue
			}
			n++
			s.suspectsMu.Lock()
			delete(s.suspects, o.ID)
			s.suspectsMu.Unlock()
		}
	}
	return n, nil
}

// suspect notes the blobs that a search found without a row and returns those
// that were known as such for the grace.
func (s *Service) suspect(ctx context.Context, found []blob.Info) (due []blob.Info, err error) {
	var now time.Time
	err = s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		now, err = s.clock.Read(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.suspectsMu.Lock()
	defer s.suspectsMu.Unlock()
	known := s.suspects
	s.suspects = make(map[moraine.BlobID]time.Time, len(found))
	var fresh, bytes int64
	for _, o := range found {
		since, again := known[o.ID]
		if !again {
			since = now
			fresh++
			bytes += o.Size
		}
		s.suspects[o.ID] = since
		if !now.Before(since.Add(s.cfg.OrphanGrace)) {
			due = append(due, o)
		}
	}
	if fresh > 0 {
		s.cfg.Log.WarnContext(ctx, "blobs without a row found; they are deleted after the grace",
			"blobs", fresh, "bytes", bytes, "grace", s.cfg.OrphanGrace)
	}
	return due, nil
}

// findOrphans walks the store and returns the blobs that no row names, and how
// many are named. It stops remembering more than it would delete.
func (s *Service) findOrphans(ctx context.Context, walker blob.Walker, held *lease.Held) (found []blob.Info, named int64, err error) {
	var batch []blob.Info
	flush := func() error {
		if err := held.Keep(ctx); err != nil {
			return err
		}
		orphans, err := s.orphans(ctx, batch)
		named += int64(len(batch) - len(orphans))
		batch = batch[:0]
		if room := orphansMax + 1 - len(found); len(orphans) > room {
			orphans = orphans[:room]
		}
		found = append(found, orphans...)
		return err
	}
	err = walker.Walk(ctx, func(i blob.Info) error {
		if s.cfg.Pending.Has(i.ID) {
			return nil
		}
		if batch = append(batch, i); len(batch) < sweepBatch {
			return nil
		}
		return flush()
	}, func(err error) {
		s.cfg.Log.ErrorContext(ctx, "damaged place in a pack", "err", err)
	})
	if err == nil {
		err = flush()
	}
	return found, named, err
}

// orphans returns those of the given blobs that no row names. A second copy of
// a blob that a row names elsewhere is left alone: space is cheaper than a
// wrong guess about which copy is good. So is garbage, which has a time of its
// own to go.
func (s *Service) orphans(ctx context.Context, blobs []blob.Info) ([]blob.Info, error) {
	var orphans []blob.Info
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		orphans = orphans[:0]
		for _, b := range blobs {
			_, _, err := tx.Bodies().ByBlob(b.ID)
			if err == nil {
				continue
			}
			if !errors.Is(err, meta.ErrNotFound) {
				return err
			}
			waits, err := tx.Sweeps().IsGarbage(b.ID)
			if err != nil {
				return err
			}
			if !waits {
				orphans = append(orphans, b)
			}
		}
		return nil
	})
	return orphans, err
}
