package job_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/job"
	"moraine/internal/lease"
	"moraine/internal/meta"
)

// skew is how far the clock of a node may be off.
const skew = 10 * time.Minute

// node is the configuration of another process on the rows and blobs of h, with
// a clock that is off.
func (h *house) node(owner string, off time.Duration) job.Config {
	c := h.config
	c.Owner, c.Pending, c.Now = owner, new(blob.Pending), func() time.Time { return h.now().Add(off) }
	c.Expiring = lease.New(h.rows, "expiry", owner)
	return c
}

// counted are rows that count what is asked of them.
type counted struct {
	meta.Store
	views, updates atomic.Int64
}

func (c *counted) View(ctx context.Context, fn func(tx meta.Tx) error) error {
	defer c.views.Add(1)
	return c.Store.View(ctx, fn)
}

func (c *counted) Update(ctx context.Context, fn func(tx meta.Tx) error) error {
	defer c.updates.Add(1)
	return c.Store.Update(ctx, fn)
}

// reach waits until n is so many.
func (h *house) reach(n *atomic.Int64, end int64) {
	h.t.Helper()
	for ; n.Load() < end; runtime.Gosched() {
		if h.t.Context().Err() != nil {
			h.t.Fatal("nothing happens")
		}
	}
}

// TestSkewedClocks lets nodes with clocks that are off share jobs: one does not
// take a job from another before its lease is over by the time of the store, and
// takes it then.
func TestSkewedClocks(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]time.Duration{"fast": skew, "slow": -skew, "right": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, nil)
			a := h.upload(pattern(100), "ledger")
			one, two := h.node("one", -off), h.node("two", off)
			h.Service = job.New(two) // accepts the job
			id := h.mustInitiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID)})
			gate := &gatedStore{Store: h.blobs, arrived: make(chan struct{}), open: make(chan struct{})}
			one.Blobs, one.Workers = gate, 1
			rows := &counted{Store: h.rows}
			two.Meta = rows
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			defer running.Wait()
			defer cancel()
			run := func(s *job.Service) {
				running.Go(func() {
					if err := s.Run(ctx); err != nil {
						t.Error(err)
					}
				})
			}
			first, second := job.New(one), job.New(two)
			run(first)
			<-gate.arrived // at once, though its clock may say that the job is not due
			defer close(gate.open)
			run(second)
			h.clock.Advance(10*time.Second - time.Millisecond)
			seen := rows.views.Load()
			second.Wake()
			h.reach(&rows.views, seen+4)
			if j := h.describe(id); j.LeaseOwner != "one" {
				t.Fatalf("the job went to %s, which is %v off, while its lease lasted", j.LeaseOwner, off)
			}
			h.clock.Advance(time.Millisecond)
			second.Wake()
			for h.describe(id).State == moraine.InProgress {
				runtime.Gosched()
			}
		})
	}
}

// TestOthersDownload reads an output at a node whose clock is slow while another
// finds its job expired: the job stays until the download has ended.
func TestOthersDownload(t *testing.T) {
	t.Parallel()
	for name, early := range map[string]time.Duration{
		"begun long before the expiry": 20 * time.Minute, "begun just before": 30 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows := new(counted)
			h := newHouse(t, func(c *job.Config) { rows.Store, c.Meta = c.Meta, rows })
			h.upload(pattern(100), "ledger")
			id := h.mustInitiate(job.Parameters{Type: "inventory-retrieval"})
			expires := h.until(h.Service, id).Expires
			reader, other := job.New(h.node("one", -skew)), job.New(h.node("two", 0))
			h.clock.Advance(expires.Sub(h.now()) - early)
			out, err := reader.GetJobOutput(t.Context(), h.call, "v", id, "")
			if err != nil {
				t.Fatal(err)
			}
			defer out.Body.Close()
			expire := func() {
				t.Helper()
				if err := other.Expire(t.Context()); err != nil {
					t.Fatal(err)
				}
				h.sweep()
			}
			h.clock.Advance(early - 10*time.Second) // the other is about to find it expired
			if early > 15*time.Minute {
				h.noteDownloads(reader, rows)
			}
			h.clock.Advance(20 * time.Second)
			expire()
			data, err := io.ReadAll(out.Body)
			if err != nil || !bytes.Contains(data, []byte("ArchiveList")) {
				t.Fatalf("read %q, %v", data, err)
			}
			if err := out.Body.Close(); err != nil {
				t.Error(err)
			}
			h.clock.Advance(time.Minute)
			expire()
			h.wantGone(id)
			if again, err := h.GetJobOutput(t.Context(), h.call, "v", id, ""); !moraine.IsKind(err, moraine.NotFound) {
				t.Errorf("the output of a job that is gone: %v, %v", again, err)
			}
		})
	}
}

// TestFastClock has a node whose clock is days ahead look for what has expired:
// it takes nothing that others still have.
func TestFastClock(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.upload(pattern(100), "ledger")
	id := h.mustInitiate(job.Parameters{Type: "inventory-retrieval"})
	expires := h.until(h.Service, id).Expires
	fast := job.New(h.node("fast", 100*time.Hour))
	h.must(fast.Expire(t.Context()))
	h.sweep()
	h.output(id, "")
	h.clock.Advance(expires.Sub(h.now()))
	h.must(fast.Expire(t.Context()))
	err := h.rows.View(t.Context(), func(tx meta.Tx) error {
		_, err := tx.Jobs().Get(id)
		return err
	})
	if !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("the job is there after its time: %v", err)
	}
}

// TestSlowClock ends a job at a node whose clock is days behind: the output does
// not expire at once.
func TestSlowClock(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.upload(pattern(100), "ledger")
	id := h.mustInitiate(job.Parameters{Type: "inventory-retrieval"})
	slow := job.New(h.node("slow", -100*time.Hour))
	if j := h.until(slow, id); !j.Expires.Equal(h.now().Add(moraine.Retention)) {
		t.Errorf("the output expires %v, it is %v", j.Expires, h.now())
	}
	h.must(h.Expire(t.Context()))
	h.output(id, "")
}

// noteDownloads runs the engine until it has noted in rows what is being read.
func (h *house) noteDownloads(s *job.Service, rows *counted) {
	h.t.Helper()
	before := rows.updates.Load()
	ctx, cancel := context.WithCancel(h.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	h.reach(&rows.updates, before+1)
	cancel()
	if err := <-ended; err != nil {
		h.t.Error(err)
	}
}

// sweep deletes what nothing holds.
func (h *house) sweep() {
	h.t.Helper()
	if err := h.vaults.Sweep(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// TestExpireElsewhere lets one node at a time drop what has expired, and another
// when the lease of the first is over.
func TestExpireElsewhere(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	first, second := job.New(h.node("first", 0)), job.New(h.node("second", 0))
	expire := func(s *job.Service, left int) {
		t.Helper()
		if err := s.Expire(t.Context()); err != nil {
			t.Fatal(err)
		}
		rows := 0
		err := h.rows.View(t.Context(), func(tx meta.Tx) error {
			counts, err := tx.Jobs().CountByState()
			for _, n := range counts {
				rows += int(n)
			}
			return err
		})
		if err != nil || rows != left {
			t.Errorf("%d jobs are left, want %d; %v", rows, left, err)
		}
	}
	pass := func() {
		t.Helper()
		expires := h.until(h.Service, h.mustInitiate(job.Parameters{Type: "inventory-retrieval"})).Expires
		h.clock.Advance(expires.Sub(h.now()))
	}
	pass()
	expire(first, 0)
	made := h.now()
	pass() // a day later the lease is over
	expire(second, 0)
	if h.now().Sub(made) < lease.Time {
		t.Fatal("the lease still lasts")
	}
	id := h.mustInitiate(job.Parameters{Type: "inventory-retrieval"})
	h.until(h.Service, id)
	h.clock.Advance(24*time.Hour - time.Second)
	expire(second, 1) // nothing to do, so the lease is not renewed
	if err := h.rows.Update(t.Context(), h.node("second", 0).Expiring.Enter); err != nil {
		t.Fatal(err)
	}
	h.clock.Advance(time.Second)
	expire(first, 1)
	h.clock.Advance(lease.Time - time.Second)
	expire(first, 0)
}
