package s3

import (
	"moraine"
	"moraine/internal/treehash"
)

// ParseRef parses a reference and prints it again.
func ParseRef(ref moraine.BlobRef) (moraine.BlobRef, error) {
	p, err := parseRef(ref)
	return p.blobRef(), err
}

// ParseObject parses a name below the directory of data and prints it again.
func ParseObject(base string) (string, bool) {
	o, ok := parseObject(base)
	return o.base(), ok
}

// ParseMark parses a name below the directory of marks and prints it again.
func ParseMark(base string) (string, bool) {
	id, off, ok := parseMark(base)
	return place{id: id, count: 1, off: off}.markKey()[len(markDir):], ok
}

// Decode decodes bytes as everything that there is, and encodes what it finds
// again. It returns what was made of the bytes, nil where they mean nothing.
func Decode(p []byte) (index, head, tail []byte) {
	var id objectID
	copy(id[:], "the one object of a test")
	if entries, err := decodeIndex(p, id); err == nil {
		index = encodeIndex(id, madeOf(p[40:]), entries)
	}
	if r, err := decodeRecord(p, id, 96); err == nil {
		head = make([]byte, recordSize)
		r.encode(head, id, 96)
	}
	at := place{id: id, size: leafSize + 1}
	if f, leaves, err := decodeTail(p, at); err == nil {
		tail = encodeTail(at, f.blob, f.made, leaves)
	}
	return index, head, tail
}

func madeOf(p []byte) (made int64) {
	for i := 7; i >= 0; i-- {
		made = made<<8 | int64(p[i])
	}
	return made
}

// Samples are an index, the head of a record and a tail that Decode finds good.
func Samples() [][]byte {
	var id objectID
	copy(id[:], "the one object of a test")
	first := place{id: id, count: 2, off: indexSize(2), size: 300}
	index := encodeIndex(id, 1732000000000, []entry{{moraine.BlobID{1}, first.off, 300}, {moraine.BlobID{2}, first.framesEnd(), leafSize}})
	head := make([]byte, recordSize)
	record{blob: moraine.BlobID{3}, size: 5, digest: treehash.Leaf([]byte("hello"))}.encode(head, id, 96)
	at := place{id: id, size: leafSize + 1}
	tail := encodeTail(at, moraine.BlobID{4}, 1732000000000, []treehash.Digest{{5}, {6}})
	return [][]byte{index, head, tail}
}

// Repair makes the checksums of a damaged sample right again, so that the fields
// behind them are reached.
func Repair(p []byte) {
	var id objectID
	copy(id[:], "the one object of a test")
	put := func(at int, crc uint32) {
		if at >= 0 && at+4 <= len(p) {
			p[at], p[at+1], p[at+2], p[at+3] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
		}
	}
	at := place{id: id, size: leafSize + 1}
	switch {
	case len(p) >= headSize && string(p[:4]) == headMagic[:4]:
		put(48, crcOf(p[headSize:]))
		put(60, crcOf(p[:60]))
	case len(p) == recordSize && string(p[:4]) == recordMagic:
		put(76, placedCRC(id, 96, p[:76]))
	case int64(len(p)) == at.objectEnd()-at.framesEnd():
		raw := len(p) - footSize
		put(raw+40, crcOf(p[:raw]))
		put(raw+76, placedCRC(id, at.footAt(), p[raw:raw+76]))
	}
}
