package audit_test

import (
	"bytes"
	"testing"

	"moraine/internal/audit"
	"moraine/internal/disk"
	"moraine/internal/disk/crashfs"
)

// written is a file system on which a reader finds the last line of a file half
// written, so many times.
type written struct {
	*crashfs.FS
	times *int
}

func (w written) Open(name string, flag int) (disk.File, error) {
	f, err := w.FS.Open(name, flag)
	return writtenFile{f, w.times}, err
}

type writtenFile struct {
	disk.File
	times *int
}

func (f writtenFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	end := bytes.TrimRight(p[:n], "\n")
	if *f.times > 0 && len(end) > 100 {
		*f.times--
		for i := len(end) - 100; i < len(end); i++ {
			p[i] = '\n'
		}
	}
	return n, err
}

// TestVerifyWhileWritten reads a line that is being written: that is no damage
// if it is whole a moment later.
func TestVerifyWhileWritten(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	open(t, fsys, audit.Config{}).append("A", "B")
	for times, ok := range map[int]bool{0: true, 1: true, 3: true, 100: false} {
		left := times
		r, err := audit.Verify(written{fsys, &left}, "audit", audit.First{})
		if (err == nil) != ok || ok && r.Records != 3 {
			t.Errorf("half written %d times: %+v, %v", times, r, err)
		}
	}
}
