package crypt

import (
	"filippo.io/age"

	"moraine"
)

// What the fuzz targets and the tests of sizes need.
var (
	StoredSize = storedSize
	PlainSize  = plainSize
)

const (
	SizeMax    = sizeMax
	StanzaType = stanzaType
)

// ParseRef parses a reference and prints it again.
func ParseRef(b string) (string, bool, error) {
	r, encrypted, err := parseRef(moraine.BlobRef(b))
	return string(r.String()), encrypted, err
}

// Unwrap has a ring unwrap one stanza.
func Unwrap(r *Ring, kind string, args []string, body []byte) ([]byte, error) {
	return r.Unwrap([]*age.Stanza{{Type: kind, Args: args, Body: body}})
}
