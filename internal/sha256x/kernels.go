//go:build amd64 && !purego

package sha256x

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/cpu"
)

// detect asks the processor and the operating system: x/sys/cpu reports AVX
// and AVX-512 only if the system saves their registers.
func detect() features {
	const sha = 1 << 29 // of EBX
	// AVX2 is told by the same leaf of CPUID, which therefore exists.
	return features{
		sha:    cpu.X86.HasAVX2 && cpu.X86.HasSSE41 && cpu.X86.HasSSSE3 && cpuid7()&sha != 0,
		avx512: cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL,
	}
}

// lanesMin is from how many messages on the sixteen lanes are faster than the
// messages in pairs, or one by one without SHA instructions.
func (f features) lanesMin() int {
	if f.sha {
		return 9
	}
	return 4
}

// update changes a state by whole blocks. It is called where there are SHA
// instructions.
func update(state *[8]uint32, blocks []byte) {
	for len(blocks) > 0 {
		p := blocks[:min(len(blocks), stretch)]
		blocksOne(state, &p[0], len(p)/blockSize)
		blocks = blocks[len(p):]
	}
}

// updateBoth changes two states by the same whole blocks.
func updateBoth(a, b *[8]uint32, blocks []byte) {
	for len(blocks) > 0 {
		p := blocks[:min(len(blocks), stretch)]
		blocksTwin(a, b, &p[0], len(p)/blockSize)
		blocks = blocks[len(p):]
	}
}

// sumGroup hashes up to groupMax messages of one length.
func sumGroup(sums *[groupMax][Size]byte, messages [][]byte) {
	n := len(messages)
	switch {
	case have.avx512 && n >= have.lanesMin():
		sumLanes(sums, messages)
	case have.sha:
		for i := 0; i+1 < n; i += 2 {
			sums[i], sums[i+1] = sumPair(messages[i], messages[i+1], have.avx512)
		}
		sumEach(sums[n&^1:n], messages[n&^1:])
	default:
		sumEach(sums[:n], messages)
	}
}

// sumPair hashes two messages of one length.
func sumPair(p, q []byte, vl bool) (a, b [Size]byte) {
	var endP, endQ [2 * blockSize]byte
	whole := len(p) / blockSize * blockSize
	padP := pad(&endP, p[whole:], uint64(len(p)))
	padQ := pad(&endQ, q[whole:], uint64(len(q)))

	stateA, stateB := initial, initial
	for off := 0; off < whole; off += stretch {
		n := min(whole-off, stretch)
		updatePair(&stateA, &stateB, &p[off], &q[off], n/blockSize, vl)
	}
	updatePair(&stateA, &stateB, &padP[0], &padQ[0], len(padP)/blockSize, vl)
	for i := range initial {
		binary.BigEndian.PutUint32(a[4*i:], stateA[i])
		binary.BigEndian.PutUint32(b[4*i:], stateB[i])
	}
	return a, b
}

// updatePair does not choose a function value, which would move the states to
// the heap.
func updatePair(a, b *[8]uint32, p, q *byte, blocks int, vl bool) {
	if vl {
		blocksPairVL(a, b, p, q, blocks)
	} else {
		blocksPair(a, b, p, q, blocks)
	}
}

// sumLanes hashes up to sixteen messages of one length. Lanes without a message
// of their own hash the first one.
func sumLanes(sums *[groupMax][Size]byte, messages [][]byte) {
	var (
		state [8][groupMax]uint32 // word by word
		at    [groupMax]*byte
		ends  [groupMax][2 * blockSize]byte
	)
	for i, word := range initial {
		for lane := range groupMax {
			state[i][lane] = word
		}
	}
	message := func(lane int) []byte {
		if lane < len(messages) {
			return messages[lane]
		}
		return messages[0]
	}
	size := len(messages[0])
	whole := size / blockSize * blockSize
	const stretch = stretch / 4 // sixteen lanes take four times as long as one
	for off := 0; off < whole; off += stretch {
		for lane := range at {
			at[lane] = &message(lane)[off]
		}
		blocksLanes(&state, &at, min(whole-off, stretch)/blockSize)
	}
	padded := 0
	for lane := range at {
		padded = len(pad(&ends[lane], message(lane)[whole:], uint64(size)))
		at[lane] = &ends[lane][0]
	}
	blocksLanes(&state, &at, padded/blockSize)
	for lane := range messages {
		for i := range initial {
			binary.BigEndian.PutUint32(sums[lane][4*i:], state[i][lane])
		}
	}
}

// choose returns those of the features whose kernels give the digests of
// reference, and an error that names the others.
func choose(f features, reference func([]byte) [Size]byte) (features, error) {
	var err error
	if f.sha && !trySHA(reference) {
		f.sha = false
		err = errors.New("the SHA instructions give wrong digests")
	}
	if f.avx512 && !tryAVX512(f.sha, reference) {
		f.avx512 = false
		err = errors.Join(err, errors.New("the AVX-512 instructions give wrong digests"))
	}
	return f, err
}

// samples are different messages of three whole blocks and a piece that needs
// two more.
func samples() [][]byte {
	const size = 4*blockSize - 5
	all := make([][]byte, groupMax)
	x := uint32(1)
	for i := range all {
		all[i] = make([]byte, size)
		for j := range all[i] {
			x = x*1664525 + 1013904223
			all[i][j] = byte(x >> 24)
		}
	}
	return all
}

// trySHA reports whether the kernels with SHA instructions work.
func trySHA(reference func([]byte) [Size]byte) bool {
	m := samples()
	a, b := Hash{state: initial}, Hash{state: initial}
	a.Write(m[0][:blockSize])
	WriteBoth(&a, &b, m[1])
	p, q := sumPair(m[2], m[3], false)
	return a.Sum() == reference(append(m[0][:blockSize:blockSize], m[1]...)) && b.Sum() == reference(m[1]) &&
		p == reference(m[2]) && q == reference(m[3])
}

// tryAVX512 reports whether the kernels with AVX-512 work, those that also need
// SHA instructions only if these do.
func tryAVX512(sha bool, reference func([]byte) [Size]byte) bool {
	m := samples()
	var sums [groupMax][Size]byte
	sumLanes(&sums, m)
	for i, sum := range sums {
		if sum != reference(m[i]) {
			return false
		}
	}
	if !sha {
		return true
	}
	p, q := sumPair(m[0], m[1], true)
	return p == reference(m[0]) && q == reference(m[1])
}
