package sha256x_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"moraine/internal/sha256x"
)

// eachPath runs a test with every set of instructions this machine has.
func eachPath(t *testing.T, test func(*testing.T)) {
	t.Helper()
	for _, p := range sha256x.Paths() {
		t.Run(p.String(), func(t *testing.T) {
			sha256x.Take(t, p)
			test(t)
		})
	}
}

// random returns n bytes, always the same.
func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{'s', 'h', 'a'})
	_, _ = r.Read(b) // it never fails
	return b
}

// TestVectors takes the examples of NIST for FIPS 180-4 and some of its
// validation system for messages of whole bytes.
func TestVectors(t *testing.T) {
	tests := []struct{ name, message, want string }{
		{"nothing", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"one byte", "\xd3", "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1"},
		{"two bytes", "\x11\xaf", "5ca7133fa735326081558ac312c620eeca9970d1e70a4b95533d956f072d1f98"},
		{"one block", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"two blocks", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
		{
			"three blocks", "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
			"cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
		},
		{"55 zeros", strings.Repeat("\x00", 55), "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7"},
		{"56 zeros", strings.Repeat("\x00", 56), "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb"},
		{"57 zeros", strings.Repeat("\x00", 57), "65a16cb7861335d5ace3c60718b5052e44660726da4cd13bb745381b235a1785"},
		{"64 zeros", strings.Repeat("\x00", 64), "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b"},
		{"1000 times A", strings.Repeat("A", 1000), "c2e686823489ced2017f6059b8b239318b6364f6dcd835d0a519105a1eadd6e4"},
		{"1005 times U", strings.Repeat("U", 1005), "f4d62ddec0f3dd90ea1380fa16a5ff8dc4c54b21740650f24afc4120903552b0"},
		{"a million times a", strings.Repeat("a", 1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
		{"a million zeros", strings.Repeat("\x00", 1_000_000), "d29751f2649b32ff572b5e0a9f541ea660a50f94ff0beedfb0b692b924cc8025"},
	}
	eachPath(t, func(t *testing.T) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				message := []byte(tt.message)
				check := func(how string, got [sha256x.Size]byte) {
					t.Helper()
					if hex.EncodeToString(got[:]) != tt.want {
						t.Errorf("%s = %x, want %s", how, got, tt.want)
					}
				}
				check("Sum", sha256x.Sum(message))
				h, a, b := sha256x.New(), sha256x.New(), sha256x.New()
				h.Write(message)
				check("Hash", h.Sum())
				sha256x.WriteBoth(a, b, message)
				check("WriteBoth, first", a.Sum())
				check("WriteBoth, second", b.Sum())
				sums := make([][sha256x.Size]byte, 16)
				for n := range sums {
					sha256x.Sums(sums, slices.Repeat([][]byte{message}, n+1))
					for i, sum := range sums[:n+1] {
						check(fmt.Sprintf("Sums, %d of %d", i, n+1), sum)
					}
				}
			})
		}
	})
}

// TestLengths hashes messages of every length up to a few blocks, at every
// position in a block.
func TestLengths(t *testing.T) {
	data := random(1024)
	eachPath(t, func(t *testing.T) {
		for size := range 4*64 + 2 {
			for _, at := range []int{0, 1, 7, 63} {
				p := data[at : at+size]
				want := sha256.Sum256(p)
				if got := sha256x.Sum(p); got != want {
					t.Fatalf("%d bytes from %d: Sum = %x, want %x", size, at, got, want)
				}
			}
			for split := range size + 1 {
				h := sha256x.New()
				h.Write(data[:split])
				h.Sum()
				h.Write(data[split:size])
				if got, want := h.Sum(), sha256.Sum256(data[:size]); got != want {
					t.Fatalf("%d bytes after %d: %x, want %x", size-split, split, got, want)
				}
			}
		}
	})
}

// TestBothOffsets writes to two hashes that have begun before, each at its own
// place in a block.
func TestBothOffsets(t *testing.T) {
	data := random(1024)
	eachPath(t, func(t *testing.T) {
		for first := range 130 {
			for _, second := range []int{0, 1, first, (first + 64) % 130, 128} {
				for _, size := range []int{0, 1, 63, 64, 65, 127, 128, 200, 300} {
					a, b := sha256x.New(), sha256x.New()
					a.Write(data[:first])
					b.Write(data[1 : 1+second])
					p := data[200 : 200+size]
					sha256x.WriteBoth(a, b, p)
					wantA := sha256.Sum256(append(bytes.Clone(data[:first]), p...))
					wantB := sha256.Sum256(append(bytes.Clone(data[1:1+second]), p...))
					if a.Sum() != wantA || b.Sum() != wantB {
						t.Fatalf("%d bytes after %d and %d: %x and %x, want %x and %x", size, first, second, a.Sum(), b.Sum(), wantA, wantB)
					}
				}
			}
		}
	})
}

// TestSums hashes groups of messages of many counts and lengths, with runs of
// one length and messages between them that have another.
func TestSums(t *testing.T) {
	data := random(1 << 20)
	eachPath(t, func(t *testing.T) {
		for count := range 34 {
			for _, size := range []int{0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 1000} {
				for _, odd := range []int{-1, 0, count / 2, count - 1} {
					checkSums(t, messagesOf(data, count, size, odd))
				}
			}
		}
		for _, count := range []int{1, 2, 3, 4, 8, 9, 15, 16, 17} {
			for _, size := range []int{16 << 10, 16<<10 + 64, 64 << 10, 64<<10 + 128, 80<<10 + 129} {
				checkSums(t, messagesOf(data, count, size, count-1))
			}
		}
	})
}

// messagesOf cuts messages of one length; number odd, if there is one, is half
// as long.
func messagesOf(data []byte, count, size, odd int) [][]byte {
	messages := make([][]byte, count)
	for i := range messages {
		n := size
		if i == odd {
			n = size / 2
		}
		at := i * 7919 % (len(data) - size)
		messages[i] = data[at : at+n]
	}
	return messages
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkSums compares Sums with crypto/sha256, also in what it must not touch.
func checkSums(t fataler, messages [][]byte) {
	t.Helper()
	type digest [32]byte
	guard := digest{1, 2, 3}
	got := make([]digest, len(messages)+1)
	got[len(messages)] = guard
	want := make([]digest, len(messages), len(messages)+1)
	for i, m := range messages {
		want[i] = sha256.Sum256(m)
	}
	sha256x.Sums(got, messages)
	if want = append(want, guard); !slices.Equal(got, want) {
		t.Fatalf("digests of %d messages differ (-want +got):\n%s", len(messages), cmp.Diff(want, got))
	}
}

// TestSumsProperty hashes random messages at random places.
func TestSumsProperty(t *testing.T) {
	data := random(2 << 20)
	eachPath(t, func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			size := rapid.OneOf(rapid.IntRange(0, 200), rapid.IntRange(0, 100_000)).Draw(t, "size")
			other := rapid.IntRange(0, 200).Draw(t, "other size")
			var messages [][]byte
			for range rapid.IntRange(1, 40).Draw(t, "count") {
				n := size
				if rapid.IntRange(0, 20).Draw(t, "odd") == 0 {
					n = other
				}
				at := rapid.IntRange(0, len(data)-n).Draw(t, "at")
				messages = append(messages, data[at:at+n])
			}
			checkSums(t, messages)
		})
	})
}

// TestHistories writes to two hashes in every order and asks for sums in
// between.
func TestHistories(t *testing.T) {
	data := random(1 << 20)
	eachPath(t, func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			a, b := sha256x.New(), sha256x.New()
			stdA, stdB := sha256.New(), sha256.New()
			check := func() {
				if gotA, gotB := a.Sum(), b.Sum(); !bytes.Equal(gotA[:], stdA.Sum(nil)) || !bytes.Equal(gotB[:], stdB.Sum(nil)) {
					t.Fatalf("sums = %x and %x, want %x and %x", gotA, gotB, stdA.Sum(nil), stdB.Sum(nil))
				}
			}
			for range rapid.IntRange(1, 30).Draw(t, "steps") {
				size := rapid.OneOf(
					rapid.IntRange(0, 200),
					rapid.Map(rapid.IntRange(0, 4096), func(n int) int { return n * 64 }),
					rapid.IntRange(0, len(data)/2),
				).Draw(t, "size")
				at := rapid.IntRange(0, len(data)-size).Draw(t, "at")
				p := data[at : at+size]
				switch rapid.SampledFrom([]string{"both", "both", "both", "a", "b", "reset b", "sum"}).Draw(t, "step") {
				case "both":
					sha256x.WriteBoth(a, b, p)
					stdA.Write(p)
					stdB.Write(p)
				case "a":
					if n, err := a.Write(p); n != len(p) || err != nil {
						t.Fatalf("Write of %d bytes = %d, %v", len(p), n, err)
					}
					stdA.Write(p)
				case "b":
					b.Write(p)
					stdB.Write(p)
				case "reset b": // as a tree hash does at the end of a leaf
					b.Reset()
					stdB.Reset()
				case "sum":
					check()
				}
			}
			check()
		})
	})
}

// TestMixedPaths writes to a hash that is crypto/sha256 and one that is not.
func TestMixedPaths(t *testing.T) {
	data := random(300_000)
	want := sha256.Sum256(data)
	paths := sha256x.Paths()
	sha256x.Take(t, paths[0])
	a := sha256x.New()
	sha256x.Take(t, paths[len(paths)-1])
	b := sha256x.New()
	sha256x.WriteBoth(a, b, data)
	if a.Sum() != want || b.Sum() != want {
		t.Errorf("sums = %x and %x, want %x", a.Sum(), b.Sum(), want)
	}
	a.Reset()
	b.Reset()
	sha256x.WriteBoth(b, a, data)
	if a.Sum() != want || b.Sum() != want {
		t.Errorf("the other way round sums = %x and %x, want %x", a.Sum(), b.Sum(), want)
	}
}

// TestLengthCounter finishes messages whose length, in bytes or in bits, does
// not fit into 32 bits, without hashing all of them.
func TestLengthCounter(t *testing.T) {
	data := random(1000)
	eachPath(t, func(t *testing.T) {
		for _, limit := range []uint64{1 << 29, 1 << 31, 1 << 32, 1 << 35, 1 << 40, 1 << 44, 1 << 61} {
			for _, before := range []uint64{limit - 128, limit - 64, limit} {
				if before >= 1<<61 {
					continue // longer than SHA-256 allows
				}
				for _, size := range []int{0, 1, 63, 64, 65, 127} {
					h, std := sha256x.AtLength(t, before)
					h.Write(data[:size])
					std.Write(data[:size])
					if got := h.Sum(); !bytes.Equal(got[:], std.Sum(nil)) {
						t.Fatalf("%d bytes after %d: %x, want %x", size, before, got, std.Sum(nil))
					}
					both, std := sha256x.AtLength(t, before)
					other := sha256x.New()
					sha256x.WriteBoth(both, other, data[:size])
					std.Write(data[:size])
					if got := both.Sum(); !bytes.Equal(got[:], std.Sum(nil)) {
						t.Fatalf("%d bytes to both after %d: %x, want %x", size, before, got, std.Sum(nil))
					}
					if got := other.Sum(); got != sha256.Sum256(data[:size]) {
						t.Fatalf("%d bytes to both beside %d: %x, want %x", size, before, got, sha256.Sum256(data[:size]))
					}
				}
			}
		}
	})
}

// TestLongStream hashes a stream of more than 2^32 bytes in full, piece by
// piece as an upload does, and compares the sums around 2^32 bits and 2^32
// bytes.
func TestLongStream(t *testing.T) {
	t.Parallel()
	if name, _ := sha256x.Chosen(); name == "standard" {
		return // crypto/sha256 would be compared with itself
	}
	piece := random(16 << 20)
	wantPiece := sha256.Sum256(piece)
	stream, part, std := sha256x.New(), sha256x.New(), sha256.New()
	check := func(when string) {
		t.Helper()
		if got := stream.Sum(); !bytes.Equal(got[:], std.Sum(nil)) {
			t.Fatalf("%s: %x, want %x", when, got, std.Sum(nil))
		}
	}
	const fourGiB = 4 << 30 / (16 << 20)
	for i := range fourGiB + 1 {
		if i%32 == 31 || i%32 == 0 || i == fourGiB-1 {
			check(fmt.Sprintf("after %d pieces", i))
		}
		part.Reset()
		sha256x.WriteBoth(stream, part, piece)
		std.Write(piece)
		if got := part.Sum(); got != wantPiece {
			t.Fatalf("piece %d: %x, want %x", i, got, wantPiece)
		}
	}
	check("after 4 GiB")
	sha256x.WriteBoth(stream, part, piece[:100_001])
	std.Write(piece[:100_001])
	check("at the end")
}

// TestChoose checks that kernels that disagree with the reference are refused.
func TestChoose(t *testing.T) {
	t.Parallel()
	name, found, err := sha256x.Choose(sha256.Sum256)
	if err != nil || name != found.String() {
		t.Errorf("Choose = %q, %v, want %q", name, err, found)
	}
	if chosen, err := sha256x.Chosen(); err != nil || chosen != name {
		t.Errorf("Chosen = %q, %v, want %q", chosen, err, name)
	}
	calls := 0
	for liar := 0; ; liar++ {
		calls = 0
		name, found, err := sha256x.Choose(func(p []byte) [sha256x.Size]byte {
			sum := sha256.Sum256(p)
			if calls == liar {
				sum[31] ^= 1
			}
			calls++
			return sum
		})
		if liar >= calls {
			break // the lie was never told
		}
		if err == nil || name == found.String() {
			t.Errorf("with a wrong answer number %d: Choose = %q, %v", liar, name, err)
		}
	}
	name, found, err = sha256x.Choose(func([]byte) [sha256x.Size]byte { return [sha256x.Size]byte{} })
	if name != "standard" || (err == nil) != (found.String() == "standard") {
		t.Errorf("with wrong answers only: Choose = %q, %v", name, err)
	}
}

// TestAllocations checks that the fast paths allocate nothing.
func TestAllocations(t *testing.T) {
	data := random(256 << 10)
	paths := sha256x.Paths()
	if sha256x.Take(t, paths[len(paths)-1]); paths[len(paths)-1].String() == "standard" {
		return // crypto/sha256 has its own ways
	}
	a, b := sha256x.New(), sha256x.New()
	messages := slices.Collect(slices.Chunk(data, 8<<10))
	sums := make([][sha256x.Size]byte, len(messages))
	allocs := testing.AllocsPerRun(20, func() {
		a.Write(data[1:])
		sha256x.WriteBoth(a, b, data)
		b.Sum()
		sha256x.Sum(data)
		sha256x.Sums(sums, messages)
		sha256x.Sums(sums, messages[:3])
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func FuzzHash(f *testing.F) {
	f.Add([]byte("abc"), uint16(0), uint16(1), uint16(2))
	f.Add(bytes.Repeat([]byte{7}, 300), uint16(64), uint16(64), uint16(200))
	f.Fuzz(func(t *testing.T, data []byte, first, second, split uint16) {
		cut := func(n uint16) []byte { return data[:min(int(n), len(data))] }
		h := sha256x.New()
		h.Write(cut(split))
		h.Write(data[len(cut(split)):])
		if got, want := h.Sum(), sha256.Sum256(data); got != want || sha256x.Sum(data) != want {
			t.Errorf("%d bytes cut at %d: %x and %x, want %x", len(data), split, got, sha256x.Sum(data), want)
		}
		a, b := sha256x.New(), sha256x.New()
		a.Write(cut(first))
		b.Write(cut(second))
		sha256x.WriteBoth(a, b, data)
		wantA := sha256.Sum256(append(bytes.Clone(cut(first)), data...))
		wantB := sha256.Sum256(append(bytes.Clone(cut(second)), data...))
		if a.Sum() != wantA || b.Sum() != wantB {
			t.Errorf("%d bytes after %d and %d: %x and %x, want %x and %x", len(data), first, second, a.Sum(), b.Sum(), wantA, wantB)
		}
	})
}

func FuzzSums(f *testing.F) {
	f.Add(bytes.Repeat([]byte("moraine"), 300), uint16(128))
	f.Add([]byte("abc"), uint16(1))
	f.Fuzz(func(t *testing.T, data []byte, size uint16) {
		checkSums(t, slices.Collect(slices.Chunk(data, max(int(size), 1, len(data)/50))))
	})
}
