package pack

import (
	"context"
	"io"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/disk"
	"moraine/internal/treehash"
)

const (
	// ringSize is how many leaves of a large blob are in memory at most, each
	// way: one in hand, the others on their way to or from the disk.
	ringSize = 3
	// flushWindow is how much is written before the disk is told to begin. Two
	// windows are under way at most, so that the last sync has little to do.
	flushWindow = 8 << 20
)

// putLarge writes a blob to a file of its own.
func (s *Store) putLarge(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (_ ref, err error) {
	name := fileName{kind: single, id: newPackID(s.cfg.Now())}
	state, err := s.addUnsealed(name)
	if err != nil {
		return ref{}, err
	}
	failures := s.failures()
	f, err := s.create(name)
	if err != nil {
		s.dropUnsealed(name)
		return ref{}, unavailable(err)
	}
	closed, done := false, false
	defer func() {
		if !closed {
			// The file is about to be removed; no byte of it matters.
			_ = f.Close()
		}
		if !done {
			s.abandon(name)
		}
	}()

	at := ref{id: name.id, shape: shape{kind: single, off: fileHeaderSize, size: size}}
	if err := disk.Allocate(f, 0, at.end()); err != nil {
		return ref{}, unavailable(err)
	}
	t, err := s.stream(ctx, f, at.shape, r)
	if err != nil {
		return ref{}, err
	}
	if at.crc, err = s.finish(f, at, id, t); err != nil {
		return ref{}, unavailable(err)
	}
	if err := f.Sync(); err != nil {
		return ref{}, unavailable(err)
	}
	// Durable now: the whole file. A crash on the next line may lose its name,
	// and nobody was told of it. The name comes second because file systems with
	// a journal have it on the disk by now.
	if err := s.syncName(failures); err != nil {
		return ref{}, unavailable(err)
	}
	// Durable now: the file and its name in open/. A crash on the next line
	// leaves a complete file there, which Open seals, and which no row names.
	closed, done = true, true
	if err := f.Close(); err != nil {
		s.log.Warn("large file closed with an error", "file", name.base(), "error", err)
	}
	state.end.Store(at.end())
	s.sealer.queue(name)
	return at, nil
}

// abandon removes a file that did not become a blob. If that fails, the next
// Open finds it torn and removes it.
func (s *Store) abandon(n fileName) {
	if err := s.fs.Remove(s.openPath(n)); err != nil {
		s.log.Warn("unfinished file could not be removed", "file", n.base(), "error", err)
	}
	s.dropUnsealed(n)
}

// finish writes what surrounds the data and returns the CRC of the header. The
// header comes last, so that most torn files show it.
func (s *Store) finish(f disk.File, at ref, id moraine.BlobID, t *tail) (uint32, error) {
	var front [largeDataOffset]byte
	fileHeader{kind: single, id: at.id, made: s.cfg.Now().UnixMilli()}.encode(front[:])
	h := header{kind: kindBlob, blob: id, size: at.size, span: at.span()}
	crc := h.encode(front[at.off:], at.id, single, at.off)

	rest := make([]byte, at.end()-at.digestsAt())
	sum := sumOf(t.encode(rest), front[at.off:])
	trailer{sum: sum, span: at.span()}.encode(rest[len(rest)-trailerSize:], at.id, at.trailerAt())
	if _, err := f.WriteAt(rest, at.digestsAt()); err != nil {
		return 0, err
	}
	_, err := f.WriteAt(front[:], 0)
	return crc, err
}

// stream copies the data from r to f. The disk writes what came before while
// more is read.
func (s *Store) stream(ctx context.Context, f disk.File, at shape, r io.Reader) (*tail, error) {
	w := &largeWriter{s: s, f: f, pos: at.dataAt(), chunk: chunkFor(r, at.size), transfers: s.transfers.get()}
	defer w.release()
	w.tail.crcs = make([]uint32, 0, at.frames())
	leaves, err := w.feed(ctx, r, at.size)
	if err != nil {
		return nil, err
	}
	w.tail.digests, err = digests(r, at.size, func() []treehash.Digest { return leaves })
	return &w.tail, err
}

// chunkFor is the size of the buffers for a blob. A small one is here because
// memory is short, so it gets small ones; but a reader without digests of its
// own is hashed by whole leaves.
func chunkFor(r io.Reader, size int64) int64 {
	if _, ok := r.(blob.Digester); ok && size <= treehash.LeafSize {
		return frameSize
	}
	return treehash.LeafSize
}

// largeWriter writes the data of one blob to its file. One goroutine uses it.
type largeWriter struct {
	s         *Store
	f         disk.File
	chunk     int64    // bytes of a buffer
	made      int      // buffers, at most ringSize
	free      [][]byte // those that hold nothing
	transfers *disk.Transfers

	pos     int64
	flushed int64 // everything in the file before this was given to the disk
	tail    tail
}

// feed reads r chunk by chunk and returns the digests, unless r has its own.
// All of it is written when feed returns nil.
func (w *largeWriter) feed(ctx context.Context, r io.Reader, size int64) ([]treehash.Digest, error) {
	_, digested := r.(blob.Digester)
	var leaves []treehash.Digest
	for left := size; left > 0; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		buf, err := w.buffer()
		if err != nil {
			return nil, err
		}
		p := buf[:min(left, w.chunk)]
		left -= int64(len(p))
		if err := w.fill(r, p, left == 0); err != nil {
			return nil, err
		}
		if !digested {
			leaves = append(leaves, treehash.Leaf(p))
		}
		if err := w.write(p); err != nil {
			return nil, unavailable(err)
		}
	}
	for w.transfers.Len() > 0 {
		if err := w.await(); err != nil {
			return nil, err
		}
	}
	return leaves, nil
}

// fill reads p frame by frame: one that was just read, and hashed by a reader
// that hashes, is still in the processor's cache when its checksum is computed.
func (w *largeWriter) fill(r io.Reader, p []byte, last bool) error {
	for len(p) > 0 {
		frame := p[:min(len(p), frameSize)]
		p = p[len(frame):]
		read := blob.ReadFull
		if last && len(p) == 0 {
			read = blob.ReadLast
		}
		if err := read(r, frame); err != nil {
			return err
		}
		w.tail.addFrames(frame)
	}
	return nil
}

// buffer returns the last of the free buffers, where it stays, or makes one
// while the ring is not complete.
func (w *largeWriter) buffer() ([]byte, error) {
	switch {
	case len(w.free) > 0:
	case w.made < ringSize:
		w.made++
		w.free = append(w.free, w.s.bufs.get(w.chunk))
	default:
		if err := w.await(); err != nil {
			return nil, err
		}
	}
	return w.free[len(w.free)-1][:w.chunk], nil
}

// await waits for the oldest of the writes under way.
func (w *largeWriter) await() error {
	p, err := w.transfers.Next()
	w.free = append(w.free, p)
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// release gives everything back. After an error some writes may still be under
// way; what becomes of them does not matter.
func (w *largeWriter) release() {
	for w.transfers.Len() > 0 {
		_ = w.await()
	}
	w.s.transfers.put(w.transfers)
	for _, p := range w.free {
		w.s.bufs.put(p)
	}
}

// write begins to write p, which lies in the last of the free buffers, past the
// page cache, or else writes it there.
func (w *largeWriter) write(p []byte) error {
	off := w.pos
	w.pos += int64(len(p))
	started, err := w.transfers.StartWrite(w.f, p, off)
	if started {
		w.free = w.free[:len(w.free)-1]
		w.flushed = w.pos
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := w.f.WriteAt(p, off); err != nil {
		return err
	}
	if w.pos-w.flushed < flushWindow {
		return nil
	}
	from, n := w.flushed, w.pos-w.flushed
	w.flushed = w.pos
	return flush(w.f, from, n)
}

// flush begins to write back a window and waits for the one before it.
func flush(f disk.File, from, n int64) error {
	fl, ok := f.(disk.Flusher)
	if !ok {
		return nil
	}
	if err := fl.Flush(from, n); err != nil {
		return err
	}
	if before := max(0, from-flushWindow); before < from {
		return fl.FlushWait(before, from-before)
	}
	return nil
}
