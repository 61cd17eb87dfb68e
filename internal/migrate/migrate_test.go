package migrate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/mem"
	"moraine/internal/housetest"
	"moraine/internal/meta"
	"moraine/internal/migrate"
	"moraine/internal/treehash"
)

// errInjected is what a fault returns.
var errInjected = errors.New("injected")

// faulty is a store of rows of which the call that steps count down to fails.
type faulty struct {
	meta.Mover
	steps *int // 0: this one
	kept  bool // it takes effect all the same
}

func (f *faulty) fails(do func() error) error {
	*f.steps--
	if *f.steps != -1 {
		return do()
	}
	if f.kept {
		if err := do(); err != nil {
			return err
		}
	}
	return moraine.Wrap(errInjected, moraine.Unavailable, "the commit failed")
}

func (f *faulty) SetHouse(ctx context.Context, h meta.House) error {
	return f.fails(func() error { return f.Mover.SetHouse(ctx, h) })
}

func (f *faulty) Arrived(ctx context.Context, blobs []moraine.Garbage, gone []moraine.BlobID) error {
	return f.fails(func() error { return f.Mover.Arrived(ctx, blobs, gone) })
}

func (f *faulty) TakeRows(ctx context.Context, from meta.Mover, now time.Time, absent func(moraine.Extent) (string, bool)) (counts map[string]int64, err error) {
	return counts, f.fails(func() error {
		counts, err = f.Mover.TakeRows(ctx, from.(*faulty).Mover, now, absent)
		return err
	})
}

// family is two houses.
type family struct {
	*testing.T
	cfg      migrate.Config
	old, new meta.Mover // without faults
	steps    int
	blobs    map[moraine.BlobID][]byte
}

// newFamily puts some blobs into the old house.
func newFamily(t *testing.T, kept bool) *family {
	f := &family{T: t, old: housetest.Rows(t), new: housetest.Rows(t), steps: 1 << 30, blobs: map[moraine.BlobID][]byte{}}
	side := func(rows meta.Mover, name string) migrate.Side {
		return migrate.Side{Rows: &faulty{rows, &f.steps, kept}, Blobs: mem.New(), Name: name}
	}
	f.cfg = migrate.Config{
		From: side(f.old, "old"), To: side(f.new, "new"),
		Stored: func(i blob.Info) blob.Info { return i }, Place: func(_, inner moraine.BlobRef) moraine.BlobRef { return inner },
		Parts: func(ref moraine.BlobRef) []moraine.BlobRef { return []moraine.BlobRef{ref} },
		Now:   func() time.Time { return time.Unix(1_700_000_000, 0) }, ReadBack: true,
	}
	for n := range 5 {
		f.put(byte(n), int64(n*700_000+1))
	}
	return f
}

func (f *family) update(fn func(tx meta.Tx) error) {
	f.Helper()
	if err := f.old.Update(f.Context(), fn); err != nil {
		f.Fatal(err)
	}
}

// put stores a blob in the old house.
func (f *family) put(n byte, size int64) {
	f.Helper()
	id, data := moraine.BlobID{n, 1}, blobtest.Bytes(size)
	ref, err := f.cfg.From.Blobs.Put(f.Context(), id, bytes.NewReader(data), size)
	if err != nil {
		f.Fatal(err)
	}
	f.blobs[id] = data
	h := treehash.NewHasher()
	_, _ = h.Write(data) // never fails
	f.update(func(tx meta.Tx) error {
		return tx.Bodies().Put(moraine.BodyID(fmt.Sprint(n)), moraine.Extent{Size: size, Blob: id, Ref: ref, TreeHash: h.Tree()}, f.cfg.Now())
	})
}

// remove deletes a blob of the old house as a sweep does.
func (f *family) remove(n byte) {
	f.Helper()
	id := moraine.BlobID{n, 1}
	delete(f.blobs, id)
	f.update(func(tx meta.Tx) error {
		if err := tx.Bodies().Condemn(moraine.BodyID(fmt.Sprint(n)), f.cfg.Now()); err != nil {
			return err
		}
		_, err := tx.Sweeps().Release(f.cfg.Now(), 10)
		return err
	})
}

func (f *family) states() string {
	f.Helper()
	old, err1 := f.old.House(f.Context())
	next, err2 := f.new.House(f.Context())
	if err := errors.Join(err1, err2); err != nil {
		f.Fatal(err)
	}
	return string(old.State + " " + next.State)
}

// moved reads everything in the new house, and looks for bytes that should not be
// there.
func (f *family) moved() {
	f.Helper()
	if got := f.states(); got != "Left Home" {
		f.Errorf("the houses are %s", got)
	}
	var list []moraine.Extent
	var garbage []moraine.Garbage
	err := f.new.View(f.Context(), func(tx meta.Tx) (err error) {
		if list, err = tx.Bodies().Blobs(moraine.BlobID{}, 1000); err != nil {
			return err
		}
		garbage, err = tx.Sweeps().Garbage(1000)
		return err
	})
	if err != nil || len(list) != len(f.blobs) {
		f.Fatalf("%d extents, %v; want %d", len(list), err, len(f.blobs))
	}
	if err := blob.Verify(f.Context(), f.cfg.To.Blobs, list, f.Context().Err); err != nil {
		f.Error(err)
	}
	for _, g := range garbage {
		if _, live := f.blobs[g.Blob]; live {
			f.Errorf("%s lives and is garbage", g.Blob)
		}
	}
	if walked := f.walked(); walked != len(f.blobs)+len(garbage) {
		f.Errorf("the new store holds %d copies of %d blobs and %d that are garbage", walked, len(f.blobs), len(garbage))
	}
}

// walked counts what the new store holds, meant or not.
func (f *family) walked() (n int) {
	f.Helper()
	err := f.cfg.To.Blobs.(blob.Walker).Walk(f.Context(), func(blob.Info) error { n++; return nil }, nil)
	if err != nil {
		f.Fatal(err)
	}
	return n
}

// TestStrays begins a move that was cut off between bytes and their note: copies
// of blobs that were noted elsewhere, of some that were not, and of others.
func TestStrays(t *testing.T) {
	t.Parallel()
	f := newFamily(t, false)
	if err := migrate.New(f.cfg).Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := migrate.New(f.cfg).Bytes(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.put(8, 10)
	const strays = 600 // more than are asked for together
	for n := range strays {
		id := moraine.BlobID{byte(n % 9), 1, byte(n / 256)}
		if _, err := f.cfg.To.Blobs.Put(t.Context(), id, bytes.NewReader([]byte("cut off")), 7); err != nil {
			t.Fatal(err)
		}
	}
	s := migrate.New(f.cfg)
	if err := s.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if tally, err := s.Bytes(t.Context()); err != nil || tally.Strays != strays || tally.Present != 5 || tally.Copied != 1 {
		t.Fatalf("%+v, %v", tally, err)
	}
	if n := f.walked(); n != len(f.blobs) {
		t.Errorf("the new store holds %d copies of %d blobs", n, len(f.blobs))
	}
	if _, _, err := s.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.moved()
}

// full is a store of blobs that takes none.
type full struct {
	blob.Store
	err error
}

func (f full) Put(context.Context, moraine.BlobID, io.Reader, int64) (moraine.BlobRef, error) {
	return "", f.err
}

// TestNewStoreRefuses has the new store refuse a blob with an error of any kind:
// nothing in the old one is damaged for that, and nothing may stay behind.
func TestNewStoreRefuses(t *testing.T) {
	t.Parallel()
	for _, kind := range []moraine.Kind{moraine.NotFound, moraine.Corrupt, moraine.Invalid, moraine.Unavailable} {
		f := newFamily(t, false)
		f.cfg.LeaveDamaged = true
		f.cfg.To.Blobs = full{f.cfg.To.Blobs, moraine.Errorf(kind, "the bucket is gone")}
		tally, _, err := migrate.New(f.cfg).Finish(t.Context())
		if !moraine.IsKind(err, moraine.Unavailable) || tally.DamagedCount != 0 || f.states() != "Home Arriving" {
			t.Errorf("%v: %+v, %v, the houses are %s", kind, tally, err, f.states())
		}
	}
}

// TestServedMeanwhile copies bytes while blobs come and go, also those of which
// the copies are there already.
func TestServedMeanwhile(t *testing.T) {
	t.Parallel()
	f := newFamily(t, false)
	s := migrate.New(f.cfg)
	if err := s.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.states(); got != "Home Arriving" {
		t.Errorf("the houses are %s", got)
	}
	if tally, err := s.Bytes(t.Context()); err != nil || tally.Copied != 5 || tally.Blobs != 5 {
		t.Fatalf("%+v, %v", tally, err)
	}
	f.put(9, 100)
	f.remove(2)
	f.remove(4)
	if tally, err := s.Bytes(t.Context()); err != nil || tally.Copied != 1 || tally.Present != 3 || tally.Removed != 2 {
		t.Fatalf("%+v, %v", tally, err)
	}
	f.remove(3)
	tally, rows, err := s.Finish(t.Context())
	if err != nil || tally.Blobs != 3 || rows["extents"] != 3 {
		t.Fatalf("%+v, %v, %v", tally, rows, err)
	}
	f.moved()
}

// TestFaults fails each commit of a move in turn, once without effect and once
// with. At no point are both houses served, and repeated the move ends.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{false, true} {
		failed := true
		for step := 0; failed; step++ {
			f := newFamily(t, kept)
			f.steps = step
			_, _, err := migrate.New(f.cfg).Finish(t.Context())
			if failed = err != nil; failed && !errors.Is(err, errInjected) {
				t.Fatal(err)
			}
			if step > 20 {
				t.Fatal("a move has no end")
			}
			if got := f.states(); failed && got == "Left Home" && !kept || got == "Home Home" && step > 0 {
				t.Errorf("after a fault in step %d (kept: %t) the houses are %s", step, kept, got)
			}
			if failed && f.states() != "Left Home" {
				f.put(7, 50) // the old house may have been served again
				if _, _, err := migrate.New(f.cfg).Finish(t.Context()); err != nil {
					t.Errorf("repeated after a fault in step %d (kept: %t): %v", step, kept, err)
				}
			}
			f.moved()
		}
	}
}

// TestOtherHouses refuses houses that do not belong to the move.
func TestOtherHouses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		old, new meta.House
		want     string
	}{
		{meta.House{State: meta.Arriving, Other: "x"}, meta.House{State: meta.Home}, "itself being moved into, from x"},
		{meta.House{State: meta.Left, Other: "x"}, meta.House{State: meta.Home}, "has moved to x"},
		{meta.House{State: meta.Home}, meta.House{State: meta.Left, Other: "x"}, "has moved to x"},
		{meta.House{State: meta.Home}, meta.House{State: meta.Arriving, Other: "x"}, "from x, not from old"},
	} {
		f := newFamily(t, false)
		tt.old.Since, tt.new.Since = f.cfg.Now(), f.cfg.Now()
		if err := errors.Join(f.old.SetHouse(t.Context(), tt.old), f.new.SetHouse(t.Context(), tt.new)); err != nil {
			t.Fatal(err)
		}
		if err := migrate.New(f.cfg).Begin(t.Context()); !moraine.IsKind(err, moraine.Invalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v to %+v: %v, want %q", tt.old, tt.new, err, tt.want)
		}
	}
}
