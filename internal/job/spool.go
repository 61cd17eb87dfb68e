package job

import (
	"bytes"
	"context"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/meta"
	"moraine/internal/treehash"
)

// pieceSize is the length of the extents an inventory document is stored in.
// It is a multiple of the leaf size, so that ranges of the document have tree
// hashes. Two pieces are in memory at a time.
const pieceSize = 8 * treehash.LeafSize

// spool stores what is written to it as a sequence of blobs, one while the
// next is being written, because the length of an inventory is known only at
// its end. It is used by one goroutine.
type spool struct {
	ctx     context.Context // of the one run that writes
	s       *Service
	size    int        // of a piece
	cur     []byte     // being filled
	spare   []byte     // being stored while stored is not nil
	stored  chan error // takes one value; nil if nothing is being stored
	first   int64      // offset of cur in the document
	extents []moraine.Extent
	pending []func()  // ends for each blob that it is pending
	asked   bool      // a transaction was asked to name the blobs
	began   time.Time // when the first blob was about to be stored, by the time of the store
}

func (s *Service) newSpool(ctx context.Context) *spool {
	return &spool{ctx: ctx, s: s, size: pieceSize}
}

func (p *spool) Write(b []byte) (int, error) {
	for n := 0; ; {
		part := b[n:min(len(b), n+p.size-len(p.cur))]
		p.cur = append(p.cur, part...)
		if n += len(part); n == len(b) {
			return n, nil
		}
		if err := p.flush(); err != nil {
			return n, err
		}
	}
}

// flush begins to store the current piece when the last one is stored.
func (p *spool) flush() error {
	if err := p.wait(); err != nil {
		return err
	}
	piece, first := p.cur, p.first
	p.cur, p.spare = p.spare[:0], piece
	p.first += int64(len(piece))
	id := moraine.NewBlobID(p.s.now())
	if p.began.IsZero() {
		p.began = p.s.clock.Now()
	}
	p.pending = append(p.pending, p.s.cfg.Pending.Begin(id))
	stored := make(chan error, 1)
	p.stored = stored
	go func() { // ends when the piece is stored; wait waits for it
		e, err := p.s.keepPiece(p.ctx, id, piece, first)
		if err == nil {
			p.extents = append(p.extents, e)
		}
		stored <- err
	}()
	return nil
}

// wait waits until nothing is being stored.
func (p *spool) wait() error {
	if p.stored == nil {
		return nil
	}
	err := <-p.stored
	p.stored = nil
	return err
}

// end stores the rest and returns the extents of the document and its length.
// They are durable and no row names them yet: a crash leaves orphans.
func (p *spool) end() ([]moraine.Extent, int64, error) {
	if err := p.flush(); err != nil {
		return nil, 0, err
	}
	err := p.wait()
	return p.extents, p.first, err
}

// inTime refuses to name blobs that another process may be about to delete as
// orphans.
func (p *spool) inTime(tx meta.Tx) error {
	now, err := tx.Time()
	if limit := blob.NameWithin(p.s.cfg.OrphanGrace); err == nil && now.Sub(p.began) > limit {
		err = moraine.Errorf(moraine.Unavailable, "the inventory took longer than %s", limit)
	}
	return err
}

// close waits for what is being stored and gives the blobs up. err is what
// became of the document: if it is certain that no row names them, they are
// deleted at once, so that a run that fails for lack of space leaves none
// taken. Otherwise rows name them, or the search for orphans finds them.
func (p *spool) close(ctx context.Context, err error) {
	_ = p.wait() // end has returned it, or another error came first
	if err != nil && !p.asked {
		for _, e := range p.extents {
			if err := p.s.cfg.Blobs.Delete(context.WithoutCancel(ctx), e.Ref); err != nil {
				p.s.cfg.Log.WarnContext(ctx, "piece of an inventory left for the sweep", "blob", e.Blob.String(), "err", err)
			}
		}
	}
	for _, done := range p.pending {
		done()
	}
}

// keepPiece stores a piece of a document.
func (s *Service) keepPiece(ctx context.Context, id moraine.BlobID, piece []byte, first int64) (moraine.Extent, error) {
	size := int64(len(piece))
	// An inventory is read when its job has ended, and not restored first.
	ref, err := s.cfg.Blobs.Put(blob.Warm(ctx), id, bytes.NewReader(piece), size)
	if err != nil {
		return moraine.Extent{}, err
	}
	leaves, err := s.cfg.Blobs.Leaves(ctx, ref, 0, (size-1)/treehash.LeafSize+1)
	if err != nil {
		return moraine.Extent{}, err
	}
	return moraine.Extent{First: first, Size: size, Blob: id, Ref: ref, TreeHash: treehash.Root(leaves)}, nil
}
