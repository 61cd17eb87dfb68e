// Package migrate moves a store of rows and bytes to another one: the bytes while
// the old one is served, the rows at the end, when it is not.
//
// It knows the order in which a move is safe. It must not know what the stores
// are, nor how bytes are kept secret.
//
// # States
//
// Each side says what it is (meta.House):
//
//	old Home, new Home and empty   before
//	old Home, new Arriving         bytes are copied; the old one is served
//	old Left, new Arriving         for a moment at the end
//	old Left, new Home             moved
//
// In no state would both be served, and from each but the last the move goes on
// where it was. What a run that was killed left in the new store without a note is
// deleted by the next one.
package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/meta"
	"moraine/internal/treehash"
)

// Side is a pair of stores that belong together.
type Side struct {
	Rows  meta.Mover
	Blobs blob.Store // bytes as they are stored: what is encrypted moves as it is
	Name  string     // for people
}

// Config is what a move is made of. Fields are required, unless they say what
// zero means.
type Config struct {
	From, To Side
	// Stored translates a blob as rows know it into one of Blobs, and Place gives
	// a row's reference another place in Blobs.
	Stored func(blob.Info) blob.Info
	Place  func(ref, inner moraine.BlobRef) moraine.BlobRef
	// Parts gives the references by which a walk of To.Blobs shows the copies that
	// a reference of it names.
	Parts func(ref moraine.BlobRef) []moraine.BlobRef
	// Pace is asked before n bytes are read. Zero: as fast as it goes.
	Pace func(ctx context.Context, n int) error
	// ReadBack has each copy read again from the medium. To.Blobs must be a
	// blob.Checker then.
	ReadBack bool
	// LeaveDamaged has the move end although some blobs are damaged. Their bytes
	// stay behind, and what they belong to is quarantined.
	LeaveDamaged bool
	Now          func() time.Time
	Log          *slog.Logger // zero: discard
	// Progress is called after each batch of blobs. Zero: nobody.
	Progress func(Tally)
}

// Tally counts blobs.
type Tally struct {
	Blobs, Bytes   int64 // in the old store
	Copied, Copies int64 // blobs copied by this run, and their bytes as stored
	Present        int64 // blobs that had arrived before
	Removed        int64 // copies deleted, since the old store has the blob no more
	Strays         int64 // copies deleted that a run made which was cut off before it noted them
	Damaged        []Damage
	DamagedCount   int64
}

// Damage is a blob that could not be copied because it is damaged.
type Damage struct {
	Blob moraine.BlobID
	Body moraine.BodyID
	Err  error
}

// Bounds of a move.
const (
	batch      = 256       // blobs looked at together
	batchBytes = 256 << 20 // of them, but for the last one: what a run that is cut off has to copy again
	workers    = 4         // copies at the same time
	straysMax  = 10_000    // remembered in one walk
	damagedMax = 1000      // that are remembered one by one
	passesMax  = 8         // at the end, until nothing is missing
)

// Service is one move. One goroutine uses it, and nobody else puts anything into
// the new stores.
type Service struct {
	cfg     Config
	resumed bool // a run before this one may have left copies that it did not note
}

// New returns a move and touches nothing.
func New(cfg Config) *Service {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Pace == nil {
		cfg.Pace = func(context.Context, int) error { return nil }
	}
	if cfg.Progress == nil {
		cfg.Progress = func(Tally) {}
	}
	return &Service{cfg: cfg}
}

// Begin makes sure that the two sides are those of one move, and has the new one
// refuse to be served until it is over.
func (s *Service) Begin(ctx context.Context) error {
	old, err := s.cfg.From.Rows.House(ctx)
	if err != nil {
		return err
	}
	to, err := s.cfg.To.Rows.House(ctx)
	if err != nil {
		return err
	}
	switch {
	case old.State == meta.Arriving:
		return moraine.Errorf(moraine.Invalid, "%s is itself being moved into, from %s; finish that first", s.cfg.From.Name, old.Other)
	case old.State == meta.Left && to.State != meta.Arriving:
		return moraine.Errorf(moraine.Invalid, "what was in %s has moved to %s", s.cfg.From.Name, old.Other)
	case to.State == meta.Left:
		return moraine.Errorf(moraine.Invalid, "what was in %s has moved to %s; name an empty store", s.cfg.To.Name, to.Other)
	case to.State == meta.Arriving && to.Other != s.cfg.From.Name:
		return moraine.Errorf(moraine.Invalid, "%s is being moved into from %s, not from %s", s.cfg.To.Name, to.Other, s.cfg.From.Name)
	case to.State == meta.Arriving:
		s.resumed = true
		return nil
	}
	empty, err := s.cfg.To.Rows.Empty(ctx)
	if err != nil {
		return err
	}
	if !empty {
		return moraine.Errorf(moraine.Invalid, "%s has rows of its own, which a move would replace; name an empty store", s.cfg.To.Name)
	}
	return s.cfg.To.Rows.SetHouse(ctx, meta.House{State: meta.Arriving, Since: s.cfg.Now(), Other: s.cfg.From.Name})
}

// Bytes copies every blob that has not arrived, once through. The old store may
// be served meanwhile: what comes and goes is for the next time.
func (s *Service) Bytes(ctx context.Context) (Tally, error) {
	var t Tally
	if s.resumed {
		if err := s.tidy(ctx, &t); err != nil {
			return t, err
		}
		s.resumed = false // but for what this run does, which ends with the first error
	}
	for after := (moraine.BlobID{}); ; {
		p, err := s.page(ctx, after)
		if err == nil {
			err = s.batch(ctx, &t, p)
		}
		if err != nil {
			s.resumed = true
			return t, err
		}
		s.cfg.Progress(t)
		if p.end {
			return t, nil
		}
		after = p.list[len(p.list)-1].Blob
	}
}

// page is a piece of the old store in order of blob.
type page struct {
	after moraine.BlobID
	list  []meta.Placed // extents, with their bodies
	end   bool          // there is nothing behind them
}

func (s *Service) page(ctx context.Context, after moraine.BlobID) (p page, err error) {
	err = s.cfg.From.Rows.View(ctx, func(tx meta.Tx) error {
		extents, err := tx.Bodies().Blobs(after, batch)
		if err != nil {
			return err
		}
		p = page{after: after, end: len(extents) < batch}
		var size int64
		for _, e := range extents {
			if size >= batchBytes {
				p.end = false
				break
			}
			size += e.Size
			body, e, err := tx.Bodies().ByBlob(e.Blob)
			if err != nil {
				return err
			}
			p.list = append(p.list, meta.Placed{Body: body, Extent: e})
		}
		return nil
	})
	return p, err
}

// tidy deletes copies that were never noted. They are durable, and nobody would
// ever delete them in the new house: the search for orphans leaves alone what has
// the id of a blob that a row names elsewhere.
func (s *Service) tidy(ctx context.Context, t *Tally) error {
	walker, ok := s.cfg.To.Blobs.(blob.Walker)
	if !ok {
		return nil
	}
	var seen []blob.Info
	// What is found is deleted when the walk is over, at most so many at a time.
	for more := true; more; {
		var strays []blob.Info
		look := func() error {
			some, err := s.strays(ctx, seen)
			strays, seen = append(strays, some...), seen[:0]
			return err
		}
		err := walker.Walk(ctx, func(i blob.Info) error {
			if seen = append(seen, i); len(seen) < batch {
				return nil
			}
			if err := look(); err != nil {
				return err
			}
			if len(strays) >= straysMax {
				return errEnough
			}
			return nil
		}, func(err error) {
			s.cfg.Log.WarnContext(ctx, "damaged place in the new store", "err", err)
		})
		if more = errors.Is(err, errEnough); !more && err == nil {
			err = look()
		}
		if err != nil && !more {
			return fmt.Errorf("look for copies that were not noted: %w", err)
		}
		for _, i := range strays {
			if err := s.cfg.To.Blobs.Delete(ctx, i.Ref); err != nil {
				return fmt.Errorf("delete a copy that was not noted: %w", err)
			}
			t.Strays++
		}
	}
	return nil
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

// strays returns those of some blobs of the new store that no arrival means.
func (s *Service) strays(ctx context.Context, found []blob.Info) (strays []blob.Info, err error) {
	list := make([]moraine.BlobID, len(found))
	for i := range found {
		list[i] = found[i].ID
	}
	noted, err := s.cfg.To.Rows.ArrivalsOf(ctx, list)
	if err != nil {
		return nil, err
	}
	meant := make(map[moraine.BlobRef]bool, len(noted))
	for _, g := range noted {
		inner := s.cfg.Stored(blob.Info{ID: g.Blob, Ref: g.Ref, Size: g.Size})
		for _, part := range s.cfg.Parts(inner.Ref) {
			meant[part] = true
		}
	}
	for _, i := range found {
		if !meant[i.Ref] {
			strays = append(strays, i)
		}
	}
	return strays, nil
}

// batch brings the new store up to date on a page.
func (s *Service) batch(ctx context.Context, t *Tally, p page) error {
	list := p.list
	there, gone, err := s.arrived(ctx, p)
	if err != nil {
		return err
	}
	var mu sync.Mutex // guards what follows
	var came []moraine.Garbage
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, p := range list {
		t.Blobs++
		t.Bytes += p.Size
		if there[p.Blob] {
			t.Present++
			continue
		}
		group.Go(func() error {
			g, n, err := s.copy(gctx, p.Extent)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				came = append(came, g)
				t.Copied++
				t.Copies += n
			case moraine.IsKind(err, moraine.Corrupt), moraine.IsKind(err, moraine.NotFound), moraine.IsKind(err, moraine.Invalid):
				return s.judge(gctx, t, p, err)
			default:
				return fmt.Errorf("copy blob %s: %w", p.Blob, err)
			}
			return nil
		})
	}
	failed := group.Wait()
	// The copies are durable, and noted before anything else is: a crash before
	// this line leaves copies that the next run deletes and makes again.
	if err := s.cfg.To.Rows.Arrived(ctx, came, ids(gone)); err != nil {
		return errors.Join(failed, err)
	}
	// What is gone is noted nowhere. A crash before the next line leaves it to the
	// next run, too.
	for _, g := range gone {
		inner := s.cfg.Stored(blob.Info{ID: g.Blob, Ref: g.Ref, Size: g.Size})
		if err := s.cfg.To.Blobs.Delete(ctx, inner.Ref); err != nil {
			return errors.Join(failed, err)
		}
		t.Removed++
	}
	return failed
}

// judge takes a blob for damaged, unless it is gone, or somewhere else, because
// the old store is served.
func (s *Service) judge(ctx context.Context, t *Tally, p meta.Placed, cause error) error {
	err := s.cfg.From.Rows.View(ctx, func(tx meta.Tx) error {
		_, now, err := tx.Bodies().ByBlob(p.Blob)
		if err == nil && now.Ref != p.Ref {
			return meta.ErrNotFound // moved: the next pass copies it
		}
		return err
	})
	if errors.Is(err, meta.ErrNotFound) || err != nil {
		if errors.Is(err, meta.ErrNotFound) {
			return nil
		}
		return err
	}
	t.DamagedCount++
	if len(t.Damaged) < damagedMax {
		t.Damaged = append(t.Damaged, Damage{Blob: p.Blob, Body: p.Body, Err: cause})
	}
	s.cfg.Log.ErrorContext(ctx, "damaged, and not copied", "blob", p.Blob.String(), "body", string(p.Body), "err", cause)
	return nil
}

// arrived tells which blobs of a page are there, and which are there that are not
// in it.
func (s *Service) arrived(ctx context.Context, p page) (there map[moraine.BlobID]bool, gone []moraine.Garbage, err error) {
	want := make(map[moraine.BlobID]bool, len(p.list))
	for _, e := range p.list {
		want[e.Blob] = true
	}
	there = make(map[moraine.BlobID]bool, len(p.list))
	for after := p.after; ; {
		page, err := s.cfg.To.Rows.Arrivals(ctx, after, batch)
		if err != nil {
			return nil, nil, err
		}
		for _, g := range page {
			switch {
			case !p.end && bytes.Compare(g.Blob[:], p.list[len(p.list)-1].Blob[:]) > 0:
				return there, gone, nil
			case want[g.Blob]:
				there[g.Blob] = true
			default:
				gone = append(gone, g)
			}
		}
		if len(page) < batch || len(gone) >= batch*workers {
			return there, gone, nil // what is left is for the next pass
		}
		after = page[len(page)-1].Blob
	}
}

func ids(list []moraine.Garbage) []moraine.BlobID {
	out := make([]moraine.BlobID, len(list))
	for i := range list {
		out[i] = list[i].Blob
	}
	return out
}

// copy copies one blob, every leaf of which is checked, and returns its new place
// and how many bytes it has there.
func (s *Service) copy(ctx context.Context, e moraine.Extent) (g moraine.Garbage, n int64, err error) {
	named := blob.Info{ID: e.Blob, Ref: e.Ref, Size: e.Size}
	i := s.cfg.Stored(named)
	r, err := blob.OpenChecked(ctx, s.cfg.From.Blobs, i, func(n int) error { return s.cfg.Pace(ctx, n) })
	if err != nil {
		return g, 0, err
	}
	defer r.Close() // only read
	// What is encrypted has digests of its own, and its reference names its head.
	if root := treehash.Root(r.Leaves()); i == named && root != e.TreeHash {
		return g, 0, moraine.Errorf(moraine.Corrupt, "the blob has tree hash %s, its row %s", root, e.TreeHash)
	}
	inner, err := s.cfg.To.Blobs.Put(ctx, i.ID, r, i.Size)
	if fault := r.Fault(); err != nil && fault != nil {
		return g, 0, fault
	}
	if err != nil {
		// Whatever its kind, it says nothing about the blob that was read.
		return g, 0, moraine.Wrap(err, moraine.Unavailable, "%s does not take blob %s", s.cfg.To.Name, i.ID)
	}
	if s.cfg.ReadBack {
		if err := s.readBack(ctx, blob.Info{ID: i.ID, Ref: inner, Size: i.Size}); err != nil {
			return g, 0, err
		}
	}
	return moraine.Garbage{Blob: e.Blob, Ref: s.cfg.Place(e.Ref, inner), Size: e.Size}, i.Size, nil
}

// readBack reads a copy. That it is bad is a fault of the new store, which ends
// the move.
func (s *Service) readBack(ctx context.Context, i blob.Info) error {
	c, ok := s.cfg.To.Blobs.(blob.Checker)
	if !ok {
		return moraine.Errorf(moraine.Internal, "the new store cannot be read back")
	}
	copies, err := c.Check(ctx, i, make([]byte, treehash.LeafSize), func(n int) error { return s.cfg.Pace(ctx, n) })
	for _, c := range copies {
		if err == nil && c.Err != nil {
			err = c.Err
		}
	}
	if err != nil {
		return moraine.Errorf(moraine.Unavailable, "the copy of blob %s in %s is bad: %v", i.ID, s.cfg.To.Name, err)
	}
	return nil
}

// Finish ends the move: what is missing is copied, and all rows. Nothing is
// served from the old store meanwhile, nor from the new one before it is over.
// It returns the numbers of rows by table.
func (s *Service) Finish(ctx context.Context) (Tally, map[string]int64, error) {
	if err := s.Begin(ctx); err != nil {
		return Tally{}, nil, err
	}
	var t Tally
	for pass := 0; ; pass++ {
		var err error
		if t, err = s.Bytes(ctx); err != nil {
			return t, nil, err
		}
		if t.Present+t.DamagedCount == t.Blobs && t.Removed == 0 {
			break
		}
		if pass == passesMax {
			return t, nil, moraine.Errorf(moraine.Unavailable, "the old store changes while the move is to end; stop what writes to it")
		}
	}
	if t.DamagedCount > 0 && !s.cfg.LeaveDamaged {
		return t, nil, moraine.Errorf(moraine.Corrupt, "%d blobs are damaged and not copied; repair them, or say that they may stay behind", t.DamagedCount)
	}
	now := s.cfg.Now()
	counts, err := s.cfg.To.Rows.TakeRows(ctx, s.cfg.From.Rows, now, func(e moraine.Extent) (string, bool) {
		fault := e.Fault
		if fault == "" {
			fault = "its bytes were damaged and stayed behind in a move"
		}
		return fault, s.cfg.LeaveDamaged
	})
	if err != nil {
		return t, counts, err
	}
	// All rows are in the new store, which is not served yet. The old one goes
	// first: after a crash here neither is served, and Finish is repeated.
	if err := s.cfg.From.Rows.SetHouse(ctx, meta.House{State: meta.Left, Since: now, Other: s.cfg.To.Name}); err != nil {
		return t, counts, err
	}
	return t, counts, s.cfg.To.Rows.SetHouse(ctx, meta.House{State: meta.Home, Since: now, Other: s.cfg.From.Name})
}
