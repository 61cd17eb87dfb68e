package account

import "moraine/internal/seal"

// SealFile encrypts a text that is kept outside the rows and belongs to name, which
// OpenFile must repeat.
func SealFile(k *seal.Keyring, plain []byte, name string) []byte {
	return k.Seal(plain, fileName(name))
}

// OpenFile decrypts what SealFile made for the same name. The error is of kind Corrupt.
func OpenFile(k *seal.Keyring, sealed []byte, name string) ([]byte, error) {
	return open(k, sealed, fileName(name))
}

// fileName keeps names of files apart from those of keys and tokens.
func fileName(name string) string { return "file:" + name }
