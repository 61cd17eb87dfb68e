package crypt

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"fmt"

	"filippo.io/age"

	"moraine"
)

// KeyID names a key of a Ring.
type KeyID [8]byte

func (k KeyID) String() string { return hex.EncodeToString(k[:]) }

// KeySize is the length of a key of a Ring, in bytes.
const KeySize = 32

// Ring wraps the keys of blobs. Any of its keys unwraps, the current one wraps.
// It is immutable.
type Ring struct {
	current KeyID
	keys    map[KeyID]cipher.AEAD
}

// NewRing makes a Ring of keys, one of which is current.
func NewRing(current KeyID, keys map[KeyID][]byte) (*Ring, error) {
	r := &Ring{current: current, keys: make(map[KeyID]cipher.AEAD, len(keys))}
	for id, key := range keys {
		if len(key) != KeySize {
			return nil, fmt.Errorf("key %s has %d bytes, %d are expected", id, len(key), KeySize)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		if r.keys[id], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, err
		}
	}
	if r.keys[current] == nil {
		return nil, fmt.Errorf("the current key %s is not in the ring", current)
	}
	return r, nil
}

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
	body := r.ring.keys[r.ring.current].Seal(nil, nil, fileKey, additional(args))
	return []*age.Stanza{{Type: stanzaType, Args: args, Body: body}}, nil
}

// additional binds a wrapped key to its ring key and its blob.
func additional(args []string) []byte {
	return []byte(stanzaType + " " + args[0] + " " + args[1])
}

// Unwrap implements age.Identity.
func (r *Ring) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if len(stanzas) != 1 || stanzas[0].Type != stanzaType || len(stanzas[0].Args) != 2 {
		return nil, moraine.Errorf(moraine.Corrupt, "the header of an encrypted blob is not of this format")
	}
	s := stanzas[0]
	var id KeyID
	if n, err := hex.Decode(id[:], []byte(s.Args[0][:min(len(s.Args[0]), 2*len(id))])); err != nil || n != len(id) || id.String() != s.Args[0] {
		return nil, moraine.Errorf(moraine.Corrupt, "the header of an encrypted blob names no key")
	}
	if r == nil || r.keys[id] == nil {
		return nil, moraine.Errorf(moraine.Unavailable, "the key %s that encrypts a blob is not available", id)
	}
	key, err := r.keys[id].Open(nil, nil, s.Body, additional(s.Args))
	if err != nil {
		return nil, moraine.Errorf(moraine.Corrupt, "the key of an encrypted blob does not open with key %s", id)
	}
	return key, nil
}
