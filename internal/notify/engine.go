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

// Bounds of the engine. A lease is longer than an attempt and the commit after
// it, so that a process that died holds a message no longer than leaseTime.
const (
	batchMax       = 8 // messages delivered at the same time
	attemptTimeout = 5 * time.Second
	leaseTime      = 30 * time.Second
	pauseMax       = time.Minute // between looks when nothing is known to be due
	retryPause     = time.Second // after the store failed

	backoffMin = time.Second
	backoffMax = time.Hour
	triesTime  = 24 * time.Hour // after the first attempt

	// keptTime is how long messages that nobody got are kept.
	keptTime  = 30 * 24 * time.Hour
	pruneTime = time.Hour // between looks for older ones
	pruneMax  = 200       // in one transaction

	errorMax    = 512  // bytes of an error's text
	unroutedMax = 1000 // topics of which the log is reminded
)

// Run delivers messages when they are due until ctx is done. It returns nil when
// the attempts under way have ended; a message whose attempt was cut off is
// delivered by the next process.
func (s *Service) Run(ctx context.Context) error {
	var pruned time.Time
	for ctx.Err() == nil {
		if now := s.now(); now.Sub(pruned) >= pruneTime {
			s.logFailure(ctx, "old messages were not removed", s.Prune(ctx))
			pruned = now
		}
		timer := time.NewTimer(s.round(ctx))
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

// round delivers a batch and returns how long nothing more is expected to
// happen.
func (s *Service) round(ctx context.Context) time.Duration {
	n, err := s.Deliver(ctx)
	if err != nil {
		s.logFailure(ctx, "delivery of messages stopped early", err)
		return retryPause
	}
	if n > 0 {
		return 0
	}
	at, some, err := s.nextDue(ctx)
	switch {
	case err != nil:
		s.logFailure(ctx, "the outbox cannot be read", err)
		return retryPause
	case !some:
		return pauseMax
	}
	return min(max(at.Sub(s.now()), time.Millisecond), pauseMax)
}

func (s *Service) nextDue(ctx context.Context) (at time.Time, some bool, err error) {
	err = s.cfg.Meta.View(ctx, func(tx meta.Tx) (err error) {
		at, some, err = tx.Outbox().NextDue()
		return err
	})
	return at, some, err
}

// Deliver tries a batch of the messages that are due, at the same time, and
// returns how many it took.
func (s *Service) Deliver(ctx context.Context) (int, error) {
	now := s.now()
	if at, some, err := s.nextDue(ctx); err != nil || !some || at.After(now) {
		return 0, err
	}
	var batch []moraine.Message
	err := s.cfg.Meta.Update(ctx, func(tx meta.Tx) (err error) {
		batch, err = tx.Outbox().Claim(s.cfg.Owner, now, now.Add(leaseTime), batchMax)
		return err
	})
	if err != nil {
		return 0, err
	}
	errs := make([]error, len(batch))
	var attempts sync.WaitGroup
	for i, m := range batch {
		attempts.Go(func() { errs[i] = s.attempt(ctx, m) })
	}
	attempts.Wait()
	return len(batch), errors.Join(errs...)
}

// attempt delivers one message and records what came of it. The error is of the
// store.
func (s *Service) attempt(ctx context.Context, m moraine.Message) error {
	sink := s.cfg.Targets[m.Topic]
	if sink == nil {
		s.nameUnrouted(ctx, m.Topic)
		return s.settle(ctx, m, func(row moraine.Message) moraine.Message {
			row.State, row.Next = moraine.MessageUnrouted, time.Time{}
			return row
		})
	}
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
	now := s.now()
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
	return s.held(ctx, m.ID, func(tx meta.Tx) error { return tx.Outbox().Save(next) })
}

// forget drops the row of a message that was delivered.
func (s *Service) forget(ctx context.Context, m moraine.Message) error {
	return s.held(ctx, m.ID, func(tx meta.Tx) error { return tx.Outbox().Drop(m.ID) })
}

// held runs fn in a transaction in which this process holds the message, or not
// at all if it does not: then somebody else tries it.
func (s *Service) held(ctx context.Context, id moraine.MessageID, fn func(tx meta.Tx) error) error {
	return s.cfg.Meta.Update(context.WithoutCancel(ctx), func(tx meta.Tx) error {
		row, err := tx.Outbox().Get(id)
		if errors.Is(err, meta.ErrNotFound) || err == nil && (row.State != moraine.MessagePending || row.LeaseOwner != s.cfg.Owner) {
			return nil
		}
		if err != nil {
			return err
		}
		return fn(tx)
	})
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
