package sqlmeta

import (
	"time"

	"moraine"
	"moraine/internal/meta"
)

const archiveColumns = `archive_id, vault_id, body_id, size, created_ms, deleted_ms, tree_hash, description`

const (
	archiveGet    = `SELECT ` + archiveColumns + ` FROM archives WHERE archive_id = $1`
	archiveInsert = `INSERT INTO archives (` + archiveColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	archiveDelete = `UPDATE archives SET deleted_ms = $2 WHERE archive_id = $1 AND deleted_ms IS NULL RETURNING body_id`
	archiveScan   = `SELECT ` + archiveColumns + ` FROM archives
WHERE vault_id = $1 AND (created_ms, archive_id) > ($2, $3) AND created_ms <= $4
AND (deleted_ms IS NULL OR deleted_ms > $5)
ORDER BY created_ms, archive_id LIMIT $6`
	archiveFaulty = `SELECT ` + archiveColumns + ` FROM archives
WHERE body_id IN (SELECT body_id FROM extents WHERE fault IS NOT NULL AND blob_id > $1)`
)

// archives is meta.Archives.
type archives struct{ t *tx }

func readArchive(row scanner, a *moraine.Archive) error {
	return row.Scan((*string)(&a.ID), (*string)(&a.Vault), (*string)(&a.Body), &a.Size,
		(*instant)(&a.Created), (*instant)(&a.Deleted), (*digest)(&a.TreeHash), (*string)(&a.Description))
}

func (s archives) Get(id moraine.ArchiveID) (moraine.Archive, error) {
	return one(s.t, readArchive, archiveGet, string(id))
}

func (s archives) Insert(a moraine.Archive) error {
	_, err := s.t.exec(archiveInsert, string(a.ID), string(a.Vault), string(a.Body), a.Size,
		millis(a.Created), millis(a.Deleted), a.TreeHash[:], a.Description)
	return err
}

func (s archives) MarkDeleted(id moraine.ArchiveID, at time.Time) error {
	body, err := one(s.t, readText, archiveDelete, string(id), millis(at))
	if err != nil {
		return err
	}
	return bodies{s.t}.Condemn(moraine.BodyID(body), at)
}

func (s archives) Scan(q meta.Scan, fn func(moraine.Archive) error) error {
	after, afterID := millisOr(q.AfterCreated, earliest), q.AfterID
	if start := millisOr(q.Start, earliest); start > after {
		after, afterID = start, "" // every id is greater than none
	}
	at := q.At.UnixMilli()
	until := at
	if !q.End.IsZero() {
		until = min(until, q.End.UnixMilli()-1)
	}
	limit := q.Limit
	if limit <= 0 {
		limit = latest
	}
	return each(s.t, readArchive, func(a *moraine.Archive) error { return fn(*a) },
		archiveScan, string(q.Vault), after, afterID, until, at, limit)
}

func (s archives) Faulty(fn func(moraine.Archive) error) error {
	return each(s.t, readArchive, func(a *moraine.Archive) error { return fn(*a) }, archiveFaulty, make([]byte, len(moraine.BlobID{})))
}

func readText(row scanner, s *string) error { return row.Scan(s) }

var _ meta.Archives = archives{}
