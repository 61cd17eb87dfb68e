package crypt_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/crypt"
	"moraine/internal/blob/pack"
	"moraine/internal/disk"
	"moraine/internal/treehash"
)

// single keeps the last blob that was put, and costs little more than copying.
type single struct {
	blob.Store
	data []byte
}

func (s *single) Put(_ context.Context, _ moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
	if int64(cap(s.data)) < size {
		s.data = make([]byte, size)
	}
	s.data = s.data[:size]
	for n := 0; n < len(s.data); {
		k, err := r.Read(s.data[n:min(len(s.data), n+treehash.LeafSize)])
		n += k
		if err != nil && (err != io.EOF || n < len(s.data)) {
			return "", err
		}
	}
	return "x", nil
}

func (s *single) Open(_ context.Context, _ moraine.BlobRef, off, n int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(s.data[off : off+n])), nil
}

// digested is a reader whose digests are known, as they are of every upload.
type digested struct {
	*bytes.Reader
	leaves []treehash.Digest
}

func (d digested) Leaves() []treehash.Digest { return d.leaves }

func digest(data []byte) (leaves []treehash.Digest) {
	for n := 0; n < len(data); n += treehash.LeafSize {
		leaves = append(leaves, treehash.Leaf(data[n:min(len(data), n+treehash.LeafSize)]))
	}
	return leaves
}

// BenchmarkStore measures what the encryption adds to a store that costs
// nothing. Reading lends, as downloads do.
func BenchmarkStore(b *testing.B) {
	for _, size := range []int64{4 << 10, 64 << 10, 1 << 20, 16 << 20} {
		data := blobtest.Bytes(size)
		leaves := digest(data)
		for _, encrypted := range []bool{false, true} {
			var ring *crypt.Ring
			if encrypted {
				ring = newRing(b)
			}
			s := crypt.New(&single{}, ring)
			id := moraine.NewBlobID(time.Now())
			ref, err := s.Put(b.Context(), id, digested{bytes.NewReader(data), leaves}, size)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("put/size=%d/encrypted=%v", size, encrypted), func(b *testing.B) {
				b.SetBytes(size)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := s.Put(b.Context(), id, digested{bytes.NewReader(data), leaves}, size); err != nil {
						b.Fatal(err)
					}
				}
			})
			if ref, err = s.Put(b.Context(), id, digested{bytes.NewReader(data), leaves}, size); err != nil {
				b.Fatal(err)
			}
			read := func(n int64) func(b *testing.B) {
				return func(b *testing.B) {
					b.SetBytes(n)
					b.ReportAllocs()
					for b.Loop() {
						if err := readAll(b, s, ref, (size-n)/2, n); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			b.Run(fmt.Sprintf("read/size=%d/encrypted=%v", size, encrypted), read(size))
			if size > 1<<20 {
				b.Run(fmt.Sprintf("range=1/size=%d/encrypted=%v", size, encrypted), read(1))
				b.Run(fmt.Sprintf("range=100000/size=%d/encrypted=%v", size, encrypted), read(100_000))
			}
		}
	}
}

// BenchmarkPacks measures what the encryption adds to packs on a disk, with
// eight callers at a time.
func BenchmarkPacks(b *testing.B) {
	for _, size := range []int64{4 << 10, 64 << 10, 16 << 20} {
		data := blobtest.Bytes(size)
		leaves := digest(data)
		for _, encrypted := range []bool{false, true} {
			packs, err := pack.Open(pack.Config{Dir: b.TempDir(), FS: disk.NewOS()})
			if err != nil {
				b.Fatal(err)
			}
			var ring *crypt.Ring
			if encrypted {
				ring = newRing(b)
			}
			s := crypt.New(packs, ring)
			put := func() moraine.BlobRef {
				ref, err := s.Put(b.Context(), moraine.NewBlobID(time.Now()), digested{bytes.NewReader(data), leaves}, size)
				if err != nil {
					b.Error(err)
				}
				return ref
			}
			b.Run(fmt.Sprintf("put/size=%d/encrypted=%v", size, encrypted), func(b *testing.B) {
				b.SetBytes(size)
				b.SetParallelism(8)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := s.Delete(b.Context(), put()); err != nil {
							b.Error(err)
						}
					}
				})
			})
			ref := put()
			b.Run(fmt.Sprintf("read/size=%d/encrypted=%v", size, encrypted), func(b *testing.B) {
				b.SetBytes(size)
				for b.Loop() {
					if err := readAll(b, s, ref, 0, size); err != nil {
						b.Fatal(err)
					}
				}
			})
			if err := s.Close(); err != nil {
				b.Error(err)
			}
		}
	}
}

// readAll reads a range, from lent buffers where there are such.
func readAll(t testing.TB, s *crypt.Store, ref moraine.BlobRef, off, n int64) error {
	r, err := s.Open(t.Context(), ref, off, n)
	if err != nil {
		return err
	}
	defer r.Close()
	lender, ok := r.(blob.Lender)
	if !ok {
		_, err := io.Copy(io.Discard, r)
		return err
	}
	for err == nil {
		_, err = lender.Lend()
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// TestAllocations bounds what a put and a read allocate: garbage of the size of
// the bodies would cost more than the encryption. It runs alone, since the
// figures are those of the process. With -race a pool loses some of what it
// holds, which the bounds allow for.
func TestAllocations(t *testing.T) {
	for _, row := range []struct{ size, put, read int64 }{
		{4 << 10, 48 << 10, 160 << 10},
		{64 << 10, 340 << 10, 340 << 10},
		{4 << 20, 1 << 20, 2 << 20},
	} {
		data := blobtest.Bytes(row.size)
		leaves := digest(data)
		s := crypt.New(&single{}, newRing(t))
		id := moraine.NewBlobID(time.Now())
		var ref moraine.BlobRef
		put := func() (err error) {
			ref, err = s.Put(t.Context(), id, digested{bytes.NewReader(data), leaves}, row.size)
			return err
		}
		if got := allocated(t, put); got > row.put {
			t.Errorf("a put of %d bytes allocates %d, want at most %d", row.size, got, row.put)
		}
		if got := allocated(t, func() error { return readAll(t, s, ref, 0, row.size) }); got > row.read {
			t.Errorf("a read of %d bytes allocates %d, want at most %d", row.size, got, row.read)
		}
	}
}

// allocated is how many bytes one call allocates, on the average of some after
// the first.
func allocated(t *testing.T, fn func() error) int64 {
	t.Helper()
	const calls = 50
	var before, after runtime.MemStats
	for i := range calls + 1 {
		if i == 1 {
			runtime.ReadMemStats(&before)
		}
		if err := fn(); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc-before.TotalAlloc) / calls
}
