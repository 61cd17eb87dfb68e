package sqlmeta

import (
	"moraine"
	"moraine/internal/meta"
)

const (
	blobKeyList = `SELECT key_id, created_ms, wrapped_by, wrapped FROM blob_keys ORDER BY created_ms, key_id`
	blobKeySave = `INSERT INTO blob_keys (key_id, created_ms, wrapped_by, wrapped) VALUES ($1, $2, $3, $4)
ON CONFLICT (key_id) DO UPDATE SET created_ms = excluded.created_ms, wrapped_by = excluded.wrapped_by, wrapped = excluded.wrapped`
)

// blobKeys is meta.BlobKeys.
type blobKeys struct{ t *tx }

func readBlobKey(row scanner, k *moraine.BlobKey) error {
	return row.Scan(&k.ID, (*instant)(&k.Created), &k.WrappedBy, &k.Wrapped)
}

func (s blobKeys) List() ([]moraine.BlobKey, error) { return many(s.t, readBlobKey, blobKeyList) }

func (s blobKeys) Save(k moraine.BlobKey) error {
	_, err := s.t.exec(blobKeySave, k.ID, millis(k.Created), k.WrappedBy, k.Wrapped)
	return err
}

var _ meta.BlobKeys = blobKeys{}
