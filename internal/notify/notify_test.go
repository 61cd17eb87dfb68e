package notify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"moraine"
	"moraine/internal/housetest"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/notify"
)

const topic = "arn:aws:sns:us-east-1:210987654321:done"

// sink is a target that refuses as long as it is told to.
type sink struct {
	mu   sync.Mutex
	fail error
	got  []moraine.MessageID
}

func (s *sink) Deliver(ctx context.Context, m moraine.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.got = append(s.got, m.ID)
	}
	return errors.Join(s.fail, ctx.Err())
}

func (s *sink) refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

// house is the service on real rows, with a clock that tests move.
type house struct {
	*notify.Service
	t     *testing.T
	rows  *sqlmeta.Store
	sink  *sink
	log   *bytes.Buffer // read it only while nothing runs
	clock *housetest.Clock
}

func newHouse(t *testing.T) *house {
	t.Helper()
	clock := housetest.NewClock(time.Date(2024, 11, 5, 8, 0, 0, 0, time.UTC))
	h := &house{t: t, rows: housetest.RowsAt(t, clock.Now), sink: new(sink), log: new(bytes.Buffer), clock: clock}
	h.Service = h.service("one")
	return h
}

func (h *house) service(owner string) *notify.Service {
	return notify.New(notify.Config{
		Meta: h.rows, Targets: map[string]notify.Sink{topic: h.sink}, Owner: owner, Now: h.clock.Now,
		Log: slog.New(slog.NewTextHandler(h.log, nil)), Jitter: func() float64 { return 1 },
	})
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) add(topic string) moraine.MessageID {
	h.t.Helper()
	return h.addMany(topic, 1)[0]
}

// addMany adds messages in one transaction.
func (h *house) addMany(topic string, n int) []moraine.MessageID {
	h.t.Helper()
	ids := make([]moraine.MessageID, n)
	h.must(h.rows.Update(h.t.Context(), func(tx meta.Tx) error {
		for i := range ids {
			ids[i] = moraine.NewMessageID(h.clock.Now())
			err := tx.Outbox().Save(moraine.Message{
				ID: ids[i], Topic: topic, Source: "arn", Event: moraine.ArchiveRetrievalCompleted, Job: "job",
				Body: "{}", State: moraine.MessagePending, Created: h.clock.Now(), Next: h.clock.Now(),
			})
			if err != nil {
				return err
			}
		}
		return nil
	}))
	return ids
}

func (h *house) deliver(want int) {
	h.t.Helper()
	got, err := h.Deliver(h.t.Context())
	if got != want || err != nil {
		h.t.Fatalf("%d messages tried, %v; want %d", got, err, want)
	}
}

// row returns a message, or one without a state if it is gone.
func (h *house) row(id moraine.MessageID) moraine.Message {
	h.t.Helper()
	var m moraine.Message
	h.must(h.rows.View(h.t.Context(), func(tx meta.Tx) (err error) {
		m, err = tx.Outbox().Get(id)
		if errors.Is(err, meta.ErrNotFound) {
			m, err = moraine.Message{}, nil
		}
		return err
	}))
	return m
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		attempts int64
		jitter   float64
		want     time.Duration
	}{
		{1, 1, time.Second}, {1, 0, 500 * time.Millisecond}, {2, 1, 2 * time.Second}, {3, 0.5, 3 * time.Second},
		{12, 1, 2048 * time.Second}, {13, 1, time.Hour}, {13, 0, 30 * time.Minute}, {1 << 40, 1, time.Hour},
	} {
		if got := notify.Backoff(c.attempts, c.jitter); got != c.want {
			t.Errorf("after %d attempts with jitter %v: %v, want %v", c.attempts, c.jitter, got, c.want)
		}
	}
}

// TestRetries refuses a message until it is dead, brings it back and takes it.
func TestRetries(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.add(topic)
	h.sink.refuse(errors.New(strings.Repeat("no ", 1000)))
	begin := h.clock.Now()
	attempts := 0
	for m := h.row(id); m.State == moraine.MessagePending; m = h.row(id) {
		h.deliver(1)
		attempts++
		m = h.row(id)
		if m.Attempts != int64(attempts) || m.LeaseOwner != "" || !m.Tried.Equal(begin) || len(m.Error) != 512 {
			t.Fatalf("after %d attempts: %+v", attempts, m)
		}
		if m.State != moraine.MessagePending {
			break
		}
		wait := m.Next.Sub(h.clock.Now())
		if wait != notify.Backoff(int64(attempts), 1) {
			t.Fatalf("after %d attempts the next is in %v", attempts, wait)
		}
		h.clock.Advance(wait - time.Millisecond)
		h.deliver(0)
		h.clock.Advance(time.Millisecond)
	}
	if m := h.row(id); m.State != moraine.MessageDead || h.clock.Now().Sub(begin) < notify.TriesTime {
		t.Fatalf("after %v: %+v", h.clock.Now().Sub(begin), m)
	}
	h.clock.Advance(time.Hour)
	h.deliver(0)
	h.sink.refuse(nil)
	h.must(h.Retry(t.Context(), id))
	if m := h.row(id); m.State != moraine.MessagePending || m.Attempts != 0 || !m.Tried.IsZero() {
		t.Errorf("put back: %+v", m)
	}
	h.deliver(1)
	if m := h.row(id); m.State != "" || h.sink.count() != 1 {
		t.Errorf("delivered %d times: %+v", h.sink.count(), m)
	}
	if err := h.Retry(t.Context(), id); !moraine.IsKind(err, moraine.NotFound) {
		t.Errorf("Retry of a delivered message: %v", err)
	}
}

func TestUnrouted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var kept []moraine.MessageID
	for range 3 {
		kept = append(kept, h.add("arn:aws:sns:us-east-1:210987654321:nobody"))
	}
	h.add(topic)
	h.deliver(4)
	h.deliver(0)
	var seen []moraine.MessageID
	h.must(h.Each(t.Context(), func(m moraine.Message) error {
		seen = append(seen, m.ID)
		if m.State != moraine.MessageUnrouted || m.Attempts != 0 {
			t.Errorf("message is %+v", m)
		}
		return nil
	}))
	if len(seen) != len(kept) || h.sink.count() != 1 {
		t.Errorf("kept %d, delivered %d", len(seen), h.sink.count())
	}
	if n := strings.Count(h.log.String(), "without a target"); n != 1 {
		t.Errorf("the topic is logged %d times:\n%s", n, h.log)
	}
	h.clock.Advance(notify.RetentionDefault - time.Millisecond)
	h.must(h.Prune(t.Context()))
	if m := h.row(kept[0]); m.State != moraine.MessageUnrouted {
		t.Error("a message was removed early")
	}
	late := h.add("arn:aws:sns:us-east-1:210987654321:nobody")
	h.deliver(1)
	h.clock.Advance(time.Millisecond)
	h.must(h.Prune(t.Context()))
	if h.row(kept[0]).State != "" || h.row(kept[2]).State != "" || h.row(late).State != moraine.MessageUnrouted {
		t.Error("not the old messages were removed")
	}
}

// TestLease lets a process die with a message in its hands: another one
// delivers it when the lease is over.
func TestLease(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.add(topic)
	ctx, cancel := context.WithCancel(t.Context())
	h.sink.refuse(errors.New("cut off"))
	dying := notify.New(notify.Config{
		Meta: h.rows, Owner: "dying", Now: h.clock.Now,
		Targets: map[string]notify.Sink{topic: deliverFunc(func(ctx context.Context, _ moraine.Message) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		})},
	})
	if n, err := dying.Deliver(ctx); n != 1 || err != nil {
		t.Fatalf("%d messages, %v", n, err)
	}
	if m := h.row(id); m.LeaseOwner != "dying" || m.Attempts != 0 {
		t.Errorf("an attempt that was cut off counts: %+v", m)
	}
	h.sink.refuse(nil)
	h.clock.Advance(notify.LeaseTime - time.Millisecond)
	h.deliver(0)
	h.clock.Advance(time.Millisecond)
	h.deliver(1)
	if h.row(id).State != "" || h.sink.count() != 1 {
		t.Errorf("delivered %d times", h.sink.count())
	}
}

type deliverFunc func(context.Context, moraine.Message) error

func (f deliverFunc) Deliver(ctx context.Context, m moraine.Message) error { return f(ctx, m) }

// TestTakenOver lets an attempt outlast its lease: what came of it changes
// nothing that is another's now.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	id := h.add(topic)
	slow := notify.New(notify.Config{
		Meta: h.rows, Owner: "slow", Now: h.clock.Now,
		Targets: map[string]notify.Sink{topic: deliverFunc(func(context.Context, moraine.Message) error {
			h.sink.refuse(errors.New("busy"))
			h.clock.Advance(notify.LeaseTime)
			h.deliver(1)
			return errors.New("too late")
		})},
	})
	if n, err := slow.Deliver(t.Context()); n != 1 || err != nil {
		t.Fatalf("%d messages, %v", n, err)
	}
	if m := h.row(id); m.Error != "busy" || m.Attempts != 1 {
		t.Errorf("the message is %+v", m)
	}
}

// TestSkewedClocks lets nodes whose clocks are off share the outbox: while one
// tries a message the other leaves it alone, and what is due is due for both.
func TestSkewedClocks(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{10 * time.Minute, -10 * time.Minute} {
		h := newHouse(t)
		node := func(owner string, off time.Duration, sink notify.Sink) *notify.Service {
			return notify.New(notify.Config{
				Meta: h.rows, Owner: owner, Now: func() time.Time { return h.clock.Now().Add(off) },
				Targets: map[string]notify.Sink{topic: sink}, Jitter: func() float64 { return 1 },
			})
		}
		other := node("other", -off, h.sink)
		tries := 0
		id := h.add(topic)
		one := node("one", off, deliverFunc(func(context.Context, moraine.Message) error {
			tries++
			h.clock.Advance(notify.LeaseTime - time.Millisecond)
			if n, err := other.Deliver(t.Context()); n != 0 || err != nil {
				t.Errorf("%v off: %d messages of another's tried, %v", off, n, err)
			}
			return errors.New("busy")
		}))
		deliver := func(s *notify.Service, want int) {
			t.Helper()
			if n, err := s.Deliver(t.Context()); n != want || err != nil {
				t.Errorf("%v off: %d messages tried, %v; want %d", off, n, err, want)
			}
		}
		deliver(one, 1)
		if m := h.row(id); tries != 1 || m.Attempts != 1 || !m.Next.Equal(h.clock.Now().Add(time.Second)) {
			t.Errorf("%v off: tried %d times, then %+v at %v", off, tries, m, h.clock.Now())
		}
		h.clock.Advance(time.Second - time.Millisecond)
		deliver(other, 0)
		h.clock.Advance(time.Millisecond)
		deliver(other, 1)
		if h.sink.count() != 1 {
			t.Errorf("%v off: delivered %d times", off, h.sink.count())
		}
	}
}

// TestRun delivers more than a lane holds from the loop, each message once, and
// stops.
func TestRun(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.rows = housetest.Rows(t) // whose time goes on
	const many = 150
	h.addMany(topic, many)
	all := make(chan struct{})
	var mu sync.Mutex
	seen := make(map[moraine.MessageID]bool)
	s := notify.New(notify.Config{Meta: h.rows, Owner: "run", Now: time.Now, Targets: map[string]notify.Sink{
		topic: deliverFunc(func(_ context.Context, m moraine.Message) error {
			mu.Lock()
			defer mu.Unlock()
			if seen[m.ID] {
				return fmt.Errorf("message %s comes twice", m.ID)
			}
			if seen[m.ID] = true; len(seen) == many+1 {
				close(all)
			}
			return nil
		}),
	}})
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error)
	go func() { stopped <- s.Run(ctx) }()
	h.add(topic)
	s.Wake()
	<-all
	cancel()
	h.must(<-stopped)
	h.must(h.rows.View(t.Context(), func(tx meta.Tx) error {
		counts, err := tx.Outbox().CountByState()
		if len(counts) != 0 {
			t.Errorf("left in the outbox: %v", counts)
		}
		return err
	}))
}
