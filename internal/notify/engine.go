package notify

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"moraine"
	"moraine/internal/meta"
)

// Bounds of the engine. A lease is longer than a message may wait in its lane,
// its attempt and the commit after it; a process that died holds a message no
// longer than that.
const (
	claimMax       = laneMax + queueMax // messages claimed in one transaction
	attemptTimeout = 5 * time.Second
	leaseTime      = 2 * time.Minute
	pauseMax       = time.Minute // between looks when nothing is known to be due
	retryPause     = time.Second // after the store failed

	backoffMin = time.Second
	backoffMax = time.Hour
	triesTime  = 24 * time.Hour // after the first attempt

	pruneTime = time.Hour // between looks for older ones
	pruneMax  = 200       // in one transaction

	errorMax    = 512  // bytes of an error's text
	unroutedMax = 1000 // topics of which the log is reminded
)

// Run delivers messages when they are due until ctx is done. It returns nil when
// the attempts under way have ended; a message whose attempt was cut off is
// delivered by the next process.
func (s *Service) Run(ctx context.Context) error {
	var attempts sync.WaitGroup
	defer attempts.Wait()
	var pruned time.Time
	for ctx.Err() == nil {
		if now := s.now(); now.Sub(pruned) >= pruneTime {
			s.logFailure(ctx, "old messages were not removed", s.Prune(ctx))
			pruned = now
		}
		timer := time.NewTimer(s.round(ctx, &attempts))
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	return nil
}

func (s *Service) logFailure(ctx context.Context, message string, err error) {
	if err != nil && ctx.Err() == nil {
		s.cfg.Log.ErrorContext(ctx, message, "err", err)
	}
}

// round begins attempts and returns how long nothing more is expected to happen.
func (s *Service) round(ctx context.Context, attempts *sync.WaitGroup) time.Duration {
	n, err := s.dispatch(ctx, attempts)
	if err != nil {
		s.logFailure(ctx, "delivery of messages stopped early", err)
		return retryPause
	}
	if n > 0 {
		return 0
	}
	wait, some, err := s.nextDue(ctx)
	switch {
	case err != nil:
		s.logFailure(ctx, "the outbox cannot be read", err)
		return retryPause
	case !some:
		return pauseMax
	}
	return min(max(wait, time.Millisecond), pauseMax)
}

// nextDue is how long it is until a message is due, if one is pending.
func (s *Service) nextDue(ctx context.Context) (wait time.Duration, some bool, err error) {
	err = s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		now, err := s.clock.Read(tx)
		if err != nil {
			return err
		}
		at, found, err := tx.Outbox().NextDue()
		wait, some = at.Sub(now), found
		return err
	})
	return wait, some, err
}

// dispatch takes messages that are due, begins attempts on those for which their
// lanes have room, and returns how many it took.
func (s *Service) dispatch(ctx context.Context, attempts *sync.WaitGroup) (int, error) {
	if wait, some, err := s.nextDue(ctx); err != nil || !some || wait > 0 {
		return 0, err
	}
	var p plan
	var now time.Time
	err := s.cfg.Meta.Update(ctx, func(tx meta.Tx) (err error) {
		if now, err = s.clock.Read(tx); err != nil {
			return err
		}
		batch, err := tx.Outbox().Claim(s.cfg.Owner, now, now.Add(leaseTime), claimMax)
		if err != nil {
			return err
		}
		p = s.plan(batch, now)
		for _, m := range p.rest {
			if err := tx.Outbox().Save(m); err != nil {
				return err
			}
		}
		return nil
	})
	// Durable: the leases, and the rows put back. A crash on the next line
	// leaves messages leased that nobody tries until the lease is over.
	if err != nil {
		return 0, err
	}
	for _, topic := range p.unrouted {
		s.nameUnrouted(ctx, topic)
	}
	for topic, way := range p.prospects {
		s.lanes[topic].keep(way.horizon)
	}
	for _, m := range p.accepted {
		if l := s.lanes[m.Topic]; l.enter(m, now) {
			attempts.Go(func() { s.work(ctx, l, m) })
		}
	}
	return len(p.accepted) + len(p.rest), nil
}

// work tries a message, and after it those that wait in its lane.
func (s *Service) work(ctx context.Context, l *lane, m moraine.Message) {
	for ok := true; ok; {
		began := s.clock.Now()
		if began.Before(m.Next) { // else the lease is over, and it is anybody's
			s.logFailure(ctx, "what came of a message was not recorded", s.attempt(ctx, l.sink, m))
		}
		if ctx.Err() != nil {
			s.logFailure(context.WithoutCancel(ctx), "messages that were to wait were not put back", s.putBack(ctx, l.drain()))
			return
		}
		now := s.clock.Now()
		m, ok = l.next(now, now.Sub(began))
	}
	s.Wake() // there is room
}

// putBack gives up messages that were claimed and not tried, so that the next
// process need not wait for the end of their lease.
func (s *Service) putBack(ctx context.Context, list []moraine.Message) error {
	if len(list) == 0 {
		return nil
	}
	return s.cfg.Meta.Update(context.WithoutCancel(ctx), func(tx meta.Tx) error {
		for _, m := range list {
			err := s.held(tx, m.ID, func() error {
				m.Next, m.LeaseOwner = s.clock.Now(), ""
				return tx.Outbox().Save(m)
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// attempt delivers one message and records what came of it. The error is of the
// store.
func (s *Service) attempt(ctx context.Context, sink Sink, m moraine.Message) error {
	limited, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	err := sink.Deliver(limited, m)
	switch {
	case err == nil:
		// The target has the message and the row is still there: a crash here
		// delivers it once more.
		return s.forget(ctx, m)
	case ctx.Err() != nil:
		return nil // stopped: the lease ends and the message is tried again
	}
	return s.settle(ctx, m, func(row moraine.Message) moraine.Message { return s.failed(ctx, row, err) })
}

// failed is a message after an attempt that failed.
func (s *Service) failed(ctx context.Context, m moraine.Message, cause error) moraine.Message {
	now := s.clock.Now()
	if m.Tried.IsZero() {
		m.Tried = now
	}
	m.Attempts++
	text := cause.Error()
	m.Error = strings.ToValidUTF8(text[:min(len(text), errorMax)], "")
	if now.Sub(m.Tried) >= triesTime {
		m.State, m.Next = moraine.MessageDead, time.Time{}
		s.cfg.Log.ErrorContext(ctx, "message given up", "message", m.ID, "topic", m.Topic, "job", m.Job, "attempts", m.Attempts, "err", m.Error)
		return m
	}
	m.Next = now.Add(backoff(m.Attempts, s.cfg.Jitter()))
	s.cfg.Log.WarnContext(ctx, "message not delivered", "message", m.ID, "topic", m.Topic, "attempts", m.Attempts, "next", m.Next, "err", m.Error)
	return m
}

// backoff is how long to wait after a number of failed attempts: twice as long
// each time, of which jitter, from 0 to 1, spreads the second half.
func backoff(attempts int64, jitter float64) time.Duration {
	d := backoffMax
	if shift := attempts - 1; shift < 12 { // 2^12 s is more than an hour
		d = backoffMin << max(shift, 0)
	}
	return (d/2 + time.Duration(jitter*float64(d/2))).Truncate(time.Millisecond)
}

// settle replaces the row of a message that is still ours. What has happened is
// recorded also when the process is being stopped.
func (s *Service) settle(ctx context.Context, m moraine.Message, change func(moraine.Message) moraine.Message) error {
	next := change(m)
	next.LeaseOwner = ""
	return s.cfg.Meta.Update(context.WithoutCancel(ctx), func(tx meta.Tx) error {
		return s.held(tx, m.ID, func() error { return tx.Outbox().Save(next) })
	})
}

// forget drops the row of a message that was delivered.
func (s *Service) forget(ctx context.Context, m moraine.Message) error {
	return s.cfg.Meta.Update(context.WithoutCancel(ctx), func(tx meta.Tx) error {
		return s.held(tx, m.ID, func() error { return tx.Outbox().Drop(m.ID) })
	})
}

// held runs fn if this process holds the message, or not at all if it does not:
// then somebody else tries it.
func (s *Service) held(tx meta.Tx, id moraine.MessageID, fn func() error) error {
	row, err := tx.Outbox().Get(id)
	if errors.Is(err, meta.ErrNotFound) || err == nil && (row.State != moraine.MessagePending || row.LeaseOwner != s.cfg.Owner) {
		return nil
	}
	if err != nil {
		return err
	}
	return fn()
}

// nameUnrouted logs a topic without a target, once.
func (s *Service) nameUnrouted(ctx context.Context, topic string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unrouted[topic] || len(s.unrouted) >= unroutedMax {
		return
	}
	s.unrouted[topic] = true
	s.cfg.Log.WarnContext(ctx, "messages to a topic without a target are kept", "topic", topic)
}
