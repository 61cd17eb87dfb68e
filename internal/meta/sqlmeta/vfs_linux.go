package sqlmeta

import (
	"errors"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// vfsName is the layer between the engine and the operating system that
// connections ask for. It is the engine's own but for one thing: it syncs the
// write-ahead log with fdatasync(2), which writes the size of the file when it
// has changed, and not its times. The engine does so by itself where it is
// compiled with HAVE_FDATASYNC, which its translation to Go is not. With fsync(2)
// each commit writes the inode, too: a second write, or a commit of the file
// system's journal.
const vfsName = "moraine"

// The memory of what follows is the engine's, which keeps pointers to it.

// layer is the engine's layer with another way to open files.
type layer struct {
	sqlite3.Tsqlite3_vfs         // first: what the engine sees
	engine               uintptr // its openFunc
}

// methods are the engine's methods of a file with another way to sync it.
type methods struct {
	sqlite3.Tsqlite3_io_methods         // first: what the engine sees
	engine                      uintptr // a *sqlite3.Tsqlite3_io_methods
}

type (
	openFunc  = func(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32
	syncFunc  = func(tls *libc.TLS, file uintptr, flags int32) int32
	closeFunc = func(tls *libc.TLS, file uintptr) int32
)

// registerVFS makes vfsName known to the engine, once in a process.
var registerVFS = sync.OnceValue(func() error {
	tls := libc.NewTLS()
	defer tls.Close()
	found := sqlite3.Xsqlite3_vfs_find(tls, 0)
	name, err := libc.CString(vfsName)
	made := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(layer{})))
	if found == 0 || err != nil || made == 0 {
		return errors.Join(err, errors.New("the engine has no layer for files, or there is no memory"))
	}
	l := at[layer](made)
	l.Tsqlite3_vfs = *at[sqlite3.Tsqlite3_vfs](found)
	l.FzName, l.FpNext = name, 0
	l.engine, l.FxOpen = l.FxOpen, pointer(openFunc(openFile))
	if rc := sqlite3.Xsqlite3_vfs_register(tls, made, 0); rc != sqlite3.SQLITE_OK {
		return errors.New("the engine takes no other layer for files")
	}
	return nil
})

// openFile has the engine open a file and sees to it that a write-ahead log is
// synced by syncFile.
func openFile(tls *libc.TLS, vfs, name, file uintptr, flags int32, outFlags uintptr) int32 {
	rc := function[openFunc](at[layer](vfs).engine)(tls, vfs, name, file, flags, outFlags)
	if rc != sqlite3.SQLITE_OK || flags&sqlite3.SQLITE_OPEN_WAL == 0 {
		return rc
	}
	made := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(methods{})))
	if made == 0 {
		return rc // the engine's own methods will do
	}
	f, m := at[sqlite3.TunixFile](file), at[methods](made)
	m.engine = f.FpMethod
	m.Tsqlite3_io_methods = *at[sqlite3.Tsqlite3_io_methods](m.engine)
	m.FxSync, m.FxClose = pointer(syncFunc(syncFile)), pointer(closeFunc(closeFile))
	f.FpMethod = made
	return rc
}

// syncFile makes what was written to a file durable. The first sync of a new
// file, which makes its name durable as well, is left to the engine.
func syncFile(tls *libc.TLS, file uintptr, flags int32) int32 {
	f := at[sqlite3.TunixFile](file)
	if f.FctrlFlags&sqlite3.UNIXFILE_DIRSYNC != 0 {
		return function[syncFunc](at[sqlite3.Tsqlite3_io_methods](at[methods](f.FpMethod).engine).FxSync)(tls, file, flags)
	}
	for {
		switch err := unix.Fdatasync(int(f.Fh)); {
		case err == nil:
			return sqlite3.SQLITE_OK
		case !errors.Is(err, unix.EINTR):
			var number unix.Errno
			if errors.As(err, &number) {
				f.FlastErrno = int32(number)
			}
			return sqlite3.SQLITE_IOERR_FSYNC
		}
	}
}

// closeFile gives the methods back that openFile made.
func closeFile(tls *libc.TLS, file uintptr) int32 {
	f := at[sqlite3.TunixFile](file)
	made := f.FpMethod
	f.FpMethod = at[methods](made).engine
	libc.Xfree(tls, made)
	return function[closeFunc](at[sqlite3.Tsqlite3_io_methods](f.FpMethod).FxClose)(tls, file)
}

// at is the thing at an address of the engine's memory.
func at[T any](address uintptr) *T { return *(**T)(unsafe.Pointer(&address)) }

// function is the function that the engine knows by a pointer.
func function[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&p)) }

// pointer is what the engine knows a function by, which must be one of a
// package: the engine keeps nothing else alive.
func pointer[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&f)) }
