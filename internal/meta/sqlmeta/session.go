package sqlmeta

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	_ "modernc.org/sqlite" // the engine
)

// role is what a connection is for.
type role int

const (
	roleReader role = iota // Views: cannot write
	roleWriter             // the one connection that writes
	roleSteps              // steps of the schema, on PostgreSQL
	roleAlone              // the hold on a database of PostgreSQL
	roleCheck              // a look at every row, on PostgreSQL
)

// Page cache per connection, in KiB, negated as PRAGMA cache_size wants it. The
// writer and eight readers together stay at or under 32 MiB.
const (
	writerCache = "cache_size(-16384)"
	readerCache = "cache_size(-2048)"
)

// pragmas hold for every connection. They travel in the data source name, so
// that no connection can be without them.
var pragmas = [...]string{
	"busy_timeout(10000)", // another process, such as a backup, holds the lock
	"journal_mode(WAL)",
	"synchronous(FULL)", // each commit is synced, not only checkpoints
	"fullfsync(1)",      // and on macOS really reaches the medium
	"checkpoint_fullfsync(1)",
	"wal_autocheckpoint(2000)",     // pages of 4 KiB: the log is moved home every 8 MiB
	"journal_size_limit(67108864)", // and gives back what a long View made it grow above 64 MiB
	"temp_store(MEMORY)",           // savepoints and sorts need no writable temporary directory
	"foreign_keys(OFF)",            // none are declared: the dead and the condemned outlive their parents
	"cell_size_check(ON)",          // notice damaged pages early
	"trusted_schema(OFF)",          // the file may not run code
	"mmap_size(0)",                 // memory stays bounded, and an I/O error is an error, not a signal
}

// dataSource is the modernc.org/sqlite name of the database of c.
func dataSource(c Config, r role) (string, error) {
	abs, err := filepath.Abs(c.Path)
	if err != nil {
		return "", err
	}
	if err := registerVFS(); err != nil {
		return "", err
	}
	q := url.Values{"_defensive": {"1"}, "_dqs": {"0"}, "_error_rc": {"1"}}
	if name := cmp.Or(c.VFS, vfsName); name != "" {
		q.Set("vfs", name)
	}
	for _, p := range pragmas {
		q.Add("_pragma", p)
	}
	if r == roleReader {
		q.Add("_pragma", readerCache)
		q.Set("mode", "rw")
		q.Set("_query_only", "1")
	} else {
		q.Add("_pragma", writerCache)
		q.Set("mode", "rwc")
	}
	return "file:" + (&url.URL{Path: filepath.ToSlash(abs)}).EscapedPath() + "?" + q.Encode(), nil
}

// session is one connection and its prepared statements. One goroutine uses it
// at a time.
//
// Statements run under the background context: a cancellable one would cost a
// goroutine per statement and could interrupt a batch that others share.
type session struct {
	*dialect
	conn   *sql.Conn
	stmts  map[string]*sql.Stmt
	vaults heldVaults // of the writer
}

func openSession(db *sql.DB, d *dialect) (*session, error) {
	conn, err := db.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	s := &session{dialect: d, conn: conn, stmts: make(map[string]*sql.Stmt, len(queries))}
	if err := d.greet(s); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// prepareAll prepares every statement, so that a schema that does not fit is
// noticed at once.
func (s *session) prepareAll() error {
	for _, q := range queries {
		if _, err := s.stmt(q); err != nil {
			return fmt.Errorf("prepare %q: %w", q, err)
		}
	}
	return nil
}

// stmt returns the prepared statement of a query, which must be one of the
// list.
func (s *session) stmt(query string) (*sql.Stmt, error) {
	if st := s.stmts[query]; st != nil {
		return st, nil
	}
	if !listed[query] {
		panic("sqlmeta: a query is missing from the list: " + query)
	}
	return s.prepare(query)
}

func (s *session) prepare(query string) (*sql.Stmt, error) {
	st, err := s.conn.PrepareContext(context.Background(), s.words.Replace(query))
	if err != nil {
		return nil, err
	}
	s.stmts[query] = st
	return st, nil
}

// run executes one of the statements around transactions.
func (s *session) run(statement string) error { return s.control(s, statement) }

// exec executes a statement around transactions as any other.
func (s *session) exec(statement string) error {
	st := s.stmts[statement]
	if st == nil {
		var err error
		if st, err = s.prepare(statement); err != nil {
			return err
		}
	}
	_, err := st.ExecContext(context.Background())
	return err
}

// writeHeld writes the vault rows that are held and changed.
func (s *session) writeHeld() error {
	if s.vaults.dirty == 0 {
		return nil
	}
	st, err := s.stmt(vaultFigures)
	if err != nil {
		return err
	}
	for _, held := range s.vaults.rows {
		if !held.dirty {
			continue
		}
		res, err := st.ExecContext(context.Background(), vaultArgs(held.Vault)...)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, fmt.Errorf("the row of vault %s changed while a batch held it", held.ID))
		}
		held.dirty = false
	}
	s.vaults.dirty = 0
	return nil
}

// close discards the connection instead of giving it back to the pool. An open
// transaction is undone. The statements must end first on SQLite, whose driver
// cannot close them without their connection; a server forgets them with it.
func (s *session) close() error {
	var errs []error
	for _, st := range s.stmts {
		if s.hangUp == nil {
			errs = append(errs, st.Close())
		}
	}
	// The pool closes a connection that is reported bad.
	err := s.conn.Raw(func(c any) error {
		if s.hangUp != nil {
			s.hangUp(c)
		}
		return driver.ErrBadConn
	})
	if !errors.Is(err, driver.ErrBadConn) && !errors.Is(err, sql.ErrConnDone) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
