package account

import "context"

// Flush writes the last uses of keys down now.
func (d *Directory) Flush(ctx context.Context) error { return d.flush(ctx) }
