package s3

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/errgroup"

	"moraine"
)

// removalsMax bounds the marks that are removed at a time.
const removalsMax = 8

// Delete implements blob.Store. An object of one blob is removed. A record of a
// shared object is marked, by a small object beside it, and when all records are
// marked the object goes, then its marks. Whoever sees the last mark does that;
// if nobody does, because of a crash, Walk does.
func (s *Store) Delete(ctx context.Context, b moraine.BlobRef) error {
	done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	at, err := parseRef(b)
	if err != nil {
		return err
	}
	s.stats.deletes.Add(1)
	o := at.object()
	if at.count <= 1 {
		return s.removeObject(ctx, o, nil)
	}
	// The mark says the same whoever writes it, so it may be written again.
	if err := s.bucket.mark(ctx, at.markKey()); err != nil {
		return err
	}
	// Durable now: the blob is deleted, for every process. A crash on the next
	// line leaves the object for the other records, or for Walk if there are none.
	var marks []int64
	l := s.bucket.list(o.marks())
	for {
		m, some, err := l.next(ctx)
		if err != nil {
			return err
		}
		if !some {
			break
		}
		if _, off, ok := parseMark(o.id.shard() + "/" + o.id.String() + "/" + m.key); ok {
			marks = append(marks, off)
		}
	}
	if len(marks) < o.count {
		return nil
	}
	return s.removeObject(ctx, o, marks)
}

// removeObject removes an object, the copy of its index and its marks, in this
// order: a mark without an object is of no meaning, and an object without its
// marks would have its blobs back.
func (s *Store) removeObject(ctx context.Context, o object, marks []int64) error {
	if err := s.bucket.remove(ctx, o.key()); err != nil {
		return err
	}
	// Durable now: the object is gone. A crash on the next line leaves marks and
	// an index without an object, which Walk removes after the grace.
	if o.count > 0 && s.cold {
		if err := s.bucket.remove(ctx, o.indexKey()); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(removalsMax)
	for _, off := range marks {
		g.Go(func() error { return s.bucket.remove(ctx, place{id: o.id, count: o.count, off: off}.markKey()) })
	}
	return g.Wait()
}

// markText is the content of a mark. Format: never change.
const markText = "deleted\n"

// mark makes an object that says one thing by being there.
func (b *bucket) mark(ctx context.Context, key string) error {
	return b.small(ctx, key, []byte(markText))
}

// small makes or replaces an object that is read at once, whatever the class of
// blobs is.
func (b *bucket) small(ctx context.Context, key string, text []byte) error {
	free := *b
	free.conditional = false
	if Cold(string(free.class)) {
		free.class = types.StorageClassStandard
	}
	return free.put(ctx, key, rope{text}, free.class)
}
