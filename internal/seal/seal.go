// Package seal encrypts short secrets with keys from a file: the first key of
// the file seals, each opens, so that a newer one can be put before them.
//
// It knows the text of a file of keys and the bytes of what they sealed. It must
// not know where the file is, nor what the secrets are for.
package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Sealed bytes are version 1, four bytes that name the key (the first of its
// SHA-256), a nonce of twelve, and AES-256-GCM's ciphertext with its tag.
// Format: never change.
const (
	version    = 1
	keyIDSize  = 4
	keySize    = 32
	headerSize = 1 + keyIDSize
)

// keysMax bounds the keys of a keyring.
const keysMax = 16

// Keyring seals and opens. It is immutable, and can be printed without showing
// a key.
type Keyring struct {
	keys []key // the first one seals, any opens
}

type key struct {
	id   [keyIDSize]byte
	aead func() cipher.AEAD // a function, since package fmt follows pointers
}

// Generate makes the text of a keyring with one new key. Each line of the
// comment is put above it.
func Generate(comment string) string {
	var b strings.Builder
	for line := range strings.Lines(comment) {
		b.WriteString("# " + strings.TrimSuffix(line, "\n") + "\n")
	}
	raw := make([]byte, keySize)
	rand.Read(raw)
	return b.String() + base64.StdEncoding.EncodeToString(raw) + "\n"
}

// Parse reads what Generate wrote, and texts with more than one key, the newest
// first. No error repeats what the text says.
func Parse(text []byte) (*Keyring, error) {
	k := new(Keyring)
	for line := range bytes.Lines(text) {
		line := strings.TrimSpace(string(line))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(raw) != keySize {
			return nil, fmt.Errorf("a line is not a key: base64 of %d bytes is expected", keySize)
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		one := key{aead: func() cipher.AEAD { return aead }}
		sum := sha256.Sum256(raw)
		copy(one.id[:], sum[:])
		k.keys = append(k.keys, one)
	}
	if n := len(k.keys); n == 0 || n > keysMax {
		return nil, fmt.Errorf("there are %d keys, 1 to %d are expected", n, keysMax)
	}
	return k, nil
}

// Name names the key that seals, in hex digits.
func (k *Keyring) Name() string { return hex.EncodeToString(k.keys[0].id[:]) }

// NameOf names the key that sealed something, as Name does; "" if nothing did.
func NameOf(sealed []byte) string {
	if len(sealed) <= headerSize || sealed[0] != version {
		return ""
	}
	return hex.EncodeToString(sealed[1:headerSize])
}

// Seal encrypts a text that belongs to name, which opening must repeat.
func (k *Keyring) Seal(plain []byte, name string) []byte {
	first := &k.keys[0]
	out := append([]byte{version}, first.id[:]...)
	return first.aead().Seal(out, nil, plain, additional(out, name))
}

// ErrOpen says that bytes were not sealed for that name with a key of the
// keyring, or not at all.
var ErrOpen = errors.New("no key opens what is sealed")

// Open decrypts what Seal made for the same name, or returns ErrOpen.
func (k *Keyring) Open(sealed []byte, name string) ([]byte, error) {
	if len(sealed) <= headerSize || sealed[0] != version {
		return nil, ErrOpen
	}
	for i := range k.keys {
		one := &k.keys[i]
		if !bytes.Equal(one.id[:], sealed[1:headerSize]) {
			continue
		}
		plain, err := one.aead().Open(nil, nil, sealed[headerSize:], additional(sealed[:headerSize], name))
		if err == nil {
			return plain, nil
		}
	}
	return nil, ErrOpen
}

// additional binds the header and the name to a ciphertext.
func additional(header []byte, name string) []byte {
	return append(bytes.Clone(header), name...)
}
