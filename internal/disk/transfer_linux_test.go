package disk_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"moraine/internal/disk"
)

// TestTransferEnds has the kernel end transfers before they are complete, or refuse
// them when they end: the rest is done in the other way. Other errors stay.
func TestTransferEnds(t *testing.T) {
	t.Parallel()
	const size = 3 * disk.DirectAlign
	data := bytes.Repeat([]byte("moraine "), size/8)
	for name, tt := range map[string]struct {
		n    int
		err  error
		want error
	}{
		"whole":            {size, nil, nil},
		"short":            {disk.DirectAlign, nil, nil},
		"nothing":          {0, nil, nil},
		"not so aligned":   {0, unix.EINVAL, nil},
		"the disk is full": {0, unix.ENOSPC, unix.ENOSPC},
		"the disk fails":   {0, unix.EIO, unix.EIO},
	} {
		for _, write := range []bool{false, true} {
			file := filepath.Join(t.TempDir(), "f")
			before := append(make([]byte, 100), data...)
			if write {
				clear(before[100+tt.n:])
			}
			if err := os.WriteFile(file, before, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := disk.NewOS().Open(file, os.O_RDWR)
			if err != nil {
				t.Fatal(err)
			}
			p := bytes.Clone(data)
			if !write {
				clear(p[tt.n:])
			}
			got, err := disk.Ended(f, write, p, 100, tt.n, tt.err)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("%s, write %v: %v, want %v", name, write, err, tt.want)
			}
			after, rerr := os.ReadFile(file)
			if rerr != nil {
				t.Fatal(rerr)
			}
			if err == nil && (!bytes.Equal(got, data) || !bytes.Equal(after[100:], data)) {
				t.Errorf("%s, write %v: not all was moved", name, write)
			}
			// Only a refusal turns direct transfers of the file off.
			if tt.err == unix.EINVAL && write {
				if direct, _ := disk.WriteDirect(f, disk.Memory(disk.DirectAlign), 0); direct {
					t.Errorf("%s: written past the page cache again", name)
				}
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	// The end of a file is one of a read.
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, data[:5000], 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := disk.NewOS().Open(file, os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := disk.Ended(f, false, bytes.Clone(data), 0, 4096, nil); err != nil || !bytes.Equal(got, data[:5000]) {
		t.Errorf("a read across the end gave %d bytes, %v", len(got), err)
	}
}
