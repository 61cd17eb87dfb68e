package sqlmeta_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
)

// whole checks the integrity of the database, opens it again and checks again.
func whole(t *testing.T, s *sqlmeta.Store, path string) *sqlmeta.Store {
	t.Helper()
	if err := s.Check(t.Context()); err != nil {
		t.Fatalf("check: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	s = openFor(t, path)
	if err := s.Check(t.Context()); err != nil {
		t.Fatalf("check after reopening: %v", err)
	}
	return s
}

func insertArchive(s *sqlmeta.Store, n int) (moraine.ArchiveID, error) {
	id := moraine.ArchiveID(fmt.Sprintf("archive %06d", n))
	return id, s.Update(context.Background(), func(tx meta.Tx) error {
		return tx.Archives().Insert(moraine.Archive{ID: id, Vault: "v", Body: "b", Size: 1, Created: benchTime, Description: string(make([]byte, 900))})
	})
}

// wantArchive fails the test unless the archive is there, or is not.
func wantArchive(t *testing.T, s *sqlmeta.Store, id moraine.ArchiveID, there bool) {
	t.Helper()
	err := s.View(t.Context(), func(tx meta.Tx) error {
		_, err := tx.Archives().Get(id)
		return err
	})
	if there && err != nil || !there && !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("archive %q: %v, want it there: %v", id, err, there)
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	path := rowsPath(t)
	s := openFor(t, path)
	if err := sqlmeta.LimitPages(s, 40); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	results := map[moraine.ArchiveID]error{} // guarded by mu
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 50 {
				id, err := insertArchive(s, worker*1000+i)
				mu.Lock()
				results[id] = err
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	s = whole(t, s, path)
	failed := 0
	for id, err := range results {
		wantArchive(t, s, id, err == nil)
		var kind *moraine.Error
		if err != nil {
			failed++
			if !errors.As(err, &kind) || kind.Kind != moraine.Unavailable || kind.Message != "storage is full" {
				t.Errorf("full storage: %v", err)
			}
		}
	}
	if failed == 0 {
		t.Error("the database was never full")
	}
	id, err := insertArchive(s, 999_999)
	if err != nil {
		t.Fatal(err)
	}
	wantArchive(t, s, id, true)
}

func TestCommitFails(t *testing.T) {
	t.Parallel()
	for name, persist := range map[string]bool{"and lost": false, "but persisted": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := rowsPath(t)
			s := openFor(t, path)
			sqlmeta.FailCommits(s, 1, persist)
			first, err := insertArchive(s, 1)
			if !moraine.IsKind(err, moraine.Unavailable) || !errors.Is(err, sqlmeta.ErrCommit) {
				t.Errorf("commit that failed: %v", err)
			}
			second, err := insertArchive(s, 2)
			if err != nil {
				t.Errorf("the next one: %v", err)
			}
			s = whole(t, s, path)
			wantArchive(t, s, first, persist)
			wantArchive(t, s, second, true)
		})
	}
}

// TestCommitFailsForAll lets one commit of many Updates fail, among them some
// that returned an error or wrote nothing: what they saw is not true either.
func TestCommitFailsForAll(t *testing.T) {
	t.Parallel()
	path := rowsPath(t)
	s := openFor(t, path)
	sqlmeta.FailCommits(s, 1_000_000, false)
	mine := errors.New("mine")
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			err := s.Update(t.Context(), func(tx meta.Tx) error {
				switch i % 3 {
				case 0:
					return mine
				case 1:
					return tx.Archives().Insert(moraine.Archive{ID: moraine.ArchiveID(rune(i)), Created: benchTime})
				}
				return nil
			})
			if !moraine.IsKind(err, moraine.Unavailable) || errors.Is(err, mine) {
				t.Errorf("update %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	whole(t, s, path)
}

func TestConnectionLost(t *testing.T) {
	t.Parallel()
	path := rowsPath(t)
	s := openFor(t, path)
	lost := func(tx meta.Tx) error {
		if err := sqlmeta.Disconnect(tx); err != nil {
			t.Error(err)
		}
		_, err := tx.Archives().Get("any")
		return err
	}
	mute := func(tx meta.Tx) error {
		_ = lost(tx)
		return nil
	}
	for i := range 20 { // more often than there are connections
		for name, fn := range map[string]func(meta.Tx) error{"told": lost, "swallowed": mute} {
			if err := s.Update(t.Context(), fn); !moraine.IsKind(err, moraine.Unavailable) {
				t.Errorf("update, %s: %v", name, err)
			}
			if err := s.View(t.Context(), fn); !moraine.IsKind(err, moraine.Unavailable) {
				t.Errorf("view, %s: %v", name, err)
			}
		}
		id, err := insertArchive(s, i)
		if err != nil {
			t.Fatal(err)
		}
		wantArchive(t, s, id, true)
	}
	whole(t, s, path)
}

// TestDamage overwrites a page in the middle.
func TestDamage(t *testing.T) {
	t.Parallel()
	path := rowsPath(t)
	s := openFor(t, path)
	fillArchives(t, s, 500)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for at := info.Size() / 2 / page * page; at < info.Size(); at += page {
		if _, err := f.WriteAt(make([]byte, page), at); err != nil {
			t.Fatal(err)
		}
	}
	s = openFor(t, path)
	if err := s.Check(t.Context()); !moraine.IsKind(err, moraine.Corrupt) {
		t.Errorf("check: %v", err)
	}
	var v moraine.Vault
	scan := func(tx meta.Tx) error {
		var err error
		if v, err = tx.Vaults().Get(benchAccount, benchRegion, "photos"); err != nil {
			return err
		}
		return tx.Archives().Scan(meta.Scan{Vault: v.ID, At: benchTime.Add(time.Hour)}, func(moraine.Archive) error { return nil })
	}
	if err := s.View(t.Context(), scan); !moraine.IsKind(err, moraine.Corrupt) {
		t.Errorf("view: %v", err)
	}
	if err := s.Update(t.Context(), scan); !moraine.IsKind(err, moraine.Corrupt) {
		t.Errorf("update: %v", err)
	}

	other := rowsPath(t)
	if err := os.WriteFile(other, []byte("this is no database, and long enough to be told from an empty one, by its first hundred bytes at least"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlmeta.Open(t.Context(), sqlmeta.Config{Path: other}); !moraine.IsKind(err, moraine.Corrupt) {
		t.Errorf("open of something else: %v", err)
	}
}

// TestMisuse is what fn must not do with a transaction.
func TestMisuse(t *testing.T) {
	t.Parallel()
	s := openFor(t, rowsPath(t))
	id, err := insertArchive(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	var kept meta.Tx
	for name, fn := range map[string]func(tx meta.Tx) error{
		"write in a view": func(tx meta.Tx) error { return tx.Vaults().Save(moraine.Vault{ID: "v"}) },
		"write in a view, swallowed": func(tx meta.Tx) error {
			_ = tx.Archives().MarkDeleted(id, benchTime)
			return nil
		},
		"use while scanning": func(tx meta.Tx) error {
			kept = tx
			return tx.Archives().Scan(meta.Scan{Vault: "v", At: benchTime}, func(a moraine.Archive) error {
				_, err := tx.Archives().Get(a.ID)
				return err
			})
		},
	} {
		if err := s.View(t.Context(), fn); err == nil || moraine.KindOf(err) != moraine.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := kept.Archives().Get(id); err == nil || errors.Is(err, meta.ErrNotFound) {
		t.Errorf("use after the end: %v", err)
	}
	wantArchive(t, s, id, true)
}

// TestGoexit ends the goroutine of an Update and of a View, as a failing test
// does.
func TestGoexit(t *testing.T) {
	t.Parallel()
	s := openFor(t, rowsPath(t))
	for range 20 {
		for _, run := range []func(context.Context, func(meta.Tx) error) error{s.Update, s.View} {
			var wg sync.WaitGroup
			wg.Go(func() {
				_ = run(context.Background(), func(tx meta.Tx) error {
					_, _ = tx.Archives().Get("any")
					runtime.Goexit()
					return nil
				})
			})
			wg.Wait()
		}
	}
	if _, err := insertArchive(s, 1); err != nil {
		t.Fatal(err)
	}
}

// TestViewStops ends the context of a View in the middle of a scan.
func TestViewStops(t *testing.T) {
	t.Parallel()
	s := openFor(t, rowsPath(t))
	v := fillArchives(t, s, 100)
	ctx, cancel := context.WithCancel(t.Context())
	rows := 0
	err := s.View(ctx, func(tx meta.Tx) error {
		return tx.Archives().Scan(meta.Scan{Vault: v.ID, At: benchTime.Add(time.Hour)}, func(moraine.Archive) error {
			rows++
			cancel()
			return nil
		})
	})
	if !errors.Is(err, context.Canceled) || rows != 1 {
		t.Errorf("after %d rows: %v", rows, err)
	}
}

// raw opens the database file past the store.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestLaterSchemaIsRefused(t *testing.T) {
	t.Parallel()
	path := rowsPath(t)
	if err := openFor(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	if _, err := db.Exec("INSERT INTO schema_steps (version_id, is_applied) VALUES (99901, 1)"); err != nil {
		t.Fatal(err)
	}
	if s, err := sqlmeta.Open(t.Context(), sqlmeta.Config{Path: path}); err == nil {
		s.Close()
		t.Fatal("a database of a later version was opened")
	}
	if _, err := db.Exec("DELETE FROM schema_steps WHERE version_id = 99901"); err != nil {
		t.Fatal(err)
	}
	openFor(t, path)
}

func TestPathNeedsNoEscape(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/a b?c=d&e%41#ö.db"
	if err := openFor(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
