package crypt_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/crypt"
	"moraine/internal/blob/mem"
)

func BenchmarkStore(b *testing.B) {
	for _, size := range []int64{4 << 10, 64 << 10, 16 << 20} {
		data := blobtest.Bytes(size)
		for _, encrypted := range []bool{false, true} {
			var ring *crypt.Ring
			if encrypted {
				ring = newRing(b)
			}
			s := crypt.New(mem.New(), ring)
			id := moraine.NewBlobID(time.Now())
			ref, err := s.Put(b.Context(), id, bytes.NewReader(data), size)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("put/size=%d/encrypted=%v", size, encrypted), func(b *testing.B) {
				b.SetBytes(size)
				for b.Loop() {
					ref, err := s.Put(b.Context(), id, bytes.NewReader(data), size)
					if err != nil {
						b.Fatal(err)
					}
					if err := s.Delete(b.Context(), ref); err != nil {
						b.Fatal(err)
					}
				}
			})
			read := func(n int64) func(b *testing.B) {
				return func(b *testing.B) {
					b.SetBytes(n)
					for b.Loop() {
						r, err := s.Open(b.Context(), ref, (size-n)/2, n)
						if err != nil {
							b.Fatal(err)
						}
						if _, err := io.Copy(io.Discard, r); err != nil {
							b.Fatal(err)
						}
						r.Close()
					}
				}
			}
			b.Run(fmt.Sprintf("read/size=%d/encrypted=%v", size, encrypted), read(size))
			if size > 1<<20 {
				b.Run(fmt.Sprintf("range/size=%d/encrypted=%v", size, encrypted), read(100_000))
			}
		}
	}
}
