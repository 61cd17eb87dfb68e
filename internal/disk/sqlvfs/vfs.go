package sqlvfs

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"moraine/internal/disk"
)

// VFS is a file system that SQLite knows by a name.
type VFS struct {
	fsys disk.FS
	name string

	tls   *libc.TLS
	cname uintptr // the name
	cvfs  uintptr // sqlite3_vfs
	cio   uintptr // sqlite3_io_methods

	mu    sync.Mutex       // guards the rest
	nodes map[string]*node // of files that are open, by path
	files int              // open
}

// New makes fsys known to SQLite. Databases are opened there with the parameter
// vfs=Name() in the data source name, by absolute paths.
func New(fsys disk.FS) (*VFS, error) {
	v := &VFS{fsys: fsys, tls: libc.NewTLS(), nodes: make(map[string]*node)}
	handle := things.add(v)
	v.name = fmt.Sprintf("disk%d", handle)
	var err error
	if v.cname, err = libc.CString(v.name); err == nil {
		v.cvfs = libc.Xcalloc(v.tls, 1, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_vfs{})))
		v.cio = libc.Xcalloc(v.tls, 1, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{})))
	}
	if err != nil || v.cvfs == 0 || v.cio == 0 {
		v.free(handle)
		return nil, errors.Join(errors.New("no memory for a VFS"), err)
	}
	*at[sqlite3.Tsqlite3_io_methods](v.cio) = ioMethods
	*at[sqlite3.Tsqlite3_vfs](v.cvfs) = methods
	at[sqlite3.Tsqlite3_vfs](v.cvfs).FzName = v.cname
	at[sqlite3.Tsqlite3_vfs](v.cvfs).FpAppData = handle
	if rc := sqlite3.Xsqlite3_vfs_register(v.tls, v.cvfs, 0); rc != sqlite3.SQLITE_OK {
		v.free(handle)
		return nil, fmt.Errorf("SQLite refuses the VFS: %d", rc)
	}
	return v, nil
}

// Name is what SQLite knows v by.
func (v *VFS) Name() string { return v.name }

// Close makes SQLite forget v. No database is open in it.
func (v *VFS) Close() error {
	v.mu.Lock()
	open := v.files
	v.mu.Unlock()
	if open > 0 {
		return fmt.Errorf("%d files are open in the VFS", open)
	}
	if rc := sqlite3.Xsqlite3_vfs_unregister(v.tls, v.cvfs); rc != sqlite3.SQLITE_OK {
		return fmt.Errorf("SQLite keeps the VFS: %d", rc)
	}
	v.free(at[sqlite3.Tsqlite3_vfs](v.cvfs).FpAppData)
	return nil
}

func (v *VFS) free(handle uintptr) {
	things.remove(handle)
	for _, p := range []uintptr{v.cname, v.cvfs, v.cio} {
		if p != 0 {
			libc.Xfree(v.tls, p)
		}
	}
	v.tls.Close()
}

// things are the Go values that the engine holds handles of, since its memory
// cannot hold pointers to them.
var things = handles{all: make(map[uintptr]any)}

type handles struct {
	mu   sync.Mutex // guards the rest
	last uintptr
	all  map[uintptr]any
}

func (h *handles) add(thing any) uintptr {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	h.all[h.last] = thing
	return h.last
}

func (h *handles) get(handle uintptr) any {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all[handle]
}

func (h *handles) remove(handle uintptr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, handle)
}

// at is what an address of the engine's memory holds.
func at[T any](address uintptr) *T { return (*T)(*(*unsafe.Pointer)(unsafe.Pointer(&address))) }

// bytesAt is n bytes of the engine's memory.
func bytesAt(address uintptr, n int32) []byte { return unsafe.Slice(at[byte](address), n) }

// pointer is a function as the engine calls it. fn is declared at the top level:
// nothing else keeps it alive.
func pointer[F any](fn F) uintptr { return *(*uintptr)(unsafe.Pointer(&fn)) }
