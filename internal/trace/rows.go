package trace

import (
	"context"
	"time"

	"moraine/internal/meta"
)

// Rows makes a span of each transaction of s.
func (t *Tracer) Rows(s meta.Store) meta.Store {
	if t == nil {
		return s
	}
	return rows{s, t}
}

// rows is a store whose transactions are watched.
type rows struct {
	meta.Store
	tracer *Tracer
}

// View implements meta.Store.
func (r rows) View(ctx context.Context, fn func(meta.Tx) error) error {
	return r.watch(ctx, "rows.View", r.Store.View, fn)
}

// Update implements meta.Store.
func (r rows) Update(ctx context.Context, fn func(meta.Tx) error) error {
	return r.watch(ctx, "rows.Update", r.Store.Update, fn)
}

// watch notes how long fn had to wait for its turn, and how often it was run.
func (r rows) watch(ctx context.Context, name string, run func(context.Context, func(meta.Tx) error) error, fn func(meta.Tx) error) error {
	ctx, span := r.tracer.Start(ctx, name)
	tries, began, waited := int64(0), time.Now(), time.Duration(0)
	err := run(ctx, func(tx meta.Tx) error {
		if tries++; tries == 1 {
			waited = time.Since(began)
		}
		return fn(tx)
	})
	span.Number("moraine.tries", tries)
	span.Number("moraine.waited_us", waited.Microseconds())
	span.End(err)
	return err
}
