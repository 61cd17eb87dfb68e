package pack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"

	"moraine"
	"moraine/internal/blob/blobtest"
	"moraine/internal/disk"
)

// putOne stores a blob in a file of its own and returns its bytes.
func putOne(t *testing.T, s *Store, size int64) (moraine.BlobRef, []byte) {
	t.Helper()
	data := blobtest.Bytes(size)
	ref, err := s.Put(t.Context(), moraine.BlobID{1}, bytes.NewReader(data), size)
	if err != nil {
		t.Fatal(err)
	}
	return ref, data
}

// fileOf opens the file of a blob, wherever it is now.
func fileOf(t *testing.T, s *Store, b moraine.BlobRef) disk.File {
	t.Helper()
	r, err := parseRef(b)
	if err != nil {
		t.Fatal(err)
	}
	f, _, err := s.find(fileName{kind: r.kind, id: r.id}, os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// dropped empties the page cache of the file of a blob.
func dropped(t *testing.T, s *Store, b moraine.BlobRef) {
	t.Helper()
	f := fileOf(t, s, b)
	defer f.Close()
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	disk.DropCache(f, 0, 0)
}

// aheadOf opens a range and reports whether it is read past the page cache.
func aheadOf(t *testing.T, s *Store, ref moraine.BlobRef, off, n int64) bool {
	t.Helper()
	r, err := s.Open(t.Context(), ref, off, n)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.(*reader).Lend(); err != nil {
		t.Fatal(err)
	}
	return r.(*reader).ahead != nil
}

// TestReadAhead reads ranges of a large file, each with its cache dropped, in
// pieces of several sizes.
func TestReadAhead(t *testing.T) {
	t.Parallel()
	s, err := Open(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const size = 7<<20 + 12345
	ref, data := putOne(t, s, size)
	ranges := [][2]int64{
		{0, size}, {1, size - 1}, {frameSize, size - frameSize}, {frameSize - 1, 5 << 20}, {3<<20 + 7, 2<<20 + 1},
		{0, aheadMin}, {size - aheadMin, aheadMin}, {5, aheadMin - 1}, {size - 1, 1}, {0, 6 << 20}, {2 << 20, 5<<20 + 1},
	}
	for i, r := range ranges {
		for j, piece := range []int{0, 1000, 100_000, 1 << 20, 3<<20 + 1} {
			dropped(t, s, ref)
			s.passes = passes{}
			if j > 0 && i > 2 && piece == 1000 {
				continue // one more says nothing
			}
			got, err := readPieces(t.Context(), s, ref, r[0], r[1], piece)
			if err != nil || !bytes.Equal(got, data[r[0]:r[0]+r[1]]) {
				t.Errorf("%d bytes from %d in pieces of %d: %d bytes, equal %v, %v", r[1], r[0], piece, len(got), bytes.Equal(got, data[r[0]:r[0]+r[1]]), err)
			}
		}
	}
	allWindowsAreBack(t, s)
}

// readPieces reads a range by Read, or by Lend if piece is zero.
func readPieces(ctx context.Context, s *Store, ref moraine.BlobRef, off, n int64, piece int) ([]byte, error) {
	r, err := s.Open(ctx, ref, off, n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var got []byte
	buf := make([]byte, piece)
	for {
		p := buf
		if piece == 0 {
			p, err = r.(*reader).Lend()
		} else {
			var k int
			k, err = r.Read(buf)
			p = buf[:k]
		}
		got = append(got, p...)
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}

// allWindowsAreBack checks that no window was lost.
func allWindowsAreBack(t *testing.T, s *Store) {
	t.Helper()
	if got, want := len(s.bufs.windows.free), len(s.bufs.windows.slabs)*windowsStep; got != want {
		t.Errorf("%d of %d windows are free", got, want)
	}
}

// TestAheadFindsDamage flips bytes of a file whose cache is empty, and cuts it.
func TestAheadFindsDamage(t *testing.T) {
	t.Parallel()
	const size = 5<<20 + 100
	for _, at := range []int64{0, 70_000, 3<<20 + 1, size - 1, -1} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			s, err := Open(Config{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			ref, data := putOne(t, s, size)
			f := fileOf(t, s, ref)
			defer f.Close()
			good := at / frameSize * frameSize
			if at < 0 {
				good = 2 << 20
				err = f.Truncate(largeDataOffset + good + 5)
			} else {
				_, err = f.WriteAt([]byte{data[at] ^ 4}, largeDataOffset+at)
			}
			if err != nil {
				t.Fatal(err)
			}
			dropped(t, s, ref)
			got, err := readPieces(t.Context(), s, ref, 0, size, 0)
			if !moraine.IsKind(err, moraine.Corrupt) || int64(len(got)) > good || !bytes.Equal(got, data[:len(got)]) {
				t.Errorf("byte %d is wrong: got %d bytes, %v", at, len(got), err)
			}
			allWindowsAreBack(t, s)
		})
	}
}

// TestAheadGivesUp closes a reader early, after its context has ended, and reads
// when there is no memory for windows.
func TestAheadGivesUp(t *testing.T) {
	t.Parallel()
	s, err := Open(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const size = 8 << 20
	ref, data := putOne(t, s, size)
	dropped(t, s, ref)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := s.Open(ctx, ref, 0, size)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.(*reader).Lend(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := r.(*reader).Lend(); err != context.Canceled {
		t.Errorf("after the end of its context: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	allWindowsAreBack(t, s)

	var taken [][]byte
	for p := s.bufs.windows.get(); p != nil; p = s.bufs.windows.get() {
		taken = append(taken, p)
	}
	if len(taken) != windowsMax {
		t.Errorf("%d windows, want %d", len(taken), windowsMax)
	}
	for _, left := range []int{0, 1, 2} {
		dropped(t, s, ref)
		s.passes = passes{}
		for range left {
			s.bufs.put(taken[len(taken)-1])
			taken = taken[:len(taken)-1]
		}
		if got, err := readPieces(t.Context(), s, ref, 0, size, 0); err != nil || !bytes.Equal(got, data) {
			t.Errorf("with %d windows: %d bytes, %v", left, len(got), err)
		}
	}
	for _, p := range taken {
		s.bufs.put(p)
	}
	allWindowsAreBack(t, s)
}

// TestBegin begins to read before the first Read, and never reads.
func TestBegin(t *testing.T) {
	t.Parallel()
	s, err := Open(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const size, off = 3<<20 + 77, 100_000
	ref, data := putOne(t, s, size)
	for _, wanted := range []bool{true, false} {
		dropped(t, s, ref)
		r, err := s.Open(t.Context(), ref, off, size-off)
		if err != nil {
			t.Fatal(err)
		}
		r.(*reader).Begin()
		if r.(*reader).ahead == nil && runtime.GOOS == "linux" {
			t.Error("nothing was begun")
		}
		if wanted {
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data[off:]) {
				t.Errorf("read %d bytes, %v", len(got), err)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		allWindowsAreBack(t, s)
	}
}

// TestThirdPass reads a file until it is kept in memory, and again when it is
// there no more.
func TestThirdPass(t *testing.T) {
	t.Parallel()
	s, err := Open(Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const size = 4 << 20
	ref, data := putOne(t, s, size)
	for i, past := range []bool{true, true, false, true, true, false} {
		dropped(t, s, ref)
		if got := aheadOf(t, s, ref, 0, size); got != past && runtime.GOOS == "linux" {
			t.Errorf("pass %d goes past the page cache: %v, want %v", i+1, got, past)
		}
	}
	got, err := readPieces(t.Context(), s, ref, 0, size, 0)
	if err != nil || !bytes.Equal(got, data) {
		t.Error(err)
	}
}

// TestPasses counts by bytes and forgets what is long ago.
func TestPasses(t *testing.T) {
	t.Parallel()
	var p passes
	one := fileName{id: packID{1}}
	for i, past := range []bool{true, true, true, true, false, false, true} {
		if got := p.past(one, 100, 50); got != past {
			t.Errorf("half %d: %v, want %v", i, got, past)
		}
	}
	p = passes{}
	p.past(one, 100, 200)
	for i := range passesMax {
		p.past(fileName{id: packID{2, byte(i), byte(i >> 8)}}, 100, 100)
	}
	if !p.past(one, 100, 100) || len(p.bytes) != passesMax {
		t.Errorf("%d files are remembered, want %d", len(p.bytes), passesMax)
	}
}
