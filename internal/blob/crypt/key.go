package crypt

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
)

// KeyID names a Key. It is computed from the key, so that another key is never
// taken for it.
type KeyID [8]byte

func (k KeyID) String() string { return hex.EncodeToString(k[:]) }

// ParseKeyID reads what String prints.
func ParseKeyID(s string) (id KeyID, err error) {
	if len(s) == 2*len(id) {
		_, err = hex.Decode(id[:], []byte(s))
	}
	if err != nil || id.String() != s {
		return KeyID{}, fmt.Errorf("%q is not the id of a key: %d hex digits are expected", s, 2*len(id))
	}
	return id, nil
}

// KeySize is the length of a Key, in bytes.
const KeySize = 32

// Key wraps the keys of blobs. However it is printed, marshalled or logged, it
// reads REDACTED; Bytes is the way to its bytes. The zero value is no key.
type Key struct {
	// secret returns the bytes. Whatever package fmt finds inside of a struct it
	// may print, with its methods or without, and follow pointers; not functions.
	secret func() []byte
}

// GenerateKey makes a new random key.
func GenerateKey() Key {
	raw := make([]byte, KeySize)
	rand.Read(raw)
	return Key{func() []byte { return raw }}
}

// NewKey makes a key of its bytes, which it copies.
func NewKey(raw []byte) (Key, error) {
	if len(raw) != KeySize {
		return Key{}, fmt.Errorf("a key has %d bytes, %d are expected", len(raw), KeySize)
	}
	raw = bytes.Clone(raw)
	return Key{func() []byte { return raw }}, nil
}

// Bytes returns the bytes of the key, which must not be changed.
func (k Key) Bytes() []byte { return k.secret() }

// Equal reports whether both are the same key.
func (k Key) Equal(other Key) bool {
	return subtle.ConstantTimeCompare(k.secret(), other.secret()) == 1
}

// idPrefix goes before the key in the hash that names it. Format: never change.
const idPrefix = "moraine.dev/k1 key id\n"

// ID is the beginning of the SHA-256 of idPrefix and the key. It tells nothing
// of a key that is random.
func (k Key) ID() (id KeyID) {
	sum := sha256.Sum256(append([]byte(idPrefix), k.secret()...))
	copy(id[:], sum[:])
	return id
}

const redacted = "REDACTED"

// String returns REDACTED.
func (Key) String() string { return redacted }

// GoString returns REDACTED.
func (Key) GoString() string { return redacted }

// Format prints REDACTED for every verb.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns REDACTED.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns REDACTED.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }
