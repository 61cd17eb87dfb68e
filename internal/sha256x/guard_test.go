//go:build unix

package sha256x_test

import (
	"crypto/sha256"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"moraine/internal/sha256x"
)

// TestReadsNothingElse hashes messages that begin or end where the memory of
// the process does: a kernel that reads one byte more crashes the test.
func TestReadsNothingElse(t *testing.T) {
	page := os.Getpagesize()
	const pages = 20
	memory, err := unix.Mmap(-1, 0, (pages+2)*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(memory); err != nil {
			t.Error(err)
		}
	}()
	room := memory[page : (pages+1)*page]
	copy(room, random(len(room)))
	for _, guard := range [][]byte{memory[:page], memory[(pages+1)*page:]} {
		if err := unix.Mprotect(guard, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	eachPath(t, func(t *testing.T) {
		for _, size := range []int{1, 4, 63, 64, 65, 100, 127, 128, 129, 1000, 4096, page, page + 1, len(room)} {
			for _, p := range [][]byte{room[:size], room[len(room)-size:]} {
				want := sha256.Sum256(p)
				a, b := sha256x.New(), sha256x.New()
				sha256x.WriteBoth(a, b, p)
				if a.Sum() != want || b.Sum() != want || sha256x.Sum(p) != want {
					t.Errorf("%d bytes: %x, %x and %x, want %x", size, a.Sum(), b.Sum(), sha256x.Sum(p), want)
				}
				for _, count := range []int{2, 5, 15, 16} {
					messages := make([][]byte, count)
					for i := range messages {
						messages[i] = p
					}
					checkSums(t, messages)
				}
			}
		}
		// Sixteen leaves that fill the room from end to end.
		size := len(room) / 16
		var leaves [][]byte
		for i := range 16 {
			leaves = append(leaves, room[i*size:(i+1)*size])
		}
		checkSums(t, leaves)
	})
}
