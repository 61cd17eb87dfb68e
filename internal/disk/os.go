package disk

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
)

// OS is the operating system's file system. Files and directories it makes are
// readable by their owner alone.
type OS struct {
	syncs atomic.Int64
}

// NewOS returns the operating system's file system.
func NewOS() *OS { return &OS{} }

// Syncs is the number of times a file or directory was synced.
func (o *OS) Syncs() int64 { return o.syncs.Load() }

// Open implements FS.
func (o *OS) Open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f, fs: o}, nil
}

// Rename implements FS.
func (o *OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove implements FS.
func (o *OS) Remove(name string) error { return os.Remove(name) }

// Mkdir implements FS.
func (o *OS) Mkdir(name string) error { return os.Mkdir(name, 0o700) }

// listChunk is how many names List holds at a time.
const listChunk = 1024

// List implements FS.
func (o *OS) List(dir string, fn func(name string) error) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	defer d.Close() // nothing was written
	for {
		names, err := d.Readdirnames(listChunk)
		for _, name := range names {
			if err := fn(name); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// SyncDir implements FS.
func (o *OS) SyncDir(dir string) error {
	d, err := os.OpenFile(filepath.Clean(dir), os.O_RDONLY|flagDirectory, 0)
	if err != nil {
		return err
	}
	o.syncs.Add(1)
	return errors.Join(d.Sync(), d.Close())
}

// osFile adds to os.File what the platform offers.
type osFile struct {
	*os.File
	fs                      *OS
	directRead, directWrite directFile
}

func (f *osFile) Close() error {
	return errors.Join(f.directRead.close(), f.directWrite.close(), f.File.Close())
}

func (f *osFile) Sync() error {
	f.fs.syncs.Add(1)
	return f.pathError("fdatasync", fdatasync(f.File))
}

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) pathError(op string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: f.Name(), Err: err}
}
