package scrub

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/meta"
	"moraine/internal/treehash"
)

// verdict is what a check found of an extent.
type verdict struct {
	extent   moraine.Extent // as it was when the check began
	ref      moraine.BlobRef
	at       time.Time
	judged   bool     // else the store could not say
	unread   string   // why no copy can be read, if the media are to blame
	fault    string   // "" for none that remains
	copies   []string // that failed, each with the reason
	repaired bool
}

func (v *verdict) tally() moraine.Tally {
	t := moraine.Tally{Blobs: 1, Bytes: v.extent.Size}
	if v.fault != "" {
		t.Faulty = 1
	}
	if v.repaired {
		t.Repaired = 1
	}
	return t
}

// note writes the verdict to the row, if it is still about the same bytes, and
// returns what is news of it.
func (v *verdict) note(tx meta.Tx) (*Finding, error) {
	if !v.judged {
		return nil, nil
	}
	body, e, err := tx.Bodies().ByBlob(v.extent.Blob)
	if errors.Is(err, meta.ErrNotFound) || err == nil && e.Ref != v.ref {
		return nil, nil // deleted or moved meanwhile: its bytes are others' business
	}
	if err != nil {
		return nil, err
	}
	if err := tx.Bodies().Judge(v.extent.Blob, v.ref, v.at, v.fault); err != nil {
		return nil, err
	}
	if v.fault == e.Fault && !v.repaired {
		return nil, nil
	}
	e.Verified, e.Fault = v.at, v.fault
	return &Finding{Body: body, Extent: e, Copies: v.copies, Repaired: v.repaired}, nil
}

// check reads every copy of a blob and calls keep, if there is one, now and then.
// Its errors are not the blob's.
func (s *Service) check(ctx context.Context, e moraine.Extent, buf []byte, keep func(context.Context) error) (verdict, error) {
	v := verdict{extent: e, ref: e.Ref}
	info := blob.Info{ID: e.Blob, Ref: e.Ref, Size: e.Size}
	copies, err := s.copies(ctx, e, buf, keep)
	v.at = s.time()
	if err != nil {
		return v, err
	}
	good, unknown, unread := 0, 0, 0
	for _, c := range copies {
		switch {
		case c.Err == nil:
			good++
			continue
		case !moraine.IsKind(c.Err, moraine.Corrupt) && !moraine.IsKind(c.Err, moraine.NotFound):
			unknown++
			if errors.Is(c.Err, blob.ErrUnreadable) {
				unread++
			}
		}
		v.copies = append(v.copies, c.Place+": "+c.Err.Error())
	}
	if good == 0 && len(copies) > 1 {
		// What one copy lacks another may have. Nobody else will try: what is
		// quarantined is not read.
		if err := s.mend(ctx, info, &v); err != nil || v.repaired {
			v.judged = v.repaired
			return v, err
		}
	}
	switch {
	case good == len(copies):
		v.judged = true
		v.fault, err = s.root(ctx, e)
		return v, err
	case good == 0 && unknown > 0:
		s.cfg.Log.WarnContext(ctx, "blob could not be checked", "blob", e.Blob.String(), "copies", strings.Join(v.copies, "; "))
		if unread == unknown {
			v.unread = strings.Join(v.copies, "; ")
		}
		return v, nil
	case good == 0:
		v.judged, v.fault = true, strings.Join(v.copies, "; ")
		return v, nil
	}
	v.judged = true
	return v, s.mend(ctx, info, &v)
}

// judgeUnread takes what cannot be read for damaged, if others of the same time
// could be read: else it is the store that is away, and not these bytes. A bad
// sector says so in no other way, and who has a backup wants to know.
func judgeUnread(verdicts []verdict) {
	if !slices.ContainsFunc(verdicts, func(v verdict) bool { return v.judged && v.fault == "" }) {
		return
	}
	for n := range verdicts {
		if v := &verdicts[n]; v.unread != "" {
			v.judged, v.fault = true, v.unread
		}
	}
}

// copies checks a blob by the power of its store, or by reading it as anybody
// would.
func (s *Service) copies(ctx context.Context, e moraine.Extent, buf []byte, keep func(context.Context) error) ([]blob.Copy, error) {
	var lost error
	step := func(n int) error {
		if keep != nil {
			if lost = keep(ctx); lost != nil {
				return lost
			}
		}
		if s.pace == nil {
			return ctx.Err()
		}
		return s.pace.WaitN(ctx, n)
	}
	if c, ok := s.cfg.Blobs.(blob.Checker); ok {
		return c.Check(ctx, blob.Info{ID: e.Blob, Ref: e.Ref, Size: e.Size}, buf, step)
	}
	err := blob.Verify(ctx, s.cfg.Blobs, []moraine.Extent{e}, func() error { return step(treehash.LeafSize) })
	if ctx.Err() != nil || lost != nil {
		return nil, errors.Join(ctx.Err(), lost)
	}
	return []blob.Copy{{Place: "store", Err: err}}, nil
}

// root compares the digests beside a blob with the tree hash of its row, and
// returns the fault. Where the bytes are encrypted and their key is not at hand
// nothing can be said.
func (s *Service) root(ctx context.Context, e moraine.Extent) (string, error) {
	leaves, err := s.cfg.Blobs.Leaves(ctx, e.Ref, 0, (e.Size-1)/treehash.LeafSize+1)
	switch {
	case moraine.IsKind(err, moraine.Corrupt), moraine.IsKind(err, moraine.NotFound):
		return err.Error(), nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case err != nil:
		return "", nil
	}
	if root := treehash.Root(leaves); root != e.TreeHash {
		return "its leaves have root " + root.String() + ", its row says " + e.TreeHash.String(), nil
	}
	return "", nil
}

// mend makes the failed copies anew. If that does not succeed now, the blob is
// as good as its other copy, and the next pass tries again.
func (s *Service) mend(ctx context.Context, i blob.Info, v *verdict) error {
	if s.cfg.Mend == nil {
		return nil
	}
	mended, err := s.cfg.Mend(ctx, i)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		s.cfg.Log.ErrorContext(ctx, "blob could not be mended", "blob", i.ID.String(), "err", err)
		return nil
	}
	v.ref, v.repaired = mended.Ref, mended.Ref != i.Ref
	return nil
}
