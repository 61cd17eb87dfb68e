package treehash

import "moraine/internal/sha256x"

// Leaf returns the digest of one leaf: the SHA-256 of at most LeafSize bytes.
func Leaf(p []byte) Digest { return sha256x.Sum(p) }

// batchMax is how many leaves are hashed side by side at most.
const batchMax = 16

// BatchSize is how many bytes, of whole leaves, AppendLeaves needs to be given
// to be as fast as it can be on this machine: between one leaf and sixteen.
func BatchSize() int { return min(sha256x.Together(), batchMax) * LeafSize }

// AppendLeaves appends the digests of the leaves of p, which begins with one;
// the last may be short. Nothing has no leaves.
func AppendLeaves(leaves []Digest, p []byte) []Digest {
	for len(p) > 0 {
		var batch [batchMax][]byte
		n := 0
		for ; n < batchMax && len(p) > 0; n++ {
			size := min(len(p), LeafSize)
			batch[n], p = p[:size], p[size:]
		}
		at := len(leaves)
		leaves = append(leaves, make([]Digest, n)...)
		sha256x.Sums(leaves[at:], batch[:n])
	}
	return leaves
}
