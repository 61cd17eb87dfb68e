package notify

import (
	"context"
	"errors"
	"slices"
	"time"

	"moraine"
	"moraine/internal/meta"
)

// listBatch is how many messages are read in one transaction.
const listBatch = 200

// Each calls fn for every message of the outbox, state after state, each oldest
// first, and stops at its first error.
func (s *Service) Each(ctx context.Context, fn func(moraine.Message) error) error {
	for _, state := range []moraine.MessageState{moraine.MessagePending, moraine.MessageUnrouted, moraine.MessageDead} {
		if err := s.eachIn(ctx, state, fn); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) eachIn(ctx context.Context, state moraine.MessageState, fn func(moraine.Message) error) error {
	after := moraine.MessageID("")
	for {
		list, err := s.list(ctx, state, after, listBatch)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, m := range list {
			if err := fn(m); err != nil {
				return err
			}
		}
		after = list[len(list)-1].ID
	}
}

func (s *Service) list(ctx context.Context, state moraine.MessageState, after moraine.MessageID, limit int) (list []moraine.Message, err error) {
	err = s.cfg.Meta.View(ctx, func(tx meta.Tx) (err error) {
		list, err = tx.Outbox().List(state, after, limit)
		return err
	})
	return list, err
}

// Retry makes a message due now, as if it had never been tried.
func (s *Service) Retry(ctx context.Context, id moraine.MessageID) error {
	err := s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		m, err := tx.Outbox().Get(id)
		if errors.Is(err, meta.ErrNotFound) {
			return moraine.Errorf(moraine.NotFound, "no message %s is in the outbox", id)
		}
		if err != nil {
			return err
		}
		now, err := tx.Time()
		if err != nil {
			return err
		}
		m.State, m.Next, m.LeaseOwner = moraine.MessagePending, now, ""
		m.Attempts, m.Tried = 0, time.Time{}
		return tx.Outbox().Save(m)
	})
	if err == nil {
		s.Wake()
	}
	return err
}

// RemovedAt is when a message that nobody gets is removed, at the earliest; zero
// while it may still be delivered.
func (s *Service) RemovedAt(m moraine.Message) time.Time {
	if m.State == moraine.MessagePending {
		return time.Time{}
	}
	return m.Created.Add(s.cfg.Retention)
}

// Prune removes messages that nobody got and nobody asked about for so long that
// nobody will: without a bound, clients that name topics of their own would fill
// the outbox. It logs each.
func (s *Service) Prune(ctx context.Context) error {
	limit := s.now().Add(-s.cfg.Retention)
	for _, state := range []moraine.MessageState{moraine.MessageUnrouted, moraine.MessageDead} {
		for {
			n, err := s.pruneSome(ctx, state, limit)
			if err != nil {
				return err
			}
			if n < pruneMax {
				break
			}
		}
	}
	return nil
}

// pruneSome removes messages made at or before an instant, and returns how many.
func (s *Service) pruneSome(ctx context.Context, state moraine.MessageState, limit time.Time) (n int, err error) {
	list, err := s.list(ctx, state, "", pruneMax) // ids sort by age
	if err != nil || len(list) == 0 || list[0].Created.After(limit) {
		return 0, err
	}
	old := slices.DeleteFunc(list, func(m moraine.Message) bool { return m.Created.After(limit) })
	var gone []moraine.Message
	err = s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		gone = nil
		for _, m := range old {
			// An operator may have put it back meanwhile.
			switch row, err := tx.Outbox().Get(m.ID); {
			case errors.Is(err, meta.ErrNotFound), err == nil && row.State != state:
				continue
			case err != nil:
				return err
			}
			if err := tx.Outbox().Drop(m.ID); err != nil {
				return err
			}
			gone = append(gone, m)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, m := range gone {
		s.cfg.Removed(m)
		s.cfg.Log.WarnContext(ctx, "message removed that nobody got", "message", m.ID, "state", string(m.State), "topic", m.Topic,
			"job", m.Job, "created", m.Created, "err", m.Error)
	}
	return len(old), nil
}
