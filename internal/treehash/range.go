package treehash

// MiBAligned reports whether the bytes first to last, inclusive, of size bytes
// begin on a leaf boundary and end on one or with the data (glacier-api §6.2).
// A range that is inverted or leaves the data is not aligned.
func MiBAligned(first, last, size int64) bool {
	if first < 0 || last < first || last >= size {
		return false
	}
	return first%LeafSize == 0 && (last == size-1 || (last+1)%LeafSize == 0)
}

// Aligned reports whether the tree hash of the bytes first to last, inclusive,
// is a node in the tree of the size bytes around them (glacier-api §6.2). An
// aligned range is MiBAligned too.
func Aligned(first, last, size int64) bool {
	if !MiBAligned(first, last, size) {
		return false
	}
	count := leafCount(size)
	begin, end := first/LeafSize, leafCount(last+1)
	// A complete subtree: a power of two of leaves, beginning at a multiple
	// of its own size.
	if n := end - begin; n&(n-1) == 0 && begin%n == 0 {
		return true
	}
	// The right edge: the largest subtree that can begin here has run out of
	// data. At zero a subtree of any size can begin.
	return end == count && (begin == 0 || begin+begin&-begin >= count)
}

// leafCount returns the number of leaves of size bytes, for a size of at least 1.
func leafCount(size int64) int64 { return (size-1)/LeafSize + 1 }
