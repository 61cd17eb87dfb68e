package pack

import (
	"context"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/treehash"
)

// ParseRef parses a reference and prints it again.
func ParseRef(b moraine.BlobRef) (printed moraine.BlobRef, err error) {
	r, err := parseRef(b)
	return r.blobRef(), err
}

// Place says which file of the store holds a blob, where its data begins and
// where its record begins and ends.
func Place(s *Store, b moraine.BlobRef) (path string, data, from, to int64) {
	r, err := parseRef(b)
	if err != nil {
		panic(err)
	}
	f, path, err := s.find(fileName{kind: r.kind, id: r.id}, 0)
	if err != nil {
		panic(err)
	}
	_ = f.Close()
	return path, r.dataAt(), r.off, r.end()
}

// ReadRecords scans p as a shared pack of some id, as recovery does, and
// returns how many records and damaged ranges it found.
func ReadRecords(p []byte) (records, damaged int, err error) {
	n := fileName{kind: shared}
	sc := newScanner(bytesAt(p), n, int64(len(p)))
	var last int64
	sc.record = func(off int64, h header) error {
		if off < last {
			panic("records overlap")
		}
		last = off + h.span
		records++
		var again [headerSize]byte
		h.encode(again[:], n.id, n.kind, off)
		if string(again[:]) != string(p[off:off+headerSize]) {
			panic("a header does not survive decoding and encoding")
		}
		return nil
	}
	sc.damaged = func(from, to int64, _ error) error {
		if from < last || to <= from {
			panic("damaged range overlaps")
		}
		last = to
		damaged++
		return nil
	}
	_, err = sc.run(fileHeaderSize)
	return records, damaged, err
}

// Record builds a record of a blob for offset off of a pack with the zero id.
func Record(off, base int64, data []byte) []byte {
	at := shape{kind: shared, off: off, size: int64(len(data))}
	p := make([]byte, at.span())
	copy(p[headerSize:], data)
	var t tail
	t.addFrames(data)
	t.digests = append(t.digests, [digestSize]byte{})
	a := &addition{size: at.size, record: p, tailCRC: t.encode(p[headerSize+at.size:])}
	a.place(packID{}, off, base)
	return p
}

// CheckAll checks every blob of a store and calls fn for each that is whole,
// with the root of its leaves, and damaged for everything that is not.
func CheckAll(ctx context.Context, s *Store, fn func(blob.Info, treehash.Digest) error, damaged func(error)) error {
	buf := make([]byte, treehash.LeafSize)
	return s.Walk(ctx, func(i blob.Info) error {
		copies, err := s.Check(ctx, i, buf, func(int) error { return nil })
		if err != nil {
			return err
		}
		switch err := copies[0].Err; {
		case moraine.IsKind(err, moraine.NotFound):
			return nil // deleted meanwhile
		case err != nil:
			damaged(err)
			return nil
		}
		leaves, err := s.Leaves(ctx, i.Ref, 0, shape{size: i.Size}.leaves())
		if err != nil {
			return err
		}
		return fn(i, treehash.Root(leaves))
	}, damaged)
}

type bytesAt []byte

func (b bytesAt) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(b)) {
		return 0, errShort
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, errShort
	}
	return n, nil
}
