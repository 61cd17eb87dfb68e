package load

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"sync"

	"moraine/test/internal/treehash"
)

// stampSize is how many bytes at the front make a body unlike all others.
const stampSize = 8

// Corpus is random bytes that bodies are cut from. They never change, so any
// number of bodies may share them.
type Corpus struct {
	file  *os.File
	bytes []byte
}

// Body is a stamp followed by a stretch of a corpus, with its hashes.
type Body struct {
	Size         int64
	Linear, Tree string // SHA-256 and tree hash, in hex

	stamp [stampSize]byte
	data  []byte // the stretch
	at    int64  // where in the corpus it is
}

// Bodies cuts n different bodies of one size, which is at least 8 and fits the
// corpus.
func (c *Corpus) Bodies(n int, size int64) []Body {
	const workers, stride = 2, 4096
	out := make([]Body, n)
	room := int64(len(c.bytes)) - size
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				b := &out[i]
				b.Size = size
				b.at = int64(i) * stride % (room + 1)
				b.data = c.bytes[b.at : b.at+size-stampSize]
				binary.BigEndian.PutUint64(b.stamp[:], uint64(i)+1)
				b.Linear, b.Tree = treehash.Both(b.stamp[:], b.data)
			}
		})
	}
	wg.Wait()
	return out
}

func fill(b []byte) {
	r := rand.NewChaCha8([32]byte{'b', 'e', 'n', 'c', 'h'})
	_, _ = r.Read(b) // it never fails
}
