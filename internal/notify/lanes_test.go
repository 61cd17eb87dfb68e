package notify_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/notify"
)

// TestHangingTarget gives one target many messages and lets it hang: those to
// another one arrive while every attempt on the first is still under way.
func TestHangingTarget(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const hanging = "arn:aws:sns:us-east-1:210987654321:hanging"
	h.addMany(hanging, 200)
	const many = 20
	h.addMany(topic, many)
	arrived, release := make(chan struct{}, 2*many), make(chan struct{})
	begun := make(chan struct{}, 1000)
	s := notify.New(notify.Config{Meta: h.rows, Owner: "run", Now: time.Now, Targets: map[string]notify.Sink{
		hanging: deliverFunc(func(ctx context.Context, _ moraine.Message) error {
			begun <- struct{}{}
			<-release // worse than a target may be: it does not even end with ctx
			return ctx.Err()
		}),
		topic: deliverFunc(func(context.Context, moraine.Message) error {
			arrived <- struct{}{}
			return nil
		}),
	}})
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { stopped <- s.Run(ctx) }()
	late := time.After(time.Minute)
	for n := range many {
		select {
		case <-arrived:
		case <-late:
			t.Errorf("%d of %d messages arrive while another target hangs", n, many)
			cancel()
			close(release)
			h.must(<-stopped)
			return
		}
	}
	if n := len(begun); n > notify.LaneMax {
		t.Errorf("%d attempts on one target at once, %d may be", n, notify.LaneMax)
	}
	cancel()
	close(release)
	h.must(<-stopped)
	// Nobody's attempts are counted that were not made.
	h.must(h.rows.View(t.Context(), func(tx meta.Tx) error {
		list, err := tx.Outbox().List(moraine.MessagePending, "", 1000)
		if len(list) != 200 {
			t.Errorf("%d messages wait for the hanging target", len(list))
		}
		leased := 0
		for _, m := range list {
			if m.LeaseOwner != "" {
				leased++ // its attempt was cut off, and may have reached the target
			}
			if m.Attempts != 0 || !m.Tried.IsZero() || m.Next.After(time.Now().Add(notify.PutOffMax)) {
				t.Fatalf("a message that was not tried: %+v", m)
			}
		}
		if leased > notify.LaneMax {
			t.Errorf("%d messages are kept from the next process", leased)
		}
		return err
	}))
}

// TestPutOff claims for a target that hangs, again and again: its messages come
// back later each time, and not all at once.
func TestPutOff(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const total = 300
	h.addMany(topic, total)
	release := make(chan struct{})
	s := notify.New(notify.Config{Meta: h.rows, Owner: "run", Now: h.clock.Now, Targets: map[string]notify.Sink{
		topic: deliverFunc(func(context.Context, moraine.Message) error { <-release; return nil }),
	}})
	var attempts sync.WaitGroup
	claims := 0
	for now := h.clock.Now(); h.clock.Now().Sub(now) < 5*time.Second; h.clock.Advance(50 * time.Millisecond) {
		n, err := s.Dispatch(t.Context(), &attempts)
		h.must(err)
		if n > 0 {
			claims++
		}
	}
	if claims > 60 {
		t.Errorf("%d claims in five seconds", claims)
	}
	var next []time.Time
	h.must(h.rows.View(t.Context(), func(tx meta.Tx) error {
		list, err := tx.Outbox().List(moraine.MessagePending, "", total)
		for _, m := range list {
			if m.LeaseOwner == "" {
				next = append(next, m.Next)
			}
		}
		return err
	}))
	if len(next) != total-notify.LaneMax-notify.QueueMax {
		t.Errorf("%d messages are put off", len(next))
	}
	distinct := make(map[time.Time]bool)
	for _, at := range next {
		distinct[at] = true
		if at.Before(h.clock.Now().Add(-time.Second)) || at.After(h.clock.Now().Add(notify.PutOffMax)) {
			t.Errorf("put off to %v, it is %v", at, h.clock.Now())
		}
	}
	if len(distinct) < len(next)/8 {
		t.Errorf("%d messages come back at %d instants", len(next), len(distinct))
	}
	close(release)
	attempts.Wait()
}

// TestRetention removes messages that nobody got, in the time that is set, and
// says so of each.
func TestRetention(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var removed []moraine.MessageID
	s := notify.New(notify.Config{
		Meta: h.rows, Owner: "one", Now: h.clock.Now, Log: slog.New(slog.NewTextHandler(h.log, nil)), Retention: time.Hour,
		Removed: func(m moraine.Message) { removed = append(removed, m.ID) },
	})
	old := h.add("arn:aws:sns:us-east-1:210987654321:nobody")
	if m := h.row(old); !s.RemovedAt(m).IsZero() {
		t.Errorf("a message that may be delivered is removed at %v", s.RemovedAt(m))
	}
	if n, err := s.Deliver(t.Context()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if m := h.row(old); !s.RemovedAt(m).Equal(m.Created.Add(time.Hour)) {
		t.Errorf("made %v, removed at %v", m.Created, s.RemovedAt(m))
	}
	h.clock.Advance(time.Hour - time.Millisecond)
	young := h.add("arn:aws:sns:us-east-1:210987654321:nobody")
	if n, err := s.Deliver(t.Context()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	h.must(s.Prune(t.Context()))
	if len(removed) > 0 || strings.Contains(h.log.String(), "removed") {
		t.Fatalf("removed early: %v, %s", removed, h.log)
	}
	h.clock.Advance(time.Millisecond)
	h.must(s.Prune(t.Context()))
	if len(removed) != 1 || removed[0] != old || h.row(old).State != "" || h.row(young).State != moraine.MessageUnrouted {
		t.Errorf("removed %v", removed)
	}
	if line := `msg="message removed that nobody got" message=` + string(old) + " state=unrouted topic=arn:aws:sns:us-east-1:210987654321:nobody"; strings.Count(h.log.String(), line) != 1 {
		t.Errorf("the log does not say %s:\n%s", line, h.log)
	}
}
