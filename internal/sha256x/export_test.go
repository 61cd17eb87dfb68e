package sha256x

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"testing"
)

// Path is a set of instructions to use.
type Path = features

// Paths returns every path that this machine can take, crypto/sha256 first.
func Paths() []Path {
	var all []Path
	for _, sha := range []bool{false, true} {
		for _, avx512 := range []bool{false, true} {
			if f := detect(); (f.sha || !sha) && (f.avx512 || !avx512) {
				all = append(all, Path{sha: sha, avx512: avx512})
			}
		}
	}
	return all
}

// Take makes the package take a path until the test ends. The test must not be
// parallel.
func Take(t testing.TB, p Path) {
	before := have
	have = p
	t.Cleanup(func() { have = before })
}

// Choose is what decides about the path, with everything the processor has.
func Choose(reference func([]byte) [Size]byte) (name string, found Path, err error) {
	f, err := choose(detect(), reference)
	return f.String(), detect(), err
}

// AtLength returns a Hash and a hash of crypto/sha256 that claim to have read
// the same size bytes, a multiple of 64, without reading them.
func AtLength(t testing.TB, size uint64) (*Hash, hash.Hash) {
	t.Helper()
	h := New()
	std := sha256.New().(interface {
		hash.Hash
		MarshalBinary() ([]byte, error)
		UnmarshalBinary([]byte) error
	})
	// The state of crypto/sha256 ends with the length.
	text, err := std.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint64(text[len(text)-8:], size)
	if err := std.UnmarshalBinary(text); err != nil {
		t.Fatal(err)
	}
	if h.std == nil {
		h.size = size
		return h, std
	}
	other := sha256.New()
	if err := other.(interface{ UnmarshalBinary([]byte) error }).UnmarshalBinary(text); err != nil {
		t.Fatal(err)
	}
	h.std = other
	return h, std
}
