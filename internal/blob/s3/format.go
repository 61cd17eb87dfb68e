package s3

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"moraine"
	"moraine/internal/treehash"
)

// Format: never change. See docs/format/s3.md.
const (
	headMagic   = "MRNS3PK\n"
	recordMagic = "MRNR"
	footMagic   = "MRNF"
	version     = 1

	headSize   = 64
	entrySize  = 32
	recordSize = 80
	footSize   = 80
	digestSize = treehash.DigestSize

	frameSize = 64 << 10
	crcSize   = 4
	frameSpan = frameSize + crcSize
)

// sizeMax bounds the length of a blob, so that its parts fit in an upload.
const sizeMax = 64 << 30

// countMax bounds the records of an object. Format: a larger one is refused.
const countMax = 1024

// offsetMax bounds the offset of a record in its object.
const offsetMax = 1 << 40

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func crcOf(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

// Reasons why bytes are not what they should be. They are causes of errors of
// kind Corrupt.
var (
	errMagic   = errors.New("no magic number")
	errCRC     = errors.New("checksum mismatch")
	errVersion = errors.New("written by a newer version")
	errFields  = errors.New("impossible fields")
	errOther   = errors.New("the record is another one")
	errShort   = errors.New("the object ends early")
	errLength  = errors.New("the object has another length than its name says")
)

func isDamage(err error) bool {
	for _, reason := range []error{errMagic, errCRC, errVersion, errFields, errOther, errShort, errLength} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// place is where a blob is: what a reference says.
type place struct {
	id    objectID
	count int   // records of the object; 0 if the blob has it to itself
	off   int64 // of the record in the object; 0 if the blob has it to itself
	size  int64 // of the data
}

func (p place) single() bool  { return p.count == 0 }
func (p place) leaves() int64 { return (p.size + treehash.LeafSize - 1) / treehash.LeafSize }
func (p place) frames() int64 { return frameCount(p.size) }

func frameCount(size int64) int64 { return (size + frameSize - 1) / frameSize }

// framed is the length of so many bytes in frames.
func framed(size int64) int64 { return size + frameCount(size)*crcSize }

func (p place) framesAt() int64 {
	if p.single() {
		return 0
	}
	return p.off + recordSize
}

func (p place) frameAt(n int64) int64 { return p.framesAt() + n*frameSpan }
func (p place) framesEnd() int64      { return p.framesAt() + framed(p.size) }

// Of an object of one blob.
func (p place) footAt() int64    { return p.framesEnd() + p.leaves()*digestSize }
func (p place) objectEnd() int64 { return p.footAt() + footSize }

// seed is where the CRC of each frame of a blob begins: a frame is good in its
// own place of its own object alone.
func (p place) seed() uint32 {
	var b [len(p.id) + 16]byte
	copy(b[:], p.id[:])
	binary.LittleEndian.PutUint64(b[len(p.id):], uint64(p.off))
	binary.LittleEndian.PutUint64(b[len(p.id)+8:], uint64(p.size))
	return crcOf(b[:])
}

// frameCRC is the CRC of frame n.
func frameCRC(seed uint32, n int64, p []byte) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	return crc32.Update(crc32.Update(seed, castagnoli, b[:]), castagnoli, p)
}

// appendFrames appends the frames of p, which begins frame first, as slices of p
// and of crcs, which must have room for them.
func appendFrames(to rope, seed uint32, first int64, p, crcs []byte) (rope, []byte) {
	for n := first; len(p) > 0; n++ {
		k := min(frameSize, len(p))
		crcs = binary.LittleEndian.AppendUint32(crcs, frameCRC(seed, n, p[:k]))
		to = append(to, p[:k], crcs[len(crcs)-crcSize:])
		p = p[k:]
	}
	return to, crcs
}

// placedCRC is the CRC of bytes that are valid in one place alone.
func placedCRC(id objectID, off int64, p []byte) uint32 {
	var b [len(id) + 8]byte
	copy(b[:], id[:])
	binary.LittleEndian.PutUint64(b[len(id):], uint64(off))
	return crc32.Update(crcOf(b[:]), castagnoli, p)
}

// entry is what the index of a shared object says of a record.
type entry struct {
	blob moraine.BlobID
	off  int64
	size int64
}

// indexSize is the length of head and index of a shared object.
func indexSize(count int) int64 { return headSize + int64(count)*entrySize }

// encodeIndex is the head of a shared object and its index.
func encodeIndex(id objectID, made int64, entries []entry) []byte {
	p := make([]byte, indexSize(len(entries)))
	for i, e := range entries {
		b := p[headSize+i*entrySize:]
		copy(b, e.blob[:])
		binary.LittleEndian.PutUint64(b[16:], uint64(e.off))
		binary.LittleEndian.PutUint64(b[24:], uint64(e.size))
	}
	copy(p, headMagic)
	p[8] = version
	binary.LittleEndian.PutUint32(p[12:], uint32(len(entries)))
	copy(p[16:], id[:])
	binary.LittleEndian.PutUint64(p[40:], uint64(made))
	binary.LittleEndian.PutUint32(p[48:], crcOf(p[headSize:]))
	binary.LittleEndian.PutUint32(p[60:], crcOf(p[:60]))
	return p
}

// decodeIndex reads what encodeIndex makes for the object of that id.
func decodeIndex(p []byte, id objectID) ([]entry, error) {
	switch {
	case len(p) < headSize:
		return nil, errShort
	case string(p[:8]) != headMagic:
		return nil, errMagic
	case crcOf(p[:60]) != binary.LittleEndian.Uint32(p[60:]):
		return nil, errCRC
	case p[8] != version:
		return nil, errVersion
	case objectID(p[16:40]) != id:
		return nil, errOther
	}
	count := binary.LittleEndian.Uint32(p[12:])
	if count < 1 || count > countMax || int64(len(p)) != indexSize(int(count)) {
		return nil, errFields
	}
	if crcOf(p[headSize:]) != binary.LittleEndian.Uint32(p[48:]) {
		return nil, errCRC
	}
	entries := make([]entry, count)
	next := indexSize(int(count))
	for i := range entries {
		b := p[headSize+i*entrySize:]
		e := entry{moraine.BlobID(b[:16]), int64(binary.LittleEndian.Uint64(b[16:])), int64(binary.LittleEndian.Uint64(b[24:]))}
		if e.off != next || e.size < 1 || e.size > treehash.LeafSize {
			return nil, errFields
		}
		next += recordSize + framed(e.size)
		entries[i] = e
	}
	return entries, nil
}

// record is the head of a record in a shared object. Its blob has one leaf.
type record struct {
	blob   moraine.BlobID
	size   int64
	digest treehash.Digest
}

func (r record) encode(p []byte, id objectID, off int64) {
	clear(p[:recordSize])
	copy(p, recordMagic)
	p[4] = version
	copy(p[8:], r.blob[:])
	binary.LittleEndian.PutUint64(p[24:], uint64(r.size))
	copy(p[32:], r.digest[:])
	binary.LittleEndian.PutUint32(p[76:], placedCRC(id, off, p[:76]))
}

func decodeRecord(p []byte, id objectID, off int64) (record, error) {
	switch {
	case len(p) < recordSize:
		return record{}, errShort
	case string(p[:4]) != recordMagic:
		return record{}, errMagic
	case placedCRC(id, off, p[:76]) != binary.LittleEndian.Uint32(p[76:]):
		return record{}, errCRC
	case p[4] != version:
		return record{}, errVersion
	}
	r := record{moraine.BlobID(p[8:24]), int64(binary.LittleEndian.Uint64(p[24:])), treehash.Digest(p[32:64])}
	if r.size < 1 || r.size > treehash.LeafSize {
		return record{}, errFields
	}
	return r, nil
}

// foot ends an object of one blob, after the leaf digests.
type foot struct {
	blob moraine.BlobID
	size int64
	made int64  // milliseconds since 1970
	sum  uint32 // CRC of the digests
}

func (f foot) encode(p []byte, id objectID, off int64) {
	clear(p[:footSize])
	copy(p, footMagic)
	p[4] = version
	copy(p[8:], f.blob[:])
	binary.LittleEndian.PutUint64(p[24:], uint64(f.size))
	binary.LittleEndian.PutUint64(p[32:], uint64(f.made))
	binary.LittleEndian.PutUint32(p[40:], f.sum)
	binary.LittleEndian.PutUint32(p[76:], placedCRC(id, off, p[:76]))
}

func decodeFoot(p []byte, id objectID, off int64) (foot, error) {
	switch {
	case len(p) < footSize:
		return foot{}, errShort
	case string(p[:4]) != footMagic:
		return foot{}, errMagic
	case placedCRC(id, off, p[:76]) != binary.LittleEndian.Uint32(p[76:]):
		return foot{}, errCRC
	case p[4] != version:
		return foot{}, errVersion
	}
	return foot{
		blob: moraine.BlobID(p[8:24]), size: int64(binary.LittleEndian.Uint64(p[24:])),
		made: int64(binary.LittleEndian.Uint64(p[32:])), sum: binary.LittleEndian.Uint32(p[40:]),
	}, nil
}

// encodeTail is what follows the frames of an object of one blob.
func encodeTail(at place, blob moraine.BlobID, made int64, digests []treehash.Digest) []byte {
	p := make([]byte, at.objectEnd()-at.framesEnd())
	n := 0
	for i := range digests {
		n += copy(p[n:], digests[i][:])
	}
	foot{blob: blob, size: at.size, made: made, sum: crcOf(p[:n])}.encode(p[n:], at.id, at.footAt())
	return p
}

// decodeTail reads what encodeTail makes.
func decodeTail(p []byte, at place) (foot, []treehash.Digest, error) {
	if int64(len(p)) != at.objectEnd()-at.framesEnd() {
		return foot{}, nil, errShort
	}
	raw := p[:len(p)-footSize]
	f, err := decodeFoot(p[len(raw):], at.id, at.footAt())
	switch {
	case err != nil:
		return f, nil, err
	case f.size != at.size:
		return f, nil, errOther
	case crcOf(raw) != f.sum:
		return f, nil, errCRC
	}
	digests := make([]treehash.Digest, at.leaves())
	for i := range digests {
		digests[i] = treehash.Digest(raw[i*digestSize:][:digestSize])
	}
	return f, digests, nil
}
