package sqlmeta_test

import (
	"errors"
	"log"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"moraine/internal/meta"
	"moraine/internal/meta/metatest"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/pgtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := errors.Join(pgtest.Stop(), goleak.Find()); err != nil {
		log.Print(err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// openFor opens the store at path until tb ends.
func openFor(tb testing.TB, path string) *sqlmeta.Store {
	tb.Helper()
	s, err := sqlmeta.Open(tb.Context(), sqlmeta.Config{Path: path})
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

func rowsPath(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(tb.TempDir(), "rows.db")
}

func TestConformance(t *testing.T) {
	t.Parallel()
	// An empty database, made once: to migrate is most of what a short test
	// would do.
	empty := rowsPath(t)
	if err := openFor(t, empty).Close(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	paths := map[*testing.T]string{} // guarded by mu
	metatest.Run(t, func(t *testing.T) meta.Store {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if paths[t] == "" {
			paths[t] = rowsPath(t)
			copyFile(t, empty, paths[t])
		}
		return openFor(t, paths[t])
	})
}

func copyFile(tb testing.TB, from, to string) {
	tb.Helper()
	raw, err := os.ReadFile(from)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(to, raw, 0o600); err != nil {
		tb.Fatal(err)
	}
}
