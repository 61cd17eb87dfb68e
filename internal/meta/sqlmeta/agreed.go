package sqlmeta

import (
	"context"
	"errors"

	"moraine/internal/meta"
)

const (
	agreedGet  = `SELECT agreed_value FROM agreed WHERE agreed_name = $1`
	agreedSave = `INSERT INTO agreed (agreed_name, agreed_value) VALUES ($1, $2)
ON CONFLICT (agreed_name) DO UPDATE SET agreed_value = excluded.agreed_value`
)

// writersCount counts who has aloneLock shared, whose two halves it is given.
const writersCount = `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND classid::bigint = $1 AND objid::bigint = $2`

// Writers is how many stores can write to these rows now, this one included.
func (s *Store) Writers(ctx context.Context) (n int, err error) {
	if s.id == "" || s.alone != nil {
		return 1, nil
	}
	err = s.View(ctx, func(mtx meta.Tx) error {
		row := mtx.(*tx).ses.conn.QueryRowContext(ctx, writersCount, int64(aloneLock)>>32, int64(aloneLock)&(1<<32-1))
		return translate(row.Scan(&n))
	})
	return n, err
}

// Agree settles what all servers on these rows go by under a name. settle is
// given what holds, "" for nothing yet, and returns what is to hold from then on:
// the same, and nothing is written. It may run more than once. Of two servers
// that settle at the same time, the second is given what the first returned.
func (s *Store) Agree(ctx context.Context, name string, settle func(tx meta.Tx, holds string) (string, error)) error {
	return s.Update(ctx, func(mtx meta.Tx) error {
		t := mtx.(*tx)
		holds, err := one(t, func(row scanner, value *string) error { return row.Scan(value) }, agreedGet, name)
		if err != nil && !errors.Is(err, meta.ErrNotFound) {
			return err
		}
		value, err := settle(mtx, holds)
		if err != nil || value == holds {
			return err
		}
		// It holds with the commit, for all; a crash before that leaves what was.
		_, err = t.exec(agreedSave, name, value)
		return err
	})
}
