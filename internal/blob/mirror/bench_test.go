package mirror_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/mem"
	"moraine/internal/blob/mirror"
	"moraine/internal/blob/pack"
)

// stores are what the wrapper is compared with.
func stores(b *testing.B) map[string]blob.Store {
	packs := func() *pack.Store {
		s, err := pack.Open(pack.Config{Dir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	return map[string]blob.Store{
		"memory":          mem.New(),
		"memory, wrapped": mirror.New(mirror.Config{Primary: mem.New()}),
		"packs":           packs(),
		"packs, wrapped":  mirror.New(mirror.Config{Primary: packs()}),
		"packs, two":      mirror.New(mirror.Config{Primary: packs(), Second: packs()}),
	}
}

func BenchmarkPut(b *testing.B) {
	for name, s := range stores(b) {
		for _, size := range []int64{4 << 10, 16 << 20} {
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				data := bytesOf(size)
				b.SetBytes(size)
				b.ReportAllocs()
				for b.Loop() {
					ref, err := s.Put(b.Context(), newID(), bytes.NewReader(data), size)
					if err != nil {
						b.Fatal(err)
					}
					if err := s.Delete(b.Context(), ref); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	for name, s := range stores(b) {
		for _, size := range []int64{4 << 10, 16 << 20} {
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				var ref moraine.BlobRef
				var err error
				if ref, err = s.Put(b.Context(), newID(), bytes.NewReader(bytesOf(size)), size); err != nil {
					b.Fatal(err)
				}
				b.SetBytes(size)
				b.ReportAllocs()
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
			})
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
