package vault

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/meta"
	"moraine/internal/treehash"
)

// claims are what a client says of the body it sends.
type claims struct {
	size   int64
	linear func(computed [32]byte) error // whether this is the SHA-256 that was signed
	tree   string                        // tree hash in hex, as sent
}

// intake reads a body and checks it against the claims. Instead of the final
// io.EOF it returns the refusal, so that a store that only keeps what ended
// with io.EOF never keeps a wrong body (blob.Store.Put). It is a
// blob.Digester: the leaves it hashed are stored, not computed again.
//
// It is used by one goroutine.
type intake struct {
	body    io.Reader
	claims  claims
	hasher  *treehash.Hasher
	now     func() time.Time
	verdict error     // nil until the body has ended
	ended   time.Time // when it did
}

func newIntake(body io.Reader, c claims, now func() time.Time) *intake {
	return &intake{body: body, claims: c, hasher: treehash.NewHasher(), now: now}
}

// Read fills p as far as the body goes, so that the hash works on pieces as
// large as those the store reads.
func (in *intake) Read(p []byte) (int, error) {
	if in.verdict != nil {
		return 0, in.verdict
	}
	left := in.claims.size - in.hasher.Size()
	if left == 0 {
		in.ended = in.now() // before the store can have the whole body
		in.verdict = in.judge()
		return 0, in.verdict
	}
	n, err := io.ReadFull(in.body, p[:min(int64(len(p)), left)])
	in.hasher.Write(p[:n])
	if err != nil {
		in.verdict = truncated(err)
	}
	return n, in.verdict
}

// truncated says that the body ended or broke before its length. An error that
// already has a kind, like that of a body that stalled, is kept.
func truncated(err error) error {
	var known *moraine.Error
	if errors.As(err, &known) {
		return err
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // to the store, io.EOF would mean that all is well
	}
	return moraine.Wrap(err, moraine.BadRequest, "The request body ended before its length")
}

// judge compares the ended body with the claims: first the linear hash, which
// is authentication, then the tree hash (access-control §1.9).
func (in *intake) judge() error {
	if err := in.claims.linear(in.hasher.Linear()); err != nil {
		return err
	}
	tree := in.hasher.Tree()
	var claimed moraine.TreeHash
	if !parseTreeHash(&claimed, in.claims.tree) || subtle.ConstantTimeCompare(tree[:], claimed[:]) != 1 {
		return moraine.Errorf(moraine.Invalid, "Checksum mismatch: expected %s, computed %s", in.claims.tree, tree)
	}
	in.ended = in.now()
	return io.EOF
}

// Leaves implements blob.Digester.
func (in *intake) Leaves() []treehash.Digest { return in.hasher.Leaves() }

// checkTreeHash refuses a header that is absent or is not the hex form of
// whole bytes. Hex of another length is a mismatch, found after the body
// (§4.1).
func checkTreeHash(sent string) error {
	if sent == "" {
		return missing("x-amz-sha256-tree-hash")
	}
	if _, err := hex.DecodeString(sent); err != nil {
		return moraine.Errorf(moraine.Invalid, "Invalid x-amz-sha256-tree-hash: %s", sent)
	}
	return nil
}

// parseTreeHash reads 64 hex digits of either case.
func parseTreeHash(h *moraine.TreeHash, sent string) bool {
	if len(sent) != hex.EncodedLen(len(h)) {
		return false
	}
	_, err := hex.Decode(h[:], []byte(sent))
	return err == nil
}

func missing(name string) error {
	return moraine.Errorf(moraine.Missing, "Required parameter missing: %s", name)
}

// description checks an archive description and removes its leading spaces.
func description(sent string) (string, error) {
	d := strings.TrimLeft(sent, " ")
	if !moraine.ValidDescription(d) {
		return "", moraine.Errorf(moraine.Invalid, "Invalid x-amz-archive-description: %s", sent)
	}
	return d, nil
}

// kept is a body that is stored as a blob and that no row names yet.
type kept struct {
	moraine.Extent
	by     time.Time   // until when a row may name it, by the time of the store
	settle func(error) // to be called with what became of the row
}

// keep stores the body of a request as a blob, an extent at first. The caller
// names it in a row (Service.name) and then calls settle with the outcome.
//
// When keep returns, the bytes are durable and checked. A crash on the next
// line leaves an orphan blob, which the sweep removes.
func (s *Service) keep(ctx context.Context, body io.Reader, c claims, first int64) (kept, error) {
	if !s.clock.Known() {
		err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
			_, err := s.clock.Read(tx)
			return err
		})
		if err != nil {
			return kept{}, err
		}
	}
	id := moraine.NewBlobID(s.now())
	done := s.cfg.Pending.Begin(id)
	in := newIntake(body, c, s.clock.Now)
	ref, err := s.cfg.Blobs.Put(ctx, id, in, c.size)
	if err != nil {
		done()
		return kept{}, fmt.Errorf("store body: %w", err)
	}
	settle := func(err error) {
		defer done()
		// A refusal certainly left no row, so the bytes can go at once. After
		// Unavailable the row may exist: the search for orphans will ask.
		if err == nil || moraine.IsKind(err, moraine.Unavailable) || moraine.IsKind(err, moraine.Internal) {
			return
		}
		if err := s.cfg.Blobs.Delete(context.WithoutCancel(ctx), ref); err != nil {
			s.cfg.Log.WarnContext(ctx, "refused body left for the sweep", "blob", id.String(), "err", err)
		}
	}
	e := moraine.Extent{First: first, Size: c.size, Blob: id, Ref: ref, TreeHash: in.hasher.Tree()}
	return kept{Extent: e, by: in.ended.Add(blob.NameWithin(s.cfg.OrphanGrace)), settle: settle}, nil
}

// name makes a stored body an extent of b. It refuses one that has waited for so
// long that another process may be about to delete it as an orphan.
func (s *Service) name(tx meta.Tx, b moraine.BodyID, k *kept, now time.Time) error {
	at, err := s.clock.Read(tx)
	if err != nil {
		return err
	}
	if at.After(k.by) {
		return moraine.Errorf(moraine.Unavailable, "The body was stored and not recorded in time")
	}
	return tx.Bodies().Put(b, k.Extent, now)
}
