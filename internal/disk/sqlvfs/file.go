package sqlvfs

import (
	"errors"
	"io"
	"path/filepath"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"moraine/internal/disk"
)

// cFile is an open file as the engine holds it.
type cFile struct {
	methods uintptr
	handle  uintptr
}

const fileSize = int32(unsafe.Sizeof(cFile{}))

// file is an open file.
type file struct {
	v       *VFS
	f       disk.File
	path    string
	newName bool // which the next sync makes durable

	// Guarded by v.mu.
	node      *node
	level     int32  // of the lock
	shared    uint16 // locks of the index held for reading
	exclusive uint16 // and for writing
	mapped    bool   // the index
}

var ioMethods = sqlite3.Tsqlite3_io_methods{
	FiVersion: 2,
	FxClose:   pointer(xClose), FxRead: pointer(xRead), FxWrite: pointer(xWrite), FxTruncate: pointer(xTruncate),
	FxSync: pointer(xSync), FxFileSize: pointer(xFileSize), FxLock: pointer(xLock), FxUnlock: pointer(xUnlock),
	FxCheckReservedLock: pointer(xCheckReservedLock), FxFileControl: pointer(xFileControl),
	FxSectorSize: pointer(xSectorSize), FxDeviceCharacteristics: pointer(xDeviceCharacteristics),
	FxShmMap: pointer(xShmMap), FxShmLock: pointer(xShmLock), FxShmBarrier: pointer(xShmBarrier),
	FxShmUnmap: pointer(xShmUnmap),
}

func fileAt(address uintptr) *file { return things.get(at[cFile](address).handle).(*file) }

func xClose(tls *libc.TLS, p uintptr) int32 {
	f := fileAt(p)
	f.v.leave(tls, f)
	things.remove(at[cFile](p).handle)
	return code(f.f.Close(), sqlite3.SQLITE_IOERR_CLOSE)
}

func xRead(_ *libc.TLS, p, out uintptr, size int32, off int64) int32 {
	b := bytesAt(out, size)
	n, err := fileAt(p).f.ReadAt(b, off)
	switch {
	case n == len(b):
		return sqlite3.SQLITE_OK
	case errors.Is(err, io.EOF):
		clear(b[n:])
		return sqlite3.SQLITE_IOERR_SHORT_READ
	}
	return sqlite3.SQLITE_IOERR_READ
}

func xWrite(_ *libc.TLS, p, from uintptr, size int32, off int64) int32 {
	_, err := fileAt(p).f.WriteAt(bytesAt(from, size), off)
	return code(err, sqlite3.SQLITE_IOERR_WRITE)
}

func xTruncate(_ *libc.TLS, p uintptr, size int64) int32 {
	return code(fileAt(p).f.Truncate(size), sqlite3.SQLITE_IOERR_TRUNCATE)
}

func xSync(_ *libc.TLS, p uintptr, _ int32) int32 {
	f := fileAt(p)
	if err := f.f.Sync(); err != nil {
		return sqlite3.SQLITE_IOERR_FSYNC
	}
	if f.newName {
		if err := f.v.fsys.SyncDir(filepath.Dir(f.path)); err != nil {
			return sqlite3.SQLITE_IOERR_DIR_FSYNC
		}
		f.newName = false
	}
	return sqlite3.SQLITE_OK
}

func xFileSize(_ *libc.TLS, p, out uintptr) int32 {
	size, err := fileAt(p).f.Size()
	*at[int64](out) = size
	return code(err, sqlite3.SQLITE_IOERR_FSTAT)
}

func xFileControl(*libc.TLS, uintptr, int32, uintptr) int32 { return sqlite3.SQLITE_NOTFOUND }

func xSectorSize(*libc.TLS, uintptr) int32 { return sector }

func xDeviceCharacteristics(*libc.TLS, uintptr) int32 { return characteristics }
