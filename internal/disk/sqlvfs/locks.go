package sqlvfs

import (
	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// node is what the open files of one path have in common.
type node struct {
	files   int
	readers int   // files with any lock
	writer  *file // with a reserved lock or a stronger one

	regions []uintptr // of the index, in the engine's memory
	maps    int       // files that have it
	slots   [sqlite3.SQLITE_SHM_NLOCK]slot
}

// slot is one lock of the index.
type slot struct {
	readers int
	writer  *file
}

// enter notes an open file.
func (v *VFS) enter(f *file) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.files++
	f.node = v.nodes[f.path]
	if f.node == nil {
		f.node = new(node)
		v.nodes[f.path] = f.node
	}
	f.node.files++
}

// leave forgets it with all it holds.
func (v *VFS) leave(tls *libc.TLS, f *file) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f.unlock(sqlite3.SQLITE_LOCK_NONE)
	f.unmap(tls)
	v.files--
	if f.node.files--; f.node.files == 0 {
		delete(v.nodes, f.path)
	}
}

func xLock(_ *libc.TLS, p uintptr, level int32) int32 {
	f := fileAt(p)
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	n := f.node
	for f.level < level {
		switch {
		case f.level == sqlite3.SQLITE_LOCK_NONE:
			if n.writer != nil && n.writer.level >= sqlite3.SQLITE_LOCK_PENDING {
				return sqlite3.SQLITE_BUSY
			}
			n.readers++
			f.level = sqlite3.SQLITE_LOCK_SHARED
		case f.level == sqlite3.SQLITE_LOCK_SHARED:
			if n.writer != nil {
				return sqlite3.SQLITE_BUSY
			}
			n.writer, f.level = f, sqlite3.SQLITE_LOCK_RESERVED
		case f.level == sqlite3.SQLITE_LOCK_RESERVED:
			f.level = sqlite3.SQLITE_LOCK_PENDING // nobody comes to read any more
		default:
			if n.readers > 1 {
				return sqlite3.SQLITE_BUSY
			}
			f.level = sqlite3.SQLITE_LOCK_EXCLUSIVE
		}
	}
	return sqlite3.SQLITE_OK
}

func xUnlock(_ *libc.TLS, p uintptr, level int32) int32 {
	f := fileAt(p)
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	f.unlock(level)
	return sqlite3.SQLITE_OK
}

// unlock goes down to a level, none or shared.
func (f *file) unlock(level int32) {
	if f.level <= level {
		return
	}
	if f.node.writer == f {
		f.node.writer = nil
	}
	if level == sqlite3.SQLITE_LOCK_NONE {
		f.node.readers--
	}
	f.level = level
}

func xCheckReservedLock(_ *libc.TLS, p, out uintptr) int32 {
	f := fileAt(p)
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	*at[int32](out) = 0
	if f.node.writer != nil {
		*at[int32](out) = 1
	}
	return sqlite3.SQLITE_OK
}

func xShmMap(tls *libc.TLS, p uintptr, region, size, extend int32, out uintptr) int32 {
	f := fileAt(p)
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	n := f.node
	if !f.mapped {
		f.mapped = true
		n.maps++
	}
	for extend != 0 && len(n.regions) <= int(region) {
		r := libc.Xcalloc(tls, 1, libc.Tsize_t(size))
		if r == 0 {
			return sqlite3.SQLITE_NOMEM
		}
		n.regions = append(n.regions, r)
	}
	*at[uintptr](out) = 0
	if int(region) < len(n.regions) {
		*at[uintptr](out) = n.regions[region]
	}
	return sqlite3.SQLITE_OK
}

func xShmLock(_ *libc.TLS, p uintptr, first, count, flags int32) int32 {
	f := fileAt(p)
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	slots := f.node.slots[first : first+count]
	switch {
	case flags&sqlite3.SQLITE_SHM_UNLOCK != 0:
		for i := range slots {
			f.freeSlot(first + int32(i))
		}
		return sqlite3.SQLITE_OK
	case flags&sqlite3.SQLITE_SHM_SHARED != 0:
		if f.shared&(1<<first) != 0 {
			return sqlite3.SQLITE_OK
		}
		if slots[0].writer != nil {
			return sqlite3.SQLITE_BUSY
		}
		slots[0].readers++
		f.shared |= 1 << first
		return sqlite3.SQLITE_OK
	}
	for i := range slots {
		if slots[i].readers > 0 || slots[i].writer != nil && slots[i].writer != f {
			return sqlite3.SQLITE_BUSY
		}
	}
	for i := range slots {
		slots[i].writer = f
		f.exclusive |= 1 << (first + int32(i))
	}
	return sqlite3.SQLITE_OK
}

// freeSlot gives up whatever f holds of a lock of the index.
func (f *file) freeSlot(i int32) {
	if f.shared&(1<<i) != 0 {
		f.node.slots[i].readers--
		f.shared &^= 1 << i
	}
	if f.exclusive&(1<<i) != 0 {
		f.node.slots[i].writer = nil
		f.exclusive &^= 1 << i
	}
}

// xShmBarrier orders what was written to the index before what is read from it.
func xShmBarrier(_ *libc.TLS, p uintptr) {
	f := fileAt(p)
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
}

func xShmUnmap(tls *libc.TLS, p uintptr, _ int32) int32 {
	f := fileAt(p)
	f.v.mu.Lock()
	defer f.v.mu.Unlock()
	f.unmap(tls)
	return sqlite3.SQLITE_OK
}

// unmap gives the index up. With the last file that has it, it is gone.
func (f *file) unmap(tls *libc.TLS) {
	if !f.mapped {
		return
	}
	for i := range int32(sqlite3.SQLITE_SHM_NLOCK) {
		f.freeSlot(i)
	}
	f.mapped = false
	n := f.node
	if n.maps--; n.maps > 0 {
		return
	}
	for _, r := range n.regions {
		libc.Xfree(tls, r)
	}
	n.regions = nil
}
