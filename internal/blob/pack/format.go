package pack

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"

	"moraine"
	"moraine/internal/treehash"
)

// Format: never change. See docs/format/pack.md.
const (
	fileMagic    = "MRNPACK\n"
	headerMagic  = "MRNR"
	trailerMagic = "MRNT"
	version      = 1

	fileHeaderSize = 64
	headerSize     = 64
	trailerSize    = 32
	recordAlign    = 64
	frameSize      = 64 << 10
	digestSize     = treehash.DigestSize
	frameCRCSize   = 4

	// largeDataOffset is where the data of a large file begins in the file.
	largeDataOffset = 4096

	stateOffset = 56
	stateLive   = 0x6576696C4556494C
	stateDead   = ^uint64(stateLive)
)

// fileKind tells shared packs from files of one large blob. Format: never
// change.
type fileKind uint8

const (
	shared fileKind = 1
	single fileKind = 2
)

// recordKind is what a record is. Format: never change.
type recordKind uint8

const (
	kindBlob recordKind = 1
	kindHole recordKind = 2
	kindTorn recordKind = 3
	kindEnd  recordKind = 4
)

func (k recordKind) String() string {
	switch k {
	case kindBlob:
		return "blob"
	case kindHole:
		return "hole"
	case kindTorn:
		return "torn"
	case kindEnd:
		return "end"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// sizeMax bounds the length of a blob, so that no sum of offsets overflows.
const sizeMax = 1 << 44

// fileSizeMax bounds the offsets of records.
const fileSizeMax = 1 << 50

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func crcOf(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

// packID names a file for ever.
type packID [10]byte

func (p packID) String() string { return hex.EncodeToString(p[:]) }

// dataOffset is the distance from a record's header to its data.
func (k fileKind) dataOffset() int64 {
	if k == single {
		return largeDataOffset - fileHeaderSize
	}
	return headerSize
}

// shape is where the parts of a blob's record lie.
type shape struct {
	kind fileKind
	off  int64 // of the header in the file
	size int64 // of the data
}

func (s shape) leaves() int64    { return (s.size + treehash.LeafSize - 1) / treehash.LeafSize }
func (s shape) frames() int64    { return (s.size + frameSize - 1) / frameSize }
func (s shape) dataAt() int64    { return s.off + s.kind.dataOffset() }
func (s shape) digestsAt() int64 { return s.dataAt() + s.size }
func (s shape) tableAt() int64   { return s.digestsAt() + s.leaves()*digestSize }
func (s shape) tableEnd() int64  { return s.tableAt() + s.frames()*frameCRCSize }
func (s shape) end() int64       { return s.off + s.span() }
func (s shape) trailerAt() int64 { return s.end() - trailerSize }
func (s shape) span() int64 {
	return roundUp(s.kind.dataOffset()+s.size+s.leaves()*digestSize+s.frames()*frameCRCSize+trailerSize, recordAlign)
}

func roundUp(n, to int64) int64   { return (n + to - 1) / to * to }
func roundDown(n, to int64) int64 { return n / to * to }

// fileHeader is the first record of a file.
type fileHeader struct {
	kind fileKind
	id   packID
	made int64 // milliseconds since 1970
}

func (h fileHeader) encode(p []byte) {
	clear(p[:fileHeaderSize])
	copy(p, fileMagic)
	p[8], p[9] = version, byte(h.kind)
	copy(p[10:], h.id[:])
	binary.LittleEndian.PutUint64(p[20:], uint64(h.made))
	binary.LittleEndian.PutUint32(p[60:], crcOf(p[:60]))
}

// Reasons why bytes are not what they should be. They are causes and details
// of errors of kind Corrupt.
var (
	errMagic   = errors.New("no magic number")
	errCRC     = errors.New("checksum mismatch")
	errVersion = errors.New("written by a newer version")
	errFields  = errors.New("impossible fields")
	errState   = errors.New("neither live nor dead")
	errOther   = errors.New("the record is another one")
	errShort   = errors.New("the file ends early")
)

// errDying says that a crash cut the deletion of a record short: its end
// already belongs to a hole, its header does not yet say that it is dead. It
// is no damage, since no row names the blob.
var errDying = errors.New("half deleted")

func decodeFileHeader(p []byte) (fileHeader, error) {
	switch {
	case string(p[:8]) != fileMagic:
		return fileHeader{}, errMagic
	case crcOf(p[:60]) != binary.LittleEndian.Uint32(p[60:]):
		return fileHeader{}, errCRC
	case p[8] != version:
		return fileHeader{}, errVersion
	case p[9] != byte(shared) && p[9] != byte(single):
		return fileHeader{}, errFields
	}
	return fileHeader{kind: fileKind(p[9]), id: packID(p[10:20]), made: int64(binary.LittleEndian.Uint64(p[20:]))}, nil
}

// header is the beginning of a record.
type header struct {
	kind recordKind
	blob moraine.BlobID
	size int64 // of the data
	span int64
	base int64
	dead bool
	crc  uint32
}

// encode writes the header as it is at offset off of the file of that id and
// kind, and returns its CRC.
func (h header) encode(p []byte, id packID, in fileKind, off int64) uint32 {
	clear(p[:headerSize])
	copy(p, headerMagic)
	p[4], p[5] = version, byte(h.kind)
	if h.kind == kindBlob {
		binary.LittleEndian.PutUint16(p[6:], uint16(in.dataOffset()))
	}
	copy(p[8:], h.blob[:])
	binary.LittleEndian.PutUint64(p[24:], uint64(h.size))
	binary.LittleEndian.PutUint64(p[32:], uint64(h.span))
	binary.LittleEndian.PutUint64(p[40:], uint64(h.base))
	crc := placedCRC(id, off, p[:52])
	binary.LittleEndian.PutUint32(p[52:], crc)
	state := uint64(stateLive)
	if h.dead {
		state = stateDead
	}
	binary.LittleEndian.PutUint64(p[stateOffset:], state)
	return crc
}

// decodeHeader reads the header at offset off of the file of that id and kind.
func decodeHeader(p []byte, id packID, in fileKind, off int64) (header, error) {
	crc := binary.LittleEndian.Uint32(p[52:])
	switch {
	case string(p[:4]) != headerMagic:
		return header{}, errMagic
	case placedCRC(id, off, p[:52]) != crc:
		return header{}, errCRC
	case p[4] != version:
		return header{}, errVersion
	}
	h := header{
		kind: recordKind(p[5]),
		blob: moraine.BlobID(p[8:24]),
		size: int64(binary.LittleEndian.Uint64(p[24:])),
		span: int64(binary.LittleEndian.Uint64(p[32:])),
		base: int64(binary.LittleEndian.Uint64(p[40:])),
		crc:  crc,
	}
	if !h.possible(in, off, int64(binary.LittleEndian.Uint16(p[6:]))) {
		return header{}, errFields
	}
	switch binary.LittleEndian.Uint64(p[stateOffset:]) {
	case stateLive:
	case stateDead:
		h.dead = true
	default:
		return header{}, errState
	}
	return h, nil
}

// possible reports whether a header with a good CRC makes sense. Only a
// mistake in the program that wrote it, or a forger, makes one that does not.
func (h header) possible(in fileKind, off, dataOffset int64) bool {
	if h.base < 0 || h.base > fileSizeMax || off < fileHeaderSize || off > fileSizeMax || off%recordAlign != 0 {
		return false
	}
	switch h.kind {
	case kindBlob:
		return h.size >= 1 && h.size <= sizeMax && dataOffset == in.dataOffset() &&
			h.span == shape{kind: in, off: off, size: h.size}.span()
	case kindHole, kindTorn:
		return in == shared && h.span >= headerSize && h.span <= fileSizeMax && h.span%recordAlign == 0
	case kindEnd:
		return in == shared && h.span == headerSize
	}
	return false
}

// trailer is the end of a record.
type trailer struct {
	sum  uint32 // of digests, table and header
	span int64
}

// encode writes the trailer as it is at offset off of the file of that id.
func (t trailer) encode(p []byte, id packID, off int64) {
	clear(p[:trailerSize])
	copy(p, trailerMagic)
	binary.LittleEndian.PutUint32(p[4:], t.sum)
	binary.LittleEndian.PutUint64(p[8:], uint64(t.span))
	binary.LittleEndian.PutUint32(p[28:], placedCRC(id, off, p[:28]))
}

func decodeTrailer(p []byte, id packID, off int64) (trailer, error) {
	switch {
	case string(p[:4]) != trailerMagic:
		return trailer{}, errMagic
	case placedCRC(id, off, p[:28]) != binary.LittleEndian.Uint32(p[28:]):
		return trailer{}, errCRC
	}
	t := trailer{sum: binary.LittleEndian.Uint32(p[4:]), span: int64(binary.LittleEndian.Uint64(p[8:]))}
	if t.span < headerSize+trailerSize || t.span > off+trailerSize-fileHeaderSize || t.span%recordAlign != 0 {
		return trailer{}, errFields
	}
	return t, nil
}

// placedCRC is the CRC of bytes that are valid in one place alone.
func placedCRC(id packID, off int64, p []byte) uint32 {
	var place [len(id) + 8]byte
	copy(place[:], id[:])
	binary.LittleEndian.PutUint64(place[len(id):], uint64(off))
	return crc32.Update(crcOf(place[:]), castagnoli, p)
}

// sumOf continues the CRC of digests and table over the header, which gives
// the sum of the trailer.
func sumOf(crc uint32, header []byte) uint32 {
	return crc32.Update(crc, castagnoli, header[:stateOffset])
}

// tail is the digests and frame CRCs of a blob, as they follow its data.
type tail struct {
	digests []treehash.Digest
	crcs    []uint32
}

// addFrames appends the CRCs of the frames of p, which begins on a frame.
func (t *tail) addFrames(p []byte) {
	for len(p) > 0 {
		n := min(frameSize, len(p))
		t.crcs = append(t.crcs, crcOf(p[:n]))
		p = p[n:]
	}
}

// encode writes the tail to p and returns its CRC.
func (t *tail) encode(p []byte) uint32 {
	n := 0
	for i := range t.digests {
		n += copy(p[n:], t.digests[i][:])
	}
	for _, crc := range t.crcs {
		binary.LittleEndian.PutUint32(p[n:], crc)
		n += frameCRCSize
	}
	return crcOf(p[:n])
}
