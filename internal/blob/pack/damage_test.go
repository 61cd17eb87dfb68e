package pack_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/pack"
	"moraine/internal/disk/crashfs"
	"moraine/internal/treehash"
)

// fixture is a closed-over store in memory with some blobs.
type fixture struct {
	*testing.T
	fs    *crashfs.FS
	store *pack.Store
	blobs map[moraine.BlobRef][]byte
	order []moraine.BlobRef
}

func newFixture(t *testing.T, sizes ...int64) *fixture {
	fs := crashfs.New()
	f := &fixture{T: t, fs: fs, blobs: map[moraine.BlobRef][]byte{}}
	f.store = open(t, pack.Config{Dir: "d", FS: fs, SmallMax: 100_000, PackSize: 1 << 20})
	for _, size := range sizes {
		f.put(size)
	}
	return f
}

func (f *fixture) put(size int64) moraine.BlobRef {
	f.Helper()
	data := blobtest.Bytes(size)
	ref, err := f.store.Put(f.Context(), moraine.NewBlobID(time.Now()), bytes.NewReader(data), size)
	if err != nil {
		f.Fatalf("Put: %v", err)
	}
	f.blobs[ref] = data
	f.order = append(f.order, ref)
	return ref
}

func (f *fixture) reopen() {
	f.Helper()
	if err := f.store.Close(); err != nil {
		f.Fatal(err)
	}
	f.store = open(f, pack.Config{Dir: "d", FS: f.fs, SmallMax: 100_000, PackSize: 1 << 20})
}

func (f *fixture) close() {
	f.Helper()
	if err := f.store.Close(); err != nil {
		f.Error(err)
	}
}

func (f *fixture) read(ref moraine.BlobRef) ([]byte, error) {
	r, err := f.store.Open(f.Context(), ref, 0, int64(len(f.blobs[ref])))
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(r)
	return got, errors.Join(err, r.Close())
}

// walk returns the references shown and the damage reported.
func (f *fixture) walk() (map[moraine.BlobRef]bool, []error) {
	f.Helper()
	seen := map[moraine.BlobRef]bool{}
	var wrong []error
	err := f.store.Walk(f.Context(), func(i blob.Info) error { seen[i.Ref] = true; return nil },
		func(err error) { wrong = append(wrong, err) })
	if err != nil {
		f.Errorf("Walk: %v", err)
	}
	return seen, wrong
}

// TestFlippedBytes damages every part of records and wants every read to give
// the right bytes or an error of kind Corrupt.
func TestFlippedBytes(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{5, 70_000, 300_000} {
		f := newFixture(t, 100, size, 100)
		f.reopen() // seals
		victim := f.order[1]
		path, _, from, to := pack.Place(f.store, victim)
		step := max(1, (to-from)/300)
		for off := from; off < to; off += step {
			if off > from+64 && off < to-200 && step == 1 && off%7 != 0 {
				continue
			}
			f.fs.Flip(path, off, 0x10)
			for ref, data := range f.blobs {
				got, err := f.read(ref)
				if !bytes.Equal(got, data[:len(got)]) {
					t.Errorf("byte %d of a blob of %d: wrong bytes of %s", off-from, size, ref)
				}
				if err != nil && (ref != victim || !moraine.IsKind(err, moraine.Corrupt)) {
					t.Errorf("byte %d of a blob of %d: %s: %v", off-from, size, ref, err)
				}
				if err == nil && len(got) != len(data) {
					t.Errorf("byte %d of a blob of %d: %s: short", off-from, size, ref)
				}
				leaves, err := f.store.Leaves(t.Context(), ref, 0, 1)
				if err == nil && leaves[0] != treehash.Leaf(data[:min(len(data), treehash.LeafSize)]) {
					t.Errorf("byte %d of a blob of %d: wrong leaves", off-from, size)
				}
			}
			seen, _ := f.walk()
			for i, ref := range f.order {
				if i != 1 && !seen[ref] {
					t.Errorf("byte %d of a blob of %d: Walk misses a neighbour", off-from, size)
				}
			}
			f.fs.Flip(path, off, 0x10)
		}
		f.checkAllDetected(path, from, to, step)
		f.close()
	}
}

// checkAllDetected wants Check to notice a flip of any byte but the padding.
func (f *fixture) checkAllDetected(path string, from, to, step int64) {
	size := int64(len(f.blobs[f.order[1]]))
	used := 64 + size + 32 + 4*((size+65535)/65536)
	for off := from; off < to; off += step * 5 {
		if large := to-from > 100_000; off-from >= used && off < to-32 || large && off-from >= 64 && off-from < 4032+64 {
			continue // padding, or the gap
		}
		f.fs.Flip(path, off, 1)
		found := 0
		err := pack.CheckAll(f.Context(), f.store, func(blob.Info, treehash.Digest) error { return nil }, func(err error) {
			if !moraine.IsKind(err, moraine.Corrupt) {
				f.Errorf("byte %d: %v", off-from, err)
			}
			found++
		})
		if err != nil || found == 0 {
			f.Errorf("byte %d of a blob of %d: Check finds %d damages, %v", off-from, size, found, err)
		}
		f.fs.Flip(path, off, 1)
	}
}

func TestLostTail(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 500, 600, 300_000)
	f.reopen()
	for _, ref := range f.order[1:] {
		path, data, _, _ := pack.Place(f.store, ref)
		file, err := f.fs.Open(path, 2)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(file.Truncate(data+10), file.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := f.read(ref); !moraine.IsKind(err, moraine.Corrupt) {
			t.Errorf("reading a blob that lost its tail: %v", err)
		}
	}
	seen, wrong := f.walk()
	if !seen[f.order[0]] || len(wrong) < 2 {
		t.Errorf("Walk shows %v and reports %v", seen, wrong)
	}
	f.close()
}

// TestFullDisk fills the disk with small and large blobs, and wants deletes to
// work, and puts again after them.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.fs.Limit(3 << 20)
	full := func(size int64) error {
		for {
			data := blobtest.Bytes(size)
			ref, err := f.store.Put(t.Context(), moraine.NewBlobID(time.Now()), bytes.NewReader(data), size)
			if err != nil {
				return err
			}
			f.blobs[ref] = data
			f.order = append(f.order, ref)
		}
	}
	for _, size := range []int64{400_000, 50_000, 3000} {
		err := full(size)
		if !moraine.IsKind(err, moraine.Unavailable) || !strings.Contains(err.Error(), "storage is full") {
			t.Errorf("Put of %d bytes on a full disk: %v", size, err)
		}
	}
	before := len(f.order)
	for i, ref := range f.order {
		if i%2 == 0 {
			continue
		}
		if err := f.store.Delete(t.Context(), ref); err != nil {
			t.Errorf("Delete on a full disk: %v", err)
		}
		delete(f.blobs, ref)
	}
	f.order = nil
	if err := full(400_000); len(f.order) == 0 {
		t.Errorf("no room after deleting half of %d blobs: %v", before, err)
	}
	f.reopen()
	for ref, data := range f.blobs {
		if got, err := f.read(ref); err != nil || !bytes.Equal(got, data) {
			t.Errorf("reading %s: %d bytes, %v", ref, len(got), err)
		}
	}
	f.close()
}

// TestSpaceComesBack wants neighbouring dead blobs, each smaller than a block,
// to give their blocks back, and an empty pack to disappear.
func TestSpaceComesBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for range 400 {
		f.put(1000)
	}
	keep := f.put(10)
	f.reopen()
	before := f.fs.Used()
	for _, i := range []int{0, 1} {
		for ; i < 400; i += 2 {
			if err := f.store.Delete(t.Context(), f.order[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if after := f.fs.Used(); after > before/20 {
		t.Errorf("%d of %d bytes are still used", after, before)
	}
	if _, err := f.read(keep); err != nil {
		t.Error(err)
	}
	sparse := 0
	err := f.store.Sparse(t.Context(), blob.Sparsity{Held: 1, Given: 0.9}, func(i blob.Info) error {
		if i.Ref != keep {
			t.Errorf("Sparse shows %v", i)
		}
		sparse++
		return nil
	})
	if err != nil || sparse != 1 {
		t.Errorf("Sparse shows %d blobs, %v", sparse, err)
	}
	if err := f.store.Delete(t.Context(), keep); err != nil {
		t.Fatal(err)
	}
	f.close()
	if names := f.fs.Names(); len(names) != 0 {
		t.Errorf("empty store has files %v", names)
	}
}

// TestArchivedPack stores the bytes of a pack in a pack and damages the outer
// record: the inner ones must not come to light.
func TestArchivedPack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 300, 300, 300)
	path, _, _, _ := pack.Place(f.store, f.order[0])
	inner := f.fs.ReadFile(path)[:4096]
	if _, err := f.store.Put(t.Context(), moraine.BlobID{1}, bytes.NewReader(inner), int64(len(inner))); err != nil {
		t.Fatal(err)
	}
	seen, _ := f.walk()
	for ref := range seen {
		if f.blobs[ref] == nil {
			p, _, from, _ := pack.Place(f.store, ref)
			f.fs.Flip(p, from+9, 0xff)
		}
	}
	seen, wrong := f.walk()
	if len(seen) != 3 || len(wrong) != 1 {
		t.Errorf("Walk shows %d blobs and reports %v", len(seen), wrong)
	}
	f.close()
}

// TestUnreadableDisk wants errors of reading to be told from damage.
func TestUnreadableDisk(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 500, 300_000)
	for _, ref := range f.order {
		for n := 1; n < 4; n++ {
			f.fs.FailRead(n)
			got, err := f.read(ref)
			if err != nil && !(moraine.IsKind(err, moraine.Unavailable) && errors.Is(err, blob.ErrUnreadable)) || err == nil && !bytes.Equal(got, f.blobs[ref]) {
				t.Errorf("read %d fails: %d bytes, %v", n, len(got), err)
			}
		}
	}
	f.fs.FailRead(0)
	// A file that recovery cannot read stays, and is read by a later Open.
	crash := f.fs.Crash(crashfs.KeepNone, nil)
	f.close()
	for n := 1; n < 12; n++ {
		disk := crash.Crash(crashfs.KeepAll, nil)
		disk.FailRead(n)
		s, err := pack.Open(pack.Config{Dir: "d", FS: disk})
		if err == nil {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		g := &fixture{T: t, fs: disk, blobs: f.blobs, store: open(t, pack.Config{Dir: "d", FS: disk})}
		for ref := range f.blobs {
			if _, err := g.read(ref); err != nil {
				t.Errorf("after read %d of recovery failed: %v", n, err)
			}
		}
		g.close()
	}
}

func TestDump(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 500, 600, 700, 300_000)
	if err := f.store.Delete(t.Context(), f.order[0]); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	for _, ref := range f.order[1:] {
		path, data, _, _ := pack.Place(f.store, ref)
		var out strings.Builder
		if err := pack.Dump(t.Context(), f.fs, path, &out); err != nil {
			t.Errorf("Dump: %v", err)
		}
		for _, want := range []string{"version 1", string(ref), treehash.Leaf(f.blobs[ref]).String(), "ok"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("Dump does not say %q:\n%s", want, out.String())
			}
		}
		f.fs.Flip(path, data, 1)
		out.Reset()
		if err := pack.Dump(t.Context(), f.fs, path, &out); !moraine.IsKind(err, moraine.Corrupt) || !strings.Contains(out.String(), "damaged") {
			t.Errorf("Dump of a damaged file: %v\n%s", err, out.String())
		}
		f.fs.Flip(path, data, 1)
	}
	if err := pack.Dump(t.Context(), f.fs, "d/nonsense", io.Discard); !moraine.IsKind(err, moraine.Invalid) {
		t.Errorf("Dump of another file: %v", err)
	}
	f.close()
}

// TestBufferIsBounded wants Put to wait for room without holding others back for
// ever: a Put that waits ends with its context.
func TestBufferIsBounded(t *testing.T) {
	t.Parallel()
	s := open(t, pack.Config{Dir: "d", FS: crashfs.New(), BufferMax: 4 << 20})
	const size = 1 << 20
	release := make(chan struct{})
	started, ended := make(chan struct{}, 8), make(chan error, 8)
	for range 3 {
		go func() {
			r := io.MultiReader(&signal{started: started, release: release}, bytes.NewReader(make([]byte, size)))
			_, err := s.Put(t.Context(), moraine.BlobID{}, r, size)
			ended <- err
		}()
		<-started
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := s.Put(ctx, moraine.BlobID{}, bytes.NewReader(make([]byte, size)), size)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Put without room: %v", err)
	}
	close(release)
	for range 3 {
		if err := <-ended; err != nil {
			t.Errorf("Put: %v", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// signal is an empty reader that says when it is read and waits.
type signal struct {
	started chan<- struct{}
	release <-chan struct{}
}

func (s *signal) Read([]byte) (int, error) {
	s.started <- struct{}{}
	<-s.release
	return 0, io.EOF
}
