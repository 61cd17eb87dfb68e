package job

import (
	"context"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/meta"
)

// Bounds of the time between two looks whether bytes are restored: soon after a
// job began, and when it has waited for long.
const (
	restorePollMin = time.Second
	restorePollMax = 5 * time.Minute
	// restorePollShare is the share of the time waited so far after which the next
	// look comes.
	restorePollShare = 4
)

// restored asks that the bytes of a retrieval can be read until its output
// expires, and reports whether they can now. The first look of this process asks
// for all of them; the others stop at the first that is still cold.
func (s *Service) restored(ctx context.Context, j *moraine.Job, extents []moraine.Extent) (bool, error) {
	if _, ok := s.cfg.Blobs.(blob.Restorer); !ok {
		return true, nil
	}
	// The output is read from the same bytes. A day more, because the time counts
	// from the end of the restoration, and the job ends after that.
	days := int((s.cfg.Retention+24*time.Hour-1)/(24*time.Hour)) + 1
	renew := s.renewer(ctx, j.ID)
	again := s.isAsked(j.ID)
	all := true
	for _, e := range extents {
		if err := renew(); err != nil {
			return false, err
		}
		ready, err := blob.Restore(ctx, s.cfg.Blobs, e.Ref, j.Tier, days)
		if err != nil {
			return false, err
		}
		all = all && ready
		if !ready && again {
			break
		}
	}
	s.setAsked(j.ID, !all)
	return all, nil
}

func (s *Service) isAsked(id moraine.JobID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[id]
}

func (s *Service) setAsked(id moraine.JobID, asked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if asked {
		s.asked[id] = true
	} else {
		delete(s.asked, id)
	}
}

// postpone gives a job up until the next look. It stays in progress, and whoever
// claims it then goes on.
func (s *Service) postpone(ctx context.Context, j *moraine.Job) error {
	return s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		row, err := s.held(tx, j.ID)
		if err != nil {
			return err
		}
		due, err := tx.Time() // by the clock that claims go by
		if err != nil {
			return err
		}
		row.Due = due.Add(min(max(s.now().Sub(row.Created)/restorePollShare, restorePollMin), restorePollMax))
		row.LeaseOwner, row.LeaseUntil = "", time.Time{}
		return tx.Jobs().Save(row)
	})
}
