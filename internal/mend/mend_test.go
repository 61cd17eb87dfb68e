package mend_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/mem"
	"moraine/internal/blob/mirror"
	"moraine/internal/mend"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a service over real rows and a mirror in memory.
type bench struct {
	t       *testing.T
	path    string // of the rows
	rows    *faultyRows
	sides   [2]*mem.Store
	blobs   *mirror.Store
	pending *blob.Pending
	cfg     mend.Config
	all     map[moraine.BlobID][]byte
	whole   atomic.Int64 // calls of Whole
	failing atomic.Bool  // they fail
}

func newBench(t *testing.T, change func(*mirror.Config)) *bench {
	t.Helper()
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "meta.db"), pending: new(blob.Pending), all: map[moraine.BlobID][]byte{}}
	rows, err := sqlmeta.Open(t.Context(), sqlmeta.Config{Path: b.path})
	if err != nil {
		t.Fatal(err)
	}
	b.rows = &faultyRows{Store: rows}
	b.sides = [2]*mem.Store{mem.New(), mem.New()}
	b.remake(change)
	return b
}

// remake makes another mirror over the same stores, as a new process does.
func (b *bench) remake(change func(*mirror.Config)) {
	cfg := mirror.Config{Primary: b.sides[0], Second: b.sides[1]}
	if change != nil {
		change(&cfg)
	}
	b.blobs = mirror.New(cfg)
	b.cfg = mend.Config{
		Meta: b.rows, Blobs: b.blobs, Pending: b.pending,
		Whole: func(context.Context) error {
			b.whole.Add(1)
			if b.failing.Load() {
				return errors.New("no space for a small file")
			}
			return nil
		},
	}
}

func (b *bench) close() {
	b.t.Helper()
	if err := b.rows.Close(); err != nil {
		b.t.Error(err)
	}
}

// alone puts to the first store, as before there was a second.
func alone(c *mirror.Config) { c.Second = nil }

var size = int64(700_000)

// put puts blobs and commits their rows.
func (b *bench) put(n int) []moraine.BlobID {
	b.t.Helper()
	var ids []moraine.BlobID
	for range n {
		id, data := moraine.NewBlobID(time.Now()), blobtest.Bytes(size)
		ref, err := b.blobs.Put(b.t.Context(), id, bytes.NewReader(data), size)
		if err != nil {
			b.t.Fatal(err)
		}
		b.commit(id, ref, data)
		ids = append(ids, id)
	}
	return ids
}

func (b *bench) commit(id moraine.BlobID, ref moraine.BlobRef, data []byte) {
	b.t.Helper()
	b.update(func(tx meta.Tx) error {
		e := moraine.Extent{Size: int64(len(data)), Blob: id, Ref: ref}
		return tx.Bodies().Put(moraine.BodyID(id.String()), e, time.Now())
	})
	b.all[id] = data
}

func (b *bench) update(fn func(tx meta.Tx) error) {
	b.t.Helper()
	if err := b.rows.Store.Update(context.Background(), fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) extent(id moraine.BlobID) (e moraine.Extent, err error) {
	err = b.rows.View(context.Background(), func(tx meta.Tx) (err error) {
		_, e, err = tx.Bodies().ByBlob(id)
		return err
	})
	return e, err
}

// wantWhole reads every copy of every blob.
func (b *bench) wantWhole() {
	b.t.Helper()
	for id, data := range b.all {
		e, err := b.extent(id)
		if err != nil {
			b.t.Errorf("blob %s: %v", id, err)
			continue
		}
		parts := b.blobs.Split(e.Ref)
		if len(parts) != 2 {
			b.t.Errorf("blob %s has the reference %s, want two copies", id, e.Ref)
		}
		for _, part := range parts {
			b.wantBytes(part, data)
		}
	}
}

func (b *bench) wantBytes(ref moraine.BlobRef, data []byte) {
	b.t.Helper()
	r, err := b.blobs.Open(context.Background(), ref, 0, int64(len(data)))
	if err != nil {
		b.t.Errorf("open %s: %v", ref, err)
		return
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
		b.t.Errorf("%s reads as %d bytes, %v", ref, len(got), err)
	}
}

// held counts the copies in each store.
func (b *bench) held() (n [2]int) {
	b.t.Helper()
	for i, side := range b.sides {
		if err := side.Walk(context.Background(), func(blob.Info) error { n[i]++; return nil }, nil); err != nil {
			b.t.Error(err)
		}
	}
	return n
}

func (b *bench) garbage() (list []moraine.Garbage) {
	b.t.Helper()
	err := b.rows.View(context.Background(), func(tx meta.Tx) (err error) {
		list, err = tx.Sweeps().Garbage(1000)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

// run runs a service for a while of virtual time.
func (b *bench) run(d time.Duration) *mend.Service {
	b.t.Helper()
	s := mend.New(b.cfg)
	b.blobs.Watch(func(e mirror.Event) { s.Hint(e.Blob) })
	b.serve(s, d, nil)
	return s
}

// serve runs s while fn does, and then for a while of virtual time.
func (b *bench) serve(s *mend.Service, d time.Duration, fn func()) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	if fn != nil {
		fn()
	}
	<-time.After(d)
	cancel()
	if err := <-done; err != nil {
		b.t.Error(err)
	}
}

// faultyRows fails commits on demand.
type faultyRows struct {
	meta.Store
	mu   sync.Mutex
	mode string // the next Update reports failure: "lost" or "kept" says what became of its writes
}

func (f *faultyRows) fail(mode string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mode = mode
}

var errCommit = moraine.Errorf(moraine.Unavailable, "the commit failed")

func (f *faultyRows) Update(ctx context.Context, fn func(meta.Tx) error) error {
	f.mu.Lock()
	mode := f.mode
	f.mode = ""
	f.mu.Unlock()
	if mode == "lost" {
		return errCommit
	}
	if err := f.Store.Update(ctx, fn); err != nil || mode == "" {
		return err
	}
	return errCommit
}

// in runs a test on virtual time.
func in(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, fn)
}

// TestCatchUp gives blobs from before the mirror their second copy.
func TestCatchUp(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBench(t, alone)
		defer b.close()
		b.put(30)
		b.remake(nil)
		s := b.run(time.Minute)
		b.wantWhole()
		if got := b.held(); got != [2]int{30, 30} {
			t.Errorf("the stores hold %v", got)
		}
		st := s.Status()
		if st.Blobs != 30 || st.Bytes != 30*size || len(st.Missing) != 0 || st.Lost != 0 || st.Doing != "" || st.Error != "" || st.Counted.IsZero() {
			t.Errorf("status %+v", st)
		}
		if b.whole.Load() != 1 {
			t.Errorf("told %d times that all is whole, want once", b.whole.Load())
		}
		if g := b.garbage(); len(g) != 0 {
			t.Errorf("garbage %v where nothing was replaced", g)
		}
	})
}

// TestCatchUpGoesOn stops it again and again: the rows say what is left.
func TestCatchUpGoesOn(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBench(t, alone)
		defer b.close()
		b.put(30)
		pacer := mend.NewPacer(2 * size)
		b.remake(func(c *mirror.Config) { c.Pace = pacer.Wait })
		before := 0
		for range 3 {
			b.cfg.Pacer = pacer
			s := b.run(4 * time.Second)
			if st := s.Status(); st.Doing != "mending" || len(st.Missing) != 1 || st.Missing[0].Place != mirror.Second || st.Rate < float64(size)/2 {
				t.Errorf("status %+v", st)
			}
			now := b.held()[1]
			if now <= before || now > 12+before {
				t.Errorf("%d copies after four more seconds at two a second, and %d before", now, before)
			}
			before = now
		}
		b.run(time.Minute)
		b.wantWhole()
	})
}

// TestReplaced finds a bad copy by a read and puts a good one in its place. The
// bad one stays until nobody can be reading it.
func TestReplaced(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		ids := b.put(3)
		bad, err := b.extent(ids[1])
		if err != nil {
			t.Fatal(err)
		}
		part := b.blobs.Split(bad.Ref)[0]
		b.sides[0].Corrupt(part[len("m2:"):len(part)-1], size/2)
		s := mend.New(b.cfg)
		b.blobs.Watch(func(e mirror.Event) { s.Hint(e.Blob) })
		b.serve(s, time.Minute, func() { b.wantBytes(bad.Ref, b.all[ids[1]]) })
		b.wantWhole()
		g := b.garbage()
		if len(g) != 1 || g[0].Ref != part || g[0].Since.Before(time.Now().Add(23*time.Hour)) {
			t.Errorf("garbage %v, want %s in a day", g, part)
		}
		if got := b.held(); got != [2]int{4, 3} {
			t.Errorf("the stores hold %v", got)
		}
	})
}

// TestLaggingPut mends a blob that was put with one copy, whose row is committed
// only later.
func TestLaggingPut(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBench(t, func(c *mirror.Config) { c.Ack = mirror.One })
		defer b.close()
		s := mend.New(b.cfg)
		b.blobs.Watch(func(e mirror.Event) { s.Hint(e.Blob) })
		b.serve(s, time.Minute, func() {
			<-time.After(time.Second) // the first pass is over
			id, data := moraine.NewBlobID(time.Now()), blobtest.Bytes(size)
			done := b.pending.Begin(id)
			b.sides[0].FailWith(func(string) error { return errCommit })
			ref, err := b.blobs.Put(t.Context(), id, bytes.NewReader(data), size)
			if err != nil {
				t.Fatal(err)
			}
			b.sides[0].FailWith(nil)
			<-time.After(10 * time.Second)
			b.commit(id, ref, data)
			done()
		})
		b.wantWhole()
	})
}

// TestRefusedPut forgets a blob that was put with one copy and then refused.
func TestRefusedPut(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		s := mend.New(b.cfg)
		b.serve(s, time.Minute, func() { s.Hint(moraine.NewBlobID(time.Now())) })
		if st := s.Status(); st.Error != "" {
			t.Errorf("status %+v", st)
		}
	})
}

// TestStoreAway waits for a store that fails, more and more patiently, and then
// finishes.
func TestStoreAway(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBench(t, alone)
		defer b.close()
		b.put(20)
		b.remake(nil)
		tries := 0
		b.sides[1].FailWith(func(op string) error {
			if op == "put" {
				tries++
			}
			return errCommit
		})
		s := mend.New(b.cfg)
		b.serve(s, 10*time.Minute, func() {
			<-time.After(time.Hour)
			if st := s.Status(); st.Error == "" || st.At.IsZero() || len(st.Missing) != 1 || st.Missing[0].Copies != 20 || b.whole.Load() != 0 {
				t.Errorf("status %+v", st)
			}
			if tries < 60 || tries > 20*40 { // 20 blobs, about every five minutes
				t.Errorf("%d tries in an hour", tries)
			}
			b.sides[1].FailWith(nil)
		})
		b.wantWhole()
		if st := s.Status(); st.Error != "" || b.whole.Load() != 1 {
			t.Errorf("status %+v, told %d times that all is whole", st, b.whole.Load())
		}
	})
}

// TestOneBadBlob has a blob that cannot be mended among others that can.
func TestOneBadBlob(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(b *bench, e moraine.Extent)
		lost  int64
		whole bool
	}{
		"damaged": {func(b *bench, e moraine.Extent) { b.sides[0].Corrupt(e.Ref, 5) }, 1, true},
		"gone": {func(b *bench, e moraine.Extent) {
			if err := b.sides[0].Delete(context.Background(), e.Ref); err != nil {
				b.t.Error(err)
			}
		}, 1, true},
		"no reference": {func(b *bench, e moraine.Extent) {
			b.update(func(tx meta.Tx) error { return tx.Bodies().Move(e.Blob, "m2:nonsense") })
		}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				b := newBench(t, alone)
				defer b.close()
				ids := b.put(10)
				e, err := b.extent(ids[4])
				if err != nil {
					t.Fatal(err)
				}
				test.spoil(b, e)
				b.remake(nil)
				s := b.run(time.Hour)
				delete(b.all, ids[4])
				b.wantWhole()
				if st := s.Status(); st.Lost != test.lost || (b.whole.Load() == 1) != test.whole {
					t.Errorf("status %+v, told %d times that all is whole", st, b.whole.Load())
				}
			})
		})
	}
}

// TestWholeIsRepeated tells again that all is whole if it was not heard.
func TestWholeIsRepeated(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		b.failing.Store(true)
		s := mend.New(b.cfg)
		b.serve(s, time.Minute, func() {
			<-time.After(10 * time.Second)
			if b.whole.Load() < 2 {
				t.Errorf("told %d times", b.whole.Load())
			}
			b.failing.Store(false)
		})
		before := b.whole.Load()
		b.serve(s, 0, nil)
		if b.whole.Load() > before+1 {
			t.Errorf("told %d times in all", b.whole.Load())
		}
	})
}

// TestCommitFaults fails the transaction that moves a row, lost and kept.
func TestCommitFaults(t *testing.T) {
	for _, mode := range []string{"lost", "kept"} {
		t.Run(mode, func(t *testing.T) {
			in(t, func(t *testing.T) {
				b := newBench(t, alone)
				defer b.close()
				b.put(3)
				b.remake(nil)
				b.rows.fail(mode)
				b.run(time.Hour)
				b.wantWhole()
				want := [2]int{3, 3}
				if mode == "lost" {
					want[1]++ // nobody can know that the copy is not named
				}
				if got := b.held(); got != want {
					t.Errorf("the stores hold %v, want %v", got, want)
				}
			})
		})
	}
}

// meddler changes something when copies were made and the row is not yet moved.
type meddler struct {
	*mirror.Store
	meddle func()
}

func (m *meddler) Mend(ctx context.Context, i blob.Info) (blob.Mended, error) {
	mended, err := m.Store.Mend(ctx, i)
	m.meddle()
	return mended, err
}

// TestRowChanges changes the row while copies are made: they are of no use then
// and go, and nothing else does.
func TestRowChanges(t *testing.T) {
	for name, meddle := range map[string]func(b *bench, id moraine.BlobID){
		"moved": func(b *bench, id moraine.BlobID) {
			e, err := b.extent(id)
			if err != nil {
				b.t.Fatal(err)
			}
			m, err := b.blobs.Mend(context.Background(), blob.Info{ID: id, Ref: e.Ref, Size: e.Size})
			if err != nil {
				b.t.Fatal(err)
			}
			b.update(func(tx meta.Tx) error { return tx.Bodies().Move(id, m.Ref) })
		},
		"deleted": func(b *bench, id moraine.BlobID) {
			b.update(func(tx meta.Tx) error {
				other := moraine.Extent{Size: 1, Blob: moraine.NewBlobID(time.Now()), Ref: "other"}
				return tx.Bodies().Put(moraine.BodyID(id.String()), other, time.Now())
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				b := newBench(t, alone)
				defer b.close()
				id := b.put(1)[0]
				e, err := b.extent(id)
				if err != nil {
					t.Fatal(err)
				}
				b.remake(nil)
				b.cfg.Blobs = &meddler{b.blobs, func() { meddle(b, id) }}
				m, err := mend.New(b.cfg).MendBlob(t.Context(), blob.Info{ID: id, Ref: e.Ref, Size: e.Size})
				if err != nil || m.Ref != e.Ref || len(m.Made) != 0 {
					t.Errorf("mended %+v, %v; want nothing", m, err)
				}
				want := [2]int{1, 1} // the meddler's copy
				if name == "deleted" {
					want = [2]int{1, 0} // that of the garbage
					if g := b.garbage(); len(g) != 1 || g[0].Ref != e.Ref {
						t.Errorf("garbage %v, want %s", g, e.Ref)
					}
					delete(b.all, id)
				}
				if got := b.held(); got != want {
					t.Errorf("the stores hold %v, want %v", got, want)
				}
				b.wantWhole()
			})
		})
	}
}

// TestManyHints has more hints than are kept.
func TestManyHints(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		b.cfg.Hints = 100
		s := mend.New(b.cfg)
		for n := range 110 {
			s.Hint(moraine.BlobID{byte(n), byte(n >> 8), byte(n >> 16)})
		}
		b.serve(s, time.Hour, nil)
		if b.whole.Load() != 2 {
			t.Errorf("%d passes, want one at the start and one for the hints that were not kept", b.whole.Load())
		}
	})
}

func TestPacer(t *testing.T) {
	in(t, func(t *testing.T) {
		p := mend.NewPacer(1 << 20)
		began := time.Now()
		for range 21 {
			if err := p.Wait(t.Context(), 1<<20); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took < 19*time.Second || took > 21*time.Second {
			t.Errorf("21 MiB at 1 MiB/s took %v", took)
		}
		if rate, total := p.Rate(); rate < 0.8*(1<<20) || rate > 1.2*(1<<20) || total != 21<<20 {
			t.Errorf("measured %f, %d in all", rate, total)
		}
		<-time.After(time.Minute)
		if rate, _ := p.Rate(); rate != 0 {
			t.Errorf("measured %f a minute later", rate)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Wait(ctx, 1<<20); !errors.Is(err, context.Canceled) {
			t.Errorf("ended context: %v", err)
		}
		free := mend.NewPacer(0)
		began = time.Now()
		for range 1000 {
			if err := free.Wait(t.Context(), 1<<20); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("without a bound it took %v", took)
		}
		slow := mend.NewPacer(1) // slower than a leaf a second
		if err := slow.Wait(t.Context(), 1<<20); err != nil {
			t.Error(err)
		}
	})
}
