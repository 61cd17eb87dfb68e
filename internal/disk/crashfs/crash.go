package crashfs

import (
	"maps"
	"math/rand/v2"
	"path/filepath"
)

// Keep says what a crash does with what was not synced.
type Keep int

// The ways of a crash.
const (
	KeepNone   Keep = iota + 1 // nothing of it is on the disk
	KeepAll                    // all of it is
	KeepRandom                 // any of it is: each change, or each sector of a write, by itself
)

// Crash returns what the disk holds if the power fails now. f goes on as
// before. rnd is needed for KeepRandom alone.
func (f *FS) Crash(keep Keep, rnd *rand.Rand) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.crash(keep, rnd)
}

func (f *FS) crash(keep Keep, rnd *rand.Rand) *FS {
	kept := func() bool { return keep == KeepAll || keep == KeepRandom && rnd.IntN(2) == 0 }

	names, dirs := maps.Clone(f.durable), maps.Clone(f.durDirs)
	for _, op := range f.pending {
		if kept() {
			op.apply(names, dirs)
		}
	}
	c := New()
	c.solid = f.solid
	for dir := range dirs {
		if reachable(dirs, dir) {
			c.dirs[dir], c.durDirs[dir] = true, true
		}
	}
	for name, ino := range names {
		if !c.dirs[filepath.Dir(name)] {
			continue
		}
		left := ino.crash(keep, kept, rnd)
		after := &inode{cur: left, durable: left.clone(), pages: map[int64]bool{}}
		c.allocate(after, 0, left.size)
		c.names[name], c.durable[name] = after, after
	}
	return c
}

func reachable(dirs map[string]bool, dir string) bool {
	for dirs[dir] {
		parent := filepath.Dir(dir)
		if parent == dir {
			return true
		}
		dir = parent
	}
	return false
}

func (i *inode) crash(keep Keep, kept func() bool, rnd *rand.Rand) content {
	left := i.durable.clone()
	for _, op := range i.pending {
		switch {
		case kept():
			left = op.apply(left)
		case keep == KeepRandom && op.kind == opWrite && rnd.IntN(2) == 0:
			left = op.tear(left, rnd)
		}
	}
	return left
}

// tear applies any of the sectors of a write.
func (op dataOp) tear(left content, rnd *rand.Rand) content {
	for at, p := op.off, op.data; len(p) > 0; {
		n := min(sectorSize-at%sectorSize, int64(len(p)))
		if rnd.IntN(2) == 0 {
			left = left.write(p[:n], at)
		}
		at, p = at+n, p[n:]
	}
	return left
}
