// Package keyfile is a master of wrapping keys that is a file of keys.
//
// It knows how a key is sealed by one of the file. It must not know where the
// file is, nor when keys are made.
package keyfile

import (
	"context"

	"moraine"
	"moraine/internal/seal"
)

// Comment is put above the key of a new file.
const Comment = "Moraine's master key for encrypted archives: base64, one key per line. The first one wraps, each opens.\n" +
	"Without it no encrypted archive can be read. Keep copies, none of them beside the data."

// Master is a blobkeys.Master.
type Master struct{ ring *seal.Keyring }

// New makes a master of the keys of a file.
func New(ring *seal.Keyring) *Master { return &Master{ring} }

// Name names the first key of the file.
func (m *Master) Name() string { return "file:" + m.ring.Name() }

// sealName binds a sealed key to its id. Format: never change.
func sealName(id string) string { return "blob key:" + id }

// Wrap seals a key with the first key of the file.
func (m *Master) Wrap(_ context.Context, id string, key []byte) ([]byte, error) {
	return m.ring.Seal(key, sealName(id)), nil
}

// Unwrap opens a key with any key of the file.
func (m *Master) Unwrap(_ context.Context, id string, wrapped []byte) ([]byte, error) {
	key, err := m.ring.Open(wrapped, sealName(id))
	if err != nil {
		return nil, moraine.Wrap(err, moraine.Corrupt, "the key file does not open the key %s", id)
	}
	return key, nil
}
