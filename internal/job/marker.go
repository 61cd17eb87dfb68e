package job

import (
	"encoding/base64"
	"encoding/binary"
	"time"
)

// An inventory marker is 101 bytes, 135 characters on the wire (§7.3): a tag
// that is never "-" in base64, the creation instant of the last item
// delivered, and the first 92 characters of its id, padded with zeros. Two
// archives of one millisecond that share 92 characters do not occur: ids hold
// more than 500 random bits there.
const (
	markerTag  = 1
	markerSize = 101
	markerID   = markerSize - 9
)

// position is a place in the order of an inventory, just after an item.
type position struct {
	created time.Time
	id      string
}

func (p position) marker() string {
	b := make([]byte, markerSize)
	b[0] = markerTag
	binary.BigEndian.PutUint64(b[1:], uint64(p.created.UnixMilli()))
	copy(b[9:], p.id)
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseMarker reads what marker wrote; "" is the start. The id it returns
// sorts just after every id with the recorded beginning.
func parseMarker(s string) (position, error) {
	if s == "" {
		return position{}, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	// The decoder steps over line ends, which a marker never holds.
	if err != nil || len(b) != markerSize || b[0] != markerTag || base64.RawURLEncoding.EncodeToString(b) != s {
		return position{}, invalid("Marker", s)
	}
	id := b[9:]
	for len(id) > 0 && id[len(id)-1] == 0 {
		id = id[:len(id)-1]
	}
	ms := int64(binary.BigEndian.Uint64(b[1:9]))
	after := string(id)
	if len(id) == markerID {
		after += "\x7f"
	}
	return position{created: time.UnixMilli(ms).UTC(), id: after}, nil
}
