package s3

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"moraine"
	"moraine/internal/blob"
)

// Walk implements blob.Walker. It reads names, and the index of each shared
// object. On the way it finishes deletions that were cut short, and removes what a
// crash left and is older than the grace: marks and indexes without an object, and
// uploads that were never completed.
func (s *Store) Walk(ctx context.Context, fn func(blob.Info) error, damaged func(error)) error {
	done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	if damaged == nil {
		damaged = func(error) {}
	}
	w := &walk{s: s, fn: fn, damaged: damaged, marks: s.bucket.list(markDir)}
	if err := w.objects(ctx); err != nil {
		return err
	}
	if err := s.sweepIndexes(ctx); err != nil {
		return err
	}
	return s.sweepUploads(ctx)
}

// walk goes through objects and marks side by side: both are in the order of the
// ids of objects, so memory is needed for one page of each.
type walk struct {
	s       *Store
	fn      func(blob.Info) error
	damaged func(error)
	marks   *lister
	ahead   *mark // read and not yet used
}

// mark is a deletion mark as it is listed.
type mark struct {
	id   objectID
	off  int64
	made time.Time
}

// before reports whether names with a come before those with b.
func before(a, b objectID) bool {
	if a.shard() != b.shard() {
		return a.shard() < b.shard()
	}
	return string(a[:]) < string(b[:])
}

func (w *walk) objects(ctx context.Context) error {
	l := w.s.bucket.list(dataDir)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		o, some, err := l.next(ctx)
		if err != nil {
			return err
		}
		if !some {
			break
		}
		obj, ok := parseObject(o.key)
		if !ok {
			w.s.log.WarnContext(ctx, "the bucket has an object of a foreign name", "object", dataDir+o.key)
			continue
		}
		offs, err := w.marksOf(ctx, obj.id)
		if err != nil {
			return err
		}
		if err := w.object(ctx, obj, o.size, offs); err != nil {
			return err
		}
	}
	// What marks are left belongs to no object.
	_, err := w.marksOf(ctx, lastID)
	return err
}

// lastID comes after every other.
var lastID = func() (id objectID) {
	for i := range id {
		id[i] = 0xFF
	}
	return id
}()

// marksOf returns the offsets that are marked in an object, and removes the marks
// of objects before it, which are gone.
//
// A mark is younger than its object. One that was there for the grace when the
// listing of objects began is therefore of an object that had been there before,
// and is in that listing or was removed.
func (w *walk) marksOf(ctx context.Context, id objectID) (map[int64]bool, error) {
	var offs map[int64]bool
	for {
		m, err := w.mark(ctx)
		if err != nil || m == nil || before(id, m.id) {
			return offs, err
		}
		w.ahead = nil
		if m.id == id {
			if offs == nil {
				offs = map[int64]bool{} // bounded by countMax, or the object is a foreign one
			}
			offs[m.off] = true
			continue
		}
		if w.s.old(m.made, w.marks.asking) {
			if err := w.s.bucket.remove(ctx, place{id: m.id, count: 1, off: m.off}.markKey()); err != nil {
				return nil, err
			}
		}
	}
}

// mark returns the next mark and leaves it ahead; nil at the end.
func (w *walk) mark(ctx context.Context) (*mark, error) {
	for w.ahead == nil {
		o, some, err := w.marks.next(ctx)
		if err != nil || !some {
			return nil, err
		}
		if id, off, ok := parseMark(o.key); ok {
			w.ahead = &mark{id, off, o.made}
		}
	}
	return w.ahead, nil
}

// old reports whether something is older than the grace, by the clock of the
// store alone. If the store does not say what time it is, nothing is old.
func (s *Store) old(made, now time.Time) bool {
	return !made.IsZero() && !now.IsZero() && now.Sub(made) >= s.cfg.Grace
}

// object shows the blobs of an object.
func (w *walk) object(ctx context.Context, o object, length int64, deleted map[int64]bool) error {
	if o.count == 0 {
		at := place{id: o.id, size: o.size}
		if length != at.objectEnd() {
			w.damaged(damage(o.key(), length, errLength))
		}
		return w.fn(blob.Info{ID: moraine.BlobID(o.id[:len(moraine.BlobID{})]), Ref: at.blobRef(), Size: o.size})
	}
	if len(deleted) >= o.count {
		// A crash came between the last mark and the removal.
		offs := make([]int64, 0, len(deleted))
		for off := range deleted {
			offs = append(offs, off)
		}
		return w.s.removeObject(ctx, o, offs)
	}
	var entries []entry
	err := twice(func() (err error) {
		entries, err = w.s.index(ctx, o)
		return err
	})
	switch {
	case moraine.IsKind(err, moraine.NotFound):
		return nil // removed meanwhile
	case ctx.Err() != nil:
		return ctx.Err()
	case isDamage(err), errors.Is(err, blob.ErrCold):
		w.damaged(err)
		return nil
	case err != nil:
		return err
	}
	last := entries[len(entries)-1]
	if end := (place{id: o.id, count: o.count, off: last.off, size: last.size}).framesEnd(); end != length {
		w.damaged(damage(o.key(), length, errLength))
	}
	for _, e := range entries {
		if deleted[e.off] {
			continue
		}
		at := place{id: o.id, count: o.count, off: e.off, size: e.size}
		if err := w.fn(blob.Info{ID: e.blob, Ref: at.blobRef(), Size: e.size}); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// index reads the index of a shared object, or its copy if that cannot be read.
func (s *Store) index(ctx context.Context, o object) ([]entry, error) {
	key := o.key()
	p, _, err := s.bucket.fetch(ctx, key, 0, indexSize(o.count))
	if errors.Is(err, blob.ErrCold) {
		why := err
		key = o.indexKey()
		if p, _, err = s.bucket.fetch(ctx, key, 0, indexSize(o.count)); moraine.IsKind(err, moraine.NotFound) {
			return nil, why
		}
	}
	if err != nil {
		return nil, err
	}
	entries, err := decodeIndex(p, o.id)
	if err != nil {
		return nil, damage(key, 0, err)
	}
	return entries, nil
}

// sweepIndexes removes copies of indexes whose object is gone. An index is older
// than its object, which is there within the time of one call or never.
func (s *Store) sweepIndexes(ctx context.Context) error {
	l := s.bucket.list(indexDir)
	for {
		i, some, err := l.next(ctx)
		if err != nil || !some {
			return err
		}
		o, ok := parseObject(i.key)
		if !ok || !s.old(i.made, l.asking) {
			continue
		}
		there, err := s.bucket.exists(ctx, o.key())
		if err != nil {
			return err
		}
		if there {
			continue
		}
		if err := s.bucket.remove(ctx, o.indexKey()); err != nil {
			return err
		}
	}
}

// sweepUploads ends uploads that were begun before the grace and not completed.
// The process that began one has died, or finds its next part refused.
func (s *Store) sweepUploads(ctx context.Context) error {
	b := s.bucket
	prefix := b.prefix + dataDir
	in := &awss3.ListMultipartUploadsInput{Bucket: &b.name, Prefix: &prefix, MaxUploads: aws.Int32(listMax)}
	for {
		call, cancel := limited(ctx, 0)
		out, err := b.api.ListMultipartUploads(call, in)
		cancel()
		if codeOf(err) == "NoSuchUpload" {
			return nil // how one store says that there are none
		}
		if err != nil {
			return b.unavailable(ctx, err)
		}
		now, _ := awsmiddleware.GetServerTime(out.ResultMetadata)
		for _, u := range out.Uploads {
			if !strings.HasPrefix(aws.ToString(u.Key), prefix) || !s.old(aws.ToTime(u.Initiated), now) {
				continue
			}
			call, cancel := limited(ctx, 0)
			_, err := b.api.AbortMultipartUpload(call, &awss3.AbortMultipartUploadInput{Bucket: &b.name, Key: u.Key, UploadId: u.UploadId})
			cancel()
			if err != nil && codeOf(err) != "NoSuchUpload" {
				return b.unavailable(ctx, err)
			}
			s.log.InfoContext(ctx, "unfinished upload removed", "object", aws.ToString(u.Key))
		}
		if !aws.ToBool(out.IsTruncated) || aws.ToString(out.NextKeyMarker) == "" {
			return nil
		}
		in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
	}
}
