package account

import "context"

// Flush writes the last uses of keys down now.
func (d *Directory) Flush(ctx context.Context) error { return d.flush(ctx) }

// The bounds of texts and of what is kept of them.
const (
	TextBytesMax = textBytesMax
	PageBytesMax = pageBytesMax
)

// CompiledText is how many characters of policies d keeps the compiled form of.
func (d *Directory) CompiledText() int { return d.kept.Text() }
