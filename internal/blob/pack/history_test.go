package pack_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/pack"
	"moraine/internal/disk/crashfs"
	"moraine/internal/treehash"
)

// history is a random life of a store on a file system that may fail, and what
// the store must remember of it.
type history struct {
	*testing.T
	rnd   *rand.Rand
	cfg   pack.Config
	fs    *crashfs.FS
	store *pack.Store // nil while it cannot be opened

	sent  map[moraine.BlobID][]byte  // all that Put was ever called with
	live  map[moraine.BlobRef][]byte // acknowledged
	dying map[moraine.BlobRef][]byte // Delete failed: there or gone, never wrong
	gone  map[moraine.BlobRef]bool   // Delete was acknowledged
}

const (
	testSmallMax = 2000
	testPackSize = 12_000
)

func newHistory(t *testing.T, seed uint64) *history {
	fs := crashfs.New()
	h := &history{
		T: t, rnd: rand.New(rand.NewPCG(seed, 1)), fs: fs,
		cfg:  pack.Config{Dir: "data/blobs", FS: fs, SmallMax: testSmallMax, PackSize: testPackSize, HandlesMax: 3},
		sent: map[moraine.BlobID][]byte{}, live: map[moraine.BlobRef][]byte{},
		dying: map[moraine.BlobRef][]byte{}, gone: map[moraine.BlobRef]bool{},
	}
	return h
}

// on returns the same history on another file system.
func (h *history) on(fs *crashfs.FS) *history {
	c := *h
	c.fs, c.cfg.FS, c.store = fs, fs, nil
	c.rnd = rand.New(rand.NewPCG(h.rnd.Uint64(), 2))
	c.sent, c.live, c.dying, c.gone = maps.Clone(h.sent), maps.Clone(h.live), maps.Clone(h.dying), maps.Clone(h.gone)
	return &c
}

// failed accepts the error of an operation that may fail: a fault of the disk.
func (h *history) failed(err error, doing string) {
	h.Helper()
	if !h.fs.Failed() {
		h.Errorf("%s: %v, without a fault", doing, err)
	}
	if !moraine.IsKind(err, moraine.Unavailable) {
		h.Errorf("%s: %v is not of kind unavailable", doing, err)
	}
}

// run takes random steps.
func (h *history) run(steps int) {
	for range steps {
		if h.store == nil {
			h.open()
			continue
		}
		switch n := h.rnd.IntN(100); {
		case n < 40:
			h.put(1 + h.rnd.IntN(1500))
		case n < 50:
			h.put(testSmallMax + 1 + h.rnd.IntN(100_000))
		case n < 80:
			h.delete()
		case n < 95:
			h.read()
		default:
			h.close()
		}
	}
}

func (h *history) open() {
	s, err := pack.Open(h.cfg)
	if err != nil {
		h.failed(err, "Open")
		return
	}
	h.store = s
}

func (h *history) close() {
	if h.store == nil {
		return
	}
	if err := h.store.Close(); err != nil {
		h.Errorf("Close: %v", err)
	}
	h.store = nil
	if n := h.fs.OpenFiles(); n != 0 {
		h.Errorf("%d files are open after Close", n)
	}
}

func (h *history) put(size int) {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(h.rnd.Uint32())
	}
	id := moraine.NewBlobID(time.Now())
	h.sent[id] = data
	ref, err := h.store.Put(h.Context(), id, bytes.NewReader(data), int64(size))
	if err != nil {
		h.failed(err, "Put")
		return
	}
	h.live[ref] = data
}

// pick chooses one of the live and dying blobs, the same for the same seed.
func (h *history) pick() (moraine.BlobRef, bool) {
	refs := slices.Concat(slices.Sorted(maps.Keys(h.live)), slices.Sorted(maps.Keys(h.dying)))
	if len(refs) == 0 {
		return "", false
	}
	return refs[h.rnd.IntN(len(refs))], true
}

func (h *history) delete() {
	ref, ok := h.pick()
	if !ok {
		return
	}
	data := h.live[ref]
	if data == nil {
		data = h.dying[ref]
	}
	delete(h.live, ref)
	delete(h.dying, ref)
	if err := h.store.Delete(h.Context(), ref); err != nil {
		h.failed(err, "Delete")
		h.dying[ref] = data
		return
	}
	h.gone[ref] = true
}

func (h *history) get(ref moraine.BlobRef, size int) ([]byte, error) {
	r, err := h.store.Open(h.Context(), ref, 0, int64(size))
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(r)
	return got, errors.Join(err, r.Close())
}

func (h *history) read() {
	ref, ok := h.pick()
	if !ok {
		return
	}
	if data, ok := h.live[ref]; ok {
		h.mustRead(ref, data)
	} else {
		h.mayRead(ref, h.dying[ref])
	}
}

func (h *history) mustRead(ref moraine.BlobRef, data []byte) {
	h.Helper()
	got, err := h.get(ref, len(data))
	if err != nil {
		if !moraine.IsKind(err, moraine.Unavailable) || !h.fs.Failed() {
			h.Errorf("reading %s: %v", ref, err)
		}
		return
	}
	if !bytes.Equal(got, data) {
		h.Errorf("reading %s: %d other bytes", ref, len(got))
	}
}

// mayRead accepts that the blob is gone.
func (h *history) mayRead(ref moraine.BlobRef, data []byte) {
	h.Helper()
	got, err := h.get(ref, len(data))
	if err == nil && !bytes.Equal(got, data) {
		h.Errorf("reading %s, whose deletion failed: %d other bytes", ref, len(got))
	}
	if err != nil && !moraine.IsKind(err, moraine.NotFound) && !moraine.IsKind(err, moraine.Unavailable) {
		h.Errorf("reading %s, whose deletion failed: %v", ref, err)
	}
}

// check compares all that the store holds with the history.
func (h *history) check(when string) {
	h.Helper()
	for ref, data := range h.live {
		h.mustRead(ref, data)
		leaves, err := h.store.Leaves(h.Context(), ref, 0, 1)
		if err != nil || leaves[0] != treehash.Leaf(data) {
			h.Errorf("%s: leaves of %s: %v", when, ref, err)
		}
	}
	for ref, data := range h.dying {
		h.mayRead(ref, data)
	}
	for ref := range h.gone {
		if _, err := h.get(ref, 1); !moraine.IsKind(err, moraine.NotFound) {
			h.Errorf("%s: reading the deleted %s: %v", when, ref, err)
		}
		if h.rnd.IntN(8) == 0 {
			if err := h.store.Delete(h.Context(), ref); err != nil {
				h.Errorf("%s: deleting %s again: %v", when, ref, err)
			}
		}
	}
	h.checkWalk(when)
}

func (h *history) checkWalk(when string) {
	h.Helper()
	seen := map[moraine.BlobRef]bool{}
	damaged := func(err error) { h.Errorf("%s: damage: %v", when, err) }
	err := h.store.Walk(h.Context(), func(i blob.Info) error {
		if seen[i.Ref] || h.gone[i.Ref] {
			h.Errorf("%s: Walk shows %s twice or after its deletion", when, i.Ref)
		}
		seen[i.Ref] = true
		if int(i.Size) != len(h.sent[i.ID]) {
			h.Errorf("%s: Walk shows %d bytes of blob %s, of %d", when, i.Size, i.ID, len(h.sent[i.ID]))
		}
		if h.live[i.Ref] == nil {
			h.mayRead(i.Ref, h.sent[i.ID]) // an orphan is whole
		}
		return nil
	}, damaged)
	if err != nil {
		h.Errorf("%s: Walk: %v", when, err)
	}
	whole := map[moraine.BlobRef]bool{}
	err = pack.CheckAll(h.Context(), h.store, func(i blob.Info, root treehash.Digest) error {
		whole[i.Ref] = true
		return nil
	}, damaged)
	if err != nil {
		h.Errorf("%s: Check: %v", when, err)
	}
	for ref := range h.live {
		if !seen[ref] || !whole[ref] {
			h.Errorf("%s: %s is missing from Walk or Check", when, ref)
		}
	}
}

// settle deletes what is dying, and checks that the store works and keeps
// everything across a restart.
func (h *history) settle(when string) {
	h.Helper()
	h.fs.Fail(0, 0)
	if h.store == nil {
		h.open()
	}
	if h.store == nil {
		return
	}
	h.check(when)
	h.close()
	h.open()
	if h.store == nil {
		return
	}
	h.check(when + ", opened again")
	for ref := range maps.Clone(h.dying) {
		if err := h.store.Delete(h.Context(), ref); err != nil {
			h.Errorf("%s: repeating the deletion of %s: %v", when, ref, err)
		}
		delete(h.dying, ref)
		h.gone[ref] = true
	}
	h.run(15)
	if h.store == nil {
		h.open()
	}
	h.check(when + ", used again")
	h.close()
}

func TestEveryOperationFails(t *testing.T) {
	t.Parallel()
	faults := map[string]crashfs.Fault{"lost": crashfs.Lost, "persisted": crashfs.Persisted, "full": crashfs.Full}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n, stride := sweep(t, 20); !t.Failed(); n += stride {
				h := newHistory(t, 7)
				h.fs.Fail(n, fault)
				h.open()
				h.run(50)
				fired := h.fs.Failed()
				h.settle("failing operation " + itoa(n))
				if !fired {
					return
				}
			}
		})
	}
}

func TestPowerCutAtEveryOperation(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2} {
		t.Run(itoa(int(seed)), func(t *testing.T) {
			t.Parallel()
			for n, stride := sweep(t, 40); !t.Failed(); n += stride {
				h := newHistory(t, seed)
				h.fs.Fail(n, crashfs.PowerCut)
				h.open()
				h.run(50)
				fired := h.fs.Failed()
				h.close()
				for i, keep := range []crashfs.Keep{crashfs.KeepNone, crashfs.KeepAll, crashfs.KeepRandom, crashfs.KeepRandom} {
					h.on(h.fs.Crash(keep, h.rnd)).settle("power cut at operation " + itoa(n) + ", crash " + itoa(i))
				}
				if !fired {
					return
				}
			}
		})
	}
}

// TestPowerCutUnderLoad cuts the power while many goroutines put and delete.
func TestPowerCutUnderLoad(t *testing.T) {
	t.Parallel()
	for n, stride := sweep(t, 120); n < 600 && !t.Failed(); n += stride {
		h := newHistory(t, uint64(n))
		h.open()
		h.fs.Fail(n, crashfs.PowerCut)
		var mu sync.Mutex // guards the maps of h and its rnd
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { h.load(&mu) })
		}
		wg.Wait()
		h.close()
		for i, keep := range []crashfs.Keep{crashfs.KeepNone, crashfs.KeepRandom, crashfs.KeepRandom} {
			h.on(h.fs.Crash(keep, h.rnd)).settle("power cut at operation " + itoa(n) + ", crash " + itoa(i))
		}
	}
}

// load puts blobs and deletes every third, until something fails.
func (h *history) load(mu *sync.Mutex) {
	for i := range 40 {
		mu.Lock()
		data := make([]byte, 1+h.rnd.IntN(1500))
		if i%10 == 9 {
			data = make([]byte, testSmallMax+1+h.rnd.IntN(10_000))
		}
		for k := range data {
			data[k] = byte(h.rnd.Uint32())
		}
		id := moraine.NewBlobID(time.Now())
		h.sent[id] = data
		mu.Unlock()
		ref, err := h.store.Put(h.Context(), id, bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		if i%3 != 0 {
			mu.Lock()
			h.live[ref] = data
			mu.Unlock()
			continue
		}
		err = h.store.Delete(h.Context(), ref)
		mu.Lock()
		if err == nil {
			h.gone[ref] = true
		} else {
			h.dying[ref] = data
		}
		mu.Unlock()
	}
}
