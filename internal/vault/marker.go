package vault

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"moraine"
)

// A ListParts marker is 37 bytes, 50 characters on the wire (§1.15): a tag
// that is never "-" in base64, the offset of the first part of the page, and a
// digest that ties it to the upload.
const (
	partMarkerTag  = 1
	partMarkerSize = 37
)

func partMarker(first int64, id moraine.UploadID) string {
	b := make([]byte, 9, partMarkerSize)
	b[0] = partMarkerTag
	binary.BigEndian.PutUint64(b[1:], uint64(first))
	sum := sha256.Sum256(append(b[:9:9], id...))
	return base64.RawURLEncoding.EncodeToString(append(b, sum[:partMarkerSize-9]...))
}

// parsePartMarker reads what partMarker wrote for the same upload; "" is the
// start.
func parsePartMarker(marker string, id moraine.UploadID) (int64, error) {
	if marker == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(marker)
	if err == nil && len(b) == partMarkerSize {
		first := int64(binary.BigEndian.Uint64(b[1:9]))
		if first >= 0 && partMarker(first, id) == marker {
			return first, nil
		}
	}
	return 0, moraine.Errorf(moraine.Invalid, "Invalid marker: %s", marker)
}
