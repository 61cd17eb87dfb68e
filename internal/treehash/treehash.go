// Package treehash computes the SHA-256 tree hash of the Glacier protocol
// (glacier-api §6): the digests of the data's 1 MiB leaves, combined in pairs
// until one is left.
//
// The package knows bytes, digests and byte ranges. It does not know
// archives, parts, HTTP headers or where the bytes come from.
package treehash

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/bits"
)

const (
	// LeafSize is the number of bytes under one leaf of the tree; the last
	// leaf of some data may be shorter.
	LeafSize = 1 << 20
	// DigestSize is the number of bytes in a Digest.
	DigestSize = sha256.Size
)

// Digest is a SHA-256 digest: of some bytes, of a leaf or of a node.
type Digest [DigestSize]byte

var errDigest = errors.New("treehash: a digest is 64 hex digits")

// Parse reads a digest written as exactly 64 hex digits of either case.
func Parse(s string) (Digest, error) {
	var d Digest
	if len(s) != hex.EncodedLen(DigestSize) {
		return Digest{}, errDigest
	}
	if _, err := hex.Decode(d[:], []byte(s)); err != nil {
		return Digest{}, errDigest
	}
	return d, nil
}

// String returns the digest as 64 lower-case hex digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText returns what String returns.
func (d Digest) MarshalText() ([]byte, error) {
	return hex.AppendEncode(nil, d[:]), nil
}

// UnmarshalText reads what Parse reads; on an error d keeps its value.
func (d *Digest) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// Root returns the tree hash of the data whose leaves have these digests, in
// order. It leaves its argument alone and allocates nothing. No leaves stand
// for no data, whose tree hash is the SHA-256 of nothing.
func Root(leaves []Digest) Digest {
	var c Combiner
	for _, leaf := range leaves {
		c.Add(leaf)
	}
	return c.Root()
}

// Join returns the tree hash of data cut into pieces whose tree hashes are
// given, in order. Every piece but the last must hold the same number of
// leaves, a power of two, and the last no more than that; only then is the
// root of each piece a node of the whole tree. The arithmetic is that of Root.
func Join(parts []Digest) Digest { return Root(parts) }

// levelsMax bounds the height of the tree by the bits of a leaf count.
const levelsMax = 64

// Combiner folds digests into a tree hash as they come, in memory that does
// not grow with their number. Its digests are leaves, or the roots of equal
// pieces as Join wants them. The zero value is ready and holds nothing.
type Combiner struct {
	// count is the number of digests added. Each set bit stands for one
	// complete subtree of that many digests; their roots lie in stack with the
	// largest, which is also the leftmost, first.
	count uint64
	stack [levelsMax]Digest
}

// Add appends one digest.
func (c *Combiner) Add(d Digest) {
	top := bits.OnesCount64(c.count)
	c.count++
	// Adding one to the count carries through its trailing ones, and every
	// carry merges two subtrees of equal size.
	for range bits.TrailingZeros64(c.count) {
		top--
		d = node(c.stack[top], d)
	}
	c.stack[top] = d
}

// Root returns the tree hash of everything added so far. It changes nothing:
// more digests may follow.
func (c *Combiner) Root() Digest {
	top := bits.OnesCount64(c.count)
	if top == 0 {
		return sha256.Sum256(nil)
	}
	// An odd node rises unchanged until it meets the next larger subtree on
	// its left, so the leftovers merge from the right.
	root := c.stack[top-1]
	for i := top - 2; i >= 0; i-- {
		root = node(c.stack[i], root)
	}
	return root
}

// Reset empties the combiner.
func (c *Combiner) Reset() { c.count = 0 }

func node(left, right Digest) Digest {
	var pair [2 * DigestSize]byte
	copy(pair[:DigestSize], left[:])
	copy(pair[DigestSize:], right[:])
	return sha256.Sum256(pair[:])
}
