package sqlmeta

import (
	"errors"
	"math"
	"time"

	"moraine"
	"moraine/internal/meta"
)

const (
	sweepIdleUploads = `SELECT ` + uploadColumns + ` FROM uploads WHERE state = 'open' AND active_ms <= $1
ORDER BY active_ms, upload_id LIMIT $2`
	sweepEndedUploads = `DELETE FROM uploads WHERE upload_id IN
(SELECT upload_id FROM uploads WHERE state IN ('completed', 'aborted') AND active_ms <= $1 LIMIT $2)`

	sweepExpiredJobs = `SELECT ` + jobColumns + ` FROM jobs WHERE expires_ms <= $1 AND state <> 'InProgress'
AND (held_ms IS NULL OR held_ms <= $2) ORDER BY expires_ms, job_id LIMIT $3`
	sweepDropJob = `DELETE FROM jobs WHERE job_id = $1 RETURNING action, body_id`

	sweepDueInventories = `SELECT ` + vaultColumns + ` FROM vaults WHERE inventory_due_ms <= $1
ORDER BY inventory_due_ms, vault_id LIMIT $2`

	// releaseBodies passes over the bodies that jobs hold, no more than there
	// are jobs, and over those with a fault, which are few or else a disaster.
	releaseBodies = `SELECT body_id FROM condemned WHERE NOT EXISTS
(SELECT 1 FROM jobs WHERE jobs.body_id = condemned.body_id AND jobs.state IN ('InProgress', 'Succeeded'))
AND NOT EXISTS (SELECT 1 FROM extents WHERE extents.body_id = condemned.body_id AND extents.fault IS NOT NULL)
ORDER BY since_ms, body_id LIMIT $1`
	releaseExtents = `DELETE FROM extents WHERE body_id = $1 AND first_byte IN
(SELECT first_byte FROM extents WHERE body_id = $1 ORDER BY first_byte LIMIT $2) RETURNING blob_id, ref, size`
	releaseOne = `SELECT body_id FROM condemned WHERE body_id = $1 AND NOT EXISTS
(SELECT 1 FROM jobs WHERE jobs.body_id = condemned.body_id AND jobs.state IN ('InProgress', 'Succeeded'))`
	releaseForget = `DELETE FROM condemned WHERE body_id = $1`

	garbageList = `SELECT blob_id, ref, size, since_ms FROM garbage ORDER BY since_ms, blob_id LIMIT $1`
	garbageOf   = `SELECT count(*) FROM garbage WHERE blob_id = $1`
	garbageDrop = `DELETE FROM garbage WHERE blob_id = $1`

	buryVaults = `SELECT vault_id FROM dead_vaults ORDER BY vault_id LIMIT $1`
	buryJobs   = `DELETE FROM jobs WHERE job_id IN (SELECT job_id FROM jobs WHERE vault_id = $1 LIMIT $2)
RETURNING action = 'InventoryRetrieval', body_id`
	buryUploads = `DELETE FROM uploads WHERE upload_id IN (SELECT upload_id FROM uploads WHERE vault_id = $1 LIMIT $2)
RETURNING TRUE, body_id`
	buryArchives = `DELETE FROM archives WHERE archive_id IN
(SELECT archive_id FROM archives WHERE vault_id = $1 ORDER BY created_ms, archive_id LIMIT $2)
RETURNING deleted_ms IS NULL, body_id`
	buryForget = `DELETE FROM dead_vaults WHERE vault_id = $1`
)

// sweeps is meta.Sweeps.
type sweeps struct{ t *tx }

func (s sweeps) IdleUploads(t time.Time, limit int) ([]moraine.Upload, error) {
	return many(s.t, readUpload, sweepIdleUploads, millis(t), bound(limit))
}

func (s sweeps) DropEndedUploads(t time.Time, limit int) (int, error) {
	n, err := s.t.exec(sweepEndedUploads, millis(t), bound(limit))
	return int(n), err
}

func (s sweeps) ExpiredJobs(t, now time.Time, limit int) ([]moraine.Job, error) {
	return many(s.t, readJob, sweepExpiredJobs, millis(t), millis(now), bound(limit))
}

func (s sweeps) DropJob(id moraine.JobID, now time.Time) error {
	j, err := one(s.t, func(row scanner, j *moraine.Job) error {
		return row.Scan((*string)(&j.Action), (*string)(&j.Body))
	}, sweepDropJob, string(id))
	if err != nil || j.Action != moraine.InventoryRetrieval || j.Body == "" {
		return err
	}
	return bodies{s.t}.Condemn(j.Body, now)
}

func (s sweeps) Release(now time.Time, limit int) (int, error) {
	list, err := many(s.t, readText, releaseBodies, bound(limit))
	if err != nil {
		return 0, err
	}
	touched := 0
	for _, body := range list {
		if touched >= limit {
			break
		}
		n, err := s.release(body, now, limit-touched)
		if err != nil {
			return 0, err
		}
		touched += n
	}
	return touched, nil
}

// release moves at most limit extents of a body into the garbage and, if the
// limit was not reached, forgets the body.
func (s sweeps) release(body string, now time.Time, limit int) (int, error) {
	blobs, err := many(s.t, readBlob, releaseExtents, body, bound(limit))
	if err != nil {
		return 0, err
	}
	for _, g := range blobs {
		if err := (bodies{s.t}).discard(g, now); err != nil {
			return 0, err
		}
	}
	if len(blobs) == limit {
		return limit, nil
	}
	_, err = s.t.exec(releaseForget, body)
	return len(blobs) + 1, err
}

func (s sweeps) GiveUp(b moraine.BodyID, now time.Time) (int, error) {
	if _, err := one(s.t, readText, releaseOne, string(b)); err != nil {
		return 0, err
	}
	n, err := s.release(string(b), now, math.MaxInt)
	return n - 1, err // the body itself is one
}

func (s sweeps) Garbage(limit int) ([]moraine.Garbage, error) {
	return many(s.t, func(row scanner, g *moraine.Garbage) error {
		return row.Scan((*blobID)(&g.Blob), (*string)(&g.Ref), &g.Size, (*instant)(&g.Since))
	}, garbageList, bound(limit))
}

func (s sweeps) IsGarbage(id moraine.BlobID) (bool, error) {
	n, err := one(s.t, number, garbageOf, id[:])
	return n > 0, err
}

func (s sweeps) Discard(g moraine.Garbage) error { return bodies{s.t}.discard(g, g.Since) }

func (s sweeps) DropGarbage(ids []moraine.BlobID) error {
	for _, id := range ids {
		if _, err := s.t.exec(garbageDrop, id[:]); err != nil {
			return err
		}
	}
	return nil
}

func (s sweeps) Bury(now time.Time, limit int) (int, error) {
	list, err := many(s.t, readText, buryVaults, bound(limit))
	if err != nil {
		return 0, err
	}
	touched := 0
	for _, vault := range list {
		if touched >= limit {
			break
		}
		n, err := s.bury(vault, now, limit-touched)
		if err != nil {
			return 0, err
		}
		touched += n
	}
	return touched, nil
}

// bury removes at most limit rows of a dead vault and, if the limit was not
// reached, the vault itself.
func (s sweeps) bury(vault string, now time.Time, limit int) (int, error) {
	touched := 0
	for _, query := range [...]string{buryJobs, buryUploads, buryArchives} {
		n, err := s.buryRows(query, vault, now, limit-touched)
		if err != nil {
			return 0, err
		}
		if touched += n; touched == limit {
			return touched, nil
		}
	}
	_, err := s.t.exec(buryForget, vault)
	return touched + 1, err
}

// remains is what a removed row leaves behind.
type remains struct {
	owned bool // the row was the one to condemn the body
	body  moraine.BodyID
}

// buryRows removes at most limit rows of one table and condemns the bodies that
// were theirs.
func (s sweeps) buryRows(query, vault string, now time.Time, limit int) (int, error) {
	list, err := many(s.t, func(row scanner, r *remains) error {
		return row.Scan(&r.owned, (*string)(&r.body))
	}, query, vault, bound(limit))
	var errs []error
	for _, r := range list {
		if r.owned && r.body != "" {
			errs = append(errs, bodies{s.t}.Condemn(r.body, now))
		}
	}
	return len(list), errors.Join(append(errs, err)...)
}

func (s sweeps) DueInventories(t time.Time, limit int) ([]moraine.Vault, error) {
	return many(s.t, readVault, sweepDueInventories, millis(t), bound(limit))
}

var _ meta.Sweeps = sweeps{}
