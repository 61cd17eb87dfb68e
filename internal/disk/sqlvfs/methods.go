package sqlvfs

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"moraine/internal/disk"
)

// What the engine's layer for Unix says of a disk.
const (
	pathMax         = 512
	sector          = 4096
	characteristics = sqlite3.SQLITE_IOCAP_POWERSAFE_OVERWRITE | sqlite3.SQLITE_IOCAP_SUBPAGE_READ
	julianEpoch     = 210866760000000 // milliseconds from the Julian epoch to that of Unix
)

var methods = sqlite3.Tsqlite3_vfs{
	FiVersion: 2, FszOsFile: fileSize, FmxPathname: pathMax,
	FxOpen: pointer(xOpen), FxDelete: pointer(xDelete), FxAccess: pointer(xAccess),
	FxFullPathname: pointer(xFullPathname), FxRandomness: pointer(xRandomness), FxSleep: pointer(xSleep),
	FxCurrentTime: pointer(xCurrentTime), FxGetLastError: pointer(xGetLastError),
	FxCurrentTimeInt64: pointer(xCurrentTimeInt64),
}

func vfsAt(address uintptr) *VFS {
	return things.get(at[sqlite3.Tsqlite3_vfs](address).FpAppData).(*VFS)
}

// code is the result code of an error, which is other if it says nothing more.
func code(err error, other int32) int32 {
	switch {
	case err == nil:
		return sqlite3.SQLITE_OK
	case disk.IsFull(err):
		return sqlite3.SQLITE_FULL
	}
	return other
}

func xOpen(_ *libc.TLS, vfs, name, into uintptr, flags int32, out uintptr) int32 {
	*at[cFile](into) = cFile{}
	if name == 0 {
		return sqlite3.SQLITE_CANTOPEN // temporary files are kept in memory
	}
	v := vfsAt(vfs)
	f := &file{v: v, path: libc.GoString(name)}
	mode := os.O_RDONLY
	if flags&sqlite3.SQLITE_OPEN_READWRITE != 0 {
		mode = os.O_RDWR
	}
	const journals = sqlite3.SQLITE_OPEN_WAL | sqlite3.SQLITE_OPEN_MAIN_JOURNAL | sqlite3.SQLITE_OPEN_SUPER_JOURNAL
	if flags&sqlite3.SQLITE_OPEN_CREATE != 0 {
		mode |= os.O_CREATE
		// As the layer for Unix: the name of a journal is synced with its first
		// sync, that of a database is left to whoever makes it.
		f.newName = flags&journals != 0
	}
	if flags&sqlite3.SQLITE_OPEN_EXCLUSIVE != 0 {
		mode |= os.O_EXCL
	}
	var err error
	if f.f, err = v.fsys.Open(f.path, mode); err != nil {
		return code(err, sqlite3.SQLITE_CANTOPEN)
	}
	v.enter(f)
	*at[cFile](into) = cFile{methods: v.cio, handle: things.add(f)}
	if out != 0 {
		*at[int32](out) = flags
	}
	return sqlite3.SQLITE_OK
}

func xDelete(_ *libc.TLS, vfs, name uintptr, syncDir int32) int32 {
	v, path := vfsAt(vfs), libc.GoString(name)
	err := v.fsys.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return sqlite3.SQLITE_IOERR_DELETE_NOENT
	}
	if err != nil {
		return sqlite3.SQLITE_IOERR_DELETE
	}
	if syncDir != 0 {
		return code(v.fsys.SyncDir(filepath.Dir(path)), sqlite3.SQLITE_IOERR_DIR_FSYNC)
	}
	return sqlite3.SQLITE_OK
}

func xAccess(_ *libc.TLS, vfs, name uintptr, flags int32, out uintptr) int32 {
	*at[int32](out) = 0
	f, err := vfsAt(vfs).fsys.Open(libc.GoString(name), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return sqlite3.SQLITE_OK
	}
	if err != nil {
		return sqlite3.SQLITE_IOERR_ACCESS
	}
	size, err := f.Size()
	if err = errors.Join(err, f.Close()); err != nil {
		return sqlite3.SQLITE_IOERR_ACCESS
	}
	// A journal without content is none.
	if flags != sqlite3.SQLITE_ACCESS_EXISTS || size > 0 {
		*at[int32](out) = 1
	}
	return sqlite3.SQLITE_OK
}

func xFullPathname(_ *libc.TLS, _, name uintptr, size int32, out uintptr) int32 {
	path := filepath.Clean(libc.GoString(name))
	if !filepath.IsAbs(path) || len(path) >= int(size) {
		return sqlite3.SQLITE_CANTOPEN
	}
	p := bytesAt(out, size)
	p[copy(p, path)] = 0
	return sqlite3.SQLITE_OK
}

func xRandomness(_ *libc.TLS, _ uintptr, n int32, out uintptr) int32 {
	rand.Read(bytesAt(out, n))
	return n
}

func xSleep(_ *libc.TLS, _ uintptr, micros int32) int32 {
	time.Sleep(time.Duration(micros) * time.Microsecond)
	return micros
}

func xCurrentTime(_ *libc.TLS, _, out uintptr) int32 {
	*at[float64](out) = float64(time.Now().UnixMilli()+julianEpoch) / 86_400_000
	return sqlite3.SQLITE_OK
}

func xCurrentTimeInt64(_ *libc.TLS, _, out uintptr) int32 {
	*at[int64](out) = time.Now().UnixMilli() + julianEpoch
	return sqlite3.SQLITE_OK
}

func xGetLastError(_ *libc.TLS, _ uintptr, _ int32, _ uintptr) int32 { return 0 }
