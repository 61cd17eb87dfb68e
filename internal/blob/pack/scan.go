package pack

import (
	"errors"
	"io"

	"moraine/internal/treehash"
)

// readAt fills p from offset off. A file that ends early is errShort.
func readAt(f io.ReaderAt, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return errShort
	}
	return err
}

// readHeader reads the record header at offset off.
func readHeader(f io.ReaderAt, n fileName, off int64) (header, error) {
	var p [headerSize]byte
	if err := readAt(f, p[:], off); err != nil {
		return header{}, err
	}
	return decodeHeader(p[:], n.id, n.kind, off)
}

// readTrailer reads the trailer that ends at offset end.
func readTrailer(f io.ReaderAt, n fileName, end int64) (trailer, error) {
	var p [trailerSize]byte
	if err := readAt(f, p[:], end-trailerSize); err != nil {
		return trailer{}, err
	}
	return decodeTrailer(p[:], n.id, end-trailerSize)
}

// checkFileHeader reads the header of a file.
func checkFileHeader(f io.ReaderAt, n fileName) error {
	var p [fileHeaderSize]byte
	if err := readAt(f, p[:], 0); err != nil {
		return err
	}
	h, err := decodeFileHeader(p[:])
	if err != nil {
		return err
	}
	if h.kind != n.kind || h.id != n.id {
		return errOther
	}
	return nil
}

// scanner goes through the records of one file by their headers. Walk,
// recovery, the check of a store and the dump of a file all use it.
type scanner struct {
	f    io.ReaderAt
	name fileName
	end  int64 // where the records end
	// record is called for each record that is not covered by another; the
	// scan stops at its first error and returns it. The end record ends it too.
	record func(off int64, h header) error
	// damaged is called for each range in which no record begins.
	damaged func(from, to int64, cause error) error

	window [scanWindow]byte
	at     int64 // of the window in the file
	have   int   // bytes in the window
}

const scanWindow = 8 << 10

// newScanner scans a file whose records end at end.
func newScanner(f io.ReaderAt, n fileName, end int64) *scanner {
	return &scanner{f: f, name: n, end: end}
}

// run goes through the file from offset off, where a record begins. It reports
// whether it met the end record. Errors of the disk end it; damage does not.
func (s *scanner) run(off int64) (sealed bool, err error) {
	for off+headerSize <= s.end {
		h, err := s.header(off)
		if isDamage(err) {
			next, rerr := s.resync(off + recordAlign)
			if rerr != nil {
				return false, rerr
			}
			if derr := s.damaged(off, next, err); derr != nil {
				return false, derr
			}
			off = next
			continue
		}
		if err != nil {
			return false, err
		}
		if off+h.span > s.end {
			// Nothing valid lies behind it either: this is where the file was cut.
			return false, s.damaged(off, s.end, errShort)
		}
		if err := s.record(off, h); err != nil {
			return false, err
		}
		if h.kind == kindEnd {
			return true, nil
		}
		off += h.span
	}
	return false, nil
}

// resync finds the next valid header at or after off.
func (s *scanner) resync(off int64) (int64, error) {
	for ; off+headerSize <= s.end; off += recordAlign {
		if _, err := s.header(off); err == nil {
			return off, nil
		} else if !isDamage(err) {
			return 0, err
		}
	}
	return s.end, nil
}

// header reads a header by way of the window.
func (s *scanner) header(off int64) (header, error) {
	if off < s.at || off+headerSize > s.at+int64(s.have) {
		n := min(scanWindow, s.end-off)
		s.have = 0
		if err := readAt(s.f, s.window[:n], off); err != nil {
			return header{}, err
		}
		s.at, s.have = off, int(n)
	}
	p := s.window[off-s.at:]
	if [4]byte(p) != [4]byte([]byte(headerMagic)) {
		return header{}, errMagic
	}
	return decodeHeader(p, s.name.id, s.name.kind, off)
}

// verifier reads whole records.
type verifier struct {
	f    io.ReaderAt
	name fileName
	buf  []byte // of a leaf's size, or of the file's if that is less
	// step, if not nil, is called before each MiB of data is read, with its
	// length; its error ends the work.
	step func(n int) error
}

// structure checks that header, digests, frame table and trailer of a blob's
// record belong together, without reading the data.
func (v *verifier) structure(at shape) error {
	return v.tail(at, func(int64, []byte) {})
}

// tail does what structure does, and shows the bytes of digests and table with
// their offset from the first digest. They are to be trusted only if it
// returns nil.
func (v *verifier) tail(at shape, show func(off int64, p []byte)) error {
	var head [headerSize]byte
	if err := readAt(v.f, head[:], at.off); err != nil {
		return err
	}
	if _, err := decodeHeader(head[:], v.name.id, v.name.kind, at.off); err != nil {
		return err
	}
	t, err := readTrailer(v.f, v.name, at.end())
	if err != nil {
		return err
	}
	if t.span > at.span() {
		return errDying
	}
	var crc uint32
	for off := at.digestsAt(); off < at.tableEnd(); {
		p := v.buf[:min(int64(len(v.buf)), at.tableEnd()-off)]
		if err := readAt(v.f, p, off); err != nil {
			return err
		}
		show(off-at.digestsAt(), p)
		crc = updateCRC(crc, p)
		off += int64(len(p))
	}
	if t.span != at.span() || t.sum != sumOf(crc, head[:]) {
		return errCRC
	}
	return nil
}

// frames checks the CRC of every frame. leaf, if not nil, is called with each
// MiB of data. The offset returned is that of the frame that failed.
func (v *verifier) frames(at shape, leaf func(i int64, p []byte) error) (int64, error) {
	for i := range at.leaves() {
		from := i * treehash.LeafSize
		p := v.buf[:min(treehash.LeafSize, at.size-from)]
		if v.step != nil {
			if err := v.step(len(p)); err != nil {
				return at.dataAt() + from, stopped{err}
			}
		}
		if err := readAt(v.f, p, at.dataAt()+from); err != nil {
			return at.dataAt() + from, err
		}
		first := from / frameSize
		if bad, err := checkFrames(v.f, at, first, p); err != nil {
			return at.dataAt() + bad*frameSize, err
		}
		if leaf == nil {
			continue
		}
		if err := leaf(i, p); err != nil {
			return at.dataAt() + from, err
		}
	}
	return 0, nil
}

// checkFrames compares the frames in p, of which the first has that number,
// with the frame table.
func checkFrames(f io.ReaderAt, at shape, first int64, p []byte) (bad int64, err error) {
	var table [maxFramesAtOnce * frameCRCSize]byte
	n := (len(p) + frameSize - 1) / frameSize
	if err := readAt(f, table[:n*frameCRCSize], at.tableAt()+first*frameCRCSize); err != nil {
		return first, err
	}
	for i := range n {
		if crcOf(p[i*frameSize:min(len(p), (i+1)*frameSize)]) != tableEntry(table[:], i) {
			return first + int64(i), errCRC
		}
	}
	return 0, nil
}

// maxFramesAtOnce bounds what checkFrames is given.
const maxFramesAtOnce = 16
