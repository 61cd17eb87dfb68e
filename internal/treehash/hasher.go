package treehash

import (
	"crypto/sha256"
	"hash"
	"slices"
	"sync"
)

// parallelMin is the smallest piece of a Write that is worth a second
// goroutine: below it starting and joining one costs more than it saves.
const parallelMin = 64 << 10

// Hasher is an io.Writer that computes the leaf digests, the tree hash and the
// SHA-256 (the "linear" hash) of what is written to it.
//
// Up to LeafSize bytes the linear hash is the only leaf and one pass gives
// both. Above that the bytes take two passes, side by side when a Write is
// large; both have ended when Write returns, and p is not kept. The memory of
// a Hasher grows by one digest per leaf. One goroutine at a time may use it,
// and it must not be copied.
type Hasher struct {
	leavesOnly bool

	size   int64
	leaves []Digest  // complete leaves; empty until the second leaf begins
	linear hash.Hash // everything; with leavesOnly the first leaf alone
	leaf   hash.Hash // the current leaf, from the second on

	// pass hashes pending into linear in its own goroutine. It is made once so
	// that starting it allocates nothing; Write owns pending except between
	// the go statement and joined.Wait.
	pass    func()
	pending []byte
	joined  sync.WaitGroup

	sum Digest // scratch for hash.Hash.Sum
}

// NewHasher returns a Hasher that has seen no bytes.
func NewHasher() *Hasher {
	h := &Hasher{linear: sha256.New(), leaf: sha256.New()}
	h.pass = func() {
		h.linear.Write(h.pending)
		h.joined.Done()
	}
	return h
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
	if len(p) == 0 {
		return written, nil
	}
	if h.size == LeafSize {
		// The second leaf begins: what the linear hash holds is the first.
		h.leaves = append(h.leaves, h.digest(h.linear))
	}
	switch {
	case h.leavesOnly:
		h.writeLeaves(p)
	case len(p) < parallelMin:
		h.linear.Write(p)
		h.writeLeaves(p)
	default:
		h.pending = p
		h.joined.Add(1)
		go h.pass()
		h.writeLeaves(p)
		h.joined.Wait()
		h.pending = nil
	}
	return written, nil
}

// writeLeaves hashes p, which lies behind the first leaf, into the leaves.
func (h *Hasher) writeLeaves(p []byte) {
	for len(p) > 0 {
		n := min(int64(len(p)), LeafSize-h.size%LeafSize)
		h.leaf.Write(p[:n])
		h.size += n
		p = p[n:]
		if h.size%LeafSize == 0 {
			h.leaves = append(h.leaves, h.digest(h.leaf))
			h.leaf.Reset()
		}
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
	return h.digest(h.linear)
}

// Reset makes h as it was when new, keeping its memory.
func (h *Hasher) Reset() {
	h.size = 0
	h.leaves = h.leaves[:0]
	h.linear.Reset()
	h.leaf.Reset()
}

// openLeaf returns the digest of the leaf that leaves does not hold yet.
func (h *Hasher) openLeaf() (Digest, bool) {
	switch {
	case h.size <= LeafSize:
		return h.digest(h.linear), true
	case h.size%LeafSize != 0:
		return h.digest(h.leaf), true
	}
	return Digest{}, false
}

// digest returns the sum of s, whose state Sum leaves alone.
func (h *Hasher) digest(s hash.Hash) Digest {
	s.Sum(h.sum[:0])
	return h.sum
}
