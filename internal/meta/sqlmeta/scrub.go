package sqlmeta

import (
	"errors"

	"moraine"
	"moraine/internal/meta"
)

const (
	scrubGet = `SELECT started_ms, cursor_blob, blobs, bytes, faulty, repaired,
last_started_ms, finished_ms, last_blobs, last_bytes, last_faulty, last_repaired FROM scrub WHERE scrub_id = 1`
	scrubSave = `INSERT INTO scrub (scrub_id, started_ms, cursor_blob, blobs, bytes, faulty, repaired,
last_started_ms, finished_ms, last_blobs, last_bytes, last_faulty, last_repaired) VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (scrub_id) DO UPDATE SET started_ms = excluded.started_ms, cursor_blob = excluded.cursor_blob,
blobs = excluded.blobs, bytes = excluded.bytes, faulty = excluded.faulty, repaired = excluded.repaired,
last_started_ms = excluded.last_started_ms, finished_ms = excluded.finished_ms, last_blobs = excluded.last_blobs, last_bytes = excluded.last_bytes,
last_faulty = excluded.last_faulty, last_repaired = excluded.last_repaired`
)

// scrub is meta.Scrub.
type scrub struct{ t *tx }

func readScrub(row scanner, s *moraine.ScrubState) error {
	return row.Scan((*instant)(&s.Started), (*blobID)(&s.Cursor), &s.Tally.Blobs, &s.Tally.Bytes, &s.Tally.Faulty, &s.Tally.Repaired,
		(*instant)(&s.LastStarted), (*instant)(&s.Finished), &s.Last.Blobs, &s.Last.Bytes, &s.Last.Faulty, &s.Last.Repaired)
}

func (s scrub) State() (moraine.ScrubState, error) {
	state, err := one(s.t, readScrub, scrubGet)
	if errors.Is(err, meta.ErrNotFound) {
		return moraine.ScrubState{}, nil
	}
	return state, err
}

func (s scrub) Save(n moraine.ScrubState) error {
	_, err := s.t.exec(scrubSave, millis(n.Started), n.Cursor[:], n.Tally.Blobs, n.Tally.Bytes, n.Tally.Faulty, n.Tally.Repaired,
		millis(n.LastStarted), millis(n.Finished), n.Last.Blobs, n.Last.Bytes, n.Last.Faulty, n.Last.Repaired)
	return err
}

var _ meta.Scrub = scrub{}
