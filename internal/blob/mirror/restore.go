package mirror

import (
	"context"

	"moraine"
	"moraine/internal/blob"
)

var _ blob.Restorer = (*Store)(nil)

// Restore implements blob.Restorer. One copy that can be read is enough, so a
// store that restores is asked only if the other has no copy. The sides are asked
// in the order in which they are read.
func (s *Store) Restore(ctx context.Context, ref moraine.BlobRef, tier moraine.Tier, days int) (bool, error) {
	h, err := parse(ref)
	if err != nil {
		return false, err
	}
	var why error
	var asked, others []*side
	for _, side := range s.order(h) {
		if h[side.index] == "" {
			continue // it is for those who read it to say that there is none
		}
		if _, restores := side.Copy.(blob.Restorer); restores {
			asked = append(asked, side)
		} else {
			others = append(others, side)
		}
	}
	if len(asked) == 0 {
		return true, nil
	}
	for _, side := range others {
		if _, err := side.Stat(ctx, h[side.index]); err == nil {
			return true, nil
		}
	}
	for _, side := range asked {
		ready, err := blob.Restore(ctx, side.Copy, h[side.index], tier, days)
		if err == nil || ctx.Err() != nil {
			return ready, err
		}
		why = worse(why, err)
	}
	return false, why
}
