package main

import (
	"fmt"
	"strings"

	op "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// shape says how many messages a kernel hashes side by side, and into how many
// states each of them goes. Everything is written in lock step, so that
// instructions that do not wait for each other stand side by side.
//
// A processor starts SHA256RNDS2 every second or third cycle and has its result
// after four, so that one chain of rounds leaves half of the unit idle; two
// chains fill it. With two states the schedule is computed once for both.
type shape struct {
	messages, states int
	// vl computes σ0 with AVX-512VL in place of SHA256MSG1. That instruction is
	// five micro-operations on the very port that SHA256RNDS2 needs; with two
	// messages that port decides.
	vl bool
}

// message is a message that is being hashed.
type message struct {
	at reg.Register // of the next block
	// w holds the last sixteen words of the schedule, four to a register. They
	// are replaced in place: w[i%4] is the group of W[4i] to W[4i+3], with the
	// first in the lowest lane.
	w      [4]reg.VecVirtual
	states []*state
}

// state is the state of a hash in the order that SHA256RNDS2 wants, from the
// highest lane to the lowest.
type state struct {
	at         reg.Register // a to h in memory
	abef, cdgh reg.VecVirtual
	// What the block began with.
	savedABEF, savedCDGH op.Mem
}

// shani writes a kernel with the SHA instructions. Two rounds are one
// SHA256RNDS2, which takes W+K of both in the low half of X0. Two of them, with
// the registers swapped, are four rounds.
func (g *generator) shani(name string, s shape) {
	g.begin(name, s.signature(), s.doc(name)...)
	messages := g.messages(s)
	blocks := g.param("blocks")
	flip := g.XMM()
	g.VMOVDQU(g.flip, flip)
	k := g.GP64()
	g.LEAQ(g.k, k)
	each(messages, g.unpack)

	g.Label("block")
	each(messages, g.save)
	for i := range 16 {
		for _, m := range messages {
			if i < 4 {
				g.VMOVDQU(op.Mem{Base: m.at, Disp: 16 * i}, m.w[i])
				g.VPSHUFB(flip, m.w[i], m.w[i])
			}
			g.fourRounds(m, i, op.Mem{Base: k, Disp: 16 * i}, s.vl)
		}
	}
	each(messages, g.addSaved)
	for _, m := range messages {
		g.ADDQ(op.Imm(64), m.at)
	}
	g.DECQ(blocks)
	g.JNZ(op.LabelRef("block"))

	each(messages, g.pack)
	g.RET()
}

// fourRounds takes group i of the schedule through its rounds and, between
// them, moves the schedule on.
func (g *generator) fourRounds(m *message, i int, k op.Mem, vl bool) {
	group := func(n int) reg.VecVirtual { return m.w[(i+n+4)%4] }
	g.VPADDD(k, group(0), reg.X0)
	for _, s := range m.states {
		g.SHA256RNDS2(reg.X0, s.abef, s.cdgh) // the new ABEF; the old one is the new CDGH
	}
	if 3 <= i && i < 15 {
		// The next group holds W[t-16] + σ0(W[t-15]) of each of its words.
		before := g.XMM() // W[t-7]
		g.VPALIGNR(op.Imm(4), group(-1), group(0), before)
		g.VPADDD(before, group(1), group(1))
		g.SHA256MSG2(group(0), group(1)) // adds σ1(W[t-2])
	}
	g.VPSHUFD(op.Imm(0b00_00_11_10), reg.X0, reg.X0) // W+K of the other two
	for _, s := range m.states {
		g.SHA256RNDS2(reg.X0, s.cdgh, s.abef)
	}
	if 1 <= i && i < 13 {
		// This group was last used above; now it begins to become group i+3.
		if vl {
			g.addSigma0(group(0), group(-1))
		} else {
			g.SHA256MSG1(group(0), group(-1))
		}
	}
}

// addSigma0 does what SHA256MSG1 does: it adds σ0 of the word that follows to
// each word of w; next is the group behind w.
func (g *generator) addSigma0(next, w reg.VecVirtual) {
	x, y, z := g.XMM(), g.XMM(), g.XMM()
	g.VPALIGNR(op.Imm(4), w, next, x)
	g.VPRORD(op.Imm(7), x, y)
	g.VPRORD(op.Imm(18), x, z)
	g.VPSRLD(op.Imm(3), x, x)
	g.VPTERNLOGD(op.Imm(xor3), y, z, x)
	g.VPADDD(x, w, w)
}

// messages loads the parameters.
func (g *generator) messages(s shape) []*message {
	var all []*message
	for i := range s.messages {
		m := &message{at: g.param(s.message(i))}
		for j := range m.w {
			m.w[j] = g.XMM()
		}
		for j := range s.states {
			m.states = append(m.states, &state{
				at:   g.param(s.state(i*s.states + j)),
				abef: g.XMM(), cdgh: g.XMM(),
				savedABEF: g.AllocLocal(16), savedCDGH: g.AllocLocal(16),
			})
		}
		all = append(all, m)
	}
	return all
}

func each(messages []*message, do func(*state)) {
	for _, m := range messages {
		for _, s := range m.states {
			do(s)
		}
	}
}

// unpack loads a state. Lanes are named from the highest to the lowest.
func (g *generator) unpack(s *state) {
	cdab := g.XMM()
	g.VPSHUFD(op.Imm(0b10_11_00_01), op.Mem{Base: s.at}, cdab)
	g.VPSHUFD(op.Imm(0b00_01_10_11), op.Mem{Base: s.at, Disp: 16}, s.cdgh) // EFGH
	g.VPALIGNR(op.Imm(8), s.cdgh, cdab, s.abef)
	g.VPBLENDW(op.Imm(0xF0), cdab, s.cdgh, s.cdgh)
}

// pack stores a state.
func (g *generator) pack(s *state) {
	feba := g.XMM()
	g.VPSHUFD(op.Imm(0b00_01_10_11), s.abef, feba)
	g.VPSHUFD(op.Imm(0b10_11_00_01), s.cdgh, s.cdgh) // DCHG
	g.VPBLENDW(op.Imm(0xF0), s.cdgh, feba, s.abef)   // DCBA
	g.VPALIGNR(op.Imm(8), feba, s.cdgh, s.cdgh)      // HGFE
	g.VMOVDQU(s.abef, op.Mem{Base: s.at})
	g.VMOVDQU(s.cdgh, op.Mem{Base: s.at, Disp: 16})
}

func (g *generator) save(s *state) {
	g.VMOVDQU(s.abef, s.savedABEF)
	g.VMOVDQU(s.cdgh, s.savedCDGH)
}

func (g *generator) addSaved(s *state) {
	g.VPADDD(s.savedABEF, s.abef, s.abef)
	g.VPADDD(s.savedCDGH, s.cdgh, s.cdgh)
}

// The names of parameters.
func (s shape) state(i int) string   { return "ab"[i : i+1] }
func (s shape) message(i int) string { return "pq"[i : i+1] }

func (s shape) signature() string {
	var params []string
	for i := range s.messages * s.states {
		params = append(params, s.state(i)+" *[8]uint32")
	}
	for i := range s.messages {
		params = append(params, s.message(i)+" *byte")
	}
	return fmt.Sprintf("func(%s, blocks int)", strings.Join(params, ", "))
}

func (s shape) doc(name string) []string {
	what := "the blocks at p go into a"
	switch {
	case s.messages == 2:
		what = "the blocks at p go into a, those at q into b"
	case s.states == 2:
		what = "the blocks at p go into a and into b"
	}
	with := "the SHA instructions"
	if s.vl {
		with += " and AVX-512VL"
	}
	return []string{fmt.Sprintf("%s uses %s: %s. There is at least one.", name, with, what)}
}
