// Package sha256x computes SHA-256 where several hashes are wanted at once: of
// one stream that goes into two hashes (WriteBoth), and of many messages of
// one length (Sums). On amd64 it has assembly for that; everywhere else, and
// where the processor lacks the instructions, it is crypto/sha256.
//
// It knows FIPS 180-4 and processors. It does not know trees, leaves or files.
//
// The assembly is written by tools/sha256x, which also explains it, and works on
// whole blocks. What may be used is decided once, when the process starts:
// each kernel must first agree with crypto/sha256 about a few messages (see
// Chosen). A kernel is called for a short stretch at a time, because the
// garbage collector cannot stop a goroutine inside one.
package sha256x

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"
)

//go:generate go run -C ../../tools/sha256x . ../../internal/sha256x

const (
	// Size is the length of a digest in bytes.
	Size = sha256.Size

	blockSize = sha256.BlockSize
	// stretch is how many bytes of a message a kernel is given at a time: those
	// of some 50 µs.
	stretch = 64 << 10
	// parallelMin is the smallest piece that is worth a second goroutine: below
	// it starting and joining one costs more than it saves.
	parallelMin = 64 << 10
)

// initial is the state before the first block (FIPS 180-4 §5.3.3).
var initial = [8]uint32{
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}

// Hash is a running SHA-256. New makes one; it must not be copied.
type Hash struct {
	std hash.Hash // not nil: it does all the work

	state [8]uint32
	size  uint64          // bytes written
	rest  [blockSize]byte // the last size%blockSize bytes, in no block yet
}

// New returns a Hash of no bytes.
func New() *Hash {
	h := new(Hash)
	if !have.sha {
		h.std = sha256.New()
	}
	h.Reset()
	return h
}

// Reset makes h a Hash of no bytes.
func (h *Hash) Reset() {
	if h.std != nil {
		h.std.Reset()
		return
	}
	h.state, h.size = initial, 0
}

// Write appends p to the message. It never fails.
func (h *Hash) Write(p []byte) (int, error) {
	if h.std != nil {
		return h.std.Write(p)
	}
	written := len(p)
	if p = h.fill(p); len(p) == 0 {
		return written, nil
	}
	whole := len(p) / blockSize * blockSize
	update(&h.state, p[:whole])
	h.size += uint64(whole)
	h.fill(p[whole:])
	return written, nil
}

// fill completes the block that has begun, if one has, or begins one with less
// than a block. It returns what it did not take.
func (h *Hash) fill(p []byte) []byte {
	filled := int(h.size % blockSize)
	if filled == 0 && len(p) >= blockSize {
		return p
	}
	n := copy(h.rest[filled:], p)
	h.size += uint64(n)
	if filled+n == blockSize {
		update(&h.state, h.rest[:])
	}
	return p[n:]
}

// Sum returns the digest of what was written so far; more may follow.
func (h *Hash) Sum() [Size]byte {
	if h.std != nil {
		h.std.Sum(h.rest[:0])
		return [Size]byte(h.rest[:])
	}
	return finish(h.state, h.rest[:h.size%blockSize], h.size)
}

// finish returns the digest of a message of size bytes whose whole blocks are
// in state and whose other bytes are rest.
func finish(state [8]uint32, rest []byte, size uint64) (sum [Size]byte) {
	var end [2 * blockSize]byte
	update(&state, pad(&end, rest, size))
	for i, word := range state {
		binary.BigEndian.PutUint32(sum[4*i:], word)
	}
	return sum
}

// pad puts the end of a message of size bytes into end, of which rest are in no
// block yet, and returns the one or two blocks (FIPS 180-4 §5.1.1).
func pad(end *[2 * blockSize]byte, rest []byte, size uint64) []byte {
	n := copy(end[:], rest)
	end[n] = 0x80
	blocks := end[:blockSize]
	if n+1+8 > blockSize {
		blocks = end[:]
	}
	clear(blocks[n+1:])
	binary.BigEndian.PutUint64(blocks[len(blocks)-8:], size*8)
	return blocks
}

// WriteBoth appends p to the messages of a and b, which are two. It is fast
// when the lengths of both differ by whole blocks, as they do when one of them
// began at a block of the other: then it costs little more than one Write.
func WriteBoth(a, b *Hash, p []byte) {
	switch {
	case a.std != nil && b.std != nil && len(p) >= parallelMin:
		writeSideBySide(a, b, p)
		return
	case a.std != nil || b.std != nil || a.size%blockSize != b.size%blockSize:
		a.Write(p)
		b.Write(p)
		return
	}
	// Each has begun a block of its own, and they end together.
	a.fill(p)
	if p = b.fill(p); len(p) == 0 {
		return
	}
	whole := len(p) / blockSize * blockSize
	updateBoth(&a.state, &b.state, p[:whole])
	a.size += uint64(whole)
	b.size += uint64(whole)
	a.fill(p[whole:])
	b.fill(p[whole:])
}

// writeSideBySide spends no less time on processors than two Writes, but half
// of theirs on the clock.
func writeSideBySide(a, b *Hash, p []byte) {
	var wg sync.WaitGroup
	wg.Go(func() { a.Write(p) })
	b.Write(p)
	wg.Wait()
}

// Sum returns the SHA-256 of p.
func Sum(p []byte) [Size]byte {
	if !have.sha {
		return sha256.Sum256(p)
	}
	state, whole := initial, len(p)/blockSize*blockSize
	update(&state, p[:whole])
	return finish(state, p[whole:], uint64(len(p)))
}

// groupMax is how many messages are hashed at the same time at most.
const groupMax = 16

// Together is how many messages of one length Sums needs to be given to be as
// fast as it can be here.
func Together() int { return have.together() }

// Sums puts the SHA-256 of each message into dst, which is no shorter. It is
// fast for messages of one length that stand side by side.
func Sums[D ~[Size]byte](dst []D, messages [][]byte) {
	var sums [groupMax][Size]byte
	for len(messages) > 0 {
		n := 1
		for n < min(len(messages), groupMax) && len(messages[n]) == len(messages[0]) {
			n++
		}
		sumGroup(&sums, messages[:n])
		for i := range n {
			dst[i] = D(sums[i])
		}
		dst, messages = dst[n:], messages[n:]
	}
}

// sumEach hashes one message after the other.
func sumEach(sums [][Size]byte, messages [][]byte) {
	for i, m := range messages {
		sums[i] = Sum(m)
	}
}

// features are the instructions that are used.
type features struct {
	sha    bool // the SHA instructions, and AVX
	avx512 bool // AVX-512 F, BW and VL
}

// have and refused are decided when the process starts and do not change after.
var have, refused = choose(detect(), sha256.Sum256)

// Chosen says in a word or two what the hashes are computed with. refused is
// not nil if there is something faster that gave wrong results when it was
// tried at the start of the process: the processor, or this package, is not to
// be trusted, and crypto/sha256 is used in its place.
func Chosen() (name string, err error) { return have.String(), refused }

// together is how many messages are hashed at the same time.
func (f features) together() int {
	switch {
	case f.avx512:
		return groupMax
	case f.sha:
		return 2
	}
	return 1
}

func (f features) String() string {
	switch {
	case f.sha && f.avx512:
		return "sha-ni avx-512"
	case f.sha:
		return "sha-ni"
	case f.avx512:
		return "avx-512"
	}
	return "standard"
}
