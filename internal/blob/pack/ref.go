package pack

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"

	"moraine"
)

// ref is a parsed moraine.BlobRef.
type ref struct {
	shape
	id  packID
	crc uint32 // of the header
}

// Format: never change.
const (
	refShared = "s"
	refSingle = "l"
)

func (r ref) String() string {
	kind := refShared
	if r.kind == single {
		kind = refSingle
	}
	var room [refMax]byte
	b := append(room[:0], kind...)
	b = append(b, '.')
	b = hex.AppendEncode(b, r.id[:])
	b = append(b, '.')
	b = strconv.AppendInt(b, r.off, 16)
	b = append(b, '.')
	b = strconv.AppendInt(b, r.size, 16)
	b = append(b, '.')
	b = hex.AppendEncode(b, binary.BigEndian.AppendUint32(nil, r.crc))
	return string(b)
}

func (r ref) blobRef() moraine.BlobRef { return moraine.BlobRef(r.String()) }

// parseRef accepts exactly what String prints for a possible place.
func parseRef(b moraine.BlobRef) (ref, error) {
	r, ok := parseFields(string(b))
	// Printing what was read leaves no other spelling.
	if !ok || r.String() != string(b) {
		return ref{}, moraine.Errorf(moraine.Invalid, "%q is not a reference to a blob in a pack", string(b))
	}
	return r, nil
}

// refMax bounds the length of a reference.
const refMax = 64

func parseFields(s string) (r ref, ok bool) {
	if len(s) > refMax {
		return r, false
	}
	fields := strings.Split(s, ".")
	if len(fields) != 5 {
		return r, false
	}
	switch fields[0] {
	case refShared:
		r.kind = shared
	case refSingle:
		r.kind = single
	}
	id, okID := parsePackID(fields[1])
	off, err1 := strconv.ParseInt(fields[2], 16, 64)
	size, err2 := strconv.ParseInt(fields[3], 16, 64)
	crc, err3 := strconv.ParseUint(fields[4], 16, 32)
	r.id, r.off, r.size, r.crc = id, off, size, uint32(crc)
	switch {
	case !okID || err1 != nil || err2 != nil || err3 != nil || r.kind == 0:
		return r, false
	case size < 1 || size > sizeMax || off < fileHeaderSize || off > fileSizeMax || off%recordAlign != 0:
		return r, false
	}
	return r, r.kind == shared || off == fileHeaderSize
}

// parsePackID reads what String prints.
func parsePackID(s string) (id packID, ok bool) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(id) {
		return id, false
	}
	copy(id[:], raw)
	return id, id.String() == s
}
