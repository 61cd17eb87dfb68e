// Package crashfs is a file system in memory that loses power on demand.
//
// It keeps what is synced apart from what is merely written, for bytes and for
// names, and makes of that any state a real disk may be found in after a crash:
// writes lost, kept out of order or torn within, names lost or kept, renames
// never torn. It fails chosen operations, with or without having done them, and
// it can be full. It is for tests; it must not know what the files are for.
package crashfs

import (
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"moraine/internal/disk"
)

// Fault is what happens to an operation that is chosen to fail. All faults but
// Full are an input/output error.
type Fault int

// The faults.
const (
	// Lost fails the operation and does not do it. A sync that fails so loses
	// what it should have saved, and no later sync saves it.
	Lost Fault = iota + 1
	// Persisted does the operation and reports that it failed.
	Persisted
	// Full fails the operation for want of space, if it could want some.
	Full
	// PowerCut fails the operation and all that follow, of any sort. What the
	// disk holds then is for Crash to say.
	PowerCut
)

// pageSize is the grain of allocation, sectorSize that of torn writes.
const (
	pageSize   = 4096
	sectorSize = 512
)

// FS is a file system in memory. The root and the working directory exist.
type FS struct {
	mu       sync.Mutex // guards everything, inodes too
	names    map[string]*inode
	dirs     map[string]bool
	durable  map[string]*inode
	durDirs  map[string]bool
	pending  []nameOp // name changes not yet durable, in order
	capacity int64    // pages; negative for no bound
	used     int64    // pages
	open     int      // files
	syncs    int64

	ops       int // that change something, so far
	reads     int
	failOp    int // the number of the operation that fails; 0 for none
	failRead  int
	fault     Fault
	dead      bool // the power is cut
	failEvery bool // each operation from failOp on fails
	solid     bool // files cannot have holes

	watch func(op int, crash func(Keep, *rand.Rand) *FS) // nil for nobody
}

type inode struct {
	cur     content // what a read sees
	durable content // what a crash leaves at least
	pending []dataOp
	pages   map[int64]bool // allocated
	lost    int            // syncs that lost something; every open file learns of each
}

// nameOp is a change of names. A creation has no from, a removal no to; a
// directory has no inode.
type nameOp struct {
	from, to string
	ino      *inode
}

// dataOp is a change of content: bytes at an offset, or a new size, or a
// range of zeros.
type dataOp struct {
	off   int64
	data  []byte
	size  int64 // of the file, when resize
	zeros int64 // number of bytes, when a hole
	kind  opKind
}

type opKind int

const (
	opWrite opKind = iota + 1
	opResize
	opPunch
)

// New returns an empty file system without bounds.
func New() *FS {
	return &FS{
		names: map[string]*inode{}, dirs: map[string]bool{".": true, "/": true},
		durable: map[string]*inode{}, durDirs: map[string]bool{".": true, "/": true},
		capacity: -1,
	}
}

// Ops is the number of operations so far that change something: writes,
// syncs, truncations, allocations, punches and changes of names.
func (f *FS) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops
}

// Syncs is the number of syncs so far.
func (f *FS) Syncs() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.syncs
}

// OpenFiles is the number of files that are open.
func (f *FS) OpenFiles() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open
}

// Fail makes the n-th operation from now fail; n below 1 calls it off.
func (f *FS) Fail(n int, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failOp, f.fault, f.failEvery = 0, fault, false
	if n > 0 {
		f.failOp = f.ops + n
	}
}

// FailAll makes every operation fail from now on until Fail is called.
func (f *FS) FailAll(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failOp, f.fault, f.failEvery = f.ops+1, fault, true
}

// Watch calls fn before each operation that changes something, with its number,
// while everything else stands still. crash is Crash at that instant; fn must not
// use f in any other way. Nil ends it.
func (f *FS) Watch(fn func(op int, crash func(Keep, *rand.Rand) *FS)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch = fn
}

// FailRead makes the n-th read from now fail.
func (f *FS) FailRead(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failRead = f.reads + n
}

// Failed reports whether the operation chosen by Fail has come.
func (f *FS) Failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failOp > 0 && f.ops >= f.failOp
}

// Limit bounds the space to what is used now and n bytes; n below 0 lifts it.
func (f *FS) Limit(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.capacity = -1
	if n >= 0 {
		f.capacity = f.used + n/pageSize
	}
}

func (f *FS) isSolid() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.solid
}

// Solid makes it a file system whose files cannot have holes.
func (f *FS) Solid() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.solid = true
}

// Used is the number of bytes allocated.
func (f *FS) Used() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used * pageSize
}

// Names are the files there are.
func (f *FS) Names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for name := range f.names {
		names = append(names, name)
	}
	return names
}

// ReadFile returns a copy of a file's content, nil if there is none.
func (f *FS) ReadFile(name string) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	ino := f.names[filepath.Clean(name)]
	if ino == nil {
		return nil
	}
	return ino.cur.all()
}

// Flip inverts the bits of mask in one byte of a file, on the disk itself.
func (f *FS) Flip(name string, off int64, mask byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ino := f.names[filepath.Clean(name)]
	ino.cur = ino.cur.flip(off, mask)
	if off < ino.durable.size {
		ino.durable = ino.durable.flip(off, mask)
	}
}

// step counts an operation that changes something. It reports whether to do
// it, and the error to return in any case.
func (f *FS) step(op, name string, wantsSpace bool) (do bool, err error) {
	if f.dead {
		return false, &fs.PathError{Op: op, Path: name, Err: syscall.EIO}
	}
	f.ops++
	if f.watch != nil {
		f.watch(f.ops, f.crash)
	}
	if f.failOp == 0 || f.ops < f.failOp || (f.ops > f.failOp && !f.failEvery) {
		return true, nil
	}
	switch f.fault {
	case Full:
		if !wantsSpace {
			return true, nil
		}
		return false, &fs.PathError{Op: op, Path: name, Err: syscall.ENOSPC}
	case PowerCut:
		f.dead = true
	}
	return f.fault == Persisted, &fs.PathError{Op: op, Path: name, Err: syscall.EIO}
}

func (f *FS) readStep(op, name string) error {
	f.reads++
	if f.dead || f.reads == f.failRead {
		return &fs.PathError{Op: op, Path: name, Err: syscall.EIO}
	}
	return nil
}

// allocate takes the pages of a range, or none if they do not fit.
func (f *FS) allocate(ino *inode, off, n int64) bool {
	if n == 0 {
		return true
	}
	var missing []int64
	for p := off / pageSize; p <= (off+n-1)/pageSize; p++ {
		if !ino.pages[p] {
			missing = append(missing, p)
		}
	}
	if f.capacity >= 0 && f.used+int64(len(missing)) > f.capacity {
		return false
	}
	for _, p := range missing {
		ino.pages[p] = true
	}
	f.used += int64(len(missing))
	return true
}

// release gives back the pages that lie wholly within a range.
func (f *FS) release(ino *inode, off, end int64) {
	for p := range ino.pages {
		if p*pageSize >= off && (p+1)*pageSize <= end {
			delete(ino.pages, p)
			f.used--
		}
	}
}

// Open implements disk.FS.
func (f *FS) Open(name string, flag int) (disk.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	name = filepath.Clean(name)
	ino, ok := f.names[name]
	switch {
	case ok && flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	case !ok && flag&os.O_CREATE == 0, !ok && !f.dirs[filepath.Dir(name)]:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case !ok:
		do, err := f.step("create", name, true)
		if err == nil && f.capacity >= 0 && f.used >= f.capacity {
			return nil, &fs.PathError{Op: "create", Path: name, Err: syscall.ENOSPC}
		}
		if do {
			ino = &inode{pages: map[int64]bool{}}
			f.names[name] = ino
			f.pending = append(f.pending, nameOp{to: name, ino: ino})
		}
		if err != nil {
			return nil, err
		}
	default:
		if err := f.readStep("open", name); err != nil {
			return nil, err
		}
	}
	f.open++
	return &file{fs: f, ino: ino, name: name, writable: flag&os.O_RDWR != 0, lost: ino.lost}, nil
}

// Rename implements disk.FS.
func (f *FS) Rename(from, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	from, to = filepath.Clean(from), filepath.Clean(to)
	ino := f.names[from]
	if ino == nil || !f.dirs[filepath.Dir(to)] {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrNotExist}
	}
	do, err := f.step("rename", from, false)
	if do {
		delete(f.names, from)
		f.names[to] = ino
		f.pending = append(f.pending, nameOp{from: from, to: to, ino: ino})
	}
	return err
}

// Remove implements disk.FS.
func (f *FS) Remove(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	name = filepath.Clean(name)
	if f.dirs[name] {
		return f.rmdir(name)
	}
	ino := f.names[name]
	if ino == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	do, err := f.step("remove", name, false)
	if do {
		delete(f.names, name)
		f.used -= int64(len(ino.pages)) // at once, even if it is open: simpler, and kinder to no test
		ino.pages = map[int64]bool{}
		f.pending = append(f.pending, nameOp{from: name, ino: ino})
	}
	return err
}

func (f *FS) rmdir(name string) error {
	for _, all := range []iter.Seq[string]{maps.Keys(f.names), maps.Keys(f.dirs)} {
		for other := range all {
			if filepath.Dir(other) == name {
				return &fs.PathError{Op: "rmdir", Path: name, Err: syscall.ENOTEMPTY}
			}
		}
	}
	do, err := f.step("rmdir", name, false)
	if do {
		delete(f.dirs, name)
		f.pending = append(f.pending, nameOp{from: name})
	}
	return err
}

// Mkdir implements disk.FS.
func (f *FS) Mkdir(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	name = filepath.Clean(name)
	if f.dirs[name] || f.names[name] != nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
	}
	if !f.dirs[filepath.Dir(name)] {
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrNotExist}
	}
	do, err := f.step("mkdir", name, true)
	if err == nil && f.capacity >= 0 && f.used >= f.capacity {
		return &fs.PathError{Op: "mkdir", Path: name, Err: syscall.ENOSPC}
	}
	if do {
		f.dirs[name] = true
		f.pending = append(f.pending, nameOp{to: name})
	}
	return err
}

// List implements disk.FS.
func (f *FS) List(dir string, fn func(name string) error) error {
	names, err := f.list(filepath.Clean(dir))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := fn(name); err != nil {
			return err
		}
	}
	return nil
}

func (f *FS) list(dir string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.readStep("list", dir); err != nil {
		return nil, err
	}
	if !f.dirs[dir] {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	var names []string
	for name := range f.names {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	for name := range f.dirs {
		if filepath.Dir(name) == dir && name != dir {
			names = append(names, filepath.Base(name))
		}
	}
	return names, nil
}

// SyncDir implements disk.FS.
func (f *FS) SyncDir(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir = filepath.Clean(dir)
	if !f.dirs[dir] {
		return &fs.PathError{Op: "syncdir", Path: dir, Err: fs.ErrNotExist}
	}
	do, err := f.step("syncdir", dir, false)
	f.syncs++
	var rest []nameOp
	for _, op := range f.pending {
		touches := (op.from != "" && filepath.Dir(op.from) == dir) || (op.to != "" && filepath.Dir(op.to) == dir)
		switch {
		case !touches:
			rest = append(rest, op)
		case do:
			op.apply(f.durable, f.durDirs)
			if op.from != "" {
				rest = forget(rest, op)
			}
		}
	}
	f.pending = rest
	return err
}

// forget drops earlier changes that brought op's file to the name it left.
func forget(ops []nameOp, op nameOp) []nameOp {
	var rest []nameOp
	for _, o := range ops {
		if o.to != op.from || o.ino != op.ino {
			rest = append(rest, o)
		}
	}
	return rest
}

func (op nameOp) apply(names map[string]*inode, dirs map[string]bool) {
	if op.from != "" && names[op.from] == op.ino {
		delete(names, op.from)
	}
	switch {
	case op.to == "" && op.ino == nil:
		delete(dirs, op.from)
	case op.to == "":
	case op.ino == nil:
		dirs[op.to] = true
	default:
		names[op.to] = op.ino
	}
}
