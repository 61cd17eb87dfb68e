package pack_test

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"

	"moraine"
	"moraine/internal/blob/pack"
	"moraine/internal/disk"
	"moraine/internal/disk/crashfs"
)

// opening does something once, when a large file has just been opened.
type opening struct {
	*crashfs.FS
	do atomic.Pointer[func()]
}

func (o *opening) Open(name string, flag int) (disk.File, error) {
	f, err := o.FS.Open(name, flag)
	if do := o.do.Load(); do != nil && strings.HasSuffix(name, ".blob") && err == nil && o.do.CompareAndSwap(do, nil) {
		(*do)()
	}
	return f, err
}

// TestDeletedWhileOpening deletes a blob just when a reader has opened its file:
// when the reader is done nobody holds the file, and with it its space.
func TestDeletedWhileOpening(t *testing.T) {
	t.Parallel()
	fs := &opening{FS: crashfs.New()}
	cfg := pack.Config{Dir: "d", FS: fs, SmallMax: testSmallMax}
	s, err := pack.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	const size = 2 * testSmallMax
	ref, err := s.Put(t.Context(), moraine.BlobID{1}, bytes.NewReader(make([]byte, size)), size)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = pack.Open(cfg); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	deletion := func() {
		if err := s.Delete(t.Context(), ref); err != nil {
			t.Error(err)
		}
	}
	fs.do.Store(&deletion)
	if r, err := s.Open(t.Context(), ref, 0, size); err == nil {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := fs.OpenFiles(); n != 0 {
		t.Errorf("%d files are open when nobody reads", n)
	}
}
