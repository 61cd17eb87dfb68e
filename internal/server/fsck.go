package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/crypt"
	"moraine/internal/blob/mirror"
	"moraine/internal/config"
	"moraine/internal/meta"
	"moraine/internal/treehash"
)

// Fsck says which data directory to check, and how.
type Fsck struct {
	Meta    config.Meta // where the rows are, if not in the data directory
	Data    string
	Blobs   string        // the bucket of the first copies; "" for packs in the data directory
	Mirror  string        // directory or bucket of the second copies; "" if there are none, or to leave them out
	Bucket  config.Bucket // how buckets are reached
	Rebuild bool          // mend references that lead nowhere from what the packs say
	// WithoutKeys checks of encrypted blobs only what is stored, and not what it
	// decrypts to. Not with Rebuild.
	WithoutKeys bool
	Encryption  config.Encryption // the masters, if anything is encrypted
	Out         io.Writer         // findings and counts, one line each
	Log         *slog.Logger      // zero: discard
	Place       Place             // what the data directory is on
}

// FsckResult counts what a check found.
type FsckResult struct {
	Blobs, Bytes int64 // whole blobs in packs, and their bytes
	Places       int64 // places in packs that fail their check
	Orphans      int64 // whole blobs that nothing names
	OrphanBytes  int64
	Garbage      int64 // whole blobs of what was deleted, which wait to be removed
	GarbageBytes int64
	Mended       int64 // references corrected
	Extents      int64 // pieces of archives, uploads and inventories whose bytes are there
	Missing      int64 // pieces whose bytes are gone
	Damaged      int64 // pieces whose bytes fail their check or are not those the row means
	Archives     int64 // archives whose pieces make them up
	Incomplete   int64 // archives whose pieces have gaps, or another size or tree hash
	Unread       int64 // blobs in a cold class, which are there and were not read
	Decrypted    int64 // encrypted blobs whose plaintext was checked
	Encrypted    int64 // encrypted pieces whose plaintext was not checked, for want of keys

	// With a mirror. Blobs, Orphans and Decrypted count copies then, and a piece is
	// there if one copy of it is whole.
	Mirrored                     bool
	CopiesMissing, CopiesDamaged int64 // of pieces that have another
	Surplus, SurplusBytes        int64 // whole copies of blobs that rows name elsewhere
	Superseded                   int64 // damaged copies of blobs that rows name elsewhere
}

// Clean reports whether nothing is lost. Orphans are no damage, for a crash
// leaves them, unless there is nothing else: then rows were lost. Nor is a damaged
// copy that another has replaced.
func (r *FsckResult) Clean() bool {
	return r.Missing == 0 && r.Damaged == 0 && r.Places == 0 && r.Incomplete == 0 && r.CopiesDamaged == 0 && !r.RowsLost()
}

// RowsLost reports whether there are bytes and no row names any.
func (r *FsckResult) RowsLost() bool { return r.Orphans > 0 && r.Extents == 0 }

// rowStore is a store of rows that can be checked.
type rowStore interface {
	meta.Store
	// Check examines the structure of the store.
	Check(ctx context.Context) error
	// WalkArchives calls fn for every archive that is not deleted.
	WalkArchives(ctx context.Context, fn func(moraine.Archive) error) error
}

// blobStore is a store of blobs that can be checked.
type blobStore interface {
	blob.Store
	blob.Walker
	blob.Checker
	Mirrored() bool
	// Split returns references to each copy that ref names, alone.
	Split(ref moraine.BlobRef) []moraine.BlobRef
	// Join returns ref with the copy that part names in the place of its own, and
	// a reference to the one it replaced, "" if there was none.
	Join(ref, part moraine.BlobRef) (joined, replaced moraine.BlobRef)
}

// extentWalker is a store of rows that can list every extent.
type extentWalker interface {
	// WalkExtents calls fn for every extent of every body and stops at its
	// first error. Memory does not depend on how many there are.
	WalkExtents(ctx context.Context, fn func(moraine.BodyID, moraine.Extent) error) error
}

// Run checks the rows, reads every byte that a row names, and compares the two.
// It has the data directory to itself while it does. An error means that the
// check could not be finished; what it found is in the result.
func (f Fsck) Run(ctx context.Context) (res FsckResult, err error) {
	if f.Log == nil {
		f.Log = slog.New(slog.DiscardHandler)
	}
	if f.WithoutKeys && f.Rebuild {
		return res, errors.New("references of encrypted blobs cannot be mended without keys; give the settings of encryption that the server has")
	}
	open := f.Place.openExisting
	if _, _, bucket := config.ParseBucket(f.Blobs); bucket && f.Meta.On() {
		open = f.Place.open // the directory holds nothing that is needed
	}
	d, err := open(f.Data, f.Meta)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	d.exclusive = f.Rebuild
	s, err := d.openStores(ctx, f.Log, nil, storageWanted{blobs: f.Blobs, bucket: f.Bucket, mirror: f.Mirror, check: true})
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	h, err := s.rows.House(ctx)
	switch {
	case err != nil:
		return res, err
	case h.State == meta.Arriving:
		return res, fmt.Errorf("%s is being moved into from %s, and there may be bytes without rows and rows without bytes; end the move with `moraine migrate` first", d.dir, h.Other)
	}
	c := &check{Fsck: f, rows: s.rows, copies: s.copies, blobs: s.blobs, res: &res}
	c.openKeys = func() error {
		s, err := d.openKeys(ctx, f.Encryption, s.rows, s.blobs.SetRing, time.Now, f.Log)
		if err != nil {
			return err
		}
		return explainKeys(s.OpenReadOnly(ctx))
	}
	for _, note := range s.storage.notes {
		c.say("note: %s", note)
	}
	res.Mirrored = s.copies.Mirrored()
	return res, c.run(ctx)
}

// check is one run of Fsck.
type check struct {
	Fsck
	rows     rowStore
	copies   blobStore    // what is stored
	blobs    *crypt.Store // over copies
	openKeys func() error // gives blobs its keys
	res      *FsckResult
}

func (c *check) run(ctx context.Context) error {
	if err := c.rows.Check(ctx); err != nil {
		if !moraine.IsKind(err, moraine.Corrupt) {
			return err
		}
		c.res.Damaged++
		c.say("%v", err)
		return nil // damaged rows prove nothing about bytes
	}
	if !c.WithoutKeys {
		if err := c.openKeys(); err != nil {
			return err
		}
	}
	if err := c.walkPacks(ctx); err != nil {
		return fmt.Errorf("read the packs: %w", err)
	}
	if err := c.walkRows(ctx); err != nil {
		return fmt.Errorf("read the rows: %w", err)
	}
	if err := c.walkArchives(ctx); err != nil {
		return fmt.Errorf("read the archives: %w", err)
	}
	if c.res.RowsLost() {
		c.say("no row names any of the blobs: the rows were lost, or are those of another store")
	}
	return nil
}

// walkArchives asks whether the pieces of each archive make it up.
func (c *check) walkArchives(ctx context.Context) error {
	return c.rows.WalkArchives(ctx, func(a moraine.Archive) error {
		var pieces []moraine.Extent
		err := c.rows.View(ctx, func(tx meta.Tx) (err error) {
			pieces, err = tx.Bodies().Extents(a.Body, 0, moraine.PartsMax+1)
			return err
		})
		if err != nil {
			return err
		}
		if flaw := incomplete(&a, pieces); flaw != "" {
			c.res.Incomplete++
			c.say("incomplete: archive %s: %s", a.ID, flaw)
			return nil
		}
		c.res.Archives++
		return nil
	})
}

// incomplete says what keeps pieces from making up an archive, "" if nothing.
func incomplete(a *moraine.Archive, pieces []moraine.Extent) string {
	var tree treehash.Combiner
	var next int64
	for _, e := range pieces {
		if e.First != next {
			return fmt.Sprintf("bytes %d-%d have no row", next, e.First-1)
		}
		tree.Add(e.TreeHash)
		next = e.First + e.Size
	}
	switch {
	case next != a.Size:
		return fmt.Sprintf("its pieces have %d bytes, it has %d", next, a.Size)
	case tree.Root() != a.TreeHash:
		return fmt.Sprintf("its pieces have tree hash %s, it has %s", tree.Root(), a.TreeHash)
	}
	return ""
}

func (c *check) say(format string, args ...any) {
	fmt.Fprintf(c.Out, format+"\n", args...)
}

// walkBatch is how many blobs are looked up in one transaction.
const walkBatch = 256

// found is a whole blob in a pack.
type found struct {
	blob.Info
	root   treehash.Digest
	locked bool // it is encrypted under a key that is not at hand, or was not read
}

// walkPacks reads all records and asks the rows about each. It comes first, so
// that references are mended when the rows ask for their bytes.
func (c *check) walkPacks(ctx context.Context) error {
	batch := make([]found, 0, walkBatch)
	buf := make([]byte, treehash.LeafSize)
	err := c.copies.Walk(ctx, func(info blob.Info) error {
		root, err := c.whole(ctx, info, buf)
		cold := errors.Is(err, blob.ErrCold)
		if err != nil && !cold && ctx.Err() == nil {
			return c.damagedCopy(ctx, info, err) // a sector that cannot be read is no reason to stop
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f := found{Info: info, root: root, locked: cold}
		if cold {
			c.res.Unread++ // whether a row names it is asked all the same
			err = nil
		} else {
			c.res.Blobs++
			c.res.Bytes += info.Size
			f, err = c.decrypted(ctx, f)
		}
		if moraine.IsKind(err, moraine.Corrupt) {
			return c.damagedCopy(ctx, info, err)
		}
		if err != nil {
			return err
		}
		batch = append(batch, f)
		if len(batch) < walkBatch {
			return nil
		}
		err = c.lookUp(ctx, batch)
		batch = batch[:0]
		return err
	}, c.damagedPlace)
	if err != nil {
		return err
	}
	return c.lookUp(ctx, batch)
}

func (c *check) damagedPlace(damage error) {
	c.res.Places++
	c.say("damaged place: %v", damage)
}

// damagedCopy counts a copy that is damaged. One that was replaced by another, and
// is kept for a while for those who read it, is known and no news: the row names
// the other, which is checked like any.
func (c *check) damagedCopy(ctx context.Context, info blob.Info, damage error) error {
	superseded := false
	err := c.rows.View(ctx, func(tx meta.Tx) error {
		_, e, err := tx.Bodies().ByBlob(info.ID)
		superseded = err == nil && !mirror.Names(crypt.Below(e.Ref), info.Ref)
		if errors.Is(err, meta.ErrNotFound) {
			return nil
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case superseded:
		c.res.Superseded++
		c.say("superseded: %v; the row of blob %s names another copy", damage, info.ID)
	default:
		c.damagedPlace(damage)
	}
	return nil
}

// whole reads a blob and returns its tree hash, or what is wrong with it.
func (c *check) whole(ctx context.Context, info blob.Info, buf []byte) (treehash.Digest, error) {
	copies, err := c.copies.Check(ctx, info, buf, func(int) error { return nil })
	if err == nil {
		err = verdict(copies)
	}
	if err != nil {
		return treehash.Digest{}, err
	}
	leaves, err := c.copies.Leaves(ctx, info.Ref, 0, leafCount(info.Size))
	return treehash.Root(leaves), err
}

// verdict is what the one copy suffers from that a walk has shown; of the other,
// where there are two, nothing was said.
func verdict(copies []blob.Copy) error {
	var missing error
	for _, c := range copies {
		switch {
		case c.Err == nil:
			return nil
		case !moraine.IsKind(c.Err, moraine.NotFound):
			return c.Err
		}
		missing = c.Err
	}
	return missing
}

// lookUp compares blobs with the rows that name them.
func (c *check) lookUp(ctx context.Context, batch []found) error {
	moves := make(map[moraine.BlobID]moraine.BlobRef)
	err := c.rows.View(ctx, func(tx meta.Tx) error {
		for _, f := range batch {
			body, e, err := tx.Bodies().ByBlob(f.ID)
			if errors.Is(err, meta.ErrNotFound) {
				if err := c.unnamed(tx, &f); err != nil {
					return err
				}
				continue
			}
			if err != nil {
				return err
			}
			if moved, ok := moves[f.ID]; ok {
				e.Ref = moved // its other copy is in this batch too
			}
			joined, replaced := c.join(&e, &f)
			switch {
			case f.locked: // what the row says of it is asked for later
			case c.differs(&f, &e):
				if !c.res.Mirrored {
					c.res.Damaged++
				}
				c.say("different: %s: the pack has %d bytes with tree hash %s at %s", piece(body, e), f.Size, f.root, f.Ref)
			case joined == e.Ref:
			case c.Rebuild && !c.leads(ctx, e, replaced):
				moves[f.ID] = joined
			default:
				c.res.Surplus++
				c.res.SurplusBytes += f.Size
			}
		}
		return nil
	})
	if err != nil || len(moves) == 0 {
		return err
	}
	err = c.rows.Update(ctx, func(tx meta.Tx) error {
		for id, ref := range moves {
			if err := tx.Bodies().Move(id, ref); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		c.res.Mended += int64(len(moves))
	}
	return err
}

// unnamed counts a blob that no extent names.
func (c *check) unnamed(tx meta.Tx, f *found) error {
	waits, err := tx.Sweeps().IsGarbage(f.ID)
	switch {
	case err != nil:
		return err
	case waits:
		c.res.Garbage++
		c.res.GarbageBytes += f.Size
	default:
		c.res.Orphans++
		c.res.OrphanBytes += f.Size
	}
	return nil
}

// leads reports whether a reference leads to a blob with the tree hash of e.
func (c *check) leads(ctx context.Context, e moraine.Extent, ref moraine.BlobRef) bool {
	e.Ref = ref
	return ref != "" && c.present(ctx, e) == nil
}

// walkRows asks for the bytes of every extent. The packs have just been read
// from end to end, so it reads them again only if there was damage, to say
// whose it is.
func (c *check) walkRows(ctx context.Context) error {
	walker, ok := c.rows.(extentWalker)
	if !ok {
		return errors.New("this store of rows cannot list its extents")
	}
	look := c.present
	if c.res.Places > 0 {
		look = c.verify
	}
	return walker.WalkExtents(ctx, func(body moraine.BodyID, e moraine.Extent) error {
		return c.judge(body, e, func(ref moraine.BlobRef) error {
			part := e
			part.Ref = ref
			return look(ctx, part)
		})
	})
}

// judge counts a piece by its copies.
func (c *check) judge(body moraine.BodyID, e moraine.Extent, look func(moraine.BlobRef) error) error {
	if lacks, _ := mirror.Lacks(crypt.Below(e.Ref)); lacks && !c.res.Mirrored {
		c.res.Missing++
		c.say("missing: %s: it is in the second copy alone, which is left out", piece(body, e))
		return nil
	}
	parts := c.split(e.Ref)
	if _, encrypted := stored(&e); c.WithoutKeys && encrypted {
		c.res.Encrypted++
	}
	whole := 0
	bad := make(map[moraine.BlobRef]error)
	var worst error // damage says more than loss
	for _, part := range parts {
		err := look(part)
		switch kind := moraine.KindOf(err); {
		case err == nil, errors.Is(err, blob.ErrCold):
			whole++
			continue
		case kind == moraine.Corrupt, errors.Is(err, crypt.ErrNoKey), kind == moraine.Unavailable && c.res.Mirrored:
			worst = err
		case kind == moraine.NotFound, kind == moraine.Invalid:
			if worst == nil {
				worst = err
			}
		default:
			return err
		}
		bad[part] = err
	}
	switch {
	case whole > 0:
		c.res.Extents++
	case isLoss(worst):
		c.res.Missing++
		c.say("missing: %s: %v", piece(body, e), worst)
		return nil
	default:
		c.res.Damaged++
		c.say("damaged: %s: %v", piece(body, e), worst)
		return nil
	}
	for part, err := range bad {
		if isLoss(err) {
			c.res.CopiesMissing++
		} else {
			c.res.CopiesDamaged++
		}
		c.say("one copy: %s: %s: %v", piece(body, e), part, err)
	}
	if c.res.Mirrored {
		c.res.CopiesMissing += int64(copiesMax - len(parts))
	}
	return nil
}

// copiesMax is how many copies a mirrored blob has.
const copiesMax = 2

func isLoss(err error) bool {
	return moraine.IsKind(err, moraine.NotFound) || moraine.IsKind(err, moraine.Invalid)
}

// piece names an extent for people.
func piece(body moraine.BodyID, e moraine.Extent) string {
	return fmt.Sprintf("bytes %d-%d of body %s, blob %s at %s", e.First, e.First+e.Size-1, body, e.Blob, e.Ref)
}
