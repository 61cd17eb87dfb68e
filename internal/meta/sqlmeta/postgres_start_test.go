package sqlmeta_test

import (
	"strings"
	"testing"

	"moraine"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/pgtest"
)

// TestPostgresVersions asks about servers that are not at hand.
func TestPostgresVersions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		version int
		syncs   bool
		want    string // "": it will do
	}{
		{90624, true, "PostgreSQL is version 9, and at least 14 is needed"},
		{130023, true, "PostgreSQL is version 13, and at least 14 is needed"},
		{140000, true, ""},
		{180001, true, ""},
		{180001, false, "does not sync"},
	} {
		err := sqlmeta.Unfit(tc.version, tc.syncs)
		refused := moraine.IsKind(err, moraine.Unavailable) && strings.Contains(err.Error(), tc.want)
		if tc.want == "" && err != nil || tc.want != "" && !refused {
			t.Errorf("version %d, syncs %t: %v, want %q", tc.version, tc.syncs, err, tc.want)
		}
	}
}

// TestPostgresStandby opens rows at a server that became a standby, as after a
// failover, and has a store meet one under way.
func TestPostgresStandby(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	if err := c.Do("CREATE DATABASE rows"); err != nil {
		t.Fatal(err)
	}
	url := c.URL("rows")
	s := openAt(t, sqlmeta.Config{URL: url})
	id, err := insertPlain(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	turn := func(change func() error) {
		t.Helper()
		for _, step := range []func() error{c.Shutdown, change, c.Run} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
	}
	turn(c.Demote)
	if _, err := sqlmeta.Open(t.Context(), sqlmeta.Config{URL: url}); err == nil || !strings.Contains(err.Error(), "the server is a standby: name the primary") {
		t.Errorf("open a standby: %v", err)
	}
	if _, err := insertPlain(s, 2); !moraine.IsKind(err, moraine.Unavailable) {
		t.Errorf("an update at a standby: %v", err)
	}
	turn(c.Promote)
	if _, err := insertPlain(s, 3); err != nil {
		t.Errorf("an update at the primary: %v", err)
	}
	wantArchive(t, s, id, true)
}

// TestPostgresIndexCheck has an index that lacks a row, which only amcheck finds.
func TestPostgresIndexCheck(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	do := func(statement string) {
		t.Helper()
		if err := pgtest.Exec(url, statement); err != nil {
			t.Fatal(err)
		}
	}
	s := openAt(t, sqlmeta.Config{URL: url})
	ready := "UPDATE pg_index SET indisready = %t WHERE indexrelid = 'archives_pkey'::regclass"
	do(strings.Replace(ready, "%t", "false", 1))
	if _, err := insertPlain(s, 1); err != nil {
		t.Fatal(err)
	}
	do(strings.Replace(ready, "%t", "true", 1))
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("without amcheck: %v", err)
	}
	do("CREATE EXTENSION amcheck")
	if err := s.Check(t.Context()); !moraine.IsKind(err, moraine.Corrupt) {
		t.Errorf("with amcheck: %v, want that the rows are damaged", err)
	}
	do("REINDEX TABLE archives")
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("after the index was made anew: %v", err)
	}
}

// TestPostgresAlone has a store alone with a database: nobody else writes, at the
// start or after connections were lost, and it does not begin while others do.
func TestPostgresAlone(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	if err := c.Do("CREATE DATABASE rows"); err != nil {
		t.Fatal(err)
	}
	url := c.URL("rows")
	quick := pgtest.With(url, "lock_timeout", "100ms")
	shared := openAt(t, sqlmeta.Config{URL: quick})
	second, err := sqlmeta.Open(t.Context(), sqlmeta.Config{URL: quick})
	if err != nil {
		t.Fatalf("a second store: %v", err)
	}
	writers := func(when string, s *sqlmeta.Store, want int) {
		t.Helper()
		if n, err := s.Writers(t.Context()); err != nil || n != want {
			t.Errorf("%s: %d stores can write, %v; want %d", when, n, err, want)
		}
	}
	writers("two", shared, 2)
	if err := c.Do("CREATE DATABASE other"); err != nil {
		t.Fatal(err)
	}
	writers("in another database", openAt(t, sqlmeta.Config{URL: c.URL("other")}), 1)
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlmeta.Open(t.Context(), sqlmeta.Config{URL: quick, Alone: true}); err == nil || !strings.Contains(err.Error(), "in use by another server") {
		t.Errorf("alone while another is at it: %v", err)
	}
	// The other loses its connection, and who wants to be alone is faster.
	for _, step := range []func() error{c.Crash, c.Run} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	alone, err := sqlmeta.Open(t.Context(), sqlmeta.Config{URL: url, Alone: true})
	if err != nil {
		t.Fatal(err)
	}
	writers("alone", alone, 1)
	if _, err := insertPlain(alone, 1); err != nil {
		t.Errorf("alone: %v", err)
	}
	if _, err := insertPlain(shared, 2); !moraine.IsKind(err, moraine.Unavailable) {
		t.Errorf("the other: %v", err)
	}
	if _, err := sqlmeta.Open(t.Context(), sqlmeta.Config{URL: quick}); err == nil || !strings.Contains(err.Error(), "that has it alone") {
		t.Errorf("a third: %v", err)
	}
	if err := alone.Close(); err != nil {
		t.Fatal(err)
	}
	id, err := insertPlain(shared, 3)
	if err != nil {
		t.Errorf("the other, later: %v", err)
	}
	wantArchive(t, shared, id, true)
	wantArchive(t, shared, "archive 000002", false)
}
