package blob

import (
	"context"
	"errors"

	"moraine"
)

// ErrCold is in the chain of an error of kind Unavailable that says that the
// bytes of a blob are there and must be restored before they can be read.
var ErrCold = errors.New("the bytes are in a cold class")

// Restorer is a store that may keep bytes where they cannot be read at once.
type Restorer interface {
	// Restore asks that the bytes at ref can be read for at least so many days,
	// and reports whether they can now. While they cannot, it may be called again
	// at any time, by any process: what was asked for is not asked for twice. Its
	// errors are those of Open.
	Restore(ctx context.Context, ref moraine.BlobRef, tier moraine.Tier, days int) (ready bool, err error)
}

// Restore asks a store that restores; of any other, everything can be read.
func Restore(ctx context.Context, s Store, ref moraine.BlobRef, tier moraine.Tier, days int) (ready bool, err error) {
	if r, ok := s.(Restorer); ok {
		return r.Restore(ctx, ref, tier, days)
	}
	return true, nil
}

type warmKey struct{}

// Warm marks the context of a Put of bytes that will be read soon: a store with
// cold classes keeps them where they can be read at once.
func Warm(ctx context.Context) context.Context { return context.WithValue(ctx, warmKey{}, true) }

// IsWarm reports whether ctx is marked by Warm.
func IsWarm(ctx context.Context) bool { return ctx.Value(warmKey{}) != nil }
