package server_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"moraine/internal/account"
	"moraine/internal/config"
	"moraine/internal/pgtest"
	"moraine/internal/server"
)

// onPostgres are settings of a server whose rows are in a database.
func onPostgres(t *testing.T, dir, database string) config.Config {
	t.Helper()
	cfg := settings(t, dir)
	cfg.Meta = config.Meta{URL: database, Readers: 2}
	return cfg
}

// TestClockOff sets the clock of a server on a database and a bucket, as several
// are: as long as it is too far off, the server is not ready for requests.
func TestClockOff(t *testing.T) {
	t.Parallel()
	database, bucket := pgtest.Database(t), fakeStore(t, nil)
	master := filepath.Join(t.TempDir(), "master.key")
	if err := os.WriteFile(master, []byte(account.GenerateMaster()), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := onPostgres(t, t.TempDir(), database)
	cfg.Storage.Blobs, cfg.Storage.Bucket = "s3://one", bucket
	cfg.Root.Account, cfg.MasterKeyFile = "210987654321", master
	var off atomic.Int64
	off.Store(int64(-9 * time.Minute))
	r := start(t, cfg, func(o *server.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(off.Load())) }
	})
	for _, then := range []struct {
		off  time.Duration
		want int
	}{{-9 * time.Minute, http.StatusOK}, {9 * time.Minute, http.StatusOK}, {11 * time.Minute, http.StatusServiceUnavailable}} {
		off.Store(int64(then.off))
		text := r.eventually(t, "/readyz", then.want)
		if said := strings.Contains(text, "clock: it is "); said != (then.want != http.StatusOK) {
			t.Errorf("off by %v: /readyz says %s", then.off, text)
		}
	}
	r.stop(t)
}

func TestRowsInPostgres(t *testing.T) {
	t.Parallel()
	dir, database := t.TempDir(), pgtest.Database(t)
	cfg := onPostgres(t, dir, database)
	stock(t, cfg)
	if _, err := os.Stat(filepath.Join(dir, "meta.db")); err == nil {
		t.Error("there are rows in the data directory, too")
	}

	// The same directory and database once more, by a file with a password.
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(u.User.Username(), "sesame")
	file := filepath.Join(t.TempDir(), "database")
	if err := os.WriteFile(file, []byte(u.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	again := settings(t, dir)
	again.Meta = config.Meta{File: file, Readers: 2}
	r := start(t, again)
	resp, err := r.call(t, key(t, dir), http.MethodGet, "/-/vaults/v", emptyHash, nil, nil)
	mustAnswer(t, resp, err, http.StatusOK)
	if text := refused(t, onPostgres(t, t.TempDir(), database)); !strings.Contains(text, "in use by another server") {
		t.Errorf("a second server on the database: %s", text)
	}
	r.stop(t)

	var out strings.Builder
	res, err := server.Fsck{Data: dir, Meta: cfg.Meta, Out: &out}.Run(t.Context())
	want := server.FsckResult{Blobs: 2, Bytes: 3<<20 + 1001, Extents: 2, Archives: 2}
	if err != nil || res != want || out.Len() != 0 {
		t.Errorf("fsck: %+v, %v, %s", res, err, &out)
	}

	for _, tc := range []struct {
		name string
		cfg  func() config.Config
		want string
	}{
		{"the database left out", func() config.Config { return settings(t, dir) }, "are in a database of PostgreSQL"},
		{"another database", func() config.Config { return onPostgres(t, dir, pgtest.Database(t)) }, "in another database"},
		{"another directory", func() config.Config { return onPostgres(t, t.TempDir(), database) }, "rows of another data directory"},
		{"a directory with rows", func() config.Config { return onPostgres(t, stocked(t), pgtest.Database(t)) }, "keeps its rows in meta.db"},
		{"no file", func() config.Config {
			cfg := settings(t, t.TempDir())
			cfg.Meta = config.Meta{File: filepath.Join(dir, "none"), Readers: 2}
			return cfg
		}, "meta_file"},
		{"the packs are gone", func() config.Config {
			if err := os.Rename(filepath.Join(dir, "packs"), filepath.Join(dir, "elsewhere")); err != nil {
				t.Fatal(err)
			}
			return cfg
		}, "database but packs is missing"},
		{"a password with a slash", func() config.Config {
			cfg := onPostgres(t, t.TempDir(), "")
			cfg.Meta.File = filepath.Join(t.TempDir(), "slash")
			if err := os.WriteFile(cfg.Meta.File, []byte("postgres://moraine:1/sesame@db/moraine"), 0o600); err != nil {
				t.Fatal(err)
			}
			return cfg
		}, "does not hold the URL"},
		{"the file database is gone", func() config.Config {
			if err := os.Rename(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "packs")); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(dir, "database")); err != nil {
				t.Fatal(err)
			}
			return cfg
		}, "holds packs but database is missing"},
	} {
		if text := refused(t, tc.cfg()); !strings.Contains(text, tc.want) || strings.Contains(text, "sesame") {
			t.Errorf("%s: %s, want %q", tc.name, text, tc.want)
		}
	}
}
