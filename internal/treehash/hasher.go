package treehash

import (
	"slices"

	"moraine/internal/sha256x"
)

// Hasher is an io.Writer that computes the leaf digests, the tree hash and the
// SHA-256 (the "linear" hash) of what is written to it.
//
// Up to LeafSize bytes the linear hash is the only leaf and one pass gives
// both. Above that each byte goes into both hashes in the same pass, which costs
// little more where there is assembly for it (package sha256x). p is not kept.
// The memory of a Hasher grows by one digest per leaf. One goroutine at a time
// may use it.
type Hasher struct {
	leavesOnly bool

	size   int64
	leaves []Digest      // complete leaves; empty until the second leaf begins
	linear *sha256x.Hash // everything; with leavesOnly the first leaf alone
	leaf   *sha256x.Hash // the current leaf, from the second on; nil before
}

// NewHasher returns a Hasher that has seen no bytes.
func NewHasher() *Hasher {
	return &Hasher{linear: sha256x.New()}
}

// NewLeafHasher returns a Hasher without the linear hash, for callers that
// need only the tree: every byte takes one pass, and Linear panics.
func NewLeafHasher() *Hasher {
	h := NewHasher()
	h.leavesOnly = true
	return h
}

// Write hashes p. It never fails.
func (h *Hasher) Write(p []byte) (int, error) {
	written := len(p)
	if room := LeafSize - h.size; room > 0 {
		first := p[:min(int64(len(p)), room)]
		h.linear.Write(first)
		h.size += int64(len(first))
		p = p[len(first):]
	}
	if len(p) > 0 && h.size == LeafSize {
		// The second leaf begins: what the linear hash holds is the first.
		h.leaves = append(h.leaves, h.linear.Sum())
		if h.leaf == nil {
			h.leaf = sha256x.New()
		}
	}
	for len(p) > 0 {
		n := min(int64(len(p)), LeafSize-h.size%LeafSize)
		h.writeLeaf(p[:n])
		p = p[n:]
	}
	return written, nil
}

// writeLeaf hashes p, which lies behind the first leaf and in one.
func (h *Hasher) writeLeaf(p []byte) {
	if h.leavesOnly {
		h.leaf.Write(p)
	} else {
		// Leaves begin at blocks of the linear hash.
		sha256x.WriteBoth(h.linear, h.leaf, p)
	}
	h.size += int64(len(p))
	if h.size%LeafSize == 0 {
		h.leaves = append(h.leaves, h.leaf.Sum())
		h.leaf.Reset()
	}
}

// Size returns the number of bytes written.
func (h *Hasher) Size() int64 { return h.size }

// Leaves returns the digests of the leaves of what was written so far, the
// last of them perhaps short. No bytes have one leaf, the SHA-256 of nothing.
// The caller owns the slice; more bytes may be written.
func (h *Hasher) Leaves() []Digest {
	last, ok := h.openLeaf()
	if !ok {
		return slices.Clone(h.leaves)
	}
	return append(slices.Clip(h.leaves), last)
}

// Tree returns the tree hash of what was written so far; more may follow.
func (h *Hasher) Tree() Digest {
	var c Combiner
	for _, leaf := range h.leaves {
		c.Add(leaf)
	}
	if last, ok := h.openLeaf(); ok {
		c.Add(last)
	}
	return c.Root()
}

// Linear returns the SHA-256 of what was written so far; more may follow.
func (h *Hasher) Linear() Digest {
	if h.leavesOnly {
		panic("treehash: Linear of a leaf hasher")
	}
	return h.linear.Sum()
}

// Reset makes h as it was when new, keeping its memory.
func (h *Hasher) Reset() {
	h.size = 0
	h.leaves = h.leaves[:0]
	h.linear.Reset()
	if h.leaf != nil {
		h.leaf.Reset()
	}
}

// openLeaf returns the digest of the leaf that leaves does not hold yet.
func (h *Hasher) openLeaf() (Digest, bool) {
	switch {
	case h.size <= LeafSize:
		return h.linear.Sum(), true
	case h.size%LeafSize != 0:
		return h.leaf.Sum(), true
	}
	return Digest{}, false
}
