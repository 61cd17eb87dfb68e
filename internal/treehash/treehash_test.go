package treehash_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"moraine/internal/treehash"
)

const mib = treehash.LeafSize

// sevens returns the first pattern of glacier-api §6.4.
func sevens(size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i * 7 % 251)
	}
	return p
}

func repeated(c byte, size int) []byte { return bytes.Repeat([]byte{c}, size) }

// naiveRoot follows glacier-api §6.1 to the letter, level by level.
func naiveRoot(level []treehash.Digest) treehash.Digest {
	if len(level) == 0 {
		return sha256.Sum256(nil)
	}
	for len(level) > 1 {
		level = naiveLevel(level)
	}
	return level[0]
}

func naiveLevel(level []treehash.Digest) []treehash.Digest {
	var next []treehash.Digest
	for i := 0; i < len(level); i += 2 {
		if i+1 == len(level) {
			next = append(next, level[i])
			continue
		}
		next = append(next, sha256.Sum256(append(slices.Clone(level[i][:]), level[i+1][:]...)))
	}
	return next
}

func naiveLeaves(p []byte) []treehash.Digest {
	if len(p) == 0 {
		return []treehash.Digest{sha256.Sum256(nil)}
	}
	var leaves []treehash.Digest
	for chunk := range slices.Chunk(p, mib) {
		leaves = append(leaves, sha256.Sum256(chunk))
	}
	return leaves
}

// numbered returns n different digests.
func numbered(n int) []treehash.Digest {
	leaves := make([]treehash.Digest, n)
	for i := range leaves {
		leaves[i] = sha256.Sum256(fmt.Appendf(nil, "leaf %d", i))
	}
	return leaves
}

func mustParse(t *testing.T, s string) treehash.Digest {
	t.Helper()
	d, err := treehash.Parse(s)
	if err != nil {
		t.Fatalf("Parse(%q) = %v", s, err)
	}
	return d
}

// TestVectors holds the tables of glacier-api §6.4.
func TestVectors(t *testing.T) {
	t.Parallel()
	const half = mib / 2
	tests := []struct {
		name   string
		data   []byte
		linear string // empty: the table gives none
		tree   string // empty: the same as linear
	}{
		{"0", sevens(0), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", ""},
		{"1 B", sevens(1), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d", ""},
		{"1 MiB - 1", sevens(mib - 1), "fb0ff73d8f93e6a861c5a6cd72062d974d89dfb8220ae930965f1096fc6fd7d2", ""},
		{"1 MiB", sevens(mib), "e76e4c02227083fd12207b7bc85287bb9e02a618fed3bd8eab1bc2daeda2fb53", ""},
		{"1 MiB + 1", sevens(mib + 1), "50068d46eb4d17660d829800fa2d52624de6cd1dab0dd5735e5b8c496b822152", "4e280062d49dafb2e6377b5ce6a16b88adf953c0cd8c939289b1068139bc34eb"},
		{"2 MiB", sevens(2 * mib), "0f6b0b24c8a4fde61974e1cf5cbf78d99bcddbc2a431e7cc57b5c683463a7c73", "48283a88feaa2264bf8fa50d7b500131056ea13129646ea4afeda6be9c24292e"},
		{"2 MiB + 1", sevens(2*mib + 1), "843a92068265595b73626a2e5e5f5c3036aadd82221561dd444e8ad11f53922c", "97293623c3a28aad27c2fa5273d1286cef7a514e07a3627789261f3b240351a0"},
		{"3 MiB", sevens(3 * mib), "f1c2e3c1532b6207595095f73b96401568e74d75c9120a35217b357263370960", "0840bb3a0a0356c01e9e19104ea00e60ef1d348de8d83f4ae3b3806be780200a"},
		{"4 MiB", sevens(4 * mib), "00aa8878661fba81fd6ed477a1da3822f8eef6d4d387f1dd5030ece828cd1f06", "31c2e5381f54263faefa00cad740c08c79bb55e173c76e383128f10728deb281"},
		{"5 MiB", sevens(5 * mib), "2947aa58ae6f8b514f9a843dc6184f20b37993eac71bc21f3e6f4252a68d59b0", "0c4c28a28cbc00bc327c875558f5d8ad725a05baa3e0d9942054a4d96afaadf6"},
		{"5.5 MiB", sevens(5*mib + half), "95e78660c2dea8a898b8e55f219517f5a0c2971f2270b1bf0b01299cd6979eb5", "dec019e4fa1e19c77797183e6b6ed8d733d5df7486060b6121f3bbdae9a6d6d4"},
		{"7 MiB", sevens(7 * mib), "472018e9674b82389fa821459125c15f60b2d53fb7db44e8a5b66cf9dcc8e011", "c6077057be9d924fbb3a020125cd0a1a89e9eb6c07d95d47e777a30070d5f887"},
		{"16 MiB", sevens(16 * mib), "32fcd45e7925696bf0a496d80f917757352c457cfe65eda2010f03e0fe53c2b0", "3c4fc6a54962f7a70ebcb84e35bce5220e6bd47b1cd11c89c6f55c873f65d499"},
		{"16 MiB + 1", sevens(16*mib + 1), "91e93a392e66a61548786214b10e3fb291ef1556e48b63508107bc44e42c9eee", "d03999fae81c1f165c188b281278b076703eb137fab4fdf409a2c71f42adc1e5"},
		{"a, 1 MiB", repeated('a', mib), "9bc1b2a288b26af7257a36277ae3816a7d4f16e89c1e7e77d0a5c48bad62b360", ""},
		{"a, 2 MiB", repeated('a', 2*mib), "", "560c2c9333c719cb00cfdffee3ba293db17f58743cdd1f7e4055373ae6300afa"},
		{"a, 3 MiB", repeated('a', 3*mib), "", "70239f4f2ead7561f69d48b956b547edef52a1280a93c262c0b582190be7db17"},
		{"a, 3.5 MiB", repeated('a', 3*mib+half), "", "daede4eb580f914dacd5e0bdf7015c937fd615c1e6c6552d25cb04a8b7219828"},
		{"a, 4 MiB", repeated('a', 4*mib), "", "9491cb2ed1d4e7cd53215f4017c23ec4ad21d7050a1e6bb636c4f67e8cddb844"},
		{"0, 2.5 MiB", repeated('0', 2*mib+half), "", "86118ad0c187fd240db59a37360e0e7f8a3a0c608eed740b4cd7b4271ab45171"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tree := tt.tree
			if tree == "" {
				tree = tt.linear
			}
			h := treehash.NewHasher()
			h.Write(tt.data)
			if got := h.Tree().String(); got != tree {
				t.Errorf("Tree() = %s, want %s", got, tree)
			}
			if got := h.Linear().String(); tt.linear != "" && got != tt.linear {
				t.Errorf("Linear() = %s, want %s", got, tt.linear)
			}
			if got := treehash.Leaf(tt.data).String(); len(tt.data) <= mib && got != tree {
				t.Errorf("Leaf() = %s, want %s", got, tree)
			}
			if got := treehash.Root(h.Leaves()).String(); got != tree {
				t.Errorf("Root(Leaves()) = %s, want %s", got, tree)
			}
		})
	}
}

// TestRangeVectors holds the range tables of glacier-api §6.4: the root of
// the leaves of an aligned range is the tree hash of that range.
func TestRangeVectors(t *testing.T) {
	t.Parallel()
	const short, long = 5*mib + mib/2, 16*mib + 1
	tests := []struct {
		size, first, last int
		want              string
	}{
		{short, 0, 1048575, "e76e4c02227083fd12207b7bc85287bb9e02a618fed3bd8eab1bc2daeda2fb53"},
		{short, 1048576, 2097151, "50de14353bea7ce1f9eaba2805625a8d103c77d86f3093b913d603afa25991ed"},
		{short, 2097152, 3145727, "33e12c25e0d3045eb18d125f8db570ab4c2a5962cec1c2c0e6924ca6204dd143"},
		{short, 3145728, 4194303, "3e31cd1cb741d2a71086e237952caa9d228f42c9023b11f95b34315397b875f9"},
		{short, 4194304, 5242879, "f7297c00f85542b1bfc0ace0291c40c90c6d2190a77c3e311def4f7944c5cec1"},
		{short, 5242880, 5767167, "57932c65e6237ead916f1839185723a28eb6e586ba3ae757cd0413d39105106e"},
		{short, 0, 2097151, "48283a88feaa2264bf8fa50d7b500131056ea13129646ea4afeda6be9c24292e"},
		{short, 2097152, 4194303, "39f374310f833d11e89999e2c1f98f7e69d2cc1b601abdfbbaffb573e7c215fb"},
		{short, 4194304, 5767167, "56f8cd9899fa478235a3be3a287143664ba8f31c93d2bda1ec70cd50567dea0f"},
		{short, 0, 4194303, "31c2e5381f54263faefa00cad740c08c79bb55e173c76e383128f10728deb281"},
		{short, 0, 5767167, "dec019e4fa1e19c77797183e6b6ed8d733d5df7486060b6121f3bbdae9a6d6d4"},
		{long, 0, 8388607, "9667d13cb369c957b43af629ca35f40c4623d03173cb91743c763b71c4a73dcc"},
		{long, 0, 16777215, "3c4fc6a54962f7a70ebcb84e35bce5220e6bd47b1cd11c89c6f55c873f65d499"},
		{long, 4194304, 8388607, "50d040df80e836a7e9ce339de6beb468b79e2132d436d3b1a0041593d5dd0760"},
		{long, 8388608, 16777215, "a6403d2a7688e9f2da2573db7124e23608d07aefde3b73e923b2e9974267209b"},
		{long, 12582912, 16777215, "c960eb5d76a3224aa6a233c152de7120024145c83da180aa677f8399b2024a4a"},
		{long, 15728640, 16777215, "a2ff4d9dafd7dcbde6fcba2fec0f9685919f315bc6824a4ae4a53d4ed12315f0"},
		{long, 16777216, 16777216, "594e519ae499312b29433b7dd8a97ff068defcba9755b6d5d00e84c524d67b06"},
	}
	data := sevens(long)
	leavesOf := map[int][]treehash.Digest{short: naiveLeaves(data[:short]), long: naiveLeaves(data)}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d-%d of %d", tt.first, tt.last, tt.size), func(t *testing.T) {
			t.Parallel()
			if !treehash.Aligned(int64(tt.first), int64(tt.last), int64(tt.size)) {
				t.Error("Aligned = false, want true")
			}
			leaves := leavesOf[tt.size][tt.first/mib : tt.last/mib+1]
			if got := treehash.Root(leaves).String(); got != tt.want {
				t.Errorf("root of the range's leaves = %s, want %s", got, tt.want)
			}
			h := treehash.NewLeafHasher()
			h.Write(data[tt.first : tt.last+1])
			if got := h.Tree().String(); got != tt.want {
				t.Errorf("tree hash of the range's bytes = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	const lower = "ffc6f8fc77e7410a90b56b39088426035427c28485d27f93dc7e659f61beae92"
	d := mustParse(t, strings.ToUpper(lower))
	if d.String() != lower || d != mustParse(t, lower) {
		t.Errorf("upper-case digits give %s, want %s", d, lower)
	}
	for _, bad := range []string{"", lower[1:], lower + "0", lower[:63] + "g", " " + lower[1:], "0x" + lower[2:]} {
		if got, err := treehash.Parse(bad); err == nil || got != (treehash.Digest{}) {
			t.Errorf("Parse(%q) = %v, %v, want an error", bad, got, err)
		}
		kept := d
		if err := kept.UnmarshalText([]byte(bad)); err == nil || kept != d {
			t.Errorf("UnmarshalText(%q) = %v and left %v", bad, err, kept)
		}
	}
	text, err := json.Marshal(d)
	if err != nil || string(text) != `"`+lower+`"` {
		t.Errorf("Marshal = %s, %v", text, err)
	}
	var back treehash.Digest
	if err := json.Unmarshal(text, &back); err != nil || back != d {
		t.Errorf("Unmarshal = %v, %v, want %v", back, err, d)
	}
}

func TestRootKeepsItsInput(t *testing.T) {
	t.Parallel()
	all := numbered(300)
	for n := range all {
		leaves := slices.Clone(all[:n])
		got := treehash.Root(leaves)
		if want := naiveRoot(all[:n]); got != want {
			t.Errorf("Root of %d leaves = %s, want %s", n, got, want)
		}
		if !slices.Equal(all[:n], leaves) {
			t.Errorf("Root of %d leaves changed them:\n%s", n, cmp.Diff(all[:n], leaves))
		}
	}
}

func TestJoinPieces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		leaves := numbered(rapid.IntRange(1, 400).Draw(t, "leaves"))
		piece := 1 << rapid.IntRange(0, 9).Draw(t, "log2 piece")
		var roots []treehash.Digest
		for part := range slices.Chunk(leaves, piece) {
			roots = append(roots, treehash.Root(part))
		}
		if got, want := treehash.Join(roots), naiveRoot(leaves); got != want {
			t.Fatalf("Join = %s, want %s", got, want)
		}
	})
}

func TestCombinerRootIsRepeatable(t *testing.T) {
	t.Parallel()
	var c treehash.Combiner
	leaves := numbered(70)
	for i, leaf := range leaves {
		c.Add(leaf)
		want := naiveRoot(leaves[:i+1])
		if first, second := c.Root(), c.Root(); first != want || second != want {
			t.Fatalf("after %d digests Root() = %s, then %s, want %s", i+1, first, second, want)
		}
	}
	c.Reset()
	if got := c.Root(); got != sha256.Sum256(nil) {
		t.Errorf("Root of nothing = %s", got)
	}
}

// TestHasherSplits writes the same bytes in pieces of every kind, reading the
// answers in between, and reuses the hasher.
func TestHasherSplits(t *testing.T) {
	t.Parallel()
	data := sevens(3*mib + 12345)
	reused := treehash.NewHasher()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(
			rapid.SampledFrom([]int{0, 1, mib - 1, mib, mib + 1, 2 * mib, 2*mib + 1, 3 * mib}),
			rapid.IntRange(0, len(data)),
		).Draw(t, "size")
		peek := rapid.Bool().Draw(t, "peek")
		leavesOnly := treehash.NewLeafHasher()
		reused.Reset()
		for rest := data[:size]; len(rest) > 0; {
			n := rapid.OneOf(
				rapid.IntRange(1, len(rest)),
				rapid.Just(min(len(rest), mib)),
				rapid.Just(min(len(rest), 100_000)),
			).Draw(t, "write")
			if got, err := reused.Write(rest[:n]); got != n || err != nil {
				t.Fatalf("Write of %d bytes = %d, %v", n, got, err)
			}
			leavesOnly.Write(rest[:n])
			rest = rest[n:]
			if peek {
				reused.Tree()
				reused.Linear()
				reused.Leaves()
			}
		}
		leaves := naiveLeaves(data[:size])
		if diff := cmp.Diff(leaves, reused.Leaves()); diff != "" {
			t.Fatalf("leaves differ (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(leaves, leavesOnly.Leaves()); diff != "" {
			t.Fatalf("leaves of the leaf hasher differ (-want +got):\n%s", diff)
		}
		if got, want := reused.Tree(), naiveRoot(leaves); got != want || leavesOnly.Tree() != want {
			t.Fatalf("trees = %s, %s, want %s", got, leavesOnly.Tree(), want)
		}
		if got, want := reused.Linear(), treehash.Digest(sha256.Sum256(data[:size])); got != want {
			t.Fatalf("Linear() = %s, want %s", got, want)
		}
		if reused.Size() != int64(size) || leavesOnly.Size() != int64(size) {
			t.Fatalf("sizes = %d, %d, want %d", reused.Size(), leavesOnly.Size(), size)
		}
	})
}

// TestAppendLeaves appends the leaves of data of every count, whole and with a
// short leaf at the end, to digests that are there already.
func TestAppendLeaves(t *testing.T) {
	t.Parallel()
	if n := treehash.BatchSize(); n < mib || n > 16*mib || n%mib != 0 {
		t.Errorf("BatchSize() = %d", n)
	}
	data := sevens(35*mib + 17)
	whole, before := naiveLeaves(data[:35*mib]), numbered(3)
	for count := range 36 {
		for _, tail := range []int{0, 17} {
			want := slices.Concat(before, whole[:count])
			if tail > 0 {
				want = append(want, sha256.Sum256(data[count*mib:][:tail]))
			}
			if got := treehash.AppendLeaves(slices.Clone(before), data[:count*mib+tail]); !slices.Equal(got, want) {
				t.Fatalf("leaves of %d MiB and %d bytes differ (-want +got):\n%s", count, tail, cmp.Diff(want, got))
			}
		}
	}
}

func TestLeavesBelongToTheCaller(t *testing.T) {
	t.Parallel()
	data := sevens(3 * mib)
	for _, size := range []int{0, mib, mib + 5, 2 * mib} {
		h := treehash.NewHasher()
		h.Write(data[:size])
		leaves := h.Leaves()
		clear(leaves)
		h.Write(data[size:])
		if got, want := h.Tree(), naiveRoot(naiveLeaves(data)); got != want {
			t.Errorf("after clearing the leaves of %d bytes Tree() = %s, want %s", size, got, want)
		}
	}
}

func TestLeafHasherHasNoLinear(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("Linear did not panic")
		}
	}()
	treehash.NewLeafHasher().Linear()
}

func TestSteadyStateAllocatesNothing(t *testing.T) {
	h := treehash.NewHasher()
	block := sevens(256 << 10)
	h.Write(sevens(2 * mib))
	allocs := testing.AllocsPerRun(50, func() {
		h.Write(block)
		h.Tree()
		h.Linear()
	})
	// A leaf every fourth write may grow the slice now and then; where there is
	// no assembly a write starts a goroutine.
	if allocs > 4 {
		t.Errorf("a write allocates %v times", allocs)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("ffc6f8fc77e7410a90b56b39088426035427c28485d27f93dc7e659f61beae92")
	f.Add("FFC6F8FC77E7410A90B56B39088426035427C28485D27F93DC7E659F61BEAE92")
	f.Add("ffc6")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := treehash.Parse(s)
		if err != nil {
			return
		}
		if d.String() != strings.ToLower(s) {
			t.Errorf("Parse(%q) prints %s", s, d)
		}
		if again, err := treehash.Parse(d.String()); err != nil || again != d {
			t.Errorf("Parse(%q) = %v, %v", d.String(), again, err)
		}
	})
}

func FuzzHasher(f *testing.F) {
	f.Add(uint32(mib+1), uint32(mib), byte(7))
	f.Add(uint32(3*mib), uint32(65536), byte(1))
	f.Fuzz(func(t *testing.T, size, step uint32, seed byte) {
		data := bytes.Repeat([]byte{seed, 1, 2, 3, 5}, int(size%(3*mib))/5+1)
		h := treehash.NewHasher()
		for chunk := range slices.Chunk(data, max(int(step), 4096)) {
			h.Write(chunk)
		}
		if got, want := h.Tree(), naiveRoot(naiveLeaves(data)); got != want {
			t.Errorf("tree of %d bytes in steps of %d = %s, want %s", len(data), step, got, want)
		}
		if got, want := h.Linear(), treehash.Digest(sha256.Sum256(data)); got != want {
			t.Errorf("linear of %d bytes in steps of %d = %s, want %s", len(data), step, got, want)
		}
	})
}

func BenchmarkHasher(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, mib, 4 * mib, 16 * mib, 64 * mib} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			block := sevens(min(size, mib))
			h := treehash.NewHasher()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				h.Reset()
				for range size / len(block) {
					h.Write(block)
				}
				h.Tree()
				h.Linear()
			}
		})
	}
}

func BenchmarkAppendLeaves(b *testing.B) {
	data := sevens(16 * mib)
	for _, count := range []int{1, 2, 4, 8, 16} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			leaves := make([]treehash.Digest, 0, count)
			b.SetBytes(int64(count) * mib)
			b.ReportAllocs()
			for b.Loop() {
				treehash.AppendLeaves(leaves, data[:count*mib])
			}
		})
	}
}

// BenchmarkNewHasher hashes a body the way an upload does, which keeps no
// Hasher for the next.
func BenchmarkNewHasher(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			block := sevens(size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				h := treehash.NewHasher()
				h.Write(block)
				h.Linear()
				h.Tree()
				h.Leaves()
			}
		})
	}
}

func BenchmarkRoot(b *testing.B) {
	leaves := numbered(4096)
	b.ReportAllocs()
	for b.Loop() {
		treehash.Root(leaves)
	}
}
