package sqlmeta

import (
	"time"

	"moraine"
	"moraine/internal/meta"
)

const (
	extentGiven   = `first_byte, size, blob_id, ref, tree_hash`
	extentColumns = extentGiven + `, verified_ms, fault`
)

const (
	// extentList begins with the last extent that begins at or before the
	// offset: extents do not overlap, so none before it can end after it.
	extentList = `SELECT ` + extentColumns + ` FROM extents WHERE body_id = $1
AND first_byte >= COALESCE((SELECT max(first_byte) FROM extents WHERE body_id = $1 AND first_byte <= $2), 0)
AND first_byte + size > $2 ORDER BY first_byte LIMIT $3`
	extentAt  = `SELECT ` + extentColumns + ` FROM extents WHERE body_id = $1 AND first_byte = $2`
	extentPut = `INSERT INTO extents (body_id, ` + extentGiven + `) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (body_id, first_byte) DO NOTHING`
	extentBlob    = `SELECT blob_id, ref, size FROM extents WHERE body_id = $1 AND first_byte = $2`
	extentReplace = `UPDATE extents SET size = $3, blob_id = $4, ref = $5, tree_hash = $6, verified_ms = NULL, fault = NULL WHERE body_id = $1 AND first_byte = $2`
	extentByBlob  = `SELECT ` + extentColumns + `, body_id FROM extents WHERE blob_id = $1`
	extentBlobs   = `SELECT ` + extentColumns + ` FROM extents WHERE blob_id > $1 ORDER BY blob_id LIMIT $2`
	extentJudge   = `UPDATE extents SET verified_ms = $3, fault = $4 WHERE blob_id = $1 AND ref = $2`
	extentFaulty  = `SELECT ` + extentColumns + `, body_id FROM extents WHERE fault IS NOT NULL AND blob_id > $1 ORDER BY blob_id LIMIT $2`
	extentMove    = `UPDATE extents SET ref = $2 WHERE blob_id = $1`

	garbageAdd = `INSERT INTO garbage (blob_id, ref, size, since_ms) VALUES ($1, $2, $3, $4)
ON CONFLICT (blob_id) DO NOTHING`
	garbageMove = `UPDATE garbage SET ref = $2 WHERE blob_id = $1`

	bodyCondemn = `INSERT INTO condemned (body_id, since_ms) VALUES ($1, $2) ON CONFLICT (body_id) DO NOTHING`
)

// bodies is meta.Bodies.
type bodies struct{ t *tx }

func readExtent(row scanner, e *moraine.Extent) error {
	return row.Scan(&e.First, &e.Size, (*blobID)(&e.Blob), (*string)(&e.Ref), (*digest)(&e.TreeHash),
		(*instant)(&e.Verified), (*text)(&e.Fault))
}

func readPlaced(row scanner, p *meta.Placed) error {
	return row.Scan(&p.First, &p.Size, (*blobID)(&p.Blob), (*string)(&p.Ref), (*digest)(&p.TreeHash),
		(*instant)(&p.Verified), (*text)(&p.Fault), (*string)(&p.Body))
}

// readBlob reads what becomes of an extent when its blob is garbage.
func readBlob(row scanner, g *moraine.Garbage) error {
	return row.Scan((*blobID)(&g.Blob), (*string)(&g.Ref), &g.Size)
}

func (s bodies) Extents(b moraine.BodyID, from int64, limit int) ([]moraine.Extent, error) {
	return many(s.t, readExtent, extentList, string(b), from, bound(limit))
}

func (s bodies) At(b moraine.BodyID, first int64) (moraine.Extent, error) {
	return one(s.t, readExtent, extentAt, string(b), first)
}

func (s bodies) Put(b moraine.BodyID, e moraine.Extent, now time.Time) error {
	args := []any{string(b), e.First, e.Size, e.Blob[:], string(e.Ref), e.TreeHash[:]}
	n, err := s.t.exec(extentPut, args...)
	if err != nil || n == 1 {
		return err
	}
	old, err := one(s.t, readBlob, extentBlob, string(b), e.First)
	if err != nil {
		return err
	}
	if err := s.t.execOne(extentReplace, args...); err != nil {
		return err
	}
	if old.Blob == e.Blob {
		return nil // the same once more: its bytes are still wanted
	}
	return s.discard(old, now)
}

// discard enters a blob into the garbage.
func (s bodies) discard(g moraine.Garbage, now time.Time) error {
	_, err := s.t.exec(garbageAdd, g.Blob[:], string(g.Ref), g.Size, millis(now))
	return err
}

func (s bodies) ByBlob(id moraine.BlobID) (moraine.BodyID, moraine.Extent, error) {
	p, err := one(s.t, readPlaced, extentByBlob, id[:])
	return p.Body, p.Extent, err
}

func (s bodies) Judge(id moraine.BlobID, ref moraine.BlobRef, at time.Time, fault string) error {
	return s.t.execOne(extentJudge, id[:], string(ref), millis(at), textOrNull(fault))
}

func (s bodies) Faulty(after moraine.BlobID, limit int) ([]meta.Placed, error) {
	return many(s.t, readPlaced, extentFaulty, after[:], bound(limit))
}

func (s bodies) Blobs(after moraine.BlobID, limit int) ([]moraine.Extent, error) {
	return many(s.t, readExtent, extentBlobs, after[:], bound(limit))
}

// Move also finds blobs in the garbage, whose bytes are yet to be deleted at
// the place they are now.
func (s bodies) Move(id moraine.BlobID, to moraine.BlobRef) error {
	n, err := s.t.exec(extentMove, id[:], string(to))
	if err != nil || n != 0 {
		return err
	}
	return s.t.execOne(garbageMove, id[:], string(to))
}

func (s bodies) Condemn(b moraine.BodyID, since time.Time) error {
	_, err := s.t.exec(bodyCondemn, string(b), millis(since))
	return err
}

var _ meta.Bodies = bodies{}
