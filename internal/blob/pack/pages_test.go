package pack

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"unsafe"

	"moraine/internal/disk"
)

// paged is a file in memory that says how many bytes came past the page cache.
type paged struct {
	disk.File
	t       *testing.T
	takes   bool // direct writes
	content []byte
	direct  int
}

func (f *paged) WriteAt(p []byte, off int64) (int, error) {
	f.content = append(f.content, make([]byte, max(0, int(off)+len(p)-len(f.content)))...)
	return copy(f.content[off:], p), nil
}

func (f *paged) WriteDirect(p []byte, off int64) (bool, error) {
	address := int64(uintptr(unsafe.Pointer(unsafe.SliceData(p))))
	if (off|int64(len(p))|address)%disk.DirectAlign != 0 {
		f.t.Errorf("direct write of %d bytes at %d from address %x", len(p), off, address)
	}
	if !f.takes {
		return false, nil
	}
	f.direct += len(p)
	_, err := f.WriteAt(p, off)
	return true, err
}

// TestPages puts batches of records at any place and checks that each byte is
// where it belongs, and that all whole pages of a direct batch, and no others,
// are written past the page cache.
func TestPages(t *testing.T) {
	t.Parallel()
	noise := make([]byte, 4*stageSize)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	for _, sizes := range [][]int{
		{64}, {4096}, {4096 - 64, 64}, {8192 + 64}, {100 << 10, 64, 60 << 10, 4096},
		{stageSize}, {stageSize - 64, 128}, {2*stageSize + 192, 1 << 10}, {700 << 10, 700 << 10, 700 << 10},
	} {
		for _, base := range []int64{0, 64, 4032, 4096, 4160, 12288 - 64} {
			for _, direct := range []bool{true, false} {
				for _, takes := range []bool{true, false} {
					f := &paged{t: t, takes: takes, content: bytes.Repeat([]byte{1}, int(base))}
					want := bytes.Clone(f.content)
					var batch []*addition
					for _, size := range sizes {
						record := noise[len(want):][:size]
						batch = append(batch, &addition{record: record})
						want = append(want, record...)
					}
					a := &appender{cur: &current{f: f}}
					if err := a.put(batch, base, direct); err != nil || !bytes.Equal(f.content, want) {
						t.Fatalf("records of %d at %d, direct %v: other bytes are there, or %v", sizes, base, direct, err)
					}
					whole := 0
					if direct && takes {
						whole = int(max(0, roundDown(int64(len(want)), disk.DirectAlign)-roundUp(base, disk.DirectAlign)))
					}
					if f.direct != whole {
						t.Errorf("records of %d at %d, direct %v: %d bytes past the page cache, want %d", sizes, base, direct, f.direct, whole)
					}
				}
			}
		}
	}
}
