package sqlmeta_test

import (
	"context"
	"sync"
	"testing"

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
