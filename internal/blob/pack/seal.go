package pack

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
)

// sealer moves finished files from open/ to sealed/. What cannot be moved now
// stays in open/, readable, and is tried again with the next files.
type sealer struct {
	s *Store

	mu      sync.Mutex // guards waiting
	waiting []fileName
	wake    chan struct{} // holds at most one value; closed to stop
	stopped chan struct{}

	stuck []fileName // belongs to the goroutine
}

func newSealer(s *Store) *sealer {
	return &sealer{s: s, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
}

func (l *sealer) queue(n fileName) {
	l.mu.Lock()
	l.waiting = append(l.waiting, n)
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default: // it will look
	}
}

func (l *sealer) take() []fileName {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := l.waiting
	l.waiting = nil
	return batch
}

func (l *sealer) run() {
	defer close(l.stopped)
	for range l.wake {
		for batch := l.take(); len(batch) > 0; batch = l.take() {
			l.seal(batch)
		}
	}
}

func (l *sealer) stop() {
	close(l.wake)
	<-l.stopped
}

// seal moves files and makes the moves durable, with one sync for each
// directory.
func (l *sealer) seal(batch []fileName) {
	batch = append(batch, l.stuck...)
	l.stuck = nil
	shards := map[string]bool{}
	var moved []fileName
	for _, n := range batch {
		empty, err := l.s.sealOne(n)
		switch {
		case err != nil:
			l.s.log.Warn("file stays in open", "file", n.base(), "error", err)
			l.stuck = append(l.stuck, n)
		case empty:
			l.s.dropUnsealed(n)
		default:
			shards[filepath.Dir(l.s.sealedPath(n))] = true
			moved = append(moved, n)
		}
	}
	// The files are at their new names. A crash on any line from here on leaves
	// each at one of its two names, and readers know both.
	for shard := range shards {
		if err := l.s.fs.SyncDir(shard); err != nil {
			l.s.log.Warn("moves to a directory may not be durable", "dir", shard, "error", err)
		}
	}
	if len(moved) > 0 {
		if err := l.s.syncOpen(); err != nil {
			l.s.log.Warn("moves out of open may not be durable", "error", err)
		}
	}
	for _, n := range moved {
		l.s.dropUnsealed(n)
		if n.kind == shared {
			l.s.reaper.inspect(n)
		}
	}
}

// sealOne moves one file. A shared pack gets its end record first, or is
// removed if it holds nothing.
func (s *Store) sealOne(n fileName) (empty bool, err error) {
	if n.kind == shared {
		u := s.findUnsealed(n)
		if u.end.Load() == fileHeaderSize {
			err := s.remove(s.openPath(n))
			return true, err
		}
		if err := s.writeEnd(n, u.end.Load()); err != nil {
			return false, err
		}
	}
	if err := s.makeShard(n); err != nil {
		return false, err
	}
	err = s.fs.Rename(s.openPath(n), s.sealedPath(n))
	if isMissing(err) && n.kind == single {
		return true, nil // deleted meanwhile
	}
	return false, err
}

// writeEnd ends a shared pack at offset end. Repeating it does no harm.
func (s *Store) writeEnd(n fileName, end int64) (err error) {
	f, err := s.fs.Open(s.openPath(n), os.O_RDWR)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var p [headerSize]byte
	header{kind: kindEnd, span: headerSize, base: end, dead: true}.encode(p[:], n.id, shared, end)
	if _, err := f.WriteAt(p[:], end); err != nil {
		return err
	}
	// The end record may be torn by a crash here: recovery then finds the same
	// end and writes it again.
	if err := f.Sync(); err != nil {
		return err
	}
	// Durable now: the end record. What lies behind it was never acknowledged.
	if err := f.Truncate(end + headerSize); err != nil {
		return err
	}
	return f.Sync()
}
