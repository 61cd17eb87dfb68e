package mend

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/meta"
)

// mover changes the rows of blobs whose copies were made anew.
type mover struct {
	rows  meta.Store
	blobs blob.Store
	grace time.Duration // of what is replaced
	now   func() time.Time
	log   *slog.Logger
}

// settle moves the row of a blob, if it is still as it was when the copies were
// made and pleases, and leaves what was replaced to the sweep. Otherwise it deletes
// what was made: whoever replaced or deleted the blob has seen to the copies that
// the row named. After an error the row may have been moved, so the new copies
// stay; if it was not, they are surplus.
func (m *mover) settle(ctx context.Context, i blob.Info, made blob.Mended, pleases func(moraine.Extent) bool) (moved bool, err error) {
	moved, err = m.move(ctx, i, made, pleases)
	if err != nil || moved {
		return moved, err
	}
	for _, ref := range made.Made {
		if err := m.blobs.Delete(context.WithoutCancel(ctx), ref); err != nil {
			m.log.WarnContext(ctx, "a copy that came too late keeps its space", "blob", i.ID.String(), "ref", string(ref), "err", err)
		}
	}
	return false, nil
}

// move does so in one transaction. What was made is recorded also when the
// process is being stopped.
func (m *mover) move(ctx context.Context, i blob.Info, made blob.Mended, pleases func(moraine.Extent) bool) (moved bool, err error) {
	now := m.now().UTC().Truncate(time.Millisecond)
	err = m.rows.Update(context.WithoutCancel(ctx), func(tx meta.Tx) error {
		moved = false
		_, e, err := tx.Bodies().ByBlob(i.ID)
		if errors.Is(err, meta.ErrNotFound) || err == nil && (e.Ref != i.Ref || !pleases(e)) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, ref := range made.Drop {
			g := moraine.Garbage{Blob: moraine.NewBlobID(now), Ref: ref, Size: i.Size, Since: now.Add(m.grace)}
			if err := tx.Sweeps().Discard(g); err != nil {
				return err
			}
		}
		moved = true
		return tx.Bodies().Move(i.ID, made.Ref)
	})
	// Durable now: the row names good copies, and those it named before are
	// garbage with a date. A crash before the commit leaves the row as it was,
	// with the good copy it had, and the new ones as surplus.
	return moved && err == nil, err
}
