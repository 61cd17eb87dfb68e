package sqlmeta

import (
	"context"

	"moraine"
	"moraine/internal/meta"
)

const (
	extentAll  = `SELECT ` + extentColumns + `, body_id FROM extents ORDER BY body_id, first_byte`
	archiveAll = `SELECT ` + archiveColumns + ` FROM archives WHERE deleted_ms IS NULL ORDER BY archive_id`
)

// WalkArchives calls fn for every archive that is not deleted, in order of id,
// as WalkExtents does for extents. fn may read through a View of its own.
func (s *Store) WalkArchives(ctx context.Context, fn func(moraine.Archive) error) error {
	return s.View(ctx, func(mtx meta.Tx) error {
		return each(mtx.(*tx), readArchive, func(a *moraine.Archive) error { return fn(*a) }, archiveAll)
	})
}

// WalkExtents calls fn for every extent of every body, in order of body and
// offset, and stops at the first error of fn. It reads one snapshot as a
// stream: memory does not depend on how many there are. fn must not wait for
// an Update of its own goroutine to be visible.
func (s *Store) WalkExtents(ctx context.Context, fn func(moraine.BodyID, moraine.Extent) error) error {
	return s.View(ctx, func(mtx meta.Tx) error {
		return each(mtx.(*tx), readPlaced, func(p *meta.Placed) error { return fn(p.Body, p.Extent) }, extentAll)
	})
}
