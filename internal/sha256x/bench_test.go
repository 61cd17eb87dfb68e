package sha256x_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"

	"moraine/internal/sha256x"
)

const mib = 1 << 20

// BenchmarkStandard is what the others are compared with.
func BenchmarkStandard(b *testing.B) {
	data := random(mib)
	b.SetBytes(mib)
	for b.Loop() {
		sha256.Sum256(data)
	}
}

func BenchmarkSum(b *testing.B) {
	data := random(mib)
	for _, size := range []int{64, 4 << 10, mib} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(size))
			for b.Loop() {
				sha256x.Sum(data[:size])
			}
		})
	}
}

// BenchmarkBoth hashes a MiB into two hashes.
func BenchmarkBoth(b *testing.B) {
	data := random(mib)
	for _, p := range sha256x.Paths() {
		b.Run(p.String(), func(b *testing.B) {
			sha256x.Take(b, p)
			first, second := sha256x.New(), sha256x.New()
			b.SetBytes(mib)
			for b.Loop() {
				sha256x.WriteBoth(first, second, data)
			}
		})
	}
}

// BenchmarkSums hashes leaves of a MiB.
func BenchmarkSums(b *testing.B) {
	data := random(16 * mib)
	leaves := slices.Collect(slices.Chunk(data, mib))
	sums := make([][sha256x.Size]byte, len(leaves))
	for _, p := range sha256x.Paths() {
		for _, count := range []int{1, 2, 4, 8, 9, 12, 16} {
			b.Run(fmt.Sprintf("%s/%d", p, count), func(b *testing.B) {
				sha256x.Take(b, p)
				b.SetBytes(int64(count * mib))
				for b.Loop() {
					sha256x.Sums(sums, leaves[:count])
				}
			})
		}
	}
}
