package mend

import (
	"context"
	"errors"
	"sync"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/meta"
	"moraine/internal/treehash"
)

// surplusMax bounds the places that are remembered from pass to pass.
const surplusMax = 1 << 16

// surplus remembers places in sparse files that the rows of their blobs do not
// name, and when this process first saw them. Most are garbage with a date or
// copies whose rows are about to be moved. What is still there after the grace is
// neither: a crash came between the copy and the row.
type surplus struct {
	before map[moraine.BlobRef]time.Time // of the last pass

	mu   sync.Mutex // guards seen
	seen map[moraine.BlobRef]time.Time
}

// newSurplus begins a pass after another; nil for the first. It forgets what was
// not seen in the last pass.
func newSurplus(last *surplus) *surplus {
	s := &surplus{seen: map[moraine.BlobRef]time.Time{}}
	if last != nil {
		s.before = last.seen
	}
	return s
}

// since notes a place and returns when it was first seen.
func (s *surplus) since(at moraine.BlobRef, now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, known := s.before[at]
	if !known {
		first = now
	}
	if len(s.seen) < surplusMax {
		s.seen[at] = first
	}
	return first
}

// leftOver deletes a copy that the row of its blob has not named for as long as
// the grace, if every copy that it does name is whole. Rows are moved to copies
// that were made a moment ago, never back to one that was left.
func (c *Compaction) leftOver(ctx context.Context, i blob.Info, at moraine.BlobRef) error {
	now := c.time()
	if now.Before(c.surplus.since(at, now).Add(c.cfg.Grace)) {
		return nil
	}
	copies, err := c.cfg.Blobs.Check(ctx, i, make([]byte, treehash.LeafSize), func(n int) error { return c.cfg.Pacer.Wait(ctx, n) })
	if err != nil {
		return err
	}
	for _, one := range copies {
		if one.Err != nil {
			c.cfg.Suspect(i.ID)
			return nil // what is surplus may be wanted yet
		}
	}
	var same bool
	err = c.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		_, e, err := tx.Bodies().ByBlob(i.ID)
		same = err == nil && e.Ref == i.Ref
		if errors.Is(err, meta.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil || !same {
		return err
	}
	// A crash on any line from here on leaves the copy, for the next passes, or not.
	if err := c.cfg.Blobs.Delete(ctx, at); err != nil {
		return err
	}
	c.note(func(st *CompactionStatus) { st.Pass.Surplus++ })
	return nil
}
