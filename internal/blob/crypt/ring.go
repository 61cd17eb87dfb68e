package crypt

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"errors"

	"filippo.io/age"

	"moraine"
)

// Ring wraps the keys of blobs. Any of its keys unwraps, the current one wraps.
// It is immutable. It can be printed, and shows no key.
type Ring struct {
	current KeyID
	wraps   bool                         // current is a key
	keys    map[KeyID]func() cipher.AEAD // functions for the same reason as in Key
}

// NewRing makes a Ring of keys, the last of which is current.
func NewRing(keys ...Key) (*Ring, error) {
	if len(keys) == 0 {
		return nil, errors.New("a ring needs a key")
	}
	r := &Ring{wraps: true, keys: make(map[KeyID]func() cipher.AEAD, len(keys))}
	for _, key := range keys {
		block, err := aes.NewCipher(key.Bytes())
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		r.current = key.ID()
		r.keys[r.current] = func() cipher.AEAD { return aead }
	}
	return r, nil
}

// ReadOnly returns a Ring that unwraps like r and wraps nothing.
func (r *Ring) ReadOnly() *Ring { return &Ring{keys: r.keys} }

// encrypts reports whether blobs are to be encrypted with r, which may be nil.
func (r *Ring) encrypts() bool { return r != nil && r.wraps }

// stanzaType is what the header of a blob says of its only recipient. Format:
// never change.
const stanzaType = "moraine.dev/k1"

// recipient wraps the key of one blob.
type recipient struct {
	ring *Ring
	blob moraine.BlobID
}

// Wrap implements age.Recipient.
func (r recipient) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	args := []string{r.ring.current.String(), hex.EncodeToString(r.blob[:])}
	body := r.ring.keys[r.ring.current]().Seal(nil, nil, fileKey, additional(args))
	return []*age.Stanza{{Type: stanzaType, Args: args, Body: body}}, nil
}

// additional binds a wrapped key to its ring key and its blob. Format: never
// change.
func additional(args []string) []byte {
	return []byte(stanzaType + " " + args[0] + " " + args[1])
}

// ErrNoKey is the cause when a blob is encrypted under a key that is not in the
// ring.
var ErrNoKey = errors.New("no such key in the ring")

// Unwrap implements age.Identity. A nil Ring has no keys.
func (r *Ring) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if len(stanzas) != 1 || stanzas[0].Type != stanzaType || len(stanzas[0].Args) != 2 {
		return nil, moraine.Errorf(moraine.Corrupt, "the header of an encrypted blob is not of this format")
	}
	s := stanzas[0]
	id, err := ParseKeyID(s.Args[0])
	if err != nil {
		return nil, moraine.Wrap(err, moraine.Corrupt, "the header of an encrypted blob names no key")
	}
	if r == nil || r.keys[id] == nil {
		return nil, moraine.Wrap(ErrNoKey, moraine.Unavailable, "the key %s that encrypts a blob is not available", id)
	}
	key, err := r.keys[id]().Open(nil, nil, s.Body, additional(s.Args))
	if err != nil {
		return nil, moraine.Errorf(moraine.Corrupt, "the key of an encrypted blob does not open with key %s", id)
	}
	return key, nil
}
