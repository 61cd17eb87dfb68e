package mirror

import (
	"context"

	"moraine"
	"moraine/internal/blob"
)

// Sparse implements blob.Compactor. A store without that power has no sparse
// files.
func (s *Store) Sparse(ctx context.Context, from blob.Sparsity, fn func(blob.Info) error) error {
	for _, side := range s.sides {
		if side == nil {
			continue
		}
		c, ok := side.Copy.(blob.Compactor)
		if !ok {
			continue
		}
		err := c.Sparse(ctx, from, func(i blob.Info) error {
			if s.Mirrored() {
				var h halves
				h[side.index] = i.Ref
				i.Ref = h.ref()
			}
			return fn(i)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Rewrite implements blob.Compactor. The copy is made of the one that moves, not
// of the other: each is read and checked where it is.
func (s *Store) Rewrite(ctx context.Context, i blob.Info, at moraine.BlobRef, step func(n int) error) (blob.Mended, error) {
	none := blob.Mended{Ref: i.Ref}
	h, err := parse(i.Ref)
	if err != nil {
		return none, err
	}
	place, err := parse(at)
	if err != nil {
		return none, err
	}
	for n, side := range s.sides {
		if place[n] == "" || place[n] != h[n] || side == nil {
			continue
		}
		c, ok := side.Copy.(blob.Compactor)
		if !ok {
			return none, nil
		}
		if err := side.stuck(); err != nil {
			return none, err
		}
		m, err := c.Rewrite(ctx, blob.Info{ID: i.ID, Ref: h[n], Size: i.Size}, place[n], step)
		if err != nil || m.Ref == h[n] {
			return none, err
		}
		if s.alone(i.Ref) {
			return m, nil // the references are those of the one store
		}
		return s.rejoin(h, n, m), nil
	}
	return none, nil
}

// rejoin says of the whole blob what m says of one copy.
func (s *Store) rejoin(h halves, n int, m blob.Mended) blob.Mended {
	alone := func(refs []moraine.BlobRef) (all []moraine.BlobRef) {
		for _, ref := range refs {
			var one halves
			one[n] = ref
			all = append(all, one.ref())
		}
		return all
	}
	h[n] = m.Ref
	return blob.Mended{Ref: h.ref(), Made: alone(m.Made), Drop: alone(m.Drop)}
}
