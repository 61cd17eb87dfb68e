//go:build unix

package sha256x_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"moraine/internal/sha256x"
)

const mib = 1 << 20

// perGB runs a benchmark that hashes size bytes and reports, beside MB/s, the
// processor time, which tells more than the clock on a busy machine.
func perGB(b *testing.B, size int, hash func()) {
	b.Helper()
	used := func() float64 {
		var r unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
	}
	b.SetBytes(int64(size))
	before := used()
	for b.Loop() {
		hash()
	}
	b.ReportMetric((used()-before)/(float64(b.N)*float64(size)/1e9), "cpu-s/GB")
}

// BenchmarkStandard is what the others are compared with.
func BenchmarkStandard(b *testing.B) {
	data := random(mib)
	perGB(b, mib, func() { sha256.Sum256(data) })
}

func BenchmarkSum(b *testing.B) {
	data := random(mib)
	for _, size := range []int{64, 4 << 10, mib} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			perGB(b, size, func() { sha256x.Sum(data[:size]) })
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
			perGB(b, mib, func() { sha256x.WriteBoth(first, second, data) })
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
				perGB(b, count*mib, func() { sha256x.Sums(sums, leaves[:count]) })
			})
		}
	}
}
