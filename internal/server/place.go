package server

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"moraine/internal/config"
	"moraine/internal/disk"
)

// Place is what a data directory is on. The zero Place is this machine; tests
// have one that loses power.
type Place struct {
	// FS is a file system that nobody else uses and that never gets full. Zero:
	// the operating system's.
	FS fileSystem
	// VFS is what the engine of the rows knows FS by.
	VFS string
}

// fileSystem is one that counts.
type fileSystem interface {
	disk.FS
	Syncs() int64
}

// held is a lock that is held.
type held interface {
	io.Closer
	Holder() string
}

// alone is the lock of a file system that nobody else uses.
type alone struct{}

func (alone) Holder() string { return "this process" }
func (alone) Close() error   { return nil }

// files is the file system.
func (p Place) files() fileSystem {
	if p.FS != nil {
		return p.FS
	}
	return disk.NewOS()
}

func (p Place) lock(path string) (held, error) {
	if p.FS != nil {
		return alone{}, nil
	}
	l, err := disk.Lock(path)
	if err != nil {
		return nil, err // a nil *FileLock would be a lock
	}
	return l, nil
}

// space returns the free bytes and the size of the file system of path.
func (p Place) space(path string) (free, total int64, err error) {
	if p.FS != nil {
		return math.MaxInt64, math.MaxInt64, nil
	}
	return disk.Space(path)
}

// smallMax bounds what is read of a small file.
const smallMax = 64 << 10

// readSmall reads a file that is small or not ours.
func (p Place) readSmall(path string) ([]byte, error) {
	n, err := p.sizeOf(path)
	if err != nil {
		return nil, err
	}
	if n > smallMax {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are expected", path, n, smallMax)
	}
	if p.FS == nil {
		return os.ReadFile(path)
	}
	f, err := p.FS.Open(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.NewSectionReader(f, 0, math.MaxInt64))
	return text, errors.Join(err, f.Close())
}

// sizeOf returns the size of a file.
func (p Place) sizeOf(path string) (n int64, err error) {
	if p.FS == nil {
		// Not opened: the engine's locks end when this process closes a file.
		info, err := os.Stat(path)
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	f, err := p.FS.Open(path, os.O_RDONLY)
	if err != nil {
		return 0, err
	}
	n, err = f.Size()
	return n, errors.Join(err, f.Close())
}

// openExisting is open for a directory that must hold rows, or say where they
// are.
func (p Place) openExisting(dir string, rows config.Meta) (*data, error) {
	_, err := p.sizeOf(filepath.Join(dir, rowsFile))
	if errors.Is(err, fs.ErrNotExist) {
		if known, _ := p.exists(filepath.Join(dir, databaseFile)); known {
			err = nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s is not a data directory in use: %w", dir, err)
	}
	return p.open(dir, rows)
}

// open makes the directory if need be, locks it and looks whether its parts are
// all there.
func (p Place) open(dir string, rows config.Meta) (*data, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	d := &data{dir: abs, place: p, fsys: p.files(), rows: rows}
	if err := disk.MkdirAll(d.fsys, abs); err != nil {
		return nil, fmt.Errorf("the data directory cannot be made: %w", err)
	}
	d.lock, err = p.lock(d.path(lockFile))
	var used *disk.LockedError
	if errors.As(err, &used) {
		return nil, &inUseError{dir: abs, holder: used.Holder}
	}
	if err != nil {
		return nil, fmt.Errorf("the data directory cannot be locked: %w", err)
	}
	if err := d.inspect(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// exists reports whether there is a file at path.
func (p Place) exists(path string) (bool, error) {
	_, err := p.sizeOf(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
