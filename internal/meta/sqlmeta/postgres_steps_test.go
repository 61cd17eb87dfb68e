package sqlmeta_test

import (
	"testing"
	"time"

	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/pgtest"
)

// TestPostgresStepWaits starts a later program on a database while somebody reads
// a table for long that a step changes: the step waits for the reader, and nobody
// else waits for the step.
func TestPostgresStepWaits(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	old := openAt(t, sqlmeta.Config{URL: url})
	// As the program before the leases left it.
	if err := pgtest.Exec(url, "DELETE FROM schema_steps WHERE version_id >= 1002; ALTER TABLE jobs DROP COLUMN held_ms; DROP TABLE arrivals, house, agreed"); err != nil {
		t.Fatal(err)
	}
	look := func(tx meta.Tx) error {
		_, _, err := tx.Jobs().NextDue()
		return err
	}
	opened := make(chan error, 1)
	err := old.View(t.Context(), func(tx meta.Tx) error {
		if err := look(tx); err != nil {
			return err
		}
		go func() {
			s, err := sqlmeta.Open(t.Context(), sqlmeta.Config{URL: pgtest.With(url, "lock_timeout", "300ms")})
			if err == nil {
				err = s.Close()
			}
			opened <- err
		}()
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
			began := time.Now()
			if err := old.View(t.Context(), look); err != nil {
				return err
			}
			if d := time.Since(began); d > 2*time.Second {
				t.Errorf("a view waited %v for a step that waits", d)
			}
			select {
			case err := <-opened:
				t.Errorf("the step did not wait for the reader: %v", err)
				return err
			default:
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Errorf("the later program: %v", err)
	}
}
