package sqlmeta_test

import (
	"context"
	"sync"
	"testing"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/meta/metatest"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/pgtest"
)

// migrated returns the URL of a database with the schema and no rows.
func migrated(tb testing.TB) string {
	tb.Helper()
	return pgtest.Copy(tb, "migrated", func(url string) error {
		s, err := sqlmeta.Open(context.Background(), sqlmeta.Config{URL: url})
		if err != nil {
			return err
		}
		return s.Close()
	})
}

// openAt opens the store of a database of PostgreSQL until tb ends.
func openAt(tb testing.TB, c sqlmeta.Config) *sqlmeta.Store {
	tb.Helper()
	s, err := sqlmeta.Open(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func TestPostgresConformance(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	urls := map[*testing.T]string{} // guarded by mu
	metatest.Run(t, func(t *testing.T) meta.Store {
		t.Helper()
		url := func() string {
			mu.Lock()
			defer mu.Unlock()
			if urls[t] == "" {
				urls[t] = migrated(t)
			}
			return urls[t]
		}()
		return openAt(t, sqlmeta.Config{URL: url})
	})
}

// TestKeptApart opens a database for servers that share it and for a move, which
// exclude each other, and leaves those alone that say nothing.
func TestKeptApart(t *testing.T) {
	t.Parallel()
	url := pgtest.With(migrated(t), "lock_timeout", "2s")
	together, moving := sqlmeta.Config{URL: url, Together: true}, sqlmeta.Config{URL: url, Moving: true}
	open := func(c sqlmeta.Config, want bool) *sqlmeta.Store {
		t.Helper()
		s, err := sqlmeta.Open(t.Context(), c)
		if (err == nil) != want || err != nil && !moraine.IsKind(err, moraine.Unavailable) {
			t.Fatalf("open %+v: %v, want it open: %t", c, err, want)
		}
		return s
	}
	shut := func(s *sqlmeta.Store) {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	one, two := open(together, true), open(together, true)
	open(moving, false)
	shut(open(sqlmeta.Config{URL: url}, true))
	shut(open(sqlmeta.Config{URL: url, Alone: true}, true))
	shut(one)
	open(moving, false)
	shut(two)
	mover := open(moving, true)
	open(moving, false)
	open(together, false)
	shut(mover)
	shut(open(together, true))
}
