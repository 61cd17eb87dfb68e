package treehash_test

import (
	"math"
	"testing"

	"moraine/internal/treehash"
)

// naiveNodes returns every pair of leaf numbers [P, Q) that some node of the
// tree over count leaves covers.
func naiveNodes(count int) map[[2]int]bool {
	type span = [2]int
	level := make([]span, count)
	for i := range level {
		level[i] = span{i, i + 1}
	}
	nodes := make(map[span]bool)
	for {
		for _, s := range level {
			nodes[s] = true
		}
		if len(level) == 1 {
			return nodes
		}
		var next []span
		for i := 0; i < len(level); i += 2 {
			if i+1 == len(level) {
				next = append(next, level[i])
				continue
			}
			next = append(next, span{level[i][0], level[i+1][1]})
		}
		level = next
	}
}

// TestAlignedAgainstTrees compares every range of whole leaves with the nodes
// of a real tree, for data that ends on a leaf boundary, inside a leaf and one
// byte into a leaf.
func TestAlignedAgainstTrees(t *testing.T) {
	t.Parallel()
	for count := 1; count <= 129; count++ {
		nodes := naiveNodes(count)
		for _, tail := range []int64{1, mib / 2, mib} {
			size := int64(count-1)*mib + tail
			for p := range count {
				for q := p + 1; q <= count; q++ {
					first, last := int64(p)*mib, min(int64(q)*mib, size)-1
					if !treehash.MiBAligned(first, last, size) {
						t.Fatalf("MiBAligned(%d, %d, %d) = false", first, last, size)
					}
					if got, want := treehash.Aligned(first, last, size), nodes[[2]int{p, q}]; got != want {
						t.Fatalf("leaves [%d,%d) of %d: Aligned = %v, want %v", p, q, count, got, want)
					}
				}
			}
		}
	}
}

// TestNesting checks that a part of an aligned range is aligned in the whole
// exactly when it is aligned in the range.
func TestNesting(t *testing.T) {
	t.Parallel()
	for count := int64(1); count <= 40; count++ {
		size := count*mib - 17
		for outer := range naiveNodes(int(count)) {
			begin, end := int64(outer[0])*mib, min(int64(outer[1])*mib, size)
			for p := int64(outer[0]); p < int64(outer[1]); p++ {
				for q := p + 1; q <= int64(outer[1]); q++ {
					first, last := p*mib, min(q*mib, size)-1
					whole := treehash.Aligned(first, last, size)
					part := treehash.Aligned(first-begin, last-begin, end-begin)
					if whole != part {
						t.Fatalf("leaves [%d,%d) of %v of %d: aligned in the whole %v, in the range %v", p, q, outer, count, whole, part)
					}
				}
			}
		}
	}
}

func TestUnaligned(t *testing.T) {
	t.Parallel()
	const size = 6*mib + mib/2
	tests := []struct {
		name              string
		first, last, size int64
		mib               bool
	}{
		{"leaves 1 to 3", mib, 3*mib - 1, size, true},
		{"leaves 2 to 5", 2 * mib, 5*mib - 1, size, true},
		{"leaves 5 to 7", 5 * mib, size - 1, size, true},
		{"right edge of 17 leaves", 8388608, 16777216, 16*mib + 1, true},
		{"odd start", 1, mib - 1, size, false},
		{"odd end", 0, mib, size, false},
		{"end inside the last leaf", 6 * mib, size - 2, size, false},
		{"past the end", 0, size, size, false},
		{"inverted", mib, 0, size, false},
		{"negative", -mib, mib - 1, size, false},
		{"no data", 0, 0, 0, false},
		{"no data, empty range", 0, -1, 0, false},
		{"largest", 0, math.MaxInt64, math.MaxInt64, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := treehash.MiBAligned(tt.first, tt.last, tt.size); got != tt.mib {
				t.Errorf("MiBAligned(%d, %d, %d) = %v, want %v", tt.first, tt.last, tt.size, got, tt.mib)
			}
			if treehash.Aligned(tt.first, tt.last, tt.size) {
				t.Errorf("Aligned(%d, %d, %d) = true", tt.first, tt.last, tt.size)
			}
		})
	}
	if !treehash.Aligned(0, math.MaxInt64-1, math.MaxInt64) {
		t.Error("the whole of the largest size is not aligned")
	}
}

func FuzzAligned(f *testing.F) {
	f.Add(int64(0), int64(mib-1), int64(mib))
	f.Add(int64(math.MinInt64), int64(math.MaxInt64), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, first, last, size int64) {
		if treehash.Aligned(first, last, size) && !treehash.MiBAligned(first, last, size) {
			t.Errorf("%d-%d of %d is aligned, but not to MiB", first, last, size)
		}
	})
}
