package pack_test

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"moraine"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/pack"
	"moraine/internal/treehash"
)

func BenchmarkPut(b *testing.B) {
	tests := []struct {
		size    int64
		writers int
	}{
		{4 << 10, 1}, {4 << 10, 16}, {4 << 10, 64}, {64 << 10, 1}, {64 << 10, 16}, {64 << 10, 64},
		{1 << 20, 1}, {1 << 20, 16}, {8 << 20, 4}, {16 << 20, 4}, {64 << 20, 1}, {64 << 20, 4},
	}
	for _, test := range tests {
		b.Run(fmt.Sprintf("%dKiB/writers=%d", test.size>>10, test.writers), func(b *testing.B) {
			benchmarkPut(b, test.size, test.writers)
		})
	}
}

// hashed has its digests, as the readers of the services do.
type hashed struct {
	io.Reader
	leaves []treehash.Digest
}

func (h *hashed) Leaves() []treehash.Digest { return h.leaves }

func benchmarkPut(b *testing.B, size int64, writers int) {
	s := open(b, pack.Config{Dir: b.TempDir()})
	data := blobtest.Bytes(size)
	leaves := make([]treehash.Digest, (size+treehash.LeafSize-1)/treehash.LeafSize)
	for i := range leaves {
		leaves[i] = treehash.Leaf(data[i*treehash.LeafSize : min(len(data), (i+1)*treehash.LeafSize)])
	}
	b.SetBytes(size)
	b.ReportAllocs()
	before := s.Stats().Syncs
	b.ResetTimer()
	var next atomic.Int64
	done := make(chan error)
	for range writers {
		go func() {
			for next.Add(1) <= int64(b.N) {
				r := &hashed{Reader: bytes.NewReader(data), leaves: leaves}
				ref, err := s.Put(b.Context(), moraine.BlobID{}, r, size)
				if err == nil && size > treehash.LeafSize && next.Load() > 64 {
					err = s.Delete(b.Context(), ref) // the disk is not endless
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.StopTimer()
	st := s.Stats()
	b.ReportMetric(float64(st.Syncs-before)/float64(b.N), "syncs/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
	if err := s.Close(); err != nil {
		b.Error(err)
	}
}

func BenchmarkRead(b *testing.B) {
	for _, size := range []int64{4 << 10, 1 << 20, 64 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := open(b, pack.Config{Dir: b.TempDir()})
			ref, err := s.Put(b.Context(), moraine.BlobID{}, bytes.NewReader(blobtest.Bytes(size)), size)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(size)
			for b.Loop() {
				r, err := s.Open(b.Context(), ref, 0, size)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkDelete(b *testing.B) {
	s := open(b, pack.Config{Dir: b.TempDir()})
	refs := make(chan moraine.BlobRef, b.N)
	data := blobtest.Bytes(4096)
	for range b.N {
		ref, err := s.Put(b.Context(), moraine.BlobID{}, bytes.NewReader(data), 4096)
		if err != nil {
			b.Fatal(err)
		}
		refs <- ref
	}
	close(refs)
	b.ResetTimer()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.Delete(b.Context(), <-refs); err != nil {
				b.Error(err)
			}
		}
	})
	b.StopTimer()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}
