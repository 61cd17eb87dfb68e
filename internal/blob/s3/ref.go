package s3

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"moraine"
)

// Format: never change. See docs/format/s3.md.
const (
	refPrefix = "s1"
	refMax    = 120

	dataDir  = "v1/" // objects with blobs
	markDir  = "d1/" // marks of deleted records
	indexDir = "i1/" // copies of indexes of objects that cannot be read at once
	checkDir = "check/"

	singleKind = "l"
	sharedKind = "p"
)

// objectID names an object for ever: an id of the time-ordered kind, and eight
// random bytes.
type objectID [24]byte

// newObjectID makes an id that sorts like b.
func newObjectID(b moraine.BlobID) objectID {
	var id objectID
	copy(id[:], b[:])
	rand.Read(id[len(b):])
	return id
}

func (id objectID) String() string { return hex.EncodeToString(id[:]) }

// shard spreads objects over prefixes.
func (id objectID) shard() string { return hex.EncodeToString(id[len(id)-1:]) }

func parseObjectID(s string) (id objectID, ok bool) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(id) {
		return id, false
	}
	copy(id[:], raw)
	return id, id.String() == s
}

func (p place) String() string {
	return fmt.Sprintf("%s:%s:%x:%x:%x", refPrefix, p.id, p.count, p.off, p.size)
}

func (p place) blobRef() moraine.BlobRef { return moraine.BlobRef(p.String()) }

// parseRef accepts exactly what String prints for a possible place.
func parseRef(b moraine.BlobRef) (place, error) {
	p, ok := parseFields(string(b))
	// Printing what was read leaves no other spelling.
	if !ok || p.String() != string(b) {
		return place{}, moraine.Errorf(moraine.Invalid, "%q is not a reference to a blob in a bucket", string(b))
	}
	return p, nil
}

func parseFields(s string) (p place, ok bool) {
	if len(s) > refMax {
		return p, false
	}
	fields := strings.Split(s, ":")
	if len(fields) != 5 || fields[0] != refPrefix {
		return p, false
	}
	id, okID := parseObjectID(fields[1])
	count, err1 := strconv.ParseInt(fields[2], 16, 32)
	off, err2 := strconv.ParseInt(fields[3], 16, 64)
	size, err3 := strconv.ParseInt(fields[4], 16, 64)
	if !okID || err1 != nil || err2 != nil || err3 != nil {
		return p, false
	}
	p = place{id: id, count: int(count), off: off, size: size}
	if p.single() {
		return p, off == 0 && size >= 1 && size <= sizeMax
	}
	return p, count >= 1 && count <= countMax && off >= indexSize(int(count)) && off <= offsetMax && size >= 1 && size <= leafSize
}

// object is what the name of an object says.
type object struct {
	id    objectID
	count int   // 0 for an object of one blob
	size  int64 // of its data, if it has one blob
}

func (p place) object() object {
	o := object{id: p.id, count: p.count}
	if p.single() {
		o.size = p.size
	}
	return o
}

func (o object) base() string {
	if o.count == 0 {
		return fmt.Sprintf("%s/%s.%s%x", o.id.shard(), o.id, singleKind, o.size)
	}
	return fmt.Sprintf("%s/%s.%s%x", o.id.shard(), o.id, sharedKind, o.count)
}

func (o object) key() string { return dataDir + o.base() }

// indexKey is where the copy of the index is.
func (o object) indexKey() string { return indexDir + o.base() }

// marks is the prefix of the marks of an object.
func (o object) marks() string { return markDir + o.id.shard() + "/" + o.id.String() + "/" }

// markKey is the mark that says that a record is deleted.
func (p place) markKey() string { return p.object().marks() + fmt.Sprintf("%x", p.off) }

// parseObject reads a name below dataDir or indexDir, without that.
func parseObject(base string) (o object, ok bool) {
	_, name, _ := strings.Cut(base, "/")
	hexID, kind, _ := strings.Cut(name, ".")
	if o.id, ok = parseObjectID(hexID); !ok || len(kind) < 2 {
		return o, false
	}
	n, err := strconv.ParseInt(kind[1:], 16, 64)
	if err != nil {
		return o, false
	}
	switch kind[:1] {
	case singleKind:
		o.size = n
		ok = n >= 1 && n <= sizeMax
	case sharedKind:
		o.count = int(n)
		ok = n >= 1 && n <= countMax
	default:
		return o, false
	}
	return o, ok && o.base() == base
}

// parseMark reads a name below markDir, without that.
func parseMark(base string) (id objectID, off int64, ok bool) {
	shard, rest, _ := strings.Cut(base, "/")
	hexID, text, _ := strings.Cut(rest, "/")
	if id, ok = parseObjectID(hexID); !ok || id.shard() != shard {
		return id, 0, false
	}
	off, err := strconv.ParseInt(text, 16, 64)
	return id, off, err == nil && off > 0 && strconv.FormatInt(off, 16) == text
}
