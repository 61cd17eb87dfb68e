// Command sha256x writes the assembly of internal/sha256x and its Go
// declarations into the directory it is given:
//
//	go run -C tools/sha256x . ../../internal/sha256x
//
// # What is computed
//
// SHA-256 (FIPS 180-4) keeps eight words of state, a to h, and changes them by
// one 64-byte block after the other. A block is sixteen big-endian words W[0]
// to W[15], and the message schedule makes 48 more of them:
//
//	W[t] = W[t-16] + σ0(W[t-15]) + W[t-7] + σ1(W[t-2])
//	σ0(x) = x ror 7 xor x ror 18 xor x shr 3
//	σ1(x) = x ror 17 xor x ror 19 xor x shr 10
//
// Then come 64 rounds, of which round t takes W[t] and a constant K[t]:
//
//	T = h + Σ1(e) + (if e then f else g) + K[t] + W[t]
//	d = d + T
//	h = T + Σ0(a) + majority(a, b, c)
//	Σ0(x) = x ror 2 xor x ror 13 xor x ror 22
//	Σ1(x) = x ror 6 xor x ror 11 xor x ror 25
//
// after which the names move on: what was h is called a, what was a is called
// b, and so forth. At the end of the block the state it began with is added.
//
// A round needs the one before it, so a single message leaves most of a
// processor idle. The kernels here use the rest of it, each in its own way:
//
//   - shani.go works with the SHA instructions. One message may change two
//     states at the same time (blocksTwin), or there are two messages
//     (blocksPair, blocksPairVL).
//   - lanes.go hashes sixteen messages with AVX-512, one in each lane of the
//     registers (blocksLanes).
//
// Kernels know whole blocks alone. Padding, lengths and the choice between
// them are Go, in internal/sha256x. They read exactly the bytes of the blocks
// they are given, need no alignment, and use no table that depends on data, so
// their time depends on the number of blocks alone.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/mmcloughlin/avo/attr"
	"github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	op "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/pass"
	"github.com/mmcloughlin/avo/printer"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "sha256x:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one directory, got %d arguments", len(args))
	}
	file, err := generate()
	if err != nil {
		return err
	}
	cfg := printer.Config{Name: "tools/sha256x", Pkg: "sha256x"}
	for name, p := range map[string]printer.Printer{
		"kernels_amd64.s":  printer.NewGoAsm(cfg),
		"kernels_amd64.go": printer.NewStubs(cfg),
	} {
		text, err := p.Print(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(args[0], name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate builds all functions and gives their variables registers.
func generate() (*ir.File, error) {
	g := &generator{Context: build.NewContext()}
	g.ConstraintExpr("!purego")
	g.data()
	g.cpuid()
	g.shani("blocksOne", shape{messages: 1, states: 1})
	g.shani("blocksTwin", shape{messages: 1, states: 2})
	g.shani("blocksPair", shape{messages: 2, states: 1})
	g.shani("blocksPairVL", shape{messages: 2, states: 1, vl: true})
	g.lanes("blocksLanes")
	file, err := g.Result()
	if err != nil {
		return nil, err
	}
	return file, pass.Compile.Execute(file)
}

// generator is the file under construction. Its methods emit instructions; as
// in Go assembly, sources come first and the destination last.
type generator struct {
	*build.Context
	k    op.Mem // the round constants
	flip op.Mem // shuffle that turns big-endian words round, for 64 bytes
}

// roundConstants are the first 32 bits of the fractions of the cube roots of
// the first 64 primes (FIPS 180-4 §4.2.2).
var roundConstants = [64]uint32{
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
}

func (g *generator) data() {
	g.k = g.StaticGlobal("roundConstants")
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for i, k := range roundConstants {
		g.AddDatum(4*i, op.U32(k))
	}
	g.flip = g.StaticGlobal("flipWords")
	g.DataAttributes(attr.RODATA | attr.NOPTR)
	for i := range 16 {
		from := uint32(4 * (i % 4)) // shuffles stay within 16 bytes
		g.AddDatum(4*i, op.U32(from<<24|(from+1)<<16|(from+2)<<8|from+3))
	}
}

// begin starts a function that takes a count of blocks, at least one, as its
// last parameter, called blocks.
func (g *generator) begin(name, signature string, doc ...string) {
	g.Function(name)
	g.Doc(doc...)
	g.Pragma("noescape")
	g.Attributes(attr.NOSPLIT)
	g.SignatureExpr(signature)
}

// param loads the parameter called name.
func (g *generator) param(name string) reg.Register {
	return g.Load(g.Param(name), g.GP64())
}

// cpuid asks for the one feature that golang.org/x/sys/cpu does not tell.
func (g *generator) cpuid() {
	g.Function("cpuid7")
	g.Doc("cpuid7 returns what CPUID leaf 7, subleaf 0, says in EBX. The leaf must exist.")
	g.Attributes(attr.NOSPLIT)
	g.SignatureExpr("func() (ebx uint32)")
	g.MOVL(op.U32(7), reg.EAX)
	g.XORL(reg.ECX, reg.ECX)
	g.CPUID()
	g.Store(reg.EBX, g.ReturnIndex(0))
	g.RET()
}
