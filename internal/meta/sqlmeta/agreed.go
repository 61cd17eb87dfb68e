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
