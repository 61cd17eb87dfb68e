package mend_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/pack"
	"moraine/internal/disk/crashfs"
	"moraine/internal/housetest"
	"moraine/internal/lease"
	"moraine/internal/mend"
	"moraine/internal/meta"
)

// yard is packs on a file system whose files cannot have holes, rows, and a
// compaction of them.
type yard struct {
	t     *testing.T
	fs    *crashfs.FS
	rows  *faultyRows
	packs *hooked
	clock *housetest.Clock
	cfg   mend.CompactionConfig
	data  map[moraine.BlobID][]byte
	ids   []moraine.BlobID // of rows, in order

	mu        sync.Mutex // guards suspected
	suspected []moraine.BlobID
}

// hooked calls a function after a copy was made, before anybody knows, and one
// before it is made, which may fail.
type hooked struct {
	*pack.Store
	made func(blob.Info)
	read func(moraine.BlobID) error
}

func (h *hooked) Rewrite(ctx context.Context, i blob.Info, at moraine.BlobRef, step func(int) error) (blob.Mended, error) {
	if h.read != nil {
		if err := h.read(i.ID); err != nil {
			return blob.Mended{Ref: i.Ref}, err
		}
	}
	m, err := h.Store.Rewrite(ctx, i, at, step)
	if err == nil && len(m.Made) > 0 && h.made != nil {
		h.made(i)
	}
	return m, err
}

// newYard fills a pack, and deletes two of three blobs.
func newYard(t *testing.T) *yard {
	t.Helper()
	y := &yard{
		t: t, fs: crashfs.New(), rows: &faultyRows{Store: housetest.Rows(t)}, packs: &hooked{},
		clock: housetest.NewClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), data: map[moraine.BlobID][]byte{},
	}
	y.fs.Solid()
	y.open()
	y.put(24)
	for n, id := range y.ids {
		if n%3 > 0 {
			y.remove(id)
		}
	}
	y.ids = nil
	for id := range y.data {
		y.ids = append(y.ids, id)
	}
	y.reopen()
	t.Cleanup(func() {
		if err := y.packs.Close(); err != nil {
			t.Error(err)
		}
	})
	return y
}

func (y *yard) open() {
	y.t.Helper()
	s, err := pack.Open(pack.Config{Dir: "d", FS: y.fs})
	if err != nil {
		y.t.Fatal(err)
	}
	y.packs.Store = s
	y.cfg = mend.CompactionConfig{
		Meta: y.rows, Blobs: y.packs, From: blob.Sparsity{Held: 0.5, Given: 0.5}, Now: y.clock.Now,
		Suspect: func(id moraine.BlobID) {
			y.mu.Lock()
			defer y.mu.Unlock()
			y.suspected = append(y.suspected, id)
		},
	}
}

// reopen seals the current pack.
func (y *yard) reopen() {
	y.t.Helper()
	if err := y.packs.Close(); err != nil {
		y.t.Fatal(err)
	}
	y.open()
}

func (y *yard) put(n int) {
	y.t.Helper()
	for range n {
		id, data := moraine.NewBlobID(time.Now()), blobtest.Bytes(9000)
		ref, err := y.packs.Put(y.t.Context(), id, bytes.NewReader(data), int64(len(data)))
		if err != nil {
			y.t.Fatal(err)
		}
		y.update(func(tx meta.Tx) error {
			return tx.Bodies().Put(moraine.BodyID(id.String()), moraine.Extent{Size: int64(len(data)), Blob: id, Ref: ref}, y.clock.Now())
		})
		y.data[id], y.ids = data, append(y.ids, id)
	}
}

func (y *yard) update(fn func(meta.Tx) error) {
	y.t.Helper()
	if err := y.rows.Store.Update(context.Background(), fn); err != nil {
		y.t.Fatal(err)
	}
}

// remove deletes a blob with its row.
func (y *yard) remove(id moraine.BlobID) {
	y.t.Helper()
	y.update(func(tx meta.Tx) error {
		body, _, err := tx.Bodies().ByBlob(id)
		if err == nil {
			err = tx.Bodies().Condemn(body, y.clock.Now())
		}
		if err == nil {
			_, err = tx.Sweeps().Release(y.clock.Now(), 10)
		}
		return err
	})
	delete(y.data, id)
	y.sweep()
}

func (y *yard) garbage() (list []moraine.Garbage) {
	y.t.Helper()
	err := y.rows.View(context.Background(), func(tx meta.Tx) (err error) {
		list, err = tx.Sweeps().Garbage(1000)
		return err
	})
	if err != nil {
		y.t.Fatal(err)
	}
	return list
}

// sweep deletes the garbage that is due.
func (y *yard) sweep() {
	y.t.Helper()
	for _, g := range y.garbage() {
		if g.Since.After(y.clock.Now()) {
			return
		}
		if err := y.packs.Delete(context.Background(), g.Ref); err != nil {
			y.t.Fatal(err)
		}
		y.update(func(tx meta.Tx) error { return tx.Sweeps().DropGarbage([]moraine.BlobID{g.Blob}) })
	}
}

func (y *yard) row(id moraine.BlobID) (e moraine.Extent, err error) {
	err = y.rows.View(context.Background(), func(tx meta.Tx) (err error) {
		_, e, err = tx.Bodies().ByBlob(id)
		return err
	})
	return e, err
}

// refs are the places of all blobs, each of which is read there.
func (y *yard) refs() map[moraine.BlobID]moraine.BlobRef {
	y.t.Helper()
	refs := map[moraine.BlobID]moraine.BlobRef{}
	for id, data := range y.data {
		e, err := y.row(id)
		if err != nil {
			y.t.Errorf("blob %s: %v", id, err)
			continue
		}
		y.wantBytes(e.Ref, data)
		refs[id] = e.Ref
	}
	return refs
}

func (y *yard) wantBytes(ref moraine.BlobRef, data []byte) {
	y.t.Helper()
	r, err := y.packs.Open(context.Background(), ref, 0, int64(len(data)))
	if err != nil {
		y.t.Errorf("open %s: %v", ref, err)
		return
	}
	got, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, data) {
		y.t.Errorf("%s reads as %d bytes, %v", ref, len(got), err)
	}
}

// pass makes a pass and returns what it met.
func (y *yard) pass() mend.CompactionTally {
	y.t.Helper()
	c := mend.NewCompaction(y.cfg)
	if err := c.Pass(y.t.Context()); err != nil {
		y.t.Fatal(err)
	}
	return c.Status().Pass
}

// held counts the blobs in the packs.
func (y *yard) held() (n int) {
	y.t.Helper()
	err := y.packs.Walk(context.Background(), func(blob.Info) error { n++; return nil }, func(err error) { y.t.Error(err) })
	if err != nil {
		y.t.Error(err)
	}
	return n
}

// TestCompaction moves what is left in a sparse pack. The old places stay for a
// day, for those who read there, and then the pack is gone.
func TestCompaction(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	before := y.refs()
	if got := y.pass(); got != (mend.CompactionTally{Blobs: 8, Moved: 8, Bytes: 8 * 9000}) {
		t.Errorf("the pass met %+v", got)
	}
	after := y.refs()
	for id, ref := range before {
		if after[id] == ref {
			t.Errorf("blob %s is still at %s", id, ref)
		}
		y.wantBytes(ref, y.data[id]) // a reader who has begun
	}
	if n := y.held(); n != 16 {
		t.Errorf("the packs hold %d blobs, want 8 twice", n)
	}
	due := y.clock.Now().Add(moraine.Retention)
	if list := y.garbage(); len(list) != 8 || !list[0].Since.Equal(due) || !list[7].Since.Equal(due) {
		t.Errorf("garbage: %+v", list)
	}
	// The rows name other places now.
	if got := y.pass(); got.Moved != 0 || got.Failed != 0 {
		t.Errorf("the next pass met %+v", got)
	}
	y.clock.Advance(moraine.Retention - time.Second)
	y.sweep()
	if n := y.held(); n != 16 {
		t.Errorf("before the grace is over the packs hold %d blobs", n)
	}
	y.clock.Advance(time.Second)
	y.sweep()
	y.reopen()
	if n := y.held(); n != 8 {
		t.Errorf("after the grace the packs hold %d blobs", n)
	}
	if names := y.fs.Names(); len(names) != 1 {
		t.Errorf("there are files %v, want one pack", names)
	}
	y.refs()
}

// TestCompactionCommits lets the commit that moves a row fail, with its writes lost
// or kept. Either way the row names good bytes, and the next pass finishes.
func TestCompactionCommits(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"lost", "kept"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			y.rows.fail(mode)
			c := mend.NewCompaction(y.cfg)
			if err := c.Pass(t.Context()); !errors.Is(err, errCommit) || c.Status().Error == "" {
				t.Errorf("Pass: %v, %+v", err, c.Status())
			}
			y.refs()
			if err := c.Pass(t.Context()); err != nil || c.Status().Error != "" {
				t.Errorf("the next pass: %v, %+v", err, c.Status())
			}
			y.refs()
			y.clock.Advance(moraine.Retention)
			y.sweep()
			y.refs()
			// Of the blob whose commit was lost a second copy is left, which is space,
			// not loss; of the others that the error cut off, nothing.
			surplus := map[string]int{"lost": 1, "kept": 0}[mode]
			if n := y.held(); n != 8+surplus {
				t.Errorf("the packs hold %d blobs, want %d", n, 8+surplus)
			}
		})
	}
}

// TestCompactionComesTooLate changes each row between the copy and the commit: the
// copy goes, and the row is as the other one made it.
func TestCompactionComesTooLate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(y *yard, i blob.Info)
		held   int // blobs in the packs
	}{
		"deleted": {func(y *yard, i blob.Info) {
			y.update(func(tx meta.Tx) error {
				body, _, err := tx.Bodies().ByBlob(i.ID)
				if err == nil {
					err = tx.Bodies().Condemn(body, y.clock.Now())
				}
				if err == nil {
					_, err = tx.Sweeps().Release(y.clock.Now(), 10)
				}
				return err
			})
		}, 8},
		"found faulty": {func(y *yard, i blob.Info) {
			y.update(func(tx meta.Tx) error { return tx.Bodies().Judge(i.ID, i.Ref, y.clock.Now(), "bad") })
		}, 8},
		"moved": {func(y *yard, i blob.Info) {
			ref, err := y.packs.Put(context.Background(), i.ID, bytes.NewReader(y.data[i.ID]), i.Size)
			if err != nil {
				y.t.Error(err)
			}
			y.update(func(tx meta.Tx) error { return tx.Bodies().Move(i.ID, ref) })
		}, 16},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			y.packs.made = func(i blob.Info) { test.change(y, i) }
			if got := y.pass(); got.Moved != 0 || got.Failed != 0 {
				t.Errorf("the pass met %+v", got)
			}
			if n := y.held(); n != test.held {
				t.Errorf("the packs hold %d blobs, want %d: what came too late is deleted", n, test.held)
			}
			if name != "deleted" {
				y.refs()
			}
		})
	}
}

// TestCompactionLeavesFaults leaves what is quarantined where it is, and tells of
// damage that it meets.
func TestCompactionLeavesFaults(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	before := y.refs()
	faulty, damaged := y.ids[0], y.ids[1]
	y.update(func(tx meta.Tx) error { return tx.Bodies().Judge(faulty, before[faulty], y.clock.Now(), "bad") })
	// One byte of the data of the other.
	at := bytes.Index(y.fs.ReadFile(y.fs.Names()[0]), y.data[damaged][:64])
	y.fs.Flip(y.fs.Names()[0], int64(at)+5000, 1)
	want := mend.CompactionTally{Blobs: 8, Moved: 6, Bytes: 6 * 9000, Quarantined: 1, Failed: 1}
	if got := y.pass(); got != want {
		t.Errorf("the pass met %+v, want %+v", got, want)
	}
	for _, id := range []moraine.BlobID{faulty, damaged} {
		if e, err := y.row(id); err != nil || e.Ref != before[id] {
			t.Errorf("the row of %s is %+v, %v", id, e, err)
		}
	}
	if len(y.suspected) != 1 || y.suspected[0] != damaged {
		t.Errorf("suspected: %v, want %s", y.suspected, damaged)
	}
}

// TestCompactionOfUnreadable has blobs that cannot be read: a few keep nobody else
// where it is; many mean that the store is away, which ends the pass.
func TestCompactionOfUnreadable(t *testing.T) {
	t.Parallel()
	away := moraine.Errorf(moraine.Unavailable, "input/output error")
	y := newYard(t)
	bad := y.ids[0]
	y.packs.read = func(id moraine.BlobID) error {
		if id == bad {
			return away
		}
		return nil
	}
	want := mend.CompactionTally{Blobs: 8, Moved: 7, Bytes: 7 * 9000, Failed: 1}
	if got := y.pass(); got != want {
		t.Errorf("the pass met %+v, want %+v", got, want)
	}
	if len(y.suspected) != 1 || y.suspected[0] != bad {
		t.Errorf("suspected: %v, want %s", y.suspected, bad)
	}

	y = newYard(t)
	y.packs.read = func(moraine.BlobID) error { return away }
	if err := mend.NewCompaction(y.cfg).Pass(t.Context()); !errors.Is(err, away) {
		t.Errorf("a pass through a store that is away = %v, want %v", err, away)
	}
}

// TestCompactionRuns begins a pass at the start, after each period, and when asked.
func TestCompactionRuns(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		period time.Duration
		asks   int
		want   int
	}{
		"by itself":      {24 * time.Hour, 0, 4}, // at 0, 24, 48 and 72 hours
		"only asked":     {0, 2, 2},
		"asked as well":  {24 * time.Hour, 1, 4}, // the period begins anew
		"never asked to": {0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &counting{}
				c := mend.NewCompaction(mend.CompactionConfig{Blobs: store, Meta: noRows{}, Period: test.period})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- c.Run(ctx) }()
				<-time.After(time.Hour)
				for range test.asks {
					c.Ask()
					synctest.Wait()
				}
				<-time.After(72*time.Hour - 30*time.Minute)
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if store.passes != test.want {
					t.Errorf("%d passes, want %d", store.passes, test.want)
				}
			})
		})
	}
}

// counting counts passes.
type counting struct {
	mend.SparseStore
	passes int // of the goroutine that runs
}

func (c *counting) Sparse(context.Context, blob.Sparsity, func(blob.Info) error) error {
	c.passes++
	return nil
}

// TestCompactElsewhere has two processes empty packs of one store. One of them is
// at it and the other leaves it alone, until the first sleeps through its lease:
// then the other does the work, and the first finds its rows changed.
func TestCompactElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t)
		process := func(owner string, blobs mend.SparseStore) *mend.Compaction {
			cfg := y.cfg
			cfg.Blobs, cfg.Lease = blobs, lease.New(y.rows, "compaction", owner)
			return mend.NewCompaction(cfg)
		}
		one, two := process("one", y.packs), process("two", y.packs.Store)
		pass := func(when string, c *mend.Compaction, moved int64) {
			t.Helper()
			if err := c.Pass(t.Context()); err != nil || c.Status().Pass.Moved != moved || c.Status().Error != "" {
				t.Errorf("%s: %+v, %v; want %d moved", when, c.Status(), err, moved)
			}
		}
		var asleep atomic.Bool
		awake := make(chan struct{})
		y.packs.made = func(blob.Info) {
			if asleep.Swap(true) {
				<-awake
				return
			}
			pass("while one is at it", two, 0)
			if !two.Status().Finished.IsZero() {
				t.Error("two has finished a pass that it did not make")
			}
			<-time.After(lease.Time)
			pass("when its lease is over", two, 8)
			close(awake)
		}
		pass("one wakes up", one, 0)
		y.refs()
		pass("and has nothing to do", one, 0)
	})
}

type noRows struct{ meta.Store }

func (noRows) View(context.Context, func(meta.Tx) error) error { return nil }

// TestSurplus has copies in a sparse pack that no row names, as a crash leaves
// them. They go when they have been there for the grace, and the copy that the row
// names is whole.
func TestSurplus(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		wait  time.Duration // between the passes
		spoil bool          // the copy that the row names
		anew  bool          // another process makes the second pass
		want  int64
	}{
		"after the grace":                 {moraine.Retention, false, false, 1},
		"before the grace":                {moraine.Retention - time.Second, false, false, 0},
		"the other copy is damaged":       {moraine.Retention, true, false, 0},
		"the grace begins with a process": {moraine.Retention, false, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYard(t)
			id := y.ids[0]
			// A blob that moves away, and a copy of it in a pack of which everything
			// else is deleted.
			ref, err := y.packs.Put(t.Context(), id, bytes.NewReader(y.data[id]), 9000)
			if err != nil {
				t.Fatal(err)
			}
			y.put(8)
			for _, id := range y.ids[len(y.ids)-8:] {
				y.remove(id)
			}
			y.ids = y.ids[:8]
			y.reopen()
			c := mend.NewCompaction(y.cfg)
			if err := c.Pass(t.Context()); err != nil || c.Status().Pass.Moved != 8 || c.Status().Pass.Surplus != 0 {
				t.Errorf("the first pass: %+v, %v", c.Status(), err)
			}
			y.refs()
			if test.spoil {
				e, err := y.row(id)
				if err != nil {
					t.Fatal(err)
				}
				for _, file := range y.fs.Names() {
					if at := bytes.Index(y.fs.ReadFile(file), y.data[id][:64]); strings.Contains(string(e.Ref), strings.TrimSuffix(filepath.Base(file), ".pack")) {
						y.fs.Flip(file, int64(at)+5000, 1)
					}
				}
			}
			y.clock.Advance(test.wait)
			if test.anew {
				c = mend.NewCompaction(y.cfg)
			}
			if err := c.Pass(t.Context()); err != nil || c.Status().Pass.Surplus != test.want {
				t.Errorf("the second pass: %+v, %v; want %d surplus", c.Status(), err, test.want)
			}
			_, err = y.packs.Stat(t.Context(), ref)
			if there := err == nil; there != (test.want == 0) {
				t.Errorf("the copy that no row names: %v", err)
			}
			if !test.spoil {
				y.refs()
			}
		})
	}
}
