// Package housetest is what the tests of services stand on: a store of rows that
// is empty, and a clock that they move.
//
// It knows which adapter keeps the rows. It must not know any service, and
// nothing but tests may import it.
package housetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"moraine/internal/meta/sqlmeta"
)

// Rows returns a store without rows, which is closed after what the test opens
// later. Its time is that of the machine.
func Rows(t testing.TB) *sqlmeta.Store {
	t.Helper()
	return RowsAt(t, time.Now)
}

// RowsAt is Rows with a time of the store. Several services may share the store
// as the nodes of a cluster do, each with a clock of its own.
func RowsAt(t testing.TB, now func() time.Time) *sqlmeta.Store {
	t.Helper()
	empty, err := emptyRows()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "meta.db")
	if err := os.WriteFile(path, empty, 0o600); err != nil {
		t.Fatal(err)
	}
	rows, err := sqlmeta.Open(t.Context(), sqlmeta.Config{Path: path, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	})
	return rows
}

// emptyRows is a database without rows, made once: to migrate is most of what a
// short test would do.
var emptyRows = sync.OnceValues(func() (text []byte, err error) {
	dir, err := os.MkdirTemp("", "rows")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "meta.db")
	rows, err := sqlmeta.Open(context.Background(), sqlmeta.Config{Path: path})
	if err != nil {
		return nil, err
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// Clock is a clock that stands still but for what tests move it. It is safe for
// concurrent use.
type Clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

// NewClock returns a clock that stands at an instant.
func NewClock(at time.Time) *Clock { return &Clock{now: at} }

// Now is where the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock, back if d is negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
