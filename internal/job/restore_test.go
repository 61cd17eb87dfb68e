package job_test

import (
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/mem"
	"moraine/internal/job"
	"moraine/internal/meta"
)

// coldStore keeps what is put where it must be restored first, unless that is
// marked as warm.
type coldStore struct {
	blob.Store
	now   func() time.Time
	delay time.Duration

	mu    sync.Mutex // guards the rest
	cold  map[moraine.BlobRef]bool
	ready map[moraine.BlobRef]time.Time // of those asked for
	asked []string
	looks int
}

func (c *coldStore) Put(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
	ref, err := c.Store.Put(ctx, id, r, size)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cold[ref] = !blob.IsWarm(ctx)
	return ref, err
}

// readable is for callers that hold mu.
func (c *coldStore) readable(ref moraine.BlobRef) bool {
	at, ok := c.ready[ref]
	return !c.cold[ref] || ok && !c.now().Before(at)
}

func (c *coldStore) Open(ctx context.Context, ref moraine.BlobRef, off, n int64) (io.ReadCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.readable(ref) {
		return nil, moraine.Wrap(blob.ErrCold, moraine.Unavailable, "cold")
	}
	return c.Store.Open(ctx, ref, off, n)
}

func (c *coldStore) Restore(_ context.Context, ref moraine.BlobRef, tier moraine.Tier, days int) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looks++
	if c.readable(ref) {
		return true, nil
	}
	if _, ok := c.ready[ref]; !ok {
		c.ready[ref] = c.now().Add(c.delay)
		c.asked = append(c.asked, string(tier)+" for "+(time.Duration(days)*24*time.Hour).String())
	}
	return false, nil
}

func (c *coldStore) seen() (asked []string, looks int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked), c.looks
}

// waiting runs the engine until a job was looked at and given up once more, and
// returns when it is due.
func (h *house) waiting(s *job.Service, c *coldStore, id moraine.JobID) time.Time {
	h.t.Helper()
	_, before := c.seen()
	ctx, cancel := context.WithCancel(h.t.Context())
	stopped := make(chan error)
	go func() { stopped <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-stopped; err != nil {
			h.t.Error(err)
		}
	}()
	for h.t.Context().Err() == nil {
		var row moraine.Job
		err := h.rows.View(h.t.Context(), func(tx meta.Tx) (err error) {
			row, err = tx.Jobs().Get(id)
			return err
		})
		if err != nil || row.State != moraine.InProgress {
			h.t.Fatalf("the job is %s, %v", row.State, err)
		}
		if _, looks := c.seen(); looks > before && row.LeaseOwner == "" && row.Due.After(h.now()) {
			return row.Due
		}
	}
	h.t.Fatal("the test ran out of time")
	return time.Time{}
}

// TestRestoreSkewed waits for bytes at nodes whose clocks are off: the next look
// comes when it should by the time of the store, neither at once nor late.
func TestRestoreSkewed(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{-skew, skew} {
		cold := &coldStore{Store: mem.New(), delay: time.Hour, cold: map[moraine.BlobRef]bool{}, ready: map[moraine.BlobRef]time.Time{}}
		h := newHouse(t, func(c *job.Config) { c.Blobs = cold })
		cold.now = h.now
		h.vaults = h.vaultsOn(cold)
		a := h.upload(pattern(100), "")
		id := h.mustInitiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID), Tier: "Bulk"})
		s := job.New(h.node("off", off))
		var row moraine.Job
		givenUp := make(chan struct{})
		go func() {
			defer close(givenUp)
			for t.Context().Err() == nil {
				_, looks := cold.seen()
				err := h.rows.View(t.Context(), func(tx meta.Tx) (err error) {
					row, err = tx.Jobs().Get(id)
					return err
				})
				if err == nil && looks > 0 && row.LeaseOwner == "" {
					return
				}
			}
		}()
		h.runUntil(s, givenUp)
		// A clock that is ahead makes the job older, too.
		if wait := row.Due.Sub(h.now()); wait < time.Second || wait > skew/4 {
			t.Errorf("with a clock that is off by %v the next look comes after %v", off, wait)
		}
	}
}

// TestRestore retrieves bytes that must be restored: the store is asked once,
// with the tier of the job; the job looks now and then, also after a restart, and
// ends when the bytes are there. Inventories are not cold.
func TestRestore(t *testing.T) {
	t.Parallel()
	const delay = 5 * time.Hour
	cold := &coldStore{Store: mem.New(), delay: delay, cold: map[moraine.BlobRef]bool{}, ready: map[moraine.BlobRef]time.Time{}}
	h := newHouse(t, func(c *job.Config) { c.Blobs = cold })
	cold.now = h.now
	// The vault service puts to the same store as the jobs.
	h.vaults = h.vaultsOn(cold)
	data := pattern(3 << 20)
	a := h.upload(data, "")
	inventory := h.mustInitiate(job.Parameters{Type: "inventory-retrieval"})
	if j := h.until(h.Service, inventory); j.State != moraine.Succeeded {
		t.Fatalf("the inventory job: %s", j.State)
	}
	if _, doc := h.output(inventory, ""); len(doc) == 0 {
		t.Error("the inventory is empty")
	}
	id := h.mustInitiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID), Tier: "Bulk"})
	start := h.now()
	due := h.waiting(h.Service, cold, id)
	if got := due.Sub(start); got != time.Second {
		t.Errorf("the second look comes after %v, want a second", got)
	}
	h.advance(time.Minute)
	if got := h.waiting(h.Service, cold, id).Sub(h.now()); got != 15*time.Second {
		t.Errorf("a look after a minute is followed by one after %v, want a quarter of that", got)
	}
	// Another process goes on, and asks for nothing that was asked for.
	h.config.Owner = "two"
	second := job.New(h.config)
	h.advance(4 * time.Hour)
	if got := h.waiting(second, cold, id).Sub(h.now()); got != 5*time.Minute {
		t.Errorf("a look after hours is followed by one after %v, want five minutes", got)
	}
	h.advance(time.Hour)
	if j := h.until(second, id); j.State != moraine.Succeeded {
		t.Fatalf("the job is %s", j.State)
	}
	if _, got := h.output(id, ""); string(got) != string(data) {
		t.Errorf("%d bytes come back, not those that were put", len(got))
	}
	if asked, _ := cold.seen(); !slices.Equal(asked, []string{"Bulk for 48h0m0s"}) {
		t.Errorf("asked for %q, want one restoration in the tier of the job for the life of its output", asked)
	}
}

// TestRestoreOfDeleted ends a job that waits for bytes of an archive that is
// deleted meanwhile.
func TestRestoreOfDeleted(t *testing.T) {
	t.Parallel()
	cold := &coldStore{Store: mem.New(), delay: time.Hour, cold: map[moraine.BlobRef]bool{}, ready: map[moraine.BlobRef]time.Time{}}
	h := newHouse(t, func(c *job.Config) { c.Blobs = cold })
	cold.now = h.now
	h.vaults = h.vaultsOn(cold)
	a := h.upload(pattern(100), "")
	id := h.mustInitiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID)})
	h.waiting(h.Service, cold, id)
	if err := h.vaults.DeleteArchive(t.Context(), h.call, "v", a.ID); err != nil {
		t.Fatal(err)
	}
	if j := h.until(h.Service, id); j.State != moraine.Failed {
		t.Errorf("the job is %s, want it to fail without waiting for the bytes", j.State)
	}
}
