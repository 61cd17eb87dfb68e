package metatest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"moraine"
	"moraine/internal/meta"
)

var outboxTests = []test{
	{"round trip and save", in(testMessageSave)},
	{"claim", in(testMessageClaim)},
	{"list and count", in(testMessageList)},
	{"outlives its vault", in(testMessageOutlives)},
}

func message(n int) moraine.Message {
	return moraine.Message{
		ID: moraine.MessageID(fmt.Sprintf("message-%04d", n)), Topic: "arn:aws:sns:x", Source: "arn:of:vault", Event: moraine.ArchiveRetrievalCompleted,
		Job: "job", Body: `{"a":"<é>"}`, State: moraine.MessagePending, Created: at(n), Next: at(n),
	}
}

// resting is m in a state in which it is not due.
func resting(m moraine.Message, state moraine.MessageState) moraine.Message {
	m.State, m.Next, m.LeaseOwner = state, time.Time{}, ""
	return m
}

func saveMessages(list ...moraine.Message) func(tx meta.Tx) error {
	return func(tx meta.Tx) error {
		for _, m := range list {
			if err := tx.Outbox().Save(m); err != nil {
				return err
			}
		}
		return nil
	}
}

func getMessage(id moraine.MessageID) func(tx meta.Tx) (moraine.Message, error) {
	return func(tx meta.Tx) (moraine.Message, error) { return tx.Outbox().Get(id) }
}

func testMessageSave(t *testing.T, s meta.Store) {
	m := message(1)
	wantNone(t, s, getMessage(m.ID))
	tried := m
	tried.Next, tried.LeaseOwner, tried.Attempts, tried.Tried, tried.Error = at(50), "node", 3, at(4), "no route"
	for _, next := range []moraine.Message{m, tried, resting(tried, moraine.MessageDead), resting(m, moraine.MessageUnrouted), m} {
		update(t, s, saveMessages(next, message(2)))
		want(t, s, next, getMessage(m.ID))
	}
	odd := m
	odd.State = "lost"
	notDue := m
	notDue.Next = time.Time{}
	due := m
	due.State = moraine.MessageDead
	for _, wrong := range []moraine.Message{odd, notDue, due} {
		if err := s.Update(t.Context(), saveMessages(wrong)); err == nil {
			t.Errorf("a message that cannot be was saved: %v", wrong)
		}
	}
	drop := func(tx meta.Tx) error { return tx.Outbox().Drop(m.ID) }
	update(t, s, drop)
	wantNone(t, s, getMessage(m.ID))
	if err := s.Update(t.Context(), drop); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("a message was dropped twice: %v", err)
	}
	want(t, s, message(2), getMessage(message(2).ID))
}

func testMessageClaim(t *testing.T, s meta.Store) {
	due := func(wanted time.Time) {
		t.Helper()
		view(t, s, func(tx meta.Tx) error {
			got, ok, err := tx.Outbox().NextDue()
			if err == nil && (ok == wanted.IsZero() || !got.Equal(wanted)) {
				t.Errorf("NextDue is %v, %v; want %v", got, ok, wanted)
			}
			return err
		})
	}
	claim := func(owner string, now, until, limit int, wanted ...moraine.Message) {
		t.Helper()
		var got []moraine.Message
		update(t, s, func(tx meta.Tx) (err error) {
			got, err = tx.Outbox().Claim(owner, at(now), at(until), limit)
			return err
		})
		for i := range wanted {
			wanted[i].LeaseOwner, wanted[i].Next = owner, at(until)
		}
		if diff := diff(wanted, got); diff != "" {
			t.Fatalf("claimed: want (-), got (+):\n%s", diff)
		}
		for _, m := range wanted {
			want(t, s, m, getMessage(m.ID))
		}
	}
	due(time.Time{})
	a, b, c := message(1), message(2), message(3)
	a.Next, b.Next, c.Next = at(30), at(20), at(10) // made first, due last
	update(t, s, saveMessages(a, b, c, resting(message(4), moraine.MessageDead), resting(message(5), moraine.MessageUnrouted)))
	due(at(10))
	claim("n", 9, 99, 10)
	claim("n", 30, 99, 0)
	claim("n", 30, 50, 2, b, c)
	due(at(30))
	claim("m", 49, 80, 10, a)
	claim("m", 49, 80, 10)
	due(at(50))
	claim("m", 50, 90, 10, b, c)
	update(t, s, func(tx meta.Tx) error {
		return errors.Join(tx.Outbox().Drop(b.ID), tx.Outbox().Drop(c.ID), saveMessages(resting(a, moraine.MessageDead))(tx))
	})
	due(time.Time{})
	claim("n", 1000, 2000, 10)
}

func testMessageList(t *testing.T, s meta.Store) {
	list := func(state moraine.MessageState, after moraine.MessageID, limit int) func(tx meta.Tx) ([]moraine.Message, error) {
		return func(tx meta.Tx) ([]moraine.Message, error) { return tx.Outbox().List(state, after, limit) }
	}
	counts := func(tx meta.Tx) (map[moraine.MessageState]int64, error) { return tx.Outbox().CountByState() }
	want(t, s, nil, list(moraine.MessageDead, "", 10))
	want(t, s, nil, counts)
	dead := []moraine.Message{
		resting(message(1), moraine.MessageDead), resting(message(3), moraine.MessageDead), resting(message(5), moraine.MessageDead),
	}
	update(t, s, saveMessages(dead[2], message(2), dead[0], resting(message(4), moraine.MessageUnrouted), dead[1]))
	want(t, s, dead, list(moraine.MessageDead, "", 10))
	want(t, s, dead[:2], list(moraine.MessageDead, "", 2))
	want(t, s, dead[1:], list(moraine.MessageDead, dead[0].ID, 10))
	want(t, s, nil, list(moraine.MessageDead, "", 0))
	want(t, s, []moraine.Message{message(2)}, list(moraine.MessagePending, "", 10))
	want(t, s, map[moraine.MessageState]int64{
		moraine.MessageDead: 3, moraine.MessagePending: 1, moraine.MessageUnrouted: 1,
	}, counts)
}

func testMessageOutlives(t *testing.T, s meta.Store) {
	v := vault(1)
	update(t, s, func(tx meta.Tx) error { return errors.Join(saveVault(v)(tx), saveMessages(message(1))(tx)) })
	update(t, s, func(tx meta.Tx) error { return tx.Vaults().Delete(v.ID) })
	bury(t, s, at(9))
	want(t, s, message(1), getMessage(message(1).ID))
}

func (m *model) Outbox() meta.Outbox { return modelOutbox{m} }

type modelOutbox struct{ *model }

func (m modelOutbox) Get(id moraine.MessageID) (moraine.Message, error) { return get(m.messages, id) }

func (m modelOutbox) Save(x moraine.Message) error {
	if x.Next.IsZero() == (x.State == moraine.MessagePending) {
		return errors.New("a pending message, and no other, is due")
	}
	m.messages[x.ID] = x
	return nil
}

func (m modelOutbox) Drop(id moraine.MessageID) error {
	_, err := get(m.messages, id)
	delete(m.messages, id)
	return err
}

func byMessage(a, b moraine.Message) int { return cmp.Compare(a.ID, b.ID) }

func (m modelOutbox) Claim(owner string, now, until time.Time, limit int) ([]moraine.Message, error) {
	list := pick(m.messages, limit, func(x moraine.Message) bool { return !x.Next.IsZero() && !x.Next.After(now) },
		func(a, b moraine.Message) int { return position(a.Next, a.ID, b.Next, b.ID) })
	for i := range list {
		list[i].LeaseOwner, list[i].Next = owner, until
		m.messages[list[i].ID] = list[i]
	}
	slices.SortFunc(list, byMessage)
	return list, nil
}

func (m modelOutbox) NextDue() (first time.Time, ok bool, err error) {
	for _, x := range m.messages {
		if !x.Next.IsZero() && (!ok || x.Next.Before(first)) {
			first, ok = x.Next, true
		}
	}
	return first, ok, nil
}

func (m modelOutbox) List(state moraine.MessageState, after moraine.MessageID, limit int) ([]moraine.Message, error) {
	return pick(m.messages, limit, func(x moraine.Message) bool { return x.State == state && x.ID > after }, byMessage), nil
}

func (m modelOutbox) CountByState() (map[moraine.MessageState]int64, error) {
	counts := map[moraine.MessageState]int64{}
	for _, x := range m.messages {
		counts[x.State]++
	}
	return counts, nil
}
