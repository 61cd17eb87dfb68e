package sqlmeta_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/meta/sqlmeta"
)

// TestSchemasAgree compares what the steps of both engines lead to.
func TestSchemasAgree(t *testing.T) {
	t.Parallel()
	one, other := openFor(t, rowsPath(t)), openAt(t, sqlmeta.Config{URL: migrated(t)})
	for name, list := range map[string]func(*sqlmeta.Store) ([]string, error){"columns": sqlmeta.Columns, "indexes": sqlmeta.Indexes} {
		a, err := list(one)
		if err != nil {
			t.Fatal(err)
		}
		b, err := list(other)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, b); diff != "" || len(a) < 15 {
			t.Errorf("%s of SQLite (-) and PostgreSQL (+):\n%s", name, diff)
		}
	}
}

// looks are the queries that may walk a table or an index from its start on
// PostgreSQL: those of scans, and no more.
func looks(query string) bool {
	for start := range scans {
		if strings.HasPrefix(query, start) {
			return true
		}
	}
	return false
}

// TestPostgresPlans looks at how every query runs: by an index and its
// conditions, and never sorted in memory, whatever the statistics say.
func TestPostgresPlans(t *testing.T) {
	t.Parallel()
	s := openAt(t, sqlmeta.Config{URL: migrated(t)})
	for _, query := range sqlmeta.Queries() {
		lines, err := sqlmeta.PlanPostgres(s, query)
		if err != nil {
			t.Errorf("%s\n%v", query, err)
			continue
		}
		plan := strings.Join(lines, "\n")
		bad := strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Sort") || strings.Contains(plan, "Bitmap")
		for i, line := range lines {
			// An index that is read from its start has no condition below it.
			if strings.Contains(line, "Index") && strings.Contains(line, " Scan") && (i+1 == len(lines) || !strings.Contains(lines[i+1], "Index Cond")) {
				bad = true
			}
		}
		if bad && !looks(query) {
			t.Errorf("%s\n%s", query, plan)
		}
	}
}
