package metatest

import (
	"context"
	"sync/atomic"

	"moraine/internal/meta"
)

// Ordered wraps a store and numbers Updates in the order in which they take
// effect: tests of races ask which of two came first.
type Ordered struct {
	meta.Store
	last atomic.Int64
}

type turnKey struct{}

// Turn returns a context whose Updates write their number to turn, from 1. It is
// certain when Update has returned; one that failed has a number, too.
func Turn(ctx context.Context, turn *int64) context.Context {
	return context.WithValue(ctx, turnKey{}, turn)
}

// Update implements meta.Store.
func (o *Ordered) Update(ctx context.Context, fn func(meta.Tx) error) error {
	turn, ok := ctx.Value(turnKey{}).(*int64)
	if !ok {
		return o.Store.Update(ctx, fn)
	}
	return o.Store.Update(ctx, func(tx meta.Tx) error {
		err := fn(tx)
		// Updates are serialised, so that the next one begins after this line.
		*turn = o.last.Add(1)
		return err
	})
}

var _ meta.Store = (*Ordered)(nil)
