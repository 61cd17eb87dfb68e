// Package treehash is the tests' own SHA-256 tree hash (glacier-api §6). It
// exists so that the server is never judged by its own arithmetic: it must not
// import the server's packages, and it favours plain text over speed.
package treehash

import (
	"crypto/sha256"
	"encoding/hex"
)

// Chunk is the leaf size of the tree, in bytes.
const Chunk = 1 << 20

// Sum returns the tree hash of the concatenation of pieces, in lower-case hex.
func Sum(pieces ...[]byte) string {
	return hexOf(Root(Leaves(pieces...)))
}

// Linear returns the plain SHA-256 of the concatenation of pieces, in hex.
func Linear(pieces ...[]byte) string {
	h := sha256.New()
	for _, p := range pieces {
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Both returns the linear hash and the tree hash of the pieces.
func Both(pieces ...[]byte) (linear, tree string) {
	linear = Linear(pieces...)
	size := 0
	for _, p := range pieces {
		size += len(p)
	}
	if size <= Chunk {
		return linear, linear
	}
	return linear, Sum(pieces...)
}

// Leaves returns the digest of every 1 MiB chunk; empty data has one empty
// chunk.
func Leaves(pieces ...[]byte) [][32]byte {
	var leaves [][32]byte
	h, filled := sha256.New(), 0
	flush := func() {
		leaves = append(leaves, [32]byte(h.Sum(nil)))
		h.Reset()
		filled = 0
	}
	for _, p := range pieces {
		for len(p) > 0 {
			n := min(Chunk-filled, len(p))
			h.Write(p[:n])
			p, filled = p[n:], filled+n
			if filled == Chunk {
				flush()
			}
		}
	}
	if filled > 0 || len(leaves) == 0 {
		flush()
	}
	return leaves
}

// Root folds a level pairwise until one digest is left; an odd last digest
// moves up unchanged. The level may hold leaves or the tree hashes of equal
// pieces of 1 MiB × 2^n.
func Root(level [][32]byte) [32]byte {
	for len(level) > 1 {
		var next [][32]byte
		for i := 0; i+1 < len(level); i += 2 {
			next = append(next, sha256.Sum256(append(level[i][:], level[i+1][:]...)))
		}
		if len(level)%2 == 1 {
			next = append(next, level[len(level)-1])
		}
		level = next
	}
	return level[0]
}

// Combine returns the tree hash of the whole from the hex tree hashes of its
// equal parts. It returns "" if a part is not 64 hex digits.
func Combine(parts []string) string {
	level := make([][32]byte, len(parts))
	for i, p := range parts {
		b, err := hex.DecodeString(p)
		if err != nil || len(b) != 32 {
			return ""
		}
		level[i] = [32]byte(b)
	}
	if len(level) == 0 {
		return ""
	}
	return hexOf(Root(level))
}

// Pattern returns the bytes first to last-1 of the specification's test data:
// byte i has the value (i × 7) mod 251 (§6.4).
func Pattern(first, last int64) []byte {
	b := make([]byte, last-first)
	for i := range b {
		b[i] = byte((first + int64(i)) * 7 % 251)
	}
	return b
}

func hexOf(d [32]byte) string { return hex.EncodeToString(d[:]) }
