package account

import "context"

// Seal and Unseal are the two directions of a Keyring.
func (k *Keyring) Seal(plain []byte, name string) []byte             { return k.seal(plain, name) }
func (k *Keyring) Unseal(sealed []byte, name string) ([]byte, error) { return k.open(sealed, name) }

// Flush writes the last uses of keys down now.
func (d *Directory) Flush(ctx context.Context) error { return d.flush(ctx) }

// The bounds of texts and of what is kept of them.
const (
	TextBytesMax = textBytesMax
	PageBytesMax = pageBytesMax
)

// CompiledText is how many characters of policies d keeps the compiled form of.
func (d *Directory) CompiledText() int { return d.kept.Text() }
