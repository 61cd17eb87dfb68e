package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moraine/internal/account"
	"moraine/internal/adminapi"
	"moraine/internal/config"
	"moraine/internal/pgtest"
	"moraine/internal/server"
	"moraine/internal/sigv4"
)

// commons is a database and a bucket that servers share.
type commons struct {
	t        *testing.T
	database string
	bucket   config.Bucket
	keys     string // file with the master keys
	root     account.Root
}

func newCommons(t *testing.T) *commons {
	t.Helper()
	c := &commons{t: t, database: pgtest.With(pgtest.Database(t), "lock_timeout", "500ms"), bucket: fakeStore(t, nil), root: account.Generate()}
	c.keys = c.master()
	return c
}

// master makes a file with a master key.
func (c *commons) master() string {
	c.t.Helper()
	file := filepath.Join(c.t.TempDir(), "master.key")
	if err := os.WriteFile(file, []byte(account.GenerateMaster()), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return file
}

// server are the settings of a server with a directory.
func (c *commons) server(dir string) config.Config {
	c.t.Helper()
	cfg := onPostgres(c.t, dir, c.database)
	cfg.Root, cfg.MasterKeyFile = c.root, c.keys
	cfg.Storage.Blobs, cfg.Storage.Bucket = "s3://one/shared", c.bucket
	return cfg
}

func (c *commons) key() sigv4.Key { return sigv4.Key{ID: c.root.KeyID, Secret: c.root.Secret} }

// refused runs a server that must not start and returns why it did not.
func (c *commons) refused(cfg config.Config, opts server.Options) string {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	opts.Out = canceller(cancel)
	err := server.Run(ctx, cfg, opts)
	if err == nil {
		c.t.Fatal("the server started")
	}
	return err.Error()
}

// TestSharedRefusals starts servers beside one that is running on the same
// database and bucket, each with something that has to be the same for all and is
// not, and a clock that is off.
func TestSharedRefusals(t *testing.T) {
	t.Parallel()
	c := newCommons(t)
	first := start(t, c.server(t.TempDir()))
	first.send(t, c.key(), http.MethodPut, "/-/vaults/v", "", http.StatusCreated)
	off := func(by time.Duration) server.Options {
		return server.Options{Now: func() time.Time { return time.Now().Add(by) }}
	}
	other := account.Generate()
	for _, tc := range []struct {
		name   string
		change func(*config.Config)
		opts   server.Options
		want   string
	}{
		{"another root key", func(c *config.Config) { c.Root.KeyID, c.Root.Secret = other.KeyID, other.Secret }, server.Options{}, "theirs has the id " + c.root.KeyID},
		{"another secret", func(c *config.Config) { c.Root.Secret = other.Secret }, server.Options{}, "another root key"},
		{"another master key", func(cfg *config.Config) { cfg.MasterKeyFile = c.master() }, server.Options{}, "give all processes that share the rows the same master_key_file"},
		{"another account", func(c *config.Config) { c.Root.Account = other.Account }, server.Options{}, "the rows belong to account " + string(c.root.Account)},
		{"a mirror", func(c *config.Config) { c.Storage.Mirror = filepath.Join(t.TempDir(), "mirror") }, server.Options{}, "storage.mirror is for a server that has its bytes to itself"},
		{"test mode", func(c *config.Config) { c.TestMode = true }, server.Options{}, "in use by another server"},
		{"another grace", func(c *config.Config) { c.OrphanGrace /= 2 }, server.Options{}, "have an orphan.grace of 24h0m0s and this one was given 12h0m0s"},
		{"a clock that is fast", func(*config.Config) {}, off(11 * time.Minute), "ahead of that of the database"},
		{"a clock that is slow", func(*config.Config) {}, off(-11 * time.Minute), "behind that of the database"},
	} {
		cfg := c.server(t.TempDir())
		tc.change(&cfg)
		text := c.refused(cfg, tc.opts)
		if !strings.Contains(text, tc.want) || strings.Contains(text, string(cfg.Root.Secret)) || strings.Contains(text, "\n") {
			t.Errorf("%s: %s, want %q", tc.name, text, tc.want)
		}
	}
	// Who is at it goes on, and so does one with a clock that is off by less.
	second := startWith(t, c.server(t.TempDir()), off(9*time.Minute))
	second.stop(t)

	// The root key of all is changed by one, and the others follow.
	old := c.root
	c.root.KeyID, c.root.Secret = other.KeyID, other.Secret
	second = start(t, c.server(t.TempDir()), func(o *server.Options) { o.NewRoot = true })
	second.send(t, c.key(), http.MethodGet, "/-/vaults/v", "", http.StatusOK)
	second.stop(t)
	c.root = old
	if text := c.refused(c.server(t.TempDir()), server.Options{}); !strings.Contains(text, "theirs has the id "+other.KeyID) {
		t.Errorf("the key from before: %s", text)
	}
	first.stop(t)

	// Nobody is at it any more, and it has been for other than tests all the same.
	c.root.KeyID, c.root.Secret = other.KeyID, other.Secret
	cfg := c.server(t.TempDir())
	cfg.OrphanGrace *= 2
	start(t, cfg).stop(t)
	cfg = c.server(t.TempDir())
	start(t, cfg).stop(t)
	cfg = c.server(t.TempDir())
	cfg.TestMode = true
	if text := c.refused(cfg, server.Options{}); !strings.Contains(text, "served without test_mode") {
		t.Errorf("test mode when all have gone: %s", text)
	}
}

// TestSharedMigrate ends a move with the directory of a server that is stopped,
// while another goes on: what that one stores would stay behind.
func TestSharedMigrate(t *testing.T) {
	t.Parallel()
	c := newCommons(t)
	stopped := c.server(t.TempDir())
	start(t, stopped).stop(t)
	going := start(t, c.server(t.TempDir()))
	going.send(t, c.key(), http.MethodPut, "/-/vaults/v", "", http.StatusCreated)
	keys := filepath.Join(t.TempDir(), "credentials")
	text := "[default]\naws_access_key_id = " + c.bucket.AccessKeyID + "\naws_secret_access_key = " + c.bucket.SecretAccessKey + "\n"
	if err := os.WriteFile(keys, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stopped.Storage.Bucket.CredentialsFile = keys
	stopped.Storage.Bucket.AccessKeyID, stopped.Storage.Bucket.SecretAccessKey = "", ""
	stopped.Admin.Listen = ""
	house := written(t, stopped)
	to := settings(t, t.TempDir())
	to.Root, to.MasterKeyFile = c.root, c.keys
	m := server.Migration{From: house, To: to.Data}
	if _, err := server.Migrate(t.Context(), m, server.Options{}); err == nil || !strings.Contains(err.Error(), "in use by another server") {
		t.Errorf("moved while a server goes on: %v", err)
	}
	going.send(t, c.key(), http.MethodPut, "/-/vaults/late", "", http.StatusCreated)
	going.stop(t)
	reply, err := server.Migrate(t.Context(), m, server.Options{})
	if err != nil || !reply.Done || reply.Rows["vaults"] != 2 {
		t.Errorf("moved when all have stopped: %+v, %v", reply, err)
	}
}

// TestSharedTestMode has one server at a time move the clock of rows that could
// be shared, and none that does not know that it was moved.
func TestSharedTestMode(t *testing.T) {
	t.Parallel()
	c := newCommons(t)
	cfg := func() config.Config {
		cfg := c.server(t.TempDir())
		cfg.TestMode = true
		return cfg
	}
	r := start(t, cfg())
	r.send(t, c.key(), http.MethodPut, "/-/vaults/v", "", http.StatusCreated)
	if text := c.refused(cfg(), server.Options{}); !strings.Contains(text, "in use by another server") {
		t.Errorf("a second server in test mode: %s", text)
	}
	resp, err := http.Post(r.admin+"/test/clock", "application/json", strings.NewReader(`{"advance":"72h"}`))
	mustAnswer(t, resp, err, http.StatusOK)
	before := clockOf(t, r).Now
	r.stop(t)

	if text := c.refused(c.server(t.TempDir()), server.Options{}); !strings.Contains(text, "first served in test mode") {
		t.Errorf("a server without test mode: %s", text)
	}
	// Its directory is lost, and time goes on where it was.
	r = start(t, cfg())
	if now := clockOf(t, r); now.Now.Before(before) || now.State != "following" {
		t.Errorf("a replaced server: the clock is %+v, was at %s", now, before)
	}
	r.stop(t)
}

func clockOf(t *testing.T, r *running) (reply adminapi.ClockReply) {
	t.Helper()
	_, text := fetch(t, r.admin+"/clock")
	if err := json.Unmarshal([]byte(text), &reply); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return reply
}

// TestSharedClock replaces a server by one with an empty directory: the newest
// time that any has used is in the rows, and time does not run back behind it.
func TestSharedClock(t *testing.T) {
	t.Parallel()
	c := newCommons(t)
	dir := t.TempDir()
	r := start(t, c.server(dir))
	began := clockOf(t, r).Now
	r.stop(t)
	// A server was five minutes and a half ahead, and is lost.
	fast := began.Add(330 * time.Second)
	set := func(value string) {
		t.Helper()
		if err := pgtest.Exec(c.database, "UPDATE agreed SET agreed_value = '"+value+"' WHERE agreed_name = 'clock'"); err != nil {
			t.Fatal(err)
		}
	}
	set(fast.Format(time.RFC3339Nano) + "\n0s\n")
	for name, dir := range map[string]string{"an empty directory": t.TempDir(), "one that knows an earlier time": dir} {
		r = start(t, c.server(dir))
		if now := clockOf(t, r); !now.Now.Equal(fast) || now.State != "standing" {
			t.Errorf("%s: the clock is %+v, want it to stand at %s", name, now, fast)
		}
		r.stop(t)
	}
	// One that knows a later time goes by it, and tells.
	later := fast.Add(time.Second).Format(time.RFC3339Nano) + "\n0s\n"
	if err := os.WriteFile(filepath.Join(dir, "clock"), []byte(later), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, c.server(dir)).stop(t)
	r = start(t, c.server(t.TempDir()))
	if now := clockOf(t, r).Now; !now.Equal(fast.Add(time.Second)) {
		t.Errorf("the clock is at %s, want the later %s", now, fast.Add(time.Second))
	}
	r.stop(t)
	set("soon")
	if text := c.refused(c.server(t.TempDir()), server.Options{}); !strings.Contains(text, "newest time that servers on the database have used cannot be read") {
		t.Errorf("a state that is not understood: %s", text)
	}
}
