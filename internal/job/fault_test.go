package job_test

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/job"
	"moraine/internal/meta"
	"moraine/internal/meta/metatest"
	"moraine/internal/notify"
)

// leaseOver is longer than the lease of a job and than that of a message.
const leaseOver = time.Minute

// mailbox is a target that keeps what it gets.
type mailbox struct {
	mu  sync.Mutex
	got []moraine.Message // guarded by mu
}

func (m *mailbox) Deliver(_ context.Context, message moraine.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got = append(m.got, message)
	return nil
}

// deliver sends what is due and returns all that ever arrived.
func (h *house) deliver(m *mailbox) []moraine.Message {
	h.t.Helper()
	s := notify.New(notify.Config{Meta: h.rows, Targets: map[string]notify.Sink{vaultTopic: m}, Owner: "one", Now: h.now})
	ctx, cancel := context.WithCancel(h.t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	for due := true; due; runtime.Gosched() {
		err := h.rows.View(h.t.Context(), func(tx meta.Tx) error {
			at, some, err := tx.Outbox().NextDue()
			due = some && !at.After(h.now())
			return err
		})
		if err != nil {
			h.t.Fatal(err)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		h.t.Fatal(err)
	}
	return m.got
}

// pending lists the messages about a job that are in the outbox.
func (h *house) pending(id moraine.JobID) (list []moraine.Message) {
	h.t.Helper()
	err := h.rows.View(h.t.Context(), func(tx meta.Tx) error {
		all, err := tx.Outbox().List(moraine.MessagePending, "", 100)
		for _, m := range all {
			if m.Job == id {
				list = append(list, m)
			}
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

// runUntil runs the engine of s until what is closed.
func (h *house) runUntil(s *job.Service, what <-chan struct{}) {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	stopped := make(chan error)
	go func() { stopped <- s.Run(ctx) }()
	select {
	case <-what:
	case <-h.t.Context().Done():
	}
	cancel()
	if err := <-stopped; err != nil {
		h.t.Error(err)
	}
}

// TestFinishCommitFaults fails the commit that ends a job and puts the message
// about it into the outbox. Lost: the job goes on and nobody is told; the next
// process ends it and tells. Kept: the job has ended and the message is there,
// once; no other process ends it again.
func TestFinishCommitFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, kind string
		damaged    bool
		want       moraine.JobState
	}{
		{"retrieval", "archive-retrieval", false, moraine.Succeeded},
		{"retrieval that fails", "archive-retrieval", true, moraine.Failed},
		{"inventory", "inventory-retrieval", false, moraine.Succeeded},
	} {
		for _, fault := range []metatest.Fault{metatest.Lost, metatest.Kept} {
			t.Run(c.name+" "+string(fault), func(t *testing.T) {
				t.Parallel()
				var rows *metatest.Faults
				h := newHouse(t, func(c *job.Config) {
					rows = &metatest.Faults{Store: c.Meta}
					c.Meta = rows
				})
				p := job.Parameters{Type: c.kind}
				if a := h.upload(pattern(100), "ledger"); c.kind == "archive-retrieval" {
					p.ArchiveID = string(a.ID)
				}
				h.configure(vaultTopic, "ArchiveRetrievalCompleted", "InventoryRetrievalCompleted")
				id := h.mustInitiate(p)
				h.blobs.damage(c.damaged)
				h.runUntil(h.Service, rows.Fail(fault, 1)) // the claim passes

				first, messages := h.describe(id), h.pending(id)
				post := new(mailbox)
				switch fault {
				case metatest.Lost:
					if first.State != moraine.InProgress || len(messages) != 0 {
						t.Fatalf("the job is %s with %d messages, although nothing was committed", first.State, len(messages))
					}
					if got := h.deliver(post); len(got) != 0 {
						t.Errorf("a message about a job that has not ended: %+v", got)
					}
				case metatest.Kept:
					if first.State != c.want || len(messages) != 1 {
						t.Fatalf("the job is %s with %d messages, want %s with one", first.State, len(messages), c.want)
					}
					if got := h.deliver(post); len(got) != 1 || got[0].ID != messages[0].ID {
						t.Errorf("delivered %+v", got)
					}
				}

				// The next process finds the job when its lease is over.
				h.advance(leaseOver)
				next := h.config
				next.Owner = "two"
				last := h.until(job.New(next), id)
				if last.State != c.want {
					t.Errorf("the job ended %s", last.State)
				}
				if fault == metatest.Kept && (!last.Completed.Equal(first.Completed) || len(h.pending(id)) != 0) {
					t.Errorf("the job ended at %v and again at %v, with %d more messages", first.Completed, last.Completed, len(h.pending(id)))
				}
				got := h.deliver(post)
				if len(got) != 1 || got[0].Job != id || len(h.pending(id)) != 0 {
					t.Errorf("delivered %d times in all, %d left", len(got), len(h.pending(id)))
				}
			})
		}
	}
}

// TestKeptFinishInOneProcess lets the process that was told that its commit
// failed go on: it does not end the job again.
func TestKeptFinishInOneProcess(t *testing.T) {
	t.Parallel()
	var rows *metatest.Faults
	h := newHouse(t, func(c *job.Config) {
		rows = &metatest.Faults{Store: c.Meta}
		c.Meta = rows
	})
	a := h.upload(pattern(100), "ledger")
	h.configure(vaultTopic, "ArchiveRetrievalCompleted")
	id := h.mustInitiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID)})
	h.runUntil(h.Service, rows.Fail(metatest.Kept, 1))
	first := h.describe(id)
	h.advance(leaseOver)
	other := h.mustInitiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID)})
	h.until(h.Service, other)
	if last := h.describe(id); !last.Completed.Equal(first.Completed) || last.State != moraine.Succeeded || len(h.pending(id)) != 1 {
		t.Errorf("the job is %s at %v, then at %v, with %d messages", last.State, first.Completed, last.Completed, len(h.pending(id)))
	}
}

// gatedStore keeps the first read waiting until it is let through.
type gatedStore struct {
	blob.Store
	once    sync.Once
	arrived chan struct{} // closed when the first read waits
	open    chan struct{} // closed to let it through
}

func (g *gatedStore) Open(ctx context.Context, ref moraine.BlobRef, off, n int64) (io.ReadCloser, error) {
	g.once.Do(func() {
		close(g.arrived)
		<-g.open
	})
	return g.Store.Open(ctx, ref, off, n)
}

// writerFunc is called for each write.
type writerFunc func()

func (w writerFunc) Write(p []byte) (int, error) {
	w()
	return len(p), nil
}

// TestTakenOver lets a process outlast its lease: another one ends the job, and
// what the first one has to say then counts for nothing.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	a := h.upload(pattern(100), "ledger")
	h.configure(vaultTopic, "ArchiveRetrievalCompleted")
	id := h.mustInitiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID)})
	gate := &gatedStore{Store: h.blobs, arrived: make(chan struct{}), open: make(chan struct{})}
	slow := h.config
	slow.Blobs, slow.Workers = gate, 1 // a second worker would claim the job again, and so keep it
	// It says something when it is through, whatever comes of it.
	through := make(chan struct{})
	once := sync.OnceFunc(func() { close(through) })
	slow.Finished, slow.Log = once, slog.New(slog.NewTextHandler(writerFunc(once), nil))
	var wg sync.WaitGroup
	wg.Go(func() { h.runUntil(job.New(slow), through) })
	<-gate.arrived
	h.advance(leaseOver)
	next := h.config
	next.Owner = "two"
	first := h.until(job.New(next), id)
	h.advance(time.Second)
	close(gate.open)
	wg.Wait()
	if last := h.describe(id); last.State != moraine.Succeeded || !last.Completed.Equal(first.Completed) || len(h.pending(id)) != 1 {
		t.Errorf("the job is %s at %v, ended at %v, with %d messages", last.State, last.Completed, first.Completed, len(h.pending(id)))
	}
}

// TestHandBack stops a process in the middle of a job: another one takes it at
// once. If the commit that hands it back is lost, the lease ends by itself.
func TestHandBack(t *testing.T) {
	t.Parallel()
	for _, fault := range []metatest.Fault{"", metatest.Lost, metatest.Kept} {
		t.Run("commit "+string(fault), func(t *testing.T) {
			t.Parallel()
			var rows *metatest.Faults
			h := newHouse(t, func(c *job.Config) {
				rows = &metatest.Faults{Store: c.Meta}
				c.Meta = rows
			})
			a := h.upload(pattern(100), "ledger")
			h.configure(vaultTopic, "ArchiveRetrievalCompleted")
			id := h.mustInitiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID)})
			gate := &gatedStore{Store: h.blobs, arrived: make(chan struct{}), open: make(chan struct{})}
			slow := h.config
			slow.Blobs, slow.Workers = gate, 1
			ctx, cancel := context.WithCancel(t.Context())
			stopped := make(chan error)
			go func() { stopped <- job.New(slow).Run(ctx) }()
			<-gate.arrived
			if fault != "" {
				rows.Fail(fault, 0)
			}
			cancel()
			close(gate.open)
			if err := <-stopped; err != nil {
				t.Fatal(err)
			}
			if j := h.describe(id); j.State != moraine.InProgress {
				t.Fatalf("the job is %s", j.State)
			}
			if fault == metatest.Lost {
				h.advance(leaseOver)
			}
			next := h.config
			next.Owner = "two"
			if j := h.until(job.New(next), id); j.State != moraine.Succeeded || len(h.pending(id)) != 1 {
				t.Errorf("the job is %s with %d messages", j.State, len(h.pending(id)))
			}
		})
	}
}
