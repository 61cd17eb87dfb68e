package pack

import (
	"context"
	"io"
	"sync"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/disk"
	"moraine/internal/treehash"
)

const (
	// ringSize is how many leaves of a large blob are in memory at most: one
	// being read, one being written, one between them.
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
	// Durable now: the whole file, and since before its name in open/ (see
	// largeWriter.run). A crash on the next line leaves a complete file there,
	// which Open seals, and which no row names.
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

// stream copies the data from r to f, reading and writing side by side.
func (s *Store) stream(ctx context.Context, f disk.File, at shape, r io.Reader) (*tail, error) {
	w := &largeWriter{
		s: s, f: f, pos: at.dataAt(), chunk: chunkFor(r, at.size),
		full: make(chan []byte, ringSize), free: make(chan []byte, ringSize), failed: make(chan struct{}),
	}
	w.crcs = make([]uint32, 0, at.frames())
	leaves, err := w.copy(ctx, r, at.size)
	if w.err != nil {
		return nil, unavailable(w.err)
	}
	if err != nil {
		return nil, err
	}
	t := &tail{crcs: w.crcs}
	t.digests, err = digests(r, at.size, func() []treehash.Digest { return leaves })
	return t, err
}

// copy feeds the writer from r. The writer has ended when copy returns, even by
// a panic of r.
func (w *largeWriter) copy(ctx context.Context, r io.Reader, size int64) ([]treehash.Digest, error) {
	var wg sync.WaitGroup
	wg.Go(w.run)
	defer wg.Wait()
	defer close(w.full)
	return w.feed(ctx, r, size)
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

// largeWriter writes the leaves of one blob to its file.
type largeWriter struct {
	s      *Store
	f      disk.File
	chunk  int64       // bytes of a buffer
	full   chan []byte // leaves to write; closed after the last
	free   chan []byte // buffers to fill
	failed chan struct{}

	// These belong to the goroutine of run until it has returned.
	pos     int64
	flushed int64 // everything in the file before this was given to the disk
	crcs    []uint32
	err     error
}

// run writes what comes and gives the buffers back, until there is no more.
// After an error it writes no more.
func (w *largeWriter) run() {
	// The name becomes durable while the first bytes are still coming. A crash
	// from here on leaves a torn file in open/, which Open removes.
	w.check(w.s.fs.SyncDir(w.s.openDir()))
	for p := range w.full {
		if w.err == nil {
			w.check(w.write(p))
		}
		w.free <- p
	}
	for range len(w.free) {
		w.s.bufs.put(<-w.free)
	}
}

func (w *largeWriter) check(err error) {
	if err != nil && w.err == nil {
		w.err = err
		close(w.failed)
	}
}

func (w *largeWriter) write(p []byte) error {
	t := tail{crcs: w.crcs}
	t.addFrames(p)
	w.crcs = t.crcs
	direct, err := disk.WriteDirect(w.f, p, w.pos)
	if err == nil && !direct {
		_, err = w.f.WriteAt(p, w.pos)
	}
	if err != nil {
		return err
	}
	w.pos += int64(len(p))
	if direct {
		w.flushed = w.pos // and on the disk, but for its own cache
		return nil
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

// feed reads r chunk by chunk and returns the digests, unless r has its own.
func (w *largeWriter) feed(ctx context.Context, r io.Reader, size int64) ([]treehash.Digest, error) {
	_, digested := r.(blob.Digester)
	var leaves []treehash.Digest
	made := 0
	for left := size; left > 0; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		buf, ok := w.buffer(&made)
		if !ok {
			return nil, nil // the writer has the error
		}
		n := min(left, w.chunk)
		read := blob.ReadFull
		if n == left {
			read = blob.ReadLast
		}
		if err := read(r, buf[:n]); err != nil {
			w.s.bufs.put(buf)
			return nil, err
		}
		if !digested {
			leaves = append(leaves, treehash.Leaf(buf[:n]))
		}
		left -= n
		w.full <- buf[:n]
	}
	return leaves, nil
}

// buffer returns a free buffer of a leaf's size, or a new one while the ring
// is not complete. It reports false if the writer has failed.
func (w *largeWriter) buffer(made *int) ([]byte, bool) {
	select {
	case <-w.failed:
		return nil, false
	case p := <-w.free:
		return p[:w.chunk], true
	default:
	}
	if *made < ringSize {
		*made++
		return w.s.bufs.get(w.chunk), true
	}
	select {
	case <-w.failed:
		return nil, false
	case p := <-w.free:
		return p[:w.chunk], true
	}
}
