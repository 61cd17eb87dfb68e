package account

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"moraine"
)

// Sealed bytes are version 1, four bytes that name the master key (the first
// of its SHA-256), a nonce of twelve, and AES-256-GCM's ciphertext with its
// tag. Format: never change.
const (
	sealVersion  = 1
	masterIDSize = 4
	masterSize   = 32
	sealHeader   = 1 + masterIDSize
)

// mastersMax bounds the keys of a keyring.
const mastersMax = 16

// Keyring seals the secrets that the rows hold and the tokens that clients
// hold. Its master keys are kept outside the rows. It is immutable.
type Keyring struct {
	keys []masterKey // the first one seals, any opens
}

type masterKey struct {
	id   [masterIDSize]byte
	aead cipher.AEAD
}

// GenerateMaster makes the text of a keyring with one new key.
func GenerateMaster() string {
	var b [masterSize]byte
	rand.Read(b[:])
	return "# Moraine's master keys: base64, one per line. The first one seals, each opens.\n" +
		"# Without them no access key works. Keep a copy away from the database.\n" +
		base64.StdEncoding.EncodeToString(b[:]) + "\n"
}

// ParseKeyring reads what GenerateMaster wrote, and files with more than one
// key, the newest first. No error repeats what the text says.
func ParseKeyring(text []byte) (*Keyring, error) {
	k := new(Keyring)
	for line := range bytes.Lines(text) {
		line := strings.TrimSpace(string(line))
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(raw) != masterSize {
			return nil, fmt.Errorf("a line is not a key: base64 of %d bytes is expected", masterSize)
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			return nil, err
		}
		m := masterKey{}
		if m.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, err
		}
		sum := sha256.Sum256(raw)
		copy(m.id[:], sum[:])
		k.keys = append(k.keys, m)
	}
	if n := len(k.keys); n == 0 || n > mastersMax {
		return nil, fmt.Errorf("there are %d keys, 1 to %d are expected", n, mastersMax)
	}
	return k, nil
}

// seal encrypts a text that belongs to name, which opening must repeat.
func (k *Keyring) seal(plain []byte, name string) []byte {
	m := &k.keys[0]
	out := append([]byte{sealVersion}, m.id[:]...)
	return m.aead.Seal(out, nil, plain, additional(out, name))
}

// open decrypts what seal made for the same name. The error is of kind Corrupt.
func (k *Keyring) open(sealed []byte, name string) ([]byte, error) {
	if len(sealed) > sealHeader && sealed[0] == sealVersion {
		for i := range k.keys {
			m := &k.keys[i]
			if !bytes.Equal(m.id[:], sealed[1:sealHeader]) {
				continue
			}
			plain, err := m.aead.Open(nil, nil, sealed[sealHeader:], additional(sealed[:sealHeader], name))
			if err != nil {
				break
			}
			return plain, nil
		}
	}
	return nil, moraine.Errorf(moraine.Corrupt, "a sealed text of %s cannot be opened with the master keys", name)
}

// additional binds the header and the name to a ciphertext.
func additional(header []byte, name string) []byte {
	return append(bytes.Clone(header), name...)
}
