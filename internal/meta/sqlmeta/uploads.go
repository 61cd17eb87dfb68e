package sqlmeta

import (
	"time"

	"moraine"
	"moraine/internal/meta"
)

const uploadColumns = `upload_id, vault_id, body_id, part_size, state, created_ms, active_ms, description, archive_id, size, tree_hash`

const (
	uploadGet  = `SELECT ` + uploadColumns + ` FROM uploads WHERE upload_id = $1`
	uploadSave = `INSERT INTO uploads (` + uploadColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (upload_id) DO UPDATE SET vault_id = excluded.vault_id, body_id = excluded.body_id,
part_size = excluded.part_size, state = excluded.state, created_ms = excluded.created_ms, active_ms = excluded.active_ms,
description = excluded.description, archive_id = excluded.archive_id, size = excluded.size, tree_hash = excluded.tree_hash`
	uploadList = `SELECT ` + uploadColumns + ` FROM uploads
WHERE vault_id = $1 AND state = 'open' AND (created_ms, upload_id) > ($2, $3)
ORDER BY created_ms, upload_id LIMIT $4`
	uploadCountOpen = `SELECT count(*) FROM uploads WHERE state = 'open'`
)

// uploads is meta.Uploads.
type uploads struct{ t *tx }

func readUpload(row scanner, u *moraine.Upload) error {
	return row.Scan((*string)(&u.ID), (*string)(&u.Vault), (*string)(&u.Body), &u.PartSize, (*string)(&u.State),
		(*instant)(&u.Created), (*instant)(&u.Active), (*string)(&u.Description), (*string)(&u.Archive), &u.Size,
		(*digest)(&u.TreeHash))
}

func (s uploads) Get(id moraine.UploadID) (moraine.Upload, error) {
	return one(s.t, readUpload, uploadGet, string(id))
}

func (s uploads) Save(u moraine.Upload) error {
	_, err := s.t.exec(uploadSave, string(u.ID), string(u.Vault), string(u.Body), u.PartSize, string(u.State),
		millis(u.Created), millis(u.Active), u.Description, string(u.Archive), u.Size, hashOrNull(u.TreeHash))
	return err
}

func (s uploads) List(v moraine.VaultID, afterCreated time.Time, afterID moraine.UploadID, limit int) ([]moraine.Upload, error) {
	return many(s.t, readUpload, uploadList, string(v), millisOr(afterCreated, earliest), string(afterID), bound(limit))
}

func (s uploads) CountOpen() (int64, error) { return one(s.t, number, uploadCountOpen) }

var _ meta.Uploads = uploads{}
