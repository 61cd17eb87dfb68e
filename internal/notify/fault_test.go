package notify_test

import (
	"errors"
	"testing"

	"moraine"
	"moraine/internal/meta/metatest"
	"moraine/internal/notify"
)

// TestDeliveryCommitFaults fails the commits of a delivery: the claim of a
// message, the removal of one that was delivered, the note of an attempt that
// failed. Whatever the disk holds then, the message is delivered at least once,
// later if need be, and never again once its row is gone.
func TestDeliveryCommitFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		pass   int   // commits before the one that fails
		refuse error // of the target, at first
		fault  metatest.Fault
		// What is there right after: how often the message was delivered, and
		// its row.
		delivered int
		row       moraine.Message
		// total is how often it is delivered in all.
		total int
	}{
		{"claim", 0, nil, metatest.Lost, 0, moraine.Message{State: moraine.MessagePending}, 1},
		{"claim", 0, nil, metatest.Kept, 0, moraine.Message{State: moraine.MessagePending, LeaseOwner: "one"}, 1},
		{"removal", 1, nil, metatest.Lost, 1, moraine.Message{State: moraine.MessagePending, LeaseOwner: "one"}, 2},
		{"removal", 1, nil, metatest.Kept, 1, moraine.Message{}, 1},
		{"refusal", 1, errors.New("busy"), metatest.Lost, 0, moraine.Message{State: moraine.MessagePending, LeaseOwner: "one"}, 1},
		{"refusal", 1, errors.New("busy"), metatest.Kept, 0, moraine.Message{State: moraine.MessagePending, Attempts: 1}, 1},
	} {
		t.Run(c.name+" "+string(c.fault), func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			rows := &metatest.Faults{Store: h.rows}
			h.Service = notify.New(notify.Config{
				Meta: rows, Targets: map[string]notify.Sink{topic: h.sink}, Owner: "one", Now: h.now, Jitter: func() float64 { return 1 },
			})
			id := h.add(topic)
			h.sink.refuse(c.refuse)
			rows.Fail(c.fault, c.pass)
			if _, err := h.Deliver(t.Context()); !moraine.IsKind(err, moraine.Unavailable) {
				t.Errorf("Deliver says %v, want that a commit failed", err)
			}
			m := h.row(id)
			got := moraine.Message{State: m.State, LeaseOwner: m.LeaseOwner, Attempts: m.Attempts}
			if got != c.row || h.sink.count() != c.delivered {
				t.Errorf("delivered %d times, row %+v; want %d and %+v", h.sink.count(), got, c.delivered, c.row)
			}
			h.sink.refuse(nil)
			h.advance(notify.LeaseTime)
			for range 2 {
				if _, err := h.Deliver(t.Context()); err != nil {
					t.Fatal(err)
				}
				h.advance(notify.LeaseTime)
			}
			if h.row(id).State != "" || h.sink.count() != c.total {
				t.Errorf("delivered %d times in all, row %+v; want %d times and no row", h.sink.count(), h.row(id), c.total)
			}
		})
	}
}
