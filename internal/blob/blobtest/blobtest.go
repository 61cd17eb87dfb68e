// Package blobtest is the conformance suite of package blob: each obligation
// in the comments of blob.Store and blob.Walker is a test here.
//
// It knows the contract alone and reaches a store through nothing else.
package blobtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/treehash"
)

// sizes are the lengths at which frames, leaves and the border between small
// and large blobs begin and end.
var sizes = []int64{
	1, 2, 63, 64, 100, 4095, 4096, 4097, 64<<10 - 1, 64 << 10, 64<<10 + 1, 200_000,
	1<<20 - 1, 1 << 20, 1<<20 + 1, 2 << 20, 3<<20 + 123,
}

// Run tests the store that open returns: empty, and fresh for each call. The
// suite closes it. A store is tested for the optional powers it has.
func Run(t *testing.T, open func(t *testing.T) blob.Store) { RunCopies(t, 1, open) }

// RunCopies is Run for a store that keeps so many copies of each blob.
func RunCopies(t *testing.T, copies int, open func(t *testing.T) blob.Store) {
	tests := []struct {
		name string
		run  func(*testing.T, *bench)
	}{
		{"PutOpen", testPutOpen},
		{"Ranges", testRanges},
		{"OpenRefusesRanges", testOpenRefusesRanges},
		{"PutRefusesReaders", testPutRefusesReaders},
		{"PutRefusesSizes", testPutRefusesSizes},
		{"PutReadsPolitely", testPutReadsPolitely},
		{"PutTwice", testPutTwice},
		{"Digester", testDigester},
		{"Leaves", testLeaves},
		{"Delete", testDelete},
		{"DeleteManyAtOnce", testDeleteManyAtOnce},
		{"DeleteWhileReading", testDeleteWhileReading},
		{"NotFound", testNotFound},
		{"Concurrent", testConcurrent},
		{"Context", testContext},
		{"Walk", testWalk},
		{"Stat", testStat},
		{"Check", testCheck},
		{"Close", testClose},
		{"BodyAndVerify", testBodyAndVerify},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := &bench{T: t, store: open(t), copies: copies}
			defer b.close()
			test.run(t, b)
		})
	}
}

// bench is a store under test and what it should hold.
type bench struct {
	*testing.T
	store  blob.Store
	copies int
	done   bool
}

func (b *bench) close() {
	if b.done {
		return
	}
	if err := b.store.Close(); err != nil {
		b.Errorf("Close: %v", err)
	}
}

// Bytes returns n random bytes.
func Bytes(n int64) []byte {
	p := make([]byte, n)
	rand.Read(p)
	return p
}

func newID() moraine.BlobID { return moraine.NewBlobID(time.Now()) }

func (b *bench) put(data []byte) moraine.BlobRef {
	b.Helper()
	ref, err := b.store.Put(b.Context(), newID(), bytes.NewReader(data), int64(len(data)))
	if err != nil {
		b.Fatalf("Put of %d bytes: %v", len(data), err)
	}
	return ref
}

func (b *bench) read(ref moraine.BlobRef, off, n int64) ([]byte, error) {
	r, err := b.store.Open(b.Context(), ref, off, n)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		return got, err
	}
	return got, b.lent(ref, off, n, got)
}

// lent reads a range a second time from a store that lends its buffers, now
// and then by Read instead, and compares.
func (b *bench) lent(ref moraine.BlobRef, off, n int64, want []byte) error {
	r, err := b.store.Open(b.Context(), ref, off, n)
	if err != nil {
		return err
	}
	lender, ok := r.(blob.Lender)
	if !ok {
		return r.Close()
	}
	var got, own []byte
	for turn := 0; err == nil; turn++ {
		var p []byte
		if turn%3 == 2 {
			own = make([]byte, 1000)
			var k int
			k, err = r.Read(own)
			p = own[:k]
		} else if p, err = lender.Lend(); len(p) == 0 && err == nil {
			err = io.ErrNoProgress
		}
		got = append(got, p...)
	}
	if err == io.EOF && !bytes.Equal(got, want) {
		err = errors.New("what was lent differs from what was read")
	} else if err == io.EOF {
		err = nil
	}
	return errors.Join(err, r.Close())
}

func (b *bench) check(ref moraine.BlobRef, off, n int64, want []byte) {
	b.Helper()
	got, err := b.read(ref, off, n)
	if err != nil {
		b.Fatalf("reading %d bytes from %d of %s: %v", n, off, ref, err)
	}
	if !bytes.Equal(got, want) {
		b.Fatalf("reading %d bytes from %d of %s: got %d other bytes", n, off, ref, len(got))
	}
}

func wantKind(t *testing.T, err error, want moraine.Kind, doing string, args ...any) {
	t.Helper()
	if !moraine.IsKind(err, want) {
		t.Errorf("%s: error %v is not of kind %v", fmt.Sprintf(doing, args...), err, want)
	}
}

func testPutOpen(_ *testing.T, b *bench) {
	refs := map[moraine.BlobRef][]byte{}
	for _, size := range sizes {
		data := Bytes(size)
		ref := b.put(data)
		if _, ok := refs[ref]; ok {
			b.Fatalf("reference %s given out twice", ref)
		}
		refs[ref] = data
	}
	for ref, data := range refs {
		b.check(ref, 0, int64(len(data)), data)
	}
}

func testRanges(_ *testing.T, b *bench) {
	for _, size := range []int64{1, 100, 4097, 64<<10 + 1, 200_000, 1 << 20, 2<<20 + 12345} {
		data := Bytes(size)
		ref := b.put(data)
		cuts := []int64{0, 1, 4096, 64<<10 - 1, 64 << 10, 64<<10 + 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, size / 2, size - 1, size}
		for i, from := range cuts {
			if size > 1<<18 && i%3 != 0 {
				continue // megabytes each
			}
			for _, to := range cuts {
				if from >= 0 && from <= to && to <= size {
					b.check(ref, from, to-from, data[from:to])
				}
			}
		}
		if size > 1<<18 {
			continue // TestReader reads byte by byte
		}
		r, err := b.store.Open(b.Context(), ref, 0, size)
		if err != nil {
			b.Fatal(err)
		}
		if err := iotest.TestReader(iotest.HalfReader(r), data); err != nil {
			b.Errorf("reader of %d bytes: %v", size, err)
		}
		if err := r.Close(); err != nil {
			b.Errorf("Close of a reader: %v", err)
		}
	}
}

func testOpenRefusesRanges(t *testing.T, b *bench) {
	const most = 1<<63 - 1
	for _, size := range []int64{1000, 2 << 20} {
		ref := b.put(Bytes(size))
		for _, c := range [][2]int64{{-1, 1}, {0, -1}, {0, size + 1}, {size, 1}, {size + 1, 0}, {1, size}, {1, most}, {most, 1}, {most, most}} {
			_, err := b.read(ref, c[0], c[1])
			wantKind(t, err, moraine.Invalid, "Open of %d bytes from %d in %d", c[1], c[0], size)
		}
	}
}

// refusing ends with an error of its own, given with the last bytes or after
// them.
type refusing struct {
	r    io.Reader
	left int64
	with bool
	err  error
}

func (r *refusing) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, r.err
	}
	n, err := r.r.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if r.left == 0 && r.with {
		err = r.err
	}
	return n, err
}

func testPutRefusesReaders(t *testing.T, b *bench) {
	mismatch := moraine.Errorf(moraine.Invalid, "hash mismatch")
	plain := errors.New("connection lost")
	for _, size := range sizes {
		data := Bytes(size + 1)
		all := func(n int64) io.Reader { return bytes.NewReader(data[:n]) }
		if size > 1<<17 && size != 1<<20 && size != 2<<20 {
			continue
		}
		tests := []struct {
			name string
			r    io.Reader
			want error
		}{
			{"one byte short", all(size - 1), io.ErrUnexpectedEOF},
			{"empty", all(0), io.ErrUnexpectedEOF},
			{"refused in place of EOF", &refusing{r: all(size), left: size, err: mismatch}, mismatch},
			{"refused with the last bytes", &refusing{r: all(size), left: size, err: mismatch, with: true}, mismatch},
			{"lost half-way", &refusing{r: all(size), left: size / 2, err: plain}, plain},
			{"lost half-way with bytes", &refusing{r: all(size), left: size/2 + 1, err: plain, with: true}, plain},
		}
		for _, test := range tests {
			if ref, err := b.store.Put(t.Context(), newID(), test.r, size); !errors.Is(err, test.want) || ref != "" {
				t.Errorf("Put of %d bytes, %s: got %q, %v, want %v", size, test.name, ref, err, test.want)
			}
		}
		for name, r := range map[string]io.Reader{"long": all(size + 1), "long by single bytes": iotest.OneByteReader(all(size + 1))} {
			if size > 1<<16 && name != "long" {
				continue
			}
			if ref, err := b.store.Put(t.Context(), newID(), r, size); err == nil || ref != "" {
				t.Errorf("Put of %d bytes, %s: got %q, %v, want an error", size, name, ref, err)
			}
		}
		for name, r := range map[string]io.Reader{"EOF with data": iotest.DataErrReader(all(size)), "half reads": iotest.HalfReader(all(size))} {
			ref, err := b.store.Put(t.Context(), newID(), r, size)
			if err != nil {
				t.Fatalf("Put of %d bytes, %s: %v", size, name, err)
			}
			b.check(ref, 0, size, data[:size])
			if err := b.store.Delete(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := b.walk(); len(got) != 0 {
		t.Errorf("refused blobs are stored: %v", got)
	}
}

func testPutRefusesSizes(t *testing.T, b *bench) {
	for _, size := range []int64{0, -1} {
		_, err := b.store.Put(t.Context(), newID(), bytes.NewReader(nil), size)
		wantKind(t, err, moraine.Invalid, "Put of %d bytes", size)
	}
}

// watched notes how it is read.
type watched struct {
	r       io.Reader
	t       *testing.T
	mu      sync.Mutex
	busy    bool
	left    int64
	retired bool
}

func (w *watched) Read(p []byte) (int, error) {
	w.mu.Lock()
	if w.busy || w.retired {
		w.t.Error("reader used by two goroutines at a time, or after Put returned")
	}
	w.busy = true
	w.mu.Unlock()
	if len(p) > treehash.LeafSize {
		w.t.Errorf("buffer of %d bytes", len(p))
	}
	if w.left > int64(len(p)) && treehash.LeafSize%len(p) != 0 {
		w.t.Errorf("buffer of %d bytes with %d to come", len(p), w.left)
	}
	n, err := w.r.Read(p)
	w.mu.Lock()
	w.left -= int64(n)
	w.busy = false
	w.mu.Unlock()
	return n, err
}

func testPutReadsPolitely(t *testing.T, b *bench) {
	for _, size := range sizes {
		data := Bytes(size)
		w := &watched{r: bytes.NewReader(data), t: t, left: size}
		ref, err := b.store.Put(t.Context(), newID(), w, size)
		if err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		w.retired = true
		w.mu.Unlock()
		b.check(ref, 0, size, data)
	}
}

func testPutTwice(t *testing.T, b *bench) {
	id, first, second := newID(), Bytes(500), Bytes(3<<20)
	var refs []moraine.BlobRef
	for _, data := range [][]byte{first, first, second, second} {
		ref, err := b.store.Put(t.Context(), id, bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, ref)
	}
	for _, i := range []int{0, 2} {
		if err := b.store.Delete(t.Context(), refs[i]); err != nil {
			t.Fatal(err)
		}
	}
	b.check(refs[1], 0, int64(len(first)), first)
	b.check(refs[3], 0, int64(len(second)), second)
}

// digesting claims digests of its own, which a store must believe.
type digesting struct {
	io.Reader
	leaves []treehash.Digest
	ended  bool
	t      *testing.T
}

func (d *digesting) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	d.ended = d.ended || err == io.EOF
	return n, err
}

func (d *digesting) Leaves() []treehash.Digest {
	if !d.ended {
		d.t.Error("Leaves asked before the end")
	}
	return d.leaves
}

func leavesOf(data []byte) []treehash.Digest {
	var leaves []treehash.Digest
	for p := range slices.Chunk(data, treehash.LeafSize) {
		leaves = append(leaves, treehash.Leaf(p))
	}
	return leaves
}

func testDigester(t *testing.T, b *bench) {
	for _, size := range sizes {
		data := Bytes(size)
		want := leavesOf(data)
		ref, err := b.store.Put(t.Context(), newID(), &digesting{Reader: bytes.NewReader(data), leaves: want, t: t}, size)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.store.Leaves(t.Context(), ref, 0, int64(len(want)))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("leaves of %d bytes: %v\n%s", size, err, diff)
		}
		b.check(ref, 0, size, data)
	}
}

func testLeaves(t *testing.T, b *bench) {
	for _, size := range sizes {
		data := Bytes(size)
		want := leavesOf(data)
		ref := b.put(data)
		count := int64(len(want))
		for first := range count + 1 {
			for n := range count - first + 1 {
				got, err := b.store.Leaves(t.Context(), ref, first, n)
				if err != nil || !slices.Equal(got, want[first:first+n]) {
					t.Errorf("leaves %d to %d of %d bytes: %v, %v", first, first+n, size, got, err)
				}
			}
		}
		for _, c := range [][2]int64{{-1, 1}, {0, count + 1}, {count, 1}, {1, 1<<63 - 1}, {0, -1}} {
			_, err := b.store.Leaves(t.Context(), ref, c[0], c[1])
			wantKind(t, err, moraine.Invalid, "%d leaves from %d of %d bytes", c[1], c[0], size)
		}
	}
}

func (b *bench) delete(ref moraine.BlobRef) {
	b.Helper()
	if err := b.store.Delete(b.Context(), ref); err != nil {
		b.Fatalf("Delete of %s: %v", ref, err)
	}
}

func testDelete(t *testing.T, b *bench) {
	live := map[moraine.BlobRef][]byte{}
	var order []moraine.BlobRef
	small := sizes[:len(sizes)-5]
	for i := range 3 * len(small) {
		size := small[i%len(small)]
		if i%10 == 9 {
			size = 1<<20 + 1
		}
		data := Bytes(size)
		ref := b.put(data)
		live[ref] = data
		order = append(order, ref)
	}
	// Every third, then their neighbours, then the rest: all ways to meet.
	for pass := range 3 {
		for i := pass; i < len(order); i += 3 {
			b.delete(order[i])
			b.delete(order[i]) // again
			delete(live, order[i])
			_, err := b.store.Open(t.Context(), order[i], 0, 1)
			wantKind(t, err, moraine.NotFound, "Open of a deleted blob")
			_, err = b.store.Leaves(t.Context(), order[i], 0, 1)
			wantKind(t, err, moraine.NotFound, "Leaves of a deleted blob")
		}
		for ref, data := range live {
			b.check(ref, 0, int64(len(data)), data)
		}
		b.wantWalk(len(live))
	}
	for _, ref := range order {
		b.delete(ref)
	}
}

func testDeleteManyAtOnce(t *testing.T, b *bench) {
	var all []moraine.BlobRef
	for range 200 {
		all = append(all, b.put(Bytes(700)))
	}
	var wg sync.WaitGroup
	for i, ref := range all {
		if i%10 != 0 {
			wg.Go(func() {
				if err := b.store.Delete(t.Context(), ref); err != nil {
					t.Errorf("Delete: %v", err)
				}
			})
		}
	}
	wg.Wait()
	b.wantWalk(len(all) / 10)
}

func testDeleteWhileReading(t *testing.T, b *bench) {
	for _, size := range []int64{300_000, 3 << 20} {
		data := Bytes(size)
		ref := b.put(data)
		r, err := b.store.Open(t.Context(), ref, 0, size)
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 1000)
		if _, err := io.ReadFull(r, head); err != nil {
			t.Fatal(err)
		}
		b.delete(ref)
		rest, err := io.ReadAll(r)
		got := slices.Concat(head, rest)
		if !bytes.Equal(got, data[:len(got)]) {
			t.Errorf("wrong bytes after deletion")
		}
		if err == nil && int64(len(got)) != size {
			t.Errorf("reading ended normally after %d of %d bytes", len(got), size)
		}
		if moraine.IsKind(err, moraine.Corrupt) {
			t.Errorf("deletion looks like damage: %v", err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func testNotFound(t *testing.T, b *bench) {
	for _, ref := range []moraine.BlobRef{"", "nonsense", "s.0", moraine.BlobRef(Bytes(40)), "../../etc/passwd"} {
		if _, err := b.store.Open(t.Context(), ref, 0, 1); err == nil {
			t.Errorf("Open of %q succeeded", ref)
		}
		if _, err := b.store.Leaves(t.Context(), ref, 0, 1); err == nil {
			t.Errorf("Leaves of %q succeeded", ref)
		}
		wantKind(t, b.store.Delete(t.Context(), ref), moraine.Invalid, "Delete of %q", ref)
	}
}

func testConcurrent(t *testing.T, b *bench) {
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 8 {
				size := sizes[(g*5+i)%len(sizes)]
				if i > 1 {
					size = min(size, 50_000)
				}
				data := Bytes(size)
				ref, err := b.store.Put(t.Context(), newID(), bytes.NewReader(data), size)
				if err != nil {
					t.Errorf("Put: %v", err)
					return
				}
				if got, err := b.read(ref, 0, size); err != nil || !bytes.Equal(got, data) {
					t.Errorf("reading back %d bytes: %d bytes, %v", size, len(got), err)
				}
				if i%2 == 0 {
					if err := b.store.Delete(t.Context(), ref); err != nil {
						t.Errorf("Delete: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	b.wantWalk(16 * 4)
}

// cancelling ends a context after some bytes.
type cancelling struct {
	r      io.Reader
	after  int
	cancel func()
}

func (c *cancelling) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.after -= n; c.after <= 0 {
		c.cancel()
	}
	return n, err
}

func testContext(t *testing.T, b *bench) {
	ref := b.put(Bytes(100))
	ctx, cancel := context.WithCancel(t.Context())
	data := Bytes(8 << 20)
	_, err := b.store.Put(ctx, newID(), &cancelling{r: bytes.NewReader(data), after: 2 << 20, cancel: cancel}, int64(len(data)))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Put cut short: %v", err)
	}
	if _, err := b.store.Put(ctx, newID(), bytes.NewReader(data[:5]), 5); !errors.Is(err, context.Canceled) {
		t.Errorf("Put with an ended context: %v", err)
	}
	if _, err := b.store.Open(ctx, ref, 0, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Open with an ended context: %v", err)
	}
	if err := b.store.Delete(ctx, ref); !errors.Is(err, context.Canceled) {
		t.Errorf("Delete with an ended context: %v", err)
	}
	b.wantWalk(1)
}

// walk returns what the store shows, nil if it cannot walk.
func (b *bench) walk() map[moraine.BlobRef]blob.Info {
	b.Helper()
	w, ok := b.store.(blob.Walker)
	if !ok {
		return nil
	}
	all := map[moraine.BlobRef]blob.Info{}
	err := w.Walk(b.Context(), func(i blob.Info) error {
		i, err := blob.Resolve(b.Context(), b.store, i)
		if err != nil {
			return err
		}
		if _, ok := all[i.Ref]; ok {
			b.Errorf("Walk shows %s twice", i.Ref)
		}
		all[i.Ref] = i
		return nil
	}, func(err error) { b.Errorf("Walk reports damage: %v", err) })
	if err != nil {
		b.Errorf("Walk: %v", err)
	}
	return all
}

// wantWalk demands that Walk shows every copy of so many blobs.
func (b *bench) wantWalk(blobs int) {
	b.Helper()
	if _, ok := b.store.(blob.Walker); !ok {
		return
	}
	if got := b.walk(); len(got) != blobs*b.copies {
		b.Errorf("Walk shows %d copies, want %d of each of %d blobs", len(got), b.copies, blobs)
	}
}

func testWalk(t *testing.T, b *bench) {
	w, ok := b.store.(blob.Walker)
	if !ok {
		return
	}
	b.wantWalk(0)
	bodies := map[moraine.BlobID][]byte{}
	want := map[moraine.BlobRef]blob.Info{}
	for _, size := range sizes {
		id := newID()
		bodies[id] = Bytes(size)
		ref, err := b.store.Put(t.Context(), id, bytes.NewReader(bodies[id]), size)
		if err != nil {
			t.Fatal(err)
		}
		want[ref] = blob.Info{ID: id, Ref: ref, Size: size}
	}
	shown := map[moraine.BlobID]int{}
	for ref, i := range b.walk() {
		shown[i.ID]++
		b.check(ref, 0, i.Size, bodies[i.ID])
		if b.copies == 1 && i != want[ref] {
			t.Errorf("Walk shows %v, want %v", i, want[ref])
		}
	}
	for id := range bodies {
		if shown[id] != b.copies {
			t.Errorf("Walk shows %d copies of %s, want %d", shown[id], id, b.copies)
		}
	}
	stop := errors.New("enough")
	calls := 0
	err := w.Walk(t.Context(), func(blob.Info) error { calls++; return stop }, nil)
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("Walk stopped by its function: %v after %d calls", err, calls)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Walk(ctx, func(blob.Info) error { return nil }, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Walk with an ended context: %v", err)
	}
	// A function may use the store, and delete what it is shown.
	err = w.Walk(t.Context(), func(i blob.Info) error { return b.store.Delete(t.Context(), i.Ref) }, nil)
	if err != nil || len(b.walk()) != 0 {
		t.Errorf("deleting all in a walk: %v, %d left", err, len(b.walk()))
	}
}

func testStat(t *testing.T, b *bench) {
	s, ok := b.store.(blob.Stater)
	if !ok {
		return
	}
	for _, size := range sizes {
		id := newID()
		ref, err := b.store.Put(t.Context(), id, bytes.NewReader(Bytes(size)), size)
		if err != nil {
			t.Fatal(err)
		}
		want := blob.Info{ID: id, Ref: ref, Size: size}
		if got, err := s.Stat(t.Context(), ref); err != nil || got != want {
			t.Errorf("Stat: got %v, %v, want %v", got, err, want)
		}
		b.delete(ref)
		_, err = s.Stat(t.Context(), ref)
		wantKind(t, err, moraine.NotFound, "Stat of a deleted blob")
	}
	_, err := s.Stat(t.Context(), "nonsense")
	wantKind(t, err, moraine.Invalid, "Stat of nonsense")
}

func testCheck(t *testing.T, b *bench) {
	c, ok := b.store.(blob.Checker)
	if !ok {
		return
	}
	buf := make([]byte, treehash.LeafSize)
	// check demands that every copy has an error of a kind, or none.
	check := func(doing string, i blob.Info, kind moraine.Kind, well bool) {
		t.Helper()
		copies, err := c.Check(t.Context(), i, buf, func(int) error { return nil })
		if err != nil || len(copies) != b.copies {
			t.Errorf("Check of %s: %v, %v, want %d copies", doing, copies, err, b.copies)
		}
		for _, c := range copies {
			if well && c.Err != nil || !well && !moraine.IsKind(c.Err, kind) || c.Place == "" {
				t.Errorf("Check of %s: %q has %v", doing, c.Place, c.Err)
			}
		}
	}
	for _, size := range sizes {
		i := blob.Info{ID: newID(), Size: size}
		var err error
		if i.Ref, err = b.store.Put(t.Context(), i.ID, bytes.NewReader(Bytes(size)), size); err != nil {
			t.Fatal(err)
		}
		var read int64
		_, err = c.Check(t.Context(), i, buf, func(n int) error {
			if read += int64(n); n < 1 || n > treehash.LeafSize {
				t.Errorf("a step of %d bytes", n)
			}
			return nil
		})
		// What is stored may be longer than the blob, by what encryption adds.
		if all := size * int64(b.copies); err != nil || read < all || read > all+all/64+int64(b.copies)*4096 {
			t.Errorf("Check read %d bytes of %d copies of %d, %v", read, b.copies, size, err)
		}
		check("a whole blob", i, 0, true)
		other := i
		other.ID = newID()
		check("another id", other, moraine.Corrupt, false)
		other = i
		other.Size++
		check("another size", other, moraine.Corrupt, false)
		enough := errors.New("enough")
		if _, err := c.Check(t.Context(), i, buf, func(int) error { return enough }); !errors.Is(err, enough) {
			t.Errorf("Check stopped by its step: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Check(ctx, i, buf, func(int) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("Check with an ended context: %v", err)
		}
		b.delete(i.Ref)
		check("a deleted blob", i, moraine.NotFound, false)
	}
	check("nonsense", blob.Info{ID: newID(), Ref: "nonsense", Size: 1}, moraine.NotFound, false)
}

func testClose(t *testing.T, b *bench) {
	ref := b.put(Bytes(100))
	b.done = true
	if err := b.store.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	_, err := b.store.Put(t.Context(), newID(), bytes.NewReader([]byte("x")), 1)
	wantKind(t, err, moraine.Unavailable, "Put after Close")
	_, err = b.store.Open(t.Context(), ref, 0, 1)
	wantKind(t, err, moraine.Unavailable, "Open after Close")
	wantKind(t, b.store.Delete(t.Context(), ref), moraine.Unavailable, "Delete after Close")
}

func testBodyAndVerify(t *testing.T, b *bench) {
	var extents []moraine.Extent
	var body []byte
	for _, size := range []int64{1 << 20, 5, 2<<20 + 7, 300} {
		data := Bytes(size)
		e := moraine.Extent{
			First: int64(len(body)), Size: size, Blob: newID(), Ref: b.put(data), TreeHash: treehash.Root(leavesOf(data)),
		}
		if err := blob.Verify(t.Context(), b.store, []moraine.Extent{e}, noStep); err != nil {
			t.Errorf("Verify of %d bytes: %v", size, err)
		}
		wrong := e
		wrong.TreeHash[0] ^= 1
		wantKind(t, blob.Verify(t.Context(), b.store, []moraine.Extent{wrong}, noStep), moraine.Corrupt, "Verify against another hash")
		extents = append(extents, e)
		body = append(body, data...)
	}
	whole := int64(len(body))
	for _, c := range [][2]int64{{0, whole}, {0, 1}, {1<<20 - 1, 3}, {1 << 20, 5}, {1<<20 + 4, 2}, {whole - 1, 1}, {whole, 0}, {12345, 2 << 20}} {
		r := blob.OpenBody(t.Context(), b.store, extents, c[0], c[1])
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatalf("body, %d bytes from %d: %v", c[1], c[0], err)
		}
		if !bytes.Equal(got, body[c[0]:c[0]+c[1]]) {
			t.Errorf("body, %d bytes from %d: got %d other bytes", c[1], c[0], len(got))
		}
	}
}

func noStep() error { return nil }
