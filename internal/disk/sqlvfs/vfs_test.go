package sqlvfs_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	_ "modernc.org/sqlite"

	"moraine/internal/disk"
	"moraine/internal/disk/crashfs"
	"moraine/internal/disk/sqlvfs"
)

// open opens a database in a file system, with room for some connections.
func open(t *testing.T, fsys disk.FS) *sql.DB {
	t.Helper()
	v, err := sqlvfs.New(fsys)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:/rows.db?vfs="+v.Name()+
		"&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=wal_autocheckpoint(8)&_pragma=temp_store(MEMORY)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		db.Close()
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func must(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// TestCommitSurvives cuts the power at every operation of a history of
// transactions: what was committed is there, and nothing half.
func TestCommitSurvives(t *testing.T) {
	t.Parallel()
	const pairs = 12
	fsys := crashfs.New()
	type cut struct {
		disk      *crashfs.FS
		committed int
	}
	var mu sync.Mutex // guards the rest
	var cuts []cut
	committed := -1 // no table yet
	rnd := rand.New(rand.NewPCG(1, 1))
	fsys.Watch(func(op int, crash func(crashfs.Keep, *rand.Rand) *crashfs.FS) {
		mu.Lock()
		defer mu.Unlock()
		for _, keep := range []crashfs.Keep{crashfs.KeepNone, crashfs.KeepRandom, crashfs.KeepAll} {
			cuts = append(cuts, cut{crash(keep, rnd), committed})
		}
	})
	note := func(n int) { mu.Lock(); committed = n; mu.Unlock() }
	db := open(t, fsys)
	must(t, db, "CREATE TABLE t (n INTEGER, text TEXT)")
	if err := fsys.SyncDir("/"); err != nil {
		t.Fatal(err)
	}
	note(0)
	for n := 1; n <= pairs; n++ {
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"a", "b"} {
			if _, err := tx.Exec("INSERT INTO t VALUES (?, ?)", n, text+fmt.Sprint(make([]byte, 900))); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
		note(n)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	fsys.Watch(nil)
	if len(cuts) < 3*pairs {
		t.Fatalf("only %d cuts", len(cuts))
	}
	for i, c := range cuts {
		if c.committed < 0 {
			continue
		}
		db := open(t, c.disk)
		var verdict string
		if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
			t.Fatalf("cut %d: %s, %v", i, verdict, err)
		}
		var rows, last int
		if err := db.QueryRow("SELECT count(*), coalesce(max(n), 0) FROM t").Scan(&rows, &last); err != nil {
			t.Fatalf("cut %d: %v", i, err)
		}
		if rows != 2*last || last < c.committed || last > c.committed+1 {
			t.Errorf("cut %d: %d rows up to %d, and %d pairs were committed", i, rows, last, c.committed)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestReadersBesideAWriter has several connections at one database.
func TestReadersBesideAWriter(t *testing.T) {
	t.Parallel()
	db := open(t, crashfs.New())
	must(t, db, "CREATE TABLE t (n INTEGER)")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				var count, last int
				if err := db.QueryRow("SELECT count(*), coalesce(max(n), 0) FROM t").Scan(&count, &last); err != nil || count != last {
					t.Errorf("%d rows up to %d, %v", count, last, err)
				}
			}
		})
	}
	for n := 1; n <= 100; n++ {
		must(t, db, "INSERT INTO t VALUES (?)", n)
	}
	wg.Wait()
}
