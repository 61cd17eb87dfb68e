package pack_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"moraine"
	"moraine/internal/blob/pack"
	"moraine/internal/disk"
	"moraine/internal/disk/crashfs"
)

// between is a file system that does something once, before a file with a name
// that ends in suffix is synced for the first time, and can have the next sync of
// open/ fail and lose what it should have saved.
type between struct {
	*crashfs.FS
	suffix string
	do     func()
	did    atomic.Bool

	mu   sync.Mutex
	lose bool // the next sync of open/; guarded by mu
}

func (b *between) Open(name string, flag int) (disk.File, error) {
	f, err := b.FS.Open(name, flag)
	if err == nil && strings.HasSuffix(name, b.suffix) {
		f = &betweenFile{f, b}
	}
	return f, err
}

func (b *between) SyncDir(dir string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lose && filepath.Base(dir) == "open" {
		b.lose = false
		b.Fail(1, crashfs.Lost)
	}
	return b.FS.SyncDir(dir)
}

func (b *between) loseNext() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lose = true
}

type betweenFile struct {
	disk.File
	b *between
}

func (f *betweenFile) Sync() error {
	if f.b.did.CompareAndSwap(false, true) {
		f.b.do()
	}
	return f.File.Sync()
}

// TestNameLostByAnother has the sync of open/ fail for one blob after the file of
// another was made there. The name of that file may be lost, too, and a sync that
// succeeds later does not save it: the blob is not to be acknowledged unless it
// survives.
func TestNameLostByAnother(t *testing.T) {
	t.Parallel()
	const large = testSmallMax + 5000
	for suffix, size := range map[string]int{".pack": 100, ".blob": large} {
		t.Run(suffix, func(t *testing.T) {
			t.Parallel()
			b := &between{FS: crashfs.New(), suffix: suffix}
			cfg := pack.Config{Dir: "data/blobs", FS: b, SmallMax: testSmallMax, PackSize: testPackSize}
			s, err := pack.Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			b.do = func() {
				b.loseNext()
				_, err := s.Put(t.Context(), moraine.BlobID{1}, bytes.NewReader(make([]byte, large)), large)
				if !moraine.IsKind(err, moraine.Unavailable) {
					t.Errorf("Put whose name was lost = %v, want unavailable", err)
				}
			}
			data := bytes.Repeat([]byte{7}, size)
			ref, err := s.Put(t.Context(), moraine.BlobID{2}, bytes.NewReader(data), int64(size))
			if err == nil {
				cfg.FS = b.Crash(crashfs.KeepNone, nil)
				after, err := pack.Open(cfg)
				if err != nil {
					t.Fatal(err)
				}
				defer after.Close()
				r, err := after.Open(t.Context(), ref, 0, int64(size))
				if err != nil {
					t.Fatalf("acknowledged and lost: %v", err)
				}
				_ = r.Close()
			} else if !moraine.IsKind(err, moraine.Unavailable) {
				t.Errorf("Put = %v, want unavailable", err)
			}
			// The next one goes by a name of its own.
			ref, err = s.Put(t.Context(), moraine.BlobID{3}, bytes.NewReader(data), int64(size))
			if err != nil {
				t.Fatalf("Put after that: %v", err)
			}
			cfg.FS = b.Crash(crashfs.KeepNone, nil)
			after, err := pack.Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer after.Close()
			r, err := after.Open(t.Context(), ref, 0, int64(size))
			if err != nil {
				t.Fatalf("after a crash: %v", err)
			}
			_ = r.Close()
		})
	}
}
