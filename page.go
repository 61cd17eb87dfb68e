package moraine

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strconv"
	"time"
)

// PageLimit reads the limit parameter of a list, "" if absent: an integer from
// one, clamped to the maximum, which is also the default (§1.13).
func PageLimit(s string, pageMax int) (int, error) {
	if s == "" {
		return pageMax, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if errors.Is(err, strconv.ErrRange) && s[0] != '-' {
		return pageMax, nil
	}
	if err != nil || n < 1 || s[0] == '+' {
		return 0, Errorf(Invalid, "Invalid limit: %s", s)
	}
	return int(min(n, int64(pageMax))), nil
}

// Position is a place in a list ordered by creation and id: just after the
// item with these. As a marker it is opaque, of the base64url alphabet, and
// stays valid when the item is gone (§1.13).
type Position struct {
	Created time.Time
	ID      string
}

// positionTag begins every marker, so that it never starts with "-".
const positionTag = 1

// Marker encodes the position.
func (p Position) Marker() string {
	b := make([]byte, 9, 9+len(p.ID))
	b[0] = positionTag
	binary.BigEndian.PutUint64(b[1:], uint64(p.Created.UnixMilli()))
	return base64.RawURLEncoding.EncodeToString(append(b, p.ID...))
}

// ParsePosition reads what Marker wrote; "" is the zero position, the start.
func ParsePosition(marker string) (Position, error) {
	if marker == "" {
		return Position{}, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(marker)
	if err != nil || len(b) < 10 || b[0] != positionTag {
		return Position{}, Errorf(Invalid, "Invalid marker: %s", marker)
	}
	ms := int64(binary.BigEndian.Uint64(b[1:9]))
	p := Position{Created: time.UnixMilli(ms).UTC(), ID: string(b[9:])}
	if p.Marker() != marker { // the decoder steps over line ends
		return Position{}, Errorf(Invalid, "Invalid marker: %s", marker)
	}
	return p, nil
}
