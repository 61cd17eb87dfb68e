package vault_test

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/blob"
	"moraine/internal/lease"
	"moraine/internal/meta"
	"moraine/internal/vault"
)

// node is a service of another process on the rows and blobs of h, or on blobs
// that stand before those, with a clock that is off by skew.
func (h *house) node(owner string, skew time.Duration, blobs blob.Store) *vault.Service {
	c := h.config
	c.Pending, c.Now = new(blob.Pending), func() time.Time { return h.now().Add(skew) }
	c.Sweeping, c.Searching = lease.New(h.rows, "sweep", owner), lease.New(h.rows, "orphans", owner)
	if blobs != nil {
		c.Blobs = blobs
	}
	return vault.New(c)
}

// slow is a store before another, whose answers a test holds back.
type slow struct {
	blobStore
	after func() // runs between what was done and the answer
	fail  error  // of Delete
}

func (s *slow) Put(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
	ref, err := s.blobStore.Put(ctx, id, r, size)
	s.after()
	return ref, err
}

func (s *slow) Delete(ctx context.Context, ref moraine.BlobRef) error {
	err := s.blobStore.Delete(ctx, ref)
	s.after()
	if s.fail != nil {
		return s.fail
	}
	return err
}

func (s *slow) Walk(ctx context.Context, fn func(blob.Info) error, damaged func(error)) error {
	err := s.blobStore.Walk(ctx, fn, damaged)
	s.after()
	return err
}

// watched is rows whose Views are followed by something.
type watched struct {
	meta.Store
	after func()
}

func (w *watched) View(ctx context.Context, fn func(tx meta.Tx) error) error {
	defer w.after()
	return w.Store.View(ctx, fn)
}

// TestRowTooLate has a node fall asleep between bytes and row, with clocks that
// agree and clocks that do not. Another node searches for orphans meanwhile. The
// row is there and its bytes are, or neither is.
func TestRowTooLate(t *testing.T) {
	t.Parallel()
	const off = 10 * time.Minute
	for _, c := range []struct {
		name         string
		asleep       time.Duration
		late, search time.Duration // skews of the clocks
		want         bool
	}{
		{"awake", 0, 0, 0, true},
		{"half the grace", 12 * time.Hour, 0, 0, true},
		{"half the grace, its clock is fast", 12 * time.Hour, off, -off, true},
		{"half the grace, its clock is slow", 12 * time.Hour, -off, off, true},
		{"longer", 12*time.Hour + time.Millisecond, 0, 0, false},
		{"longer, its clock is fast", 12*time.Hour + time.Millisecond, off, -off, false},
		{"longer, its clock is slow", 12*time.Hour + time.Millisecond, -off, off, false},
		{"over the grace", 49 * time.Hour, 0, 0, false},
		{"over the grace, its clock is days fast", 49 * time.Hour, 100 * time.Hour, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, nil)
			h.create("v")
			h.mustUpload("v", []byte("named"))
			search := h.node("search", c.search, nil)
			look := func() {
				if _, err := search.SweepOrphans(t.Context()); err != nil {
					t.Error(err)
				}
			}
			late := h.node("late", c.late, &slow{blobStore: h.blobs, after: func() {
				look()
				h.advance(c.asleep)
				look()
			}})
			data := []byte("late")
			_, a, err := late.UploadArchive(t.Context(), h.call, "v", request(data), bytes.NewReader(data))
			if (err == nil) != c.want {
				t.Fatalf("upload: %v", err)
			}
			for range 3 {
				look()
				h.advance(25 * time.Hour)
			}
			if !c.want {
				if !moraine.IsKind(err, moraine.Unavailable) {
					t.Errorf("the refusal is %v", err)
				}
				if got := h.blobCount(); got != 1 {
					t.Errorf("%d blobs remain, want the named one", got)
				}
				return
			}
			h.wantBytes(a.ID, data)
		})
	}
}

// TestFastClock has a node whose clock is a year ahead sweep and delete: it takes
// nothing that others still have, and no archive is old before its time.
func TestFastClock(t *testing.T) {
	t.Parallel()
	const year = 400 * 24 * time.Hour
	h := newV1(t)
	doubtful := h.node("fast", year, nil)
	h.config.Access = access.New(access.Config{Now: func() time.Time { return h.now().Add(year) }, Doubt: true})
	fast := h.node("fast", year, nil)

	data := bytes.Repeat([]byte("part"), 1<<18)
	u := h.open("v1", 1<<20)
	h.must(h.part("v1", u, 0, data))
	later := h.discard([]byte("read until tomorrow"), h.now().Add(24*time.Hour))
	lock := h.mustInitiate(w1)
	for _, s := range []*vault.Service{fast, doubtful} {
		h.must(s.Sweep(t.Context()))
	}
	if _, err := h.blobs.Leaves(t.Context(), later, 0, 1); err != nil {
		t.Errorf("bytes with a date: %v", err)
	}
	a, err := h.complete("v1", u, data)
	h.must(err)
	h.must(h.completeLock(lock))

	if err := fast.DeleteArchive(t.Context(), h.call, "v1", a.ID); !moraine.IsKind(err, moraine.Denied) {
		t.Errorf("an archive under lock, deleted where it is a year old: %v", err)
	}
	h.wantBytes(a.ID, data)
	h.advance(365 * 24 * time.Hour)
	h.must(fast.DeleteArchive(t.Context(), h.call, "v1", a.ID))
}

// TestSlowClock has a node whose clock is a year behind store things: they are
// neither old nor over before their time.
func TestSlowClock(t *testing.T) {
	t.Parallel()
	h := newV1(t)
	h.mustLock(w1)
	slow, right := h.node("slow", -400*24*time.Hour, nil), h.node("right", 0, nil)
	data := bytes.Repeat([]byte("part"), 1<<18)
	_, a, err := slow.UploadArchive(t.Context(), h.call, "v1", request(data), bytes.NewReader(data))
	h.must(err)
	if err := right.DeleteArchive(t.Context(), h.call, "v1", a.ID); !moraine.IsKind(err, moraine.Denied) {
		t.Errorf("an archive under lock, stored where it is a year ago: %v", err)
	}
	_, u, err := slow.InitiateMultipartUpload(t.Context(), h.call, "v1", "1048576", "")
	h.must(err)
	h.must(right.Sweep(t.Context()))
	r := request(data)
	r.ContentRange = "bytes 0-1048575/*"
	_, err = slow.UploadPart(t.Context(), h.call, "v1", u.ID, r, bytes.NewReader(data))
	h.must(err)
	h.must(right.Sweep(t.Context()))
	_, err = h.complete("v1", u, data)
	h.must(err)
}

// TestRowDuringSearch commits a row of another node after the search has asked
// for it and before the search is over: the answer it had is not the last.
func TestRowDuringSearch(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.create("v")
	h.mustUpload("v", []byte("named"))
	stored, wake, done := make(chan struct{}), make(chan struct{}), make(chan error)
	data := []byte("slow")
	var a moraine.Archive
	upload := h.node("upload", 0, &slow{blobStore: h.blobs, after: func() {
		close(stored)
		<-wake
	}})
	go func() {
		var err error
		_, a, err = upload.UploadArchive(t.Context(), h.call, "v", request(data), bytes.NewReader(data))
		done <- err
	}()
	<-stored
	asked := 0
	rows := h.config.Meta
	h.config.Meta = &watched{h.rows, func() {
		// Of each search, the first question is for the rows of what it found.
		if asked++; asked != 3 {
			return
		}
		close(wake)
		if err := <-done; err != nil {
			t.Errorf("upload: %v", err)
		}
		h.advance(24 * time.Hour) // the search takes as long as the grace
	}}
	search := h.node("search", 0, nil)
	h.config.Meta = rows
	for range 2 {
		if n, err := search.SweepOrphans(t.Context()); n != 0 || err != nil {
			t.Errorf("%d orphans removed, %v", n, err)
		}
	}
	h.wantBytes(a.ID, data)
}

// TestSweepElsewhere lets one node sweep at a time, and another when the lease
// of the first is over.
func TestSweepElsewhere(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.create("v")
	first, second := h.node("first", 10*time.Minute, nil), h.node("second", -10*time.Minute, nil)
	sweep := func(s *vault.Service, blobs int) {
		t.Helper()
		if err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := h.blobCount(); got != blobs {
			t.Errorf("%d blobs remain, want %d", got, blobs)
		}
	}
	drop := func() {
		t.Helper()
		a := h.mustUpload("v", []byte("gone"))
		if err := h.DeleteArchive(t.Context(), h.call, "v", a.ID); err != nil {
			t.Fatal(err)
		}
	}
	drop()
	sweep(first, 0)
	drop()
	sweep(second, 1)
	h.advance(lease.Time - time.Millisecond)
	sweep(second, 1)
	h.advance(time.Millisecond)
	sweep(second, 0)
	drop()
	sweep(first, 1)
	sweep(second, 0)
}

// TestSweepStalls has a node fall asleep while it deletes bytes, lose the lease,
// and wake up: what it wants to note is not noted, since another has done it.
func TestSweepStalls(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.create("v")
	a := h.mustUpload("v", []byte("gone"))
	if err := h.DeleteArchive(t.Context(), h.call, "v", a.ID); err != nil {
		t.Fatal(err)
	}
	second := h.node("second", 0, nil)
	var once sync.Once
	first := h.node("first", 0, &slow{
		blobStore: h.blobs, fail: moraine.Errorf(moraine.Corrupt, "the bytes cannot be deleted"),
		after: func() {
			once.Do(func() {
				h.advance(lease.Time)
				if err := second.Sweep(t.Context()); err != nil {
					t.Error(err)
				}
			})
		},
	})
	if err := first.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	err := h.rows.View(t.Context(), func(tx meta.Tx) error {
		list, err := tx.Sweeps().Garbage(10)
		if len(list) != 0 {
			t.Errorf("garbage that the second has deleted is back: %+v", list)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSearchElsewhere lets one node at a time search for orphans: it can take
// hours, and reads every header.
func TestSearchElsewhere(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	walks := 0
	second := h.node("second", 0, &slow{blobStore: h.blobs, after: func() { walks++ }})
	search := func(s *vault.Service, want int) {
		t.Helper()
		if _, err := s.SweepOrphans(t.Context()); err != nil {
			t.Fatal(err)
		}
		if walks != want {
			t.Errorf("the second node searched %d times, want %d", walks, want)
		}
	}
	first := h.node("first", 0, &slow{blobStore: h.blobs, after: func() {
		search(second, 0)
		h.advance(lease.Time)
		search(second, 1) // the first sleeps through its lease
	}})
	search(first, 1)
	search(second, 2)
}
