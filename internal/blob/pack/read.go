package pack

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/disk"
	"moraine/internal/treehash"
)

// chunkFrames is how many frames are read at a time: few enough that they are
// still in the processor's cache when they have been checked and are sent.
const chunkFrames = 4

func tableEntry(table []byte, i int) uint32 {
	return binary.LittleEndian.Uint32(table[i*frameCRCSize:])
}

func updateCRC(crc uint32, p []byte) uint32 { return crc32.Update(crc, castagnoli, p) }

// blobAt finds the record of a reference and checks its header. The handle
// must be given back.
func (s *Store) blobAt(b moraine.BlobRef) (ref, *handle, error) {
	r, err := parseRef(b)
	if err != nil {
		return ref{}, nil, err
	}
	n := fileName{kind: r.kind, id: r.id}
	f, err := s.handles.get(n)
	if isMissing(err) {
		return ref{}, nil, gone(n, r.off)
	}
	if err != nil {
		return ref{}, nil, unavailable(err)
	}
	if err := s.checkLive(f, n, r); err != nil {
		s.handles.put(f)
		return ref{}, nil, err
	}
	return r, f, nil
}

// checkLive says what is wrong with the record that r names, if anything.
func (s *Store) checkLive(f disk.File, n fileName, r ref) error {
	h, err := readHeader(f, n, r.off)
	if err == nil && h.crc == r.crc && h.kind == kindBlob {
		if h.dead {
			return gone(n, r.off)
		}
		return nil
	}
	if err != nil && !isDamage(err) {
		return unavailable(err)
	}
	// Either a hole covers the place, or something is wrong with it.
	if n.kind == shared {
		_, covered, ferr := findHole(f, n, r.off)
		if ferr != nil {
			return unavailable(ferr)
		}
		if covered {
			return gone(n, r.off)
		}
	}
	if err == nil {
		err = errOther
	}
	s.stats.corruptions.Add(1)
	return damage(n, r.off, err)
}

// findHole walks the headers of a shared pack to find the hole that covers the
// offset off.
func findHole(f disk.File, n fileName, off int64) (at int64, covered bool, err error) {
	end, err := f.Size()
	if err != nil {
		return 0, false, err
	}
	sc := newScanner(f, n, end)
	sc.damaged = func(_, to int64, _ error) error {
		if to > off {
			return errStop
		}
		return nil
	}
	sc.record = func(from int64, h header) error {
		if from+h.span <= off {
			return nil
		}
		if from <= off && h.kind == kindHole {
			at, covered = from, true
		}
		return errStop
	}
	if _, err := sc.run(fileHeaderSize); err != nil && !errors.Is(err, errStop) {
		return 0, false, err
	}
	return at, covered, nil
}

// errStop ends a scan that has found what it wants.
var errStop = errors.New("stop")

// Open implements blob.Store.
func (s *Store) Open(ctx context.Context, b moraine.BlobRef, off, n int64) (io.ReadCloser, error) {
	done, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	r, f, err := s.blobAt(b)
	if err != nil {
		return nil, err
	}
	if off < 0 || n < 0 || off > r.size || n > r.size-off {
		s.handles.put(f)
		return nil, moraine.Errorf(moraine.Invalid, "%d bytes from %d do not lie in a blob of %d", n, off, r.size)
	}
	long := r.kind == single && n >= aheadMin
	return &reader{ctx: ctx, s: s, f: f, at: r, pos: off, end: off + n, long: long}, nil
}

// reader reads a range of a blob. One goroutine uses it.
type reader struct {
	ctx  context.Context // of the call of Open
	s    *Store
	f    *handle // nil after Close
	at   ref
	pos  int64 // in the blob, of the next byte
	end  int64
	err  error  // kept: damage does not heal by reading on
	buf  []byte // borrowed; nil before the first read and after the last
	have []byte // checked and not yet delivered, part of buf or of a window

	long      bool   // may be read past the page cache; until that was decided
	probed    int64  // up to where the blob was looked for in memory
	ahead     *ahead // nil while the range is read through the page cache
	announced int64  // where what was announced to the disk ends, in the file

	table      []byte // a part of the frame table
	tableFirst int64  // the number of the first frame in it
}

// tableWindow is how many bytes of the frame table are read at a time: those
// of 256 MiB of data, so that a disk seldom has to seek for them.
const tableWindow = 16 << 10

var (
	_ blob.Lender   = (*reader)(nil)
	_ blob.Beginner = (*reader)(nil)
)

// Begin implements blob.Beginner.
func (r *reader) Begin() {
	from := roundDown(r.pos, frameSize)
	if r.ahead = r.goAhead(from); r.ahead == nil {
		return
	}
	// The sums of its frames lie elsewhere.
	disk.WillRead(r.f.File, r.at.tableAt()+from/frameSize*frameCRCSize, min(tableWindow, r.at.tableEnd()-r.at.tableAt()))
}

func (r *reader) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(r.have) > 0 {
		n = copy(p, r.have)
		r.have = r.have[n:]
	} else if n, err = r.next(p); err != nil {
		return 0, err
	}
	r.pos += int64(n)
	r.s.stats.readBytes.Add(int64(n))
	return n, nil
}

// Lend implements blob.Lender.
func (r *reader) Lend() ([]byte, error) {
	if len(r.have) == 0 {
		if _, err := r.next(nil); err != nil {
			return nil, err
		}
	}
	p := r.have
	r.have = nil
	r.pos += int64(len(p))
	r.s.stats.readBytes.Add(int64(len(p)))
	return p, nil
}

// next reads and checks the frames that begin with the one of r.pos. It
// returns how many of their bytes it put into dst; the others are in r.have.
func (r *reader) next(dst []byte) (int, error) {
	switch {
	case r.err != nil:
		return 0, r.err
	case r.f == nil:
		return 0, moraine.Errorf(moraine.Invalid, "read of a closed blob")
	case r.pos == r.end:
		r.release()
		return 0, io.EOF
	}
	if r.err = r.ctx.Err(); r.err != nil {
		return 0, r.err
	}
	first := r.pos / frameSize
	from := first * frameSize
	to := min(from+chunkFrames*frameSize, roundUp(r.end, frameSize), r.at.size)
	// If all of them are wanted and there is room they may go to dst at once:
	// what fails its check is then there too, and is not counted as read.
	var into []byte
	if from == r.pos && to <= r.end && to-from <= int64(len(dst)) {
		into = dst[:to-from]
	}
	p, err := r.load(into, from, to)
	if err == nil {
		err = r.check(p, first)
	}
	if r.err = err; err != nil {
		return 0, err
	}
	if into != nil && &p[0] == &into[0] {
		return len(p), nil
	}
	p = p[r.pos-from : min(to, r.end)-from]
	n := copy(dst, p)
	r.have = p[n:]
	return n, nil
}

// load returns the frames [from, to) of the blob, in into if that is not nil
// and they do not come from elsewhere.
func (r *reader) load(into []byte, from, to int64) (p []byte, err error) {
	off := r.at.dataAt() + from
	if r.ahead == nil {
		switch {
		case into != nil:
		case r.buf == nil:
			r.buf = r.s.bufs.get(min(chunkFrames*frameSize, r.at.size))
			fallthrough
		default:
			into = r.buf[:to-from]
		}
		r.ahead = r.goAhead(from)
	}
	if r.ahead != nil {
		p, err = r.ahead.take(to - from)
	} else {
		r.announce(off + int64(len(into)))
		p, err = into, readAt(r.f, into, off)
	}
	if err != nil {
		return nil, faulty(fileName{kind: r.at.kind, id: r.at.id}, off, err)
	}
	return p, nil
}

// goAhead decides, at the beginning of a long range and after each stretch of
// it, whether the rest is read past the page cache, and if so begins with it.
func (r *reader) goAhead(from int64) *ahead {
	left := min(roundUp(r.end, frameSize), r.at.size) - from
	if !r.long || left < aheadMin || from < r.probed {
		return nil
	}
	off, n := r.at.dataAt()+from, min(left, probeStretch)
	r.probed = from + n
	// In the middle, since headers and tables were read at the ends, and what
	// lies beside them with them.
	middle := off + roundDown((n-probeSize)/2, disk.DirectAlign)
	if disk.Cached(r.f.File, middle, probeSize) >= probeSize/2 {
		r.announced = off + n
		return nil
	}
	r.long = false
	if !r.s.passes.past(r.f.name, r.at.size, left) {
		return nil
	}
	return r.s.newAhead(r.f, off, off+left)
}

// probeSize is how much of each probeStretch of a range is looked for in memory.
const (
	probeSize    = aheadMin
	probeStretch = 16 << 20
)

// check compares frames, of which the first has that number, with the table.
func (r *reader) check(p []byte, first int64) error {
	n := fileName{kind: r.at.kind, id: r.at.id}
	for i := 0; i*frameSize < len(p); i++ {
		want, err := r.crc(first + int64(i))
		if err != nil {
			return faulty(n, r.at.tableAt(), err)
		}
		if crcOf(p[i*frameSize:min(len(p), (i+1)*frameSize)]) != want {
			return r.bad(n, r.at.dataAt()+(first+int64(i))*frameSize)
		}
	}
	return nil
}

// readAhead is how much of a long range is announced before it is read: enough
// to keep a disk busy while a client takes what it has.
const readAhead = 4 << 20

// announce tells the disk what will be read from the offset off of the file on,
// half a window at a time.
func (r *reader) announce(off int64) {
	r.announced = max(r.announced, off)
	end := r.at.dataAt() + r.end
	to := min(off+readAhead, end)
	if n := to - r.announced; n >= readAhead/2 || n > 0 && to == end {
		disk.WillRead(r.f.File, r.announced, n)
		r.announced = to
	}
}

// bad is the error for a frame that fails its check: the blob may have been
// deleted since it was opened.
func (r *reader) bad(n fileName, off int64) error {
	if err := r.s.checkLive(r.f, n, r.at); err != nil {
		return err
	}
	r.s.stats.corruptions.Add(1)
	return damage(n, off, errCRC)
}

// crc returns the stored CRC of a frame.
func (r *reader) crc(frame int64) (uint32, error) {
	i := (frame - r.tableFirst) * frameCRCSize
	if i < 0 || i >= int64(len(r.table)) {
		n := min(tableWindow, (r.at.frames()-frame)*frameCRCSize)
		if last := roundUp(r.end, frameSize) / frameSize; n > (last-frame)*frameCRCSize {
			n = (last - frame) * frameCRCSize
		}
		r.table = make([]byte, n)
		r.tableFirst = frame
		if err := readAt(r.f, r.table, r.at.tableAt()+frame*frameCRCSize); err != nil {
			r.table = nil
			return 0, err
		}
		i = 0
	}
	return tableEntry(r.table[i:], 0), nil
}

func (r *reader) release() {
	if r.buf != nil {
		r.s.bufs.put(r.buf)
		r.buf = nil
	}
	if r.ahead != nil {
		r.ahead.close()
		r.ahead = nil
	}
	r.have = nil
}

func (r *reader) Close() error {
	r.release()
	if r.f != nil {
		r.s.handles.put(r.f)
		r.f = nil
	}
	return nil
}

// Leaves implements blob.Store. All digests of the blob are read, since the
// checksum in the trailer covers them together.
func (s *Store) Leaves(ctx context.Context, b moraine.BlobRef, first, n int64) ([]treehash.Digest, error) {
	done, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	r, f, err := s.blobAt(b)
	if err != nil {
		return nil, err
	}
	defer s.handles.put(f)
	if first < 0 || n < 0 || first > r.leaves() || n > r.leaves()-first {
		return nil, moraine.Errorf(moraine.Invalid, "%d leaves from %d are not in a blob of %d", n, first, r.leaves())
	}
	name := fileName{kind: r.kind, id: r.id}
	buf := s.bufs.get(min(treehash.LeafSize, r.tableEnd()-r.digestsAt()))
	defer s.bufs.put(buf)
	leaves := make([]treehash.Digest, n)
	v := verifier{f: f, name: name, buf: buf}
	if err := v.digests(r.shape, first, leaves); err != nil {
		if live := s.checkLive(f, name, r); live != nil {
			return nil, live
		}
		if isDamage(err) {
			s.stats.corruptions.Add(1)
		}
		return nil, faulty(name, r.digestsAt(), err)
	}
	return leaves, nil
}

// digests reads leaf digests. They are to be trusted only if it returns nil.
func (v *verifier) digests(at shape, first int64, leaves []treehash.Digest) error {
	return v.tail(at, func(off int64, p []byte) {
		for i := range leaves {
			from := (first + int64(i)) * digestSize
			lo, hi := max(from, off), min(from+digestSize, off+int64(len(p)))
			if lo < hi {
				copy(leaves[i][lo-from:], p[lo-off:hi-off])
			}
		}
	})
}
