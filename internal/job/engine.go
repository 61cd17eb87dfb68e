package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/lease"
	"moraine/internal/meta"
)

// Bounds of the engine. A lease is renewed when a third of it is over, so that
// a process that died holds a job no longer than leaseTime.
const (
	leaseTime   = 10 * time.Second
	pauseMax    = leaseTime   // between looks: so late is noticed what another process accepted or left
	retryPause  = time.Second // after a store failed
	expiryBatch = 200
	handBackMax = 5 * time.Second // a lease ends soon after
	// attemptsMax is how often a process runs a job that a store cuts short:
	// about twenty minutes, one lease after the other.
	attemptsMax = 120
)

// Run executes jobs when they are due and drops finished ones when they
// expire, until ctx is done. It returns nil when the jobs under way have
// stopped and were handed back; what they did not finish is done again by
// another process.
func (s *Service) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	defer workers.Wait()
	free := make(chan struct{}, s.cfg.Workers)
	for range s.cfg.Workers {
		free <- struct{}{}
	}
	for ctx.Err() == nil {
		pause := s.round(ctx, free, &workers)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

// round expires and claims what is due, hands claims to free workers and
// returns how long nothing more is expected to happen.
func (s *Service) round(ctx context.Context, free chan struct{}, workers *sync.WaitGroup) time.Duration {
	if time.Since(s.kept) >= holdTime/4 {
		if err := s.keepRows(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.ErrorContext(ctx, "downloads not noted", "err", err)
			return retryPause
		}
		s.kept = time.Now()
	}
	if err := s.Expire(ctx); err != nil && ctx.Err() == nil {
		s.cfg.Log.ErrorContext(ctx, "expiry of jobs stopped early", "err", err)
		return retryPause
	}
	if len(free) == 0 {
		return pauseMax // a worker that ends wakes the engine
	}
	jobs, err := s.claim(ctx, len(free))
	if err != nil {
		if ctx.Err() == nil {
			s.cfg.Log.ErrorContext(ctx, "claim of jobs failed", "err", err)
		}
		return retryPause
	}
	for _, j := range jobs {
		<-free
		workers.Go(func() {
			s.work(ctx, j)
			free <- struct{}{}
			s.Wake()
		})
	}
	if len(jobs) > 0 {
		return 0
	}
	return s.untilDue(ctx)
}

// claim leases jobs that are due and not already running here. They are due, and
// leased, by the time of the store, so that processes whose clocks differ do not
// take jobs from each other.
func (s *Service) claim(ctx context.Context, limit int) ([]moraine.Job, error) {
	wait, some, err := s.nextDue(ctx)
	if err != nil || !some || wait > 0 {
		return nil, err
	}
	var claimed []moraine.Job
	err = s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		now, err := s.clock.Read(tx)
		if err != nil {
			return err
		}
		claimed, err = tx.Jobs().Claim(s.cfg.Owner, now, now.Add(leaseTime), limit)
		return err
	})
	// Durable: the leases. A crash on the next line leaves the jobs alone until
	// they are over; then any process claims them.
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := claimed[:0]
	for _, j := range claimed {
		if !s.running[j.ID] {
			s.running[j.ID] = true
			fresh = append(fresh, j)
		}
	}
	return fresh, nil
}

// nextDue is how long it is until a job may be claimed, if there is some.
func (s *Service) nextDue(ctx context.Context) (wait time.Duration, some bool, err error) {
	err = s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		now, err := tx.Time()
		if err != nil {
			return err
		}
		at, found, err := tx.Jobs().NextDue()
		wait, some = at.Sub(now), found
		return err
	})
	return wait, some, err
}

// untilDue is how long to wait for the next job.
func (s *Service) untilDue(ctx context.Context) time.Duration {
	wait, some, err := s.nextDue(ctx)
	switch {
	case err != nil:
		return retryPause
	case !some:
		return s.pauseMax()
	}
	return min(max(wait, time.Millisecond), s.pauseMax())
}

// pauseMax keeps expiry timely when the retention is short.
func (s *Service) pauseMax() time.Duration {
	return max(min(pauseMax, s.cfg.Retention/4), 10*time.Millisecond)
}

// work runs one claimed job to its end and records the outcome.
func (s *Service) work(ctx context.Context, j moraine.Job) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, j.ID)
	}()
	ctx, ended := s.cfg.Running(ctx, &j)
	err := s.rehearsedFailure()
	defer func() {
		ended(err)
		s.suspect(err)
		if err == nil {
			s.settled(j.ID)
		} else {
			s.setAsked(j.ID, false)
		}
	}()
	switch {
	case err != nil:
	case j.Retrieval != nil:
		err = s.retrieve(ctx, &j)
	default:
		err = s.inventory(ctx, &j)
	}
	switch {
	case err == nil:
		return
	case ctx.Err() != nil:
		s.handBack(ctx, j.ID)
		return
	case errors.Is(err, errLost):
		s.cfg.Log.WarnContext(ctx, "job was taken over or is gone", "job", j.ID)
		return
	case moraine.IsKind(err, moraine.Unavailable) && s.another(j.ID):
		// The store may come back; the lease ends and the job is tried again.
		s.cfg.Log.ErrorContext(ctx, "job put off", "job", j.ID, "err", err)
		return
	}
	s.cfg.Log.ErrorContext(ctx, "job failed", "job", j.ID, "action", j.Action, "err", err)
	if err := s.finish(ctx, &j, moraine.Failed, nil); err != nil && !errors.Is(err, errLost) {
		s.cfg.Log.ErrorContext(ctx, "failed job not recorded", "job", j.ID, "err", err)
	}
}

// handBack gives up a job that was stopped, so that another process need not
// wait for the end of the lease.
func (s *Service) handBack(ctx context.Context, id moraine.JobID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handBackMax)
	defer cancel()
	err := s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		j, err := s.held(tx, id)
		if err != nil {
			return err
		}
		j.LeaseOwner, j.LeaseUntil = "", time.Time{}
		return tx.Jobs().Save(j)
	})
	// Durable: anybody may claim the job. A crash before leaves the lease, which
	// ends by itself.
	if err != nil && !errors.Is(err, errLost) {
		s.cfg.Log.WarnContext(ctx, "job not handed back", "job", id, "err", err)
	}
}

// another counts an attempt that a store cut short and reports whether there
// may be one more. A place that can never be read must not keep a job, and a
// worker, for ever (§7.5).
func (s *Service) another(id moraine.JobID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attempts[id]++; s.attempts[id] < attemptsMax {
		return true
	}
	delete(s.attempts, id)
	return false
}

// settled forgets the attempts of a job.
func (s *Service) settled(id moraine.JobID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.attempts, id)
}

// errLost says that the job is no longer ours to change.
var errLost = errors.New("the job is not held any more")

// held reads a job again and confirms that this process may change it. It does
// not ask whether the lease is over: as long as nobody else has claimed the job,
// what this process found out counts. If somebody has, the row says so, and
// nothing of this transaction remains, however late it comes.
func (s *Service) held(tx meta.Tx, id moraine.JobID) (moraine.Job, error) {
	j, err := tx.Jobs().Get(id)
	if errors.Is(err, meta.ErrNotFound) || err == nil && (j.State != moraine.InProgress || j.LeaseOwner != s.cfg.Owner) {
		return j, errLost
	}
	return j, err
}

// renewer returns a function that renews the lease of a job when a third of it
// is over; it costs nothing before. It goes by both clocks of the process: the
// one that tells the time may stand still, the other does not know of tests that
// move time.
func (s *Service) renewer(ctx context.Context, id moraine.JobID) func() error {
	told, began := s.now(), time.Now()
	return func() error {
		now := s.now()
		if now.Sub(told) < leaseTime/3 && time.Since(began) < leaseTime/3 {
			return ctx.Err()
		}
		told, began = now, time.Now()
		return s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
			j, err := s.held(tx, id)
			if err != nil {
				return err
			}
			now, err := tx.Time()
			if err != nil {
				return err
			}
			j.LeaseUntil = now.Add(leaseTime)
			return tx.Jobs().Save(j)
		})
	}
}

// finish moves a job to its final state. fill, if not nil, completes the row
// in the same transaction. Running a job twice is harmless: only the first
// finish finds it in progress.
func (s *Service) finish(ctx context.Context, j *moraine.Job, state moraine.JobState, fill func(tx meta.Tx, j *moraine.Job) error) error {
	err := s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		row, err := s.held(tx, j.ID)
		if err != nil {
			return err
		}
		now, err := s.dated(tx)
		if err != nil {
			return err
		}
		row.State, row.Completed, row.Expires = state, now, now.Add(s.cfg.Retention)
		row.LeaseOwner, row.LeaseUntil = "", time.Time{}
		if fill != nil {
			if err := fill(tx, &row); err != nil {
				return err
			}
		}
		if err := notify(tx, &row); err != nil {
			return err
		}
		return tx.Jobs().Save(row)
	})
	// The final state and the messages about it are durable together: a crash
	// here leaves messages that the next process delivers.
	if err == nil {
		s.cfg.Finished()
	}
	return err
}

// retrieve verifies the bytes a retrieval job is about to offer: every extent
// the range touches is read and compared with its digests. The output is then
// served from the archive itself, which the job keeps from being reclaimed.
func (s *Service) retrieve(ctx context.Context, j *moraine.Job) error {
	r := j.Retrieval
	var extents []moraine.Extent
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		a, err := tx.Archives().Get(r.Archive)
		if err != nil {
			return fmt.Errorf("find archive: %w", err)
		}
		if !a.Deleted.IsZero() {
			return errDeleted
		}
		extents, err = tx.Bodies().Extents(j.Body, r.First, moraine.PartsMax)
		return err
	})
	if err != nil {
		return err
	}
	touched := 0
	for ; touched < len(extents) && extents[touched].First <= r.Last; touched++ {
		if err := s.quarantined(&extents[touched]); err != nil {
			return err
		}
	}
	if ready, err := s.restored(ctx, j, extents[:touched]); err != nil || !ready {
		if err == nil {
			err = s.postpone(ctx, j)
		}
		return err
	}
	if err := blob.Verify(ctx, s.cfg.Blobs, extents[:touched], s.renewer(ctx, j.ID)); err != nil {
		return err
	}
	return s.finish(ctx, j, moraine.Succeeded, func(tx meta.Tx, row *moraine.Job) error {
		// An archive deleted while the job ran fails it (§4.2).
		a, err := tx.Archives().Get(r.Archive)
		if err == nil && !a.Deleted.IsZero() {
			row.State = moraine.Failed
		}
		return err
	})
}

// quarantined is the error for an extent with a fault: it is not served before
// a check finds it whole.
func (s *Service) quarantined(e *moraine.Extent) error {
	if e.Fault == "" {
		return nil
	}
	// Its damage is known, so nobody is told of it again.
	return moraine.Errorf(moraine.Corrupt, "blob %s is quarantined: %s", e.Blob, e.Fault)
}

// suspect passes on which blob an error is about.
func (s *Service) suspect(err error) {
	var damage *blob.Damage
	if errors.As(err, &damage) {
		s.cfg.Suspect(damage.Blob)
	}
}

// errDeleted fails a job whose archive is gone.
var errDeleted = errors.New("the archive was deleted")

// Expire drops finished jobs whose time is over, except those being
// downloaded: they go when the download ends (§7.5). A download that begins
// after the check finds its job expired, because the clock does not run back.
// Downloads of other processes are noted in the rows of their jobs.
func (s *Service) Expire(ctx context.Context) error {
	now := s.now()
	expired := func(tx meta.Tx) ([]moraine.Job, error) {
		at, err := s.clock.Read(tx)
		if err != nil {
			return nil, err
		}
		past := s.clock.Past() // a clock that is fast takes no output from others
		// Those being downloaded come first, and are passed over.
		list, err := tx.Sweeps().ExpiredJobs(past, at, expiryBatch+s.downloads())
		return slices.DeleteFunc(list, func(j moraine.Job) bool { return s.isReading(j.ID) }), err
	}
	for {
		var n int
		err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
			list, err := expired(tx)
			if n = len(list); err != nil || n == 0 {
				return err
			}
			return s.cfg.Expiring.Free(tx)
		})
		if errors.Is(err, lease.ErrElsewhere) {
			return nil
		}
		if err != nil || n == 0 {
			return err
		}
		err = s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
			list, err := expired(tx)
			if n = len(list); err != nil || n == 0 {
				return err
			}
			for _, j := range list {
				if err := tx.Sweeps().DropJob(j.ID, now); err != nil {
					return err
				}
			}
			return s.cfg.Expiring.Enter(tx)
		})
		if errors.Is(err, lease.ErrElsewhere) {
			return nil
		}
		if err != nil || n == 0 {
			return err
		}
	}
}
