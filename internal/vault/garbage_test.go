package vault_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob/mem"
	"moraine/internal/meta"
	"moraine/internal/vault"
)

// discard puts a blob that no row names and enters it into the garbage.
func (h *house) discard(data []byte, since time.Time) moraine.BlobRef {
	h.t.Helper()
	id := moraine.NewBlobID(h.now())
	ref, err := h.blobs.Put(h.t.Context(), id, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		h.t.Fatal(err)
	}
	err = h.rows.Update(h.t.Context(), func(tx meta.Tx) error {
		return tx.Sweeps().Discard(moraine.Garbage{Blob: id, Ref: ref, Size: int64(len(data)), Since: since})
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return ref
}

func (h *house) garbage() int {
	h.t.Helper()
	n := 0
	err := h.rows.View(h.t.Context(), func(tx meta.Tx) error {
		list, err := tx.Sweeps().Garbage(1000)
		n = len(list)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// TestGarbageWaitsForReaders keeps what may have readers until its instant.
func TestGarbageWaitsForReaders(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.discard([]byte("now"), h.now())
	h.discard([]byte("soon"), h.now().Add(time.Hour))
	h.discard([]byte("tomorrow"), h.now().Add(24*time.Hour))
	for _, want := range []int{2, 1, 1, 0} {
		h.sweep()
		if got := h.blobCount(); got != want || h.garbage() != want {
			t.Errorf("%d blobs and %d rows of garbage at %v, want %d", got, h.garbage(), h.now(), want)
		}
		h.advance(time.Hour)
		if want == 1 {
			h.advance(11 * time.Hour)
		}
	}
}

// TestGarbageGrace keeps what was deleted for the grace, so that rows of an hour
// before it still find their bytes.
func TestGarbageGrace(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *vault.Config) { c.GarbageGrace = 48 * time.Hour })
	h.discard([]byte("deleted"), h.now())
	h.discard([]byte("moved"), h.now().Add(24*time.Hour))
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 2}, {48*time.Hour - time.Millisecond, 2}, {time.Millisecond, 1}, {24*time.Hour - time.Millisecond, 1}, {time.Millisecond, 0}} {
		h.advance(step.after)
		h.sweep()
		if got := h.blobCount(); got != step.want || h.garbage() != step.want {
			t.Errorf("%d blobs and %d rows of garbage at %v, want %d", got, h.garbage(), h.now(), step.want)
		}
	}
}

// TestGarbageIsNoOrphan has searches for orphans pass over what waits for its
// grace, however often they find it.
func TestGarbageIsNoOrphan(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *vault.Config) { c.GarbageGrace = 240 * time.Hour })
	h.create("v")
	if _, err := h.upload("v", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	h.discard([]byte("deleted"), h.now())
	for range 3 {
		h.sweep()
		if n, err := h.SweepOrphans(t.Context()); n != 0 || err != nil {
			t.Fatalf("%d orphans removed, error %v", n, err)
		}
		h.advance(48 * time.Hour)
	}
	if h.blobCount() != 2 || h.garbage() != 1 {
		t.Errorf("%d blobs, %d rows of garbage, want 2 and 1", h.blobCount(), h.garbage())
	}
}

// TestStuckGarbage has a blob that cannot be deleted: it is left in peace for a
// day and keeps nobody else from going.
func TestStuckGarbage(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	blobs := h.blobs.(*mem.Store)
	tries := 0
	h.discard([]byte("stuck"), h.now().Add(-time.Minute))
	blobs.FailWith(func(op string) error {
		if op == "delete" {
			tries++
			if tries == 1 {
				return moraine.Errorf(moraine.Corrupt, "no header")
			}
		}
		return nil
	})
	h.discard([]byte("free"), h.now())
	for range 3 {
		h.sweep()
		h.advance(time.Hour)
	}
	if h.blobCount() != 1 || h.garbage() != 1 || tries != 2 {
		t.Errorf("%d blobs, %d rows of garbage after %d tries, want 1, 1, 2", h.blobCount(), h.garbage(), tries)
	}
	h.advance(24 * time.Hour)
	h.sweep()
	if h.blobCount() != 0 || h.garbage() != 0 {
		t.Errorf("%d blobs, %d rows of garbage a day later, want none", h.blobCount(), h.garbage())
	}
}

// unreadable cannot delete some blobs, as if their sectors could not be read.
type unreadable struct {
	blobStore
	bad   map[moraine.BlobRef]bool
	tries int
}

func (u *unreadable) Delete(ctx context.Context, ref moraine.BlobRef) error {
	if u.bad[ref] {
		u.tries++
		return moraine.Errorf(moraine.Unavailable, "input/output error")
	}
	return u.blobStore.Delete(ctx, ref)
}

// newUnreadable is a house over an unreadable store.
func newUnreadable(t *testing.T) (*house, *unreadable) {
	u := &unreadable{bad: map[moraine.BlobRef]bool{}}
	h := newHouse(t, func(c *vault.Config) {
		u.blobStore = c.Blobs.(blobStore)
		c.Blobs = u
	})
	return h, u
}

// TestUnreadableGarbage has a blob at the front of the garbage that cannot be
// deleted, on and on: what is behind it goes all the same.
func TestUnreadableGarbage(t *testing.T) {
	t.Parallel()
	h, u := newUnreadable(t)
	u.bad[h.discard([]byte("stuck"), h.now().Add(-time.Minute))] = true
	h.discard([]byte("free"), h.now())
	for range 3 {
		_ = h.Sweep(t.Context()) // says that one could not be deleted
		h.advance(time.Minute)
	}
	if h.blobCount() != 1 || h.garbage() != 1 || u.tries != 1 {
		t.Errorf("%d blobs, %d rows of garbage after %d tries, want 1, 1, 1", h.blobCount(), h.garbage(), u.tries)
	}
	clear(u.bad)
	h.advance(time.Hour)
	h.sweep()
	if h.blobCount() != 0 || h.garbage() != 0 {
		t.Errorf("%d blobs, %d rows of garbage when it can be deleted, want none", h.blobCount(), h.garbage())
	}
}

// TestStoreAway asks for few blobs in vain when none can be deleted, and for
// others the next time.
func TestStoreAway(t *testing.T) {
	t.Parallel()
	h, u := newUnreadable(t)
	for i := range 100 {
		u.bad[h.discard([]byte{byte(i)}, h.now())] = true
	}
	for n := range 3 {
		if err := h.Sweep(t.Context()); !moraine.IsKind(err, moraine.Unavailable) {
			t.Errorf("Sweep = %v, want unavailable", err)
		}
		if want := 8 * (n + 1); u.tries != want {
			t.Errorf("%d tries, want %d", u.tries, want)
		}
	}
}

// TestUnreadableOrphan has an orphan that cannot be deleted among others.
func TestUnreadableOrphan(t *testing.T) {
	t.Parallel()
	h, u := newUnreadable(t)
	h.create("v")
	h.mustUpload("v", []byte("named"))
	for range 5 {
		ref, err := h.blobs.Put(t.Context(), moraine.NewBlobID(h.now()), strings.NewReader("x"), 1)
		if err != nil {
			t.Fatal(err)
		}
		u.bad[ref] = len(u.bad) == 0
	}
	for range 2 {
		if _, err := h.SweepOrphans(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.advance(25 * time.Hour)
	}
	if got := h.blobCount(); got != 2 {
		t.Errorf("%d blobs remain, want the named one and the unreadable orphan", got)
	}
}
