package main

import (
	op "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Functions of three bits, as VPTERNLOGD takes them: bit 4x+2y+z of the number
// is the result for x, y and z, where x is the destination.
const (
	xor3     = 0b10010110
	choose   = 0b11001010 // if x then y else z
	majority = 0b11101000
)

// lanes writes the kernel for sixteen messages. Every register holds the same
// word of all of them, one in each lane, so the code is that of FIPS 180-4 and
// no lane knows of another. The state is kept in memory in the same order: h[i]
// is word i of sixteen states.
func (g *generator) lanes(name string) {
	g.begin(name, "func(h *[8][16]uint32, p *[16]*byte, blocks int)",
		name+" uses AVX-512: the blocks at p[i] go into the state h[0][i] to h[7][i]. There is at least one.")
	h, p, blocks := g.param("h"), g.param("p"), g.param("blocks")
	k, kEnd, off := g.GP64(), g.GP64(), g.GP64()
	g.XORQ(off, off)

	g.Label("block")
	w := g.loadBlock(p, off)
	var v [8]reg.VecVirtual
	for i := range v {
		v[i] = g.ZMM()
		g.VMOVDQU32(op.Mem{Base: h, Disp: 64 * i}, v[i])
	}
	g.LEAQ(g.k, k)
	g.LEAQ(g.k.Offset(4*48), kEnd)
	g.Label("rounds") // 48 rounds in three turns
	for t := range w {
		g.round(&v, t, w[t], op.Mem{Base: k, Disp: 4 * t})
		g.schedule(w, t)
	}
	g.ADDQ(op.Imm(4*16), k)
	g.CMPQ(k, kEnd)
	g.JNE(op.LabelRef("rounds"))
	for t := range w { // the last sixteen need no more words
		g.round(&v, t, w[t], op.Mem{Base: k, Disp: 4 * t})
	}
	for i := range v {
		g.VPADDD(op.Mem{Base: h, Disp: 64 * i}, v[i], v[i])
		g.VMOVDQU32(v[i], op.Mem{Base: h, Disp: 64 * i})
	}
	g.ADDQ(op.Imm(64), off)
	g.DECQ(blocks)
	g.JNZ(op.LabelRef("block"))

	g.VZEROUPPER()
	g.RET()
}

// round does round t. The names move and the registers stay: sixteen rounds
// later every name is back at its register.
func (g *generator) round(v *[8]reg.VecVirtual, t int, w reg.VecVirtual, k op.Mem) {
	name := func(i int) reg.VecVirtual { return v[(i+16-t)%8] }
	a, b, c, d, e, f, gg, h := name(0), name(1), name(2), name(3), name(4), name(5), name(6), name(7)

	sum := g.ZMM()
	g.VPADDD_BCST(k, w, sum)
	g.VPADDD(sum, h, h)
	chosen := g.ZMM()
	g.VMOVDQA32(e, chosen)
	g.VPTERNLOGD(op.Imm(choose), gg, f, chosen)
	g.VPADDD(chosen, h, h)
	g.VPADDD(g.rotations(e, 6, 11, 25), h, h) // T
	g.VPADDD(h, d, d)
	most := g.ZMM()
	g.VMOVDQA32(a, most)
	g.VPTERNLOGD(op.Imm(majority), c, b, most)
	g.VPADDD(most, h, h)
	g.VPADDD(g.rotations(a, 2, 13, 22), h, h)
}

// schedule replaces W[t] by W[t+16].
func (g *generator) schedule(w *[16]reg.VecVirtual, t int) {
	at := func(i int) reg.VecVirtual { return w[(t+i)%16] }
	g.VPADDD(at(9), at(0), at(0))
	g.VPADDD(g.rotationsAndShift(at(1), 7, 18, 3), at(0), at(0))
	g.VPADDD(g.rotationsAndShift(at(14), 17, 19, 10), at(0), at(0))
}

// rotations returns x ror i xor x ror j xor x ror k.
func (g *generator) rotations(x reg.VecVirtual, i, j, k uint64) reg.VecVirtual {
	last := g.ZMM()
	g.VPRORD(op.Imm(k), x, last)
	return g.xorRotations(x, i, j, last)
}

// rotationsAndShift returns x ror i xor x ror j xor x shr k.
func (g *generator) rotationsAndShift(x reg.VecVirtual, i, j, k uint64) reg.VecVirtual {
	last := g.ZMM()
	g.VPSRLD(op.Imm(k), x, last)
	return g.xorRotations(x, i, j, last)
}

func (g *generator) xorRotations(x reg.VecVirtual, i, j uint64, last reg.VecVirtual) reg.VecVirtual {
	first, second := g.ZMM(), g.ZMM()
	g.VPRORD(op.Imm(i), x, first)
	g.VPRORD(op.Imm(j), x, second)
	g.VPTERNLOGD(op.Imm(xor3), first, second, last)
	return last
}

// loadBlock reads 64 bytes of each message and returns the words W[0] to W[15].
func (g *generator) loadBlock(p, off reg.Register) *[16]reg.VecVirtual {
	var rows [16]reg.VecVirtual // row i is the block of message i
	flip, from := g.ZMM(), g.GP64()
	g.VMOVDQU32(g.flip, flip)
	for i := range rows {
		rows[i] = g.ZMM()
		g.MOVQ(op.Mem{Base: p, Disp: 8 * i}, from)
		g.VMOVDQU32(op.Mem{Base: from, Index: off, Scale: 1}, rows[i])
		g.VPSHUFB(flip, rows[i], rows[i])
	}
	return g.transpose(rows)
}

// transpose turns sixteen rows of sixteen words into columns. A register is
// four quarters of four words. First the words of four rows are gathered: a
// square of 4 by 4 words is turned in each quarter. Then the quarters are: each
// step puts together the even or the odd quarters of two registers.
func (g *generator) transpose(rows [16]reg.VecVirtual) *[16]reg.VecVirtual {
	var pairs, fours, halves, columns [16]reg.VecVirtual
	for _, set := range []*[16]reg.VecVirtual{&pairs, &fours, &halves, &columns} {
		for i := range set {
			set[i] = g.ZMM()
		}
	}
	for r := 0; r < 16; r += 2 {
		g.VPUNPCKLDQ(rows[r+1], rows[r], pairs[r])   // words 0 and 1 of both rows
		g.VPUNPCKHDQ(rows[r+1], rows[r], pairs[r+1]) // words 2 and 3
	}
	// In quarter q, fours[r+j] has word 4q+j of rows r to r+3.
	for r := 0; r < 16; r += 4 {
		g.VPUNPCKLQDQ(pairs[r+2], pairs[r], fours[r])
		g.VPUNPCKHQDQ(pairs[r+2], pairs[r], fours[r+1])
		g.VPUNPCKLQDQ(pairs[r+3], pairs[r+1], fours[r+2])
		g.VPUNPCKHQDQ(pairs[r+3], pairs[r+1], fours[r+3])
	}
	const even, odd = 0b10_00_10_00, 0b11_01_11_01
	for j := range 4 {
		for r := 0; r < 16; r += 8 {
			g.VSHUFI32X4(op.Imm(even), fours[r+4+j], fours[r+j], halves[r+j])  // quarters 0 and 2
			g.VSHUFI32X4(op.Imm(odd), fours[r+4+j], fours[r+j], halves[r+4+j]) // quarters 1 and 3
		}
	}
	for i := range 8 {
		g.VSHUFI32X4(op.Imm(even), halves[8+i], halves[i], columns[i])
		g.VSHUFI32X4(op.Imm(odd), halves[8+i], halves[i], columns[8+i])
	}
	return &columns
}
