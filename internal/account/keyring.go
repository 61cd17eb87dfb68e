package account

import "encoding/hex"

// SealFile encrypts a text that is kept outside the rows and belongs to name, which
// OpenFile must repeat.
func (k *Keyring) SealFile(plain []byte, name string) []byte { return k.seal(plain, "file:"+name) }

// OpenFile decrypts what SealFile made for the same name. The error is of kind Corrupt.
func (k *Keyring) OpenFile(sealed []byte, name string) ([]byte, error) {
	return k.open(sealed, "file:"+name)
}

// Current names the master key that seals. The name tells nothing of the key.
func (k *Keyring) Current() string { return hex.EncodeToString(k.keys[0].id[:]) }
