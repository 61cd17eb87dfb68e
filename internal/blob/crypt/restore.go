package crypt

import (
	"context"

	"moraine"
	"moraine/internal/blob"
)

var _ blob.Restorer = (*Store)(nil)

// Restore implements blob.Restorer. It needs no key.
func (s *Store) Restore(ctx context.Context, b moraine.BlobRef, tier moraine.Tier, days int) (bool, error) {
	at, _, err := parseRef(b)
	if err != nil {
		return false, err
	}
	return blob.Restore(ctx, s.inner, at.inner, tier, days)
}
