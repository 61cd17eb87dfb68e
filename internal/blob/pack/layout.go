package pack

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"moraine/internal/disk"
)

// Format: never change.
const (
	openDir   = "open"
	sealedDir = "sealed"
	lostDir   = "lost"

	extShared = ".pack"
	extSingle = ".blob"
)

// fileName identifies a file of the store.
type fileName struct {
	kind fileKind
	id   packID
}

func (n fileName) base() string {
	if n.kind == single {
		return n.id.String() + extSingle
	}
	return n.id.String() + extShared
}

// shard is the directory under sealed/ that a file belongs to.
func (n fileName) shard() string { return n.id.String()[2*len(n.id)-2:] }

// parseFileName reads the base name of a file.
func parseFileName(base string) (n fileName, ok bool) {
	text, kind := "", shared
	if t, found := strings.CutSuffix(base, extShared); found {
		text = t
	} else if t, found := strings.CutSuffix(base, extSingle); found {
		text, kind = t, single
	}
	id, ok := parsePackID(text)
	return fileName{kind: kind, id: id}, ok
}

// newPackID makes an id that is never made again: the same millisecond and the
// same 32 random bits would have to meet, and even then the file exists.
func newPackID(now time.Time) packID {
	var id packID
	ms := uint64(now.UnixMilli())
	for i := 5; i >= 0; i-- {
		id[i] = byte(ms)
		ms >>= 8
	}
	rand.Read(id[6:])
	return id
}

// layout knows where files are.
type layout struct {
	fs    disk.FS
	dir   string
	names names

	mu   sync.Mutex      // guards made
	made map[string]bool // shards known to be durable
}

func (l *layout) openPath(n fileName) string {
	return filepath.Join(l.dir, openDir, n.base())
}

func (l *layout) sealedPath(n fileName) string {
	return filepath.Join(l.dir, sealedDir, n.shard(), n.base())
}

func (l *layout) openDir() string   { return filepath.Join(l.dir, openDir) }
func (l *layout) lostDir() string   { return filepath.Join(l.dir, lostDir) }
func (l *layout) sealedDir() string { return filepath.Join(l.dir, sealedDir) }

// makeShard makes the directory that n is sealed into, durably.
func (l *layout) makeShard(n fileName) error {
	l.mu.Lock()
	known := l.made[n.shard()]
	l.mu.Unlock()
	if known {
		return nil
	}
	if err := disk.MkdirAll(l.fs, filepath.Dir(l.sealedPath(n))); err != nil {
		return err
	}
	l.mu.Lock()
	l.made[n.shard()] = true
	l.mu.Unlock()
	return nil
}

// find opens a file wherever it is and says where that was. A file moves once,
// from open/ to sealed/, so looking there again finds one that moved meanwhile.
func (l *layout) find(n fileName, flag int) (f disk.File, path string, err error) {
	for _, path := range []string{l.sealedPath(n), l.openPath(n), l.sealedPath(n)} {
		f, err := l.fs.Open(path, flag)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, path, err
		}
	}
	return nil, "", &fs.PathError{Op: "open", Path: l.sealedPath(n), Err: fs.ErrNotExist}
}

// create makes a file in open/. Its name is not yet durable.
func (l *layout) create(n fileName) (disk.File, error) {
	return l.fs.Open(l.openPath(n), os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

// syncDir makes what is removed from a directory durable.
func (l *layout) syncDir(dir string) error {
	if dir == l.openDir() {
		return l.syncOpen()
	}
	return l.fs.SyncDir(dir)
}

// remove removes a file at one of its places, durably. It is no error if it
// is not there; the directory is synced even so, since an earlier removal may
// not be durable.
func (l *layout) remove(path string) error {
	if err := l.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err := l.syncDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no directory, no file
	}
	return err
}
