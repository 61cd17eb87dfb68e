package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"moraine/internal/clock"
	"moraine/internal/meta"
)

// What servers that share rows agree on, by the name it has there. Format: never
// change.
const (
	agreedMode  = "mode" // modeNormal or modeTest
	agreedGrace = "orphan.grace"
	agreedClock = "clock" // the latest state of a clock of theirs, as in clockFile
)

// agreeMode holds rows that are shared to what the first server on them was:
// a data directory, which says that of others, is a new one with any start here.
func (s *stores) agreeMode(ctx context.Context, test bool) error {
	if s.alone {
		return nil
	}
	mode := modeNormal
	if test {
		mode = modeTest
	}
	return s.rows.Agree(ctx, agreedMode, func(tx meta.Tx, holds string) (string, error) {
		if holds == "" && test {
			used, err := namesAny(tx)
			if err != nil {
				return "", err
			}
			if used {
				holds = modeNormal // from before this was noted
			}
		}
		switch {
		case holds == "" || holds == mode:
			return mode, nil
		case test:
			return "", errors.New("the database has been served without test_mode and is never served in it, since moving the clock would expire what it holds; name another database and another bucket")
		}
		return "", errors.New("the database was first served in test mode, where the clock was movable, and is served in no other; set test_mode, or name another database and another bucket")
	})
}

// agreeGrace refuses another orphan.grace than that of the servers that are
// running: one that deletes sooner than another expects would take bytes from
// under a row that is about to name them. Without others any will do.
func (s *stores) agreeGrace(ctx context.Context, grace time.Duration) error {
	if s.alone {
		return nil
	}
	settle := func(mine string) (was string, err error) {
		err = s.rows.Agree(ctx, agreedGrace, func(_ meta.Tx, holds string) (string, error) {
			was = holds
			return mine, nil
		})
		return was, err
	}
	was, err := settle(grace.String())
	if err != nil || was == "" || was == grace.String() {
		return err
	}
	// Who connects from here on finds the new one, and is refused if it has
	// another: so whoever goes by the old one is among those that are counted.
	n, err := s.rows.Writers(ctx)
	if err == nil && n <= 1 {
		return nil
	}
	// After a crash before this, the others would have to be given the new one at
	// their next start.
	_, undo := settle(was)
	if err = errors.Join(err, undo); err != nil {
		return err
	}
	return fmt.Errorf("the servers that share the rows have an orphan.grace of %s and this one was given %s: set it to the same for all; to change it, stop all of them first", was, grace)
}

// apartMax is how far the clock of a machine may be off that of the database, by
// which leases go; see docs/nodes.md.
const apartMax = 10 * time.Minute

// agreeTime refuses a machine whose clock is not that of the others: what expires
// and how old an archive is goes by it. In test mode there is one clock.
func (s *stores) agreeTime(ctx context.Context, system func() time.Time, test bool) error {
	if s.alone || test {
		return nil
	}
	before := system()
	var at time.Time
	err := s.rows.View(ctx, func(tx meta.Tx) (err error) {
		at, err = tx.Time()
		return err
	})
	if err != nil {
		return err
	}
	const text = "the clock of this machine is %s %s that of the database, and the two have to agree within %s; set the wrong one right"
	if ahead := before.Sub(at); ahead > apartMax {
		return fmt.Errorf(text, ahead.Round(time.Second), "ahead of", apartMax)
	}
	if behind := at.Sub(system()); behind > apartMax {
		return fmt.Errorf(text, behind.Round(time.Second), "behind", apartMax)
	}
	return nil
}

// joinClock returns the clock of a server that shares rows: if one of the servers
// has used a later time than the data directory knows of, its clock goes on in
// this process. So a server whose directory was lost believes no more of the
// system clock than one that has its own.
func (d *data) joinClock(ctx context.Context, s *stores, own *clock.Clock, c clock.Config) (*clock.Clock, error) {
	if s.alone {
		return own, nil
	}
	var text string
	err := s.rows.Agree(ctx, agreedClock, func(_ meta.Tx, holds string) (string, error) {
		text = holds
		return holds, nil
	})
	if err != nil || text == "" {
		return own, err
	}
	theirs, err := clock.ParseState(text)
	if err != nil {
		return nil, fmt.Errorf("the newest time that servers on the database have used cannot be read from it; delete the row %s of the table agreed if the system clock is right: %w", agreedClock, err)
	}
	kept, err := d.keptClock()
	if err != nil || !theirs.Mark.After(kept.Mark) {
		return own, err
	}
	// What this one has used of its trust, and what it waits for, stays so.
	theirs.Spent = max(theirs.Spent, kept.Spent)
	if theirs.Pending.IsZero() {
		theirs.Pending = kept.Pending
	}
	c.State, c.Save = theirs, d.saveClock
	return clock.New(c), nil
}

// shareEvery is how often the newest time that was used becomes known to all, and
// shareTimeout bounds the last time of it.
const (
	shareEvery   = time.Minute
	shareTimeout = 5 * time.Second
)

// shareClock notes the newest time used in the rows until ctx is done, and once
// more then. A crash loses up to a minute of it, as in the data directory.
func (n *node) shareClock(ctx context.Context) {
	if n.stores.alone {
		return
	}
	tick := time.NewTicker(shareEvery)
	defer tick.Stop()
	for {
		n.noteClock(ctx)
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shareTimeout)
			defer cancel()
			n.noteClock(last)
			return
		case <-tick.C:
		}
	}
}

// noteClock notes the newest time used, unless a later one is noted.
func (n *node) noteClock(ctx context.Context) {
	mine := n.clock.State()
	err := n.stores.rows.Agree(ctx, agreedClock, func(_ meta.Tx, holds string) (string, error) {
		theirs, err := clock.ParseState(holds)
		if holds != "" && (err != nil || !mine.Mark.After(theirs.Mark)) {
			return holds, err
		}
		return mine.String(), nil
	})
	if err != nil && ctx.Err() == nil {
		n.log.WarnContext(ctx, "newest time not noted in the rows", "err", err)
	}
}
