// Package pgtest gives tests databases of a PostgreSQL server that it starts and
// stops itself.
//
// It knows the programs of PostgreSQL and where they are. It must not know what
// is kept in the databases, and nothing but tests may import it.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// shared is the cluster that all tests of a binary have in common.
var shared struct {
	mu        sync.Mutex // guards what follows
	cluster   *Cluster
	err       error           // of its start
	templates map[string]bool // names of those that are made
}

// Stop stops the shared cluster and removes it. TestMain calls it after the
// tests.
func Stop() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	c := shared.cluster
	shared.cluster = nil
	if c == nil {
		return nil
	}
	return c.Remove()
}

// Database returns the URL of an empty database in the shared cluster, which is
// dropped when tb ends. Without the programs of PostgreSQL the test is skipped,
// or fails if CI is true.
func Database(tb testing.TB) string {
	tb.Helper()
	return database(tb, "", nil)
}

// Copy is Database with what fill put into the database of that name, once.
func Copy(tb testing.TB, name string, fill func(url string) error) string {
	tb.Helper()
	return database(tb, name, fill)
}

func database(tb testing.TB, template string, fill func(url string) error) string {
	tb.Helper()
	c := start(tb)
	if template != "" {
		if err := c.template(template, fill); err != nil {
			tb.Fatalf("make a database to copy: %v", err)
		}
	}
	name := "t" + strings.ToLower(rand.Text())
	if err := c.create(name, template); err != nil {
		tb.Fatalf("make a database: %v", err)
	}
	tb.Cleanup(func() {
		if err := c.Do("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			tb.Errorf("drop a database: %v", err)
		}
	})
	return c.URL(name)
}

// start returns the shared cluster, which the first call starts.
func start(tb testing.TB) *Cluster {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.cluster == nil && shared.err == nil {
		shared.cluster, shared.err = New()
		shared.templates = map[string]bool{}
	}
	need(tb, shared.err)
	return shared.cluster
}

// need skips a test for want of PostgreSQL, unless that is not allowed.
func need(tb testing.TB, err error) {
	tb.Helper()
	switch {
	case errors.Is(err, errMissing) && os.Getenv("CI") != "true":
		tb.Skip(err)
	case err != nil:
		tb.Fatal(err)
	}
}

// Start starts a cluster for tb alone, which may be stopped and started.
func Start(tb testing.TB) *Cluster {
	tb.Helper()
	return keep(tb, (*Cluster).initialise)
}

// Restore starts a cluster for tb on the data that fill puts into a directory,
// as of a backup.
func Restore(tb testing.TB, fill func(data string) error) *Cluster {
	tb.Helper()
	return keep(tb, func(c *Cluster) error { return fill(c.data()) })
}

func keep(tb testing.TB, fill func(*Cluster) error) *Cluster {
	tb.Helper()
	c, err := newOn(fill)
	need(tb, err)
	tb.Cleanup(func() {
		if err := c.Remove(); err != nil {
			tb.Errorf("remove a cluster: %v", err)
		}
	})
	return c
}

// template makes the database that others are copies of, unless it is there.
func (c *Cluster) template(name string, fill func(url string) error) error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.templates[name] {
		return nil
	}
	if err := c.create(name, ""); err != nil {
		return err
	}
	if err := fill(c.URL(name)); err != nil {
		return err
	}
	shared.templates[name] = true
	return nil
}

// create makes a database. An empty one sorts text as no machine would: what
// depends on the order of bytes has to say so.
func (c *Cluster) create(name, template string) error {
	if template != "" {
		return c.Do("CREATE DATABASE " + name + " TEMPLATE " + template)
	}
	err := c.Do("CREATE DATABASE " + name + " TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'")
	if err != nil { // before version 15, or built without ICU
		err = c.Do("CREATE DATABASE " + name)
	}
	return err
}

// Do runs a statement in the database postgres.
func (c *Cluster) Do(statement string) error { return Exec(c.URL("postgres"), statement) }

// Exec runs a statement in a database.
func Exec(database, statement string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// URL names a database of the cluster.
func (c *Cluster) URL(database string) string {
	q := url.Values{"host": {c.dir}}
	return "postgres://" + superuser + "@/" + database + "?" + q.Encode()
}

// With adds a parameter to the URL of a database.
func With(database, name, value string) string {
	return fmt.Sprintf("%s&%s=%s", database, name, url.QueryEscape(value))
}

// errMissing says that the programs are not installed.
var errMissing = errors.New("the programs of PostgreSQL are not installed")

// program finds one of the programs.
func program(name string) (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), installed()...) {
		full := filepath.Join(dir, name)
		if info, err := os.Stat(full); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return full, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, errMissing)
}

// installed lists where Debian puts the programs, the latest version first.
func installed() []string {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin") //nolint:errcheck // the pattern is well-formed
	for i, j := 0, len(dirs)-1; i < j; i, j = i+1, j-1 {
		dirs[i], dirs[j] = dirs[j], dirs[i]
	}
	return dirs
}
