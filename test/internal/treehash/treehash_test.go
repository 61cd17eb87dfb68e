package treehash_test

import (
	"bytes"
	"testing"

	"moraine/test/internal/treehash"
)

func TestSumVectors(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		size int64
		want string
	}{
		{"empty", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"one byte", 1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
		{"one chunk", 1 << 20, "e76e4c02227083fd12207b7bc85287bb9e02a618fed3bd8eab1bc2daeda2fb53"},
		{"one chunk and a byte", 1<<20 + 1, "4e280062d49dafb2e6377b5ce6a16b88adf953c0cd8c939289b1068139bc34eb"},
		{"three chunks", 3 << 20, "0840bb3a0a0356c01e9e19104ea00e60ef1d348de8d83f4ae3b3806be780200a"},
		{"five and a half", 5767168, "dec019e4fa1e19c77797183e6b6ed8d733d5df7486060b6121f3bbdae9a6d6d4"},
		{"seven chunks", 7 << 20, "c6077057be9d924fbb3a020125cd0a1a89e9eb6c07d95d47e777a30070d5f887"},
		{"sixteen and a byte", 16<<20 + 1, "d03999fae81c1f165c188b281278b076703eb137fab4fdf409a2c71f42adc1e5"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			data := treehash.Pattern(0, row.size)
			if got := treehash.Sum(data); got != row.want {
				t.Errorf("tree hash of %d bytes: got %s, want %s", row.size, got, row.want)
			}
			if row.size > 3 {
				if got := treehash.Sum(data[:3], data[3:]); got != row.want {
					t.Errorf("tree hash of two pieces: got %s, want %s", got, row.want)
				}
			}
		})
	}
}

func TestCombine(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("a"), 7<<19)
	want := "daede4eb580f914dacd5e0bdf7015c937fd615c1e6c6552d25cb04a8b7219828"
	got := treehash.Combine([]string{treehash.Sum(data[:2<<20]), treehash.Sum(data[2<<20:])})
	if got != want {
		t.Errorf("combined tree hash: got %s, want %s", got, want)
	}
	if got := treehash.Combine([]string{"zz"}); got != "" {
		t.Errorf("combine of malformed hex: got %q, want empty", got)
	}
}
