package sqlmeta

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"moraine"
)

// dialect is all in which the two engines differ once a connection is open. The
// text of every query is the same for both but for what words puts in.
type dialect struct {
	goose goose.Dialect
	steps string // directory of the steps to its schema

	beginView, beginUpdate string
	// beginAlone is beginUpdate that waits for all others that begin so.
	beginAlone string
	// control runs one of the statements around transactions.
	control func(s *session, statement string) error
	// prompt is how long any of them may take but a commit, which waits for a
	// sync.
	prompt time.Duration
	words  *strings.Replacer

	// dooms is set if a statement that fails ends its transaction: nothing but a
	// rollback may follow.
	dooms bool
	// again is set if a transaction may lose a race with one of another process,
	// or its connection, so that it is worth another try.
	again bool
	// hangUp ends a connection at once, whatever is under way; nil if nothing
	// can be.
	hangUp func(conn any)

	greet func(s *session) error // looks at a new connection
	check func(ctx context.Context, s *session) error
}

// databaseClock is the time of the database in milliseconds, where it has one
// that is not the process's.
const databaseClock = `/* clock */ 0`

// skipLocked stands behind the rows that are about to be claimed: those that
// another node is claiming are left to it. SQLite has one writer.
const skipLocked = ` /* skip locked */`

// The statements around transactions that are the same for both.
const (
	commit     = "COMMIT"
	rollback   = "ROLLBACK"
	savepoint  = "SAVEPOINT turn"
	rollbackTo = "ROLLBACK TO SAVEPOINT turn"
	release    = "RELEASE SAVEPOINT turn"
)

var sqliteDialect = &dialect{
	goose: goose.DialectSQLite3, steps: "migrations",
	beginView: "BEGIN", beginUpdate: "BEGIN IMMEDIATE",
	control: func(s *session, statement string) error { return s.exec(statement) },
	words:   strings.NewReplacer(skipLocked, ""),
	greet:   greetSQLite,
	check:   checkSQLite,
}

var postgresDialect = &dialect{
	goose: goose.DialectPostgres, steps: "migrations/postgres",
	// A View reads one snapshot and takes no part in what makes Updates
	// serialisable, so that it never fails for the sake of one.
	beginView:   "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
	beginUpdate: "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE",
	// To lock a table takes no snapshot yet, so that the one that is taken
	// afterwards holds what was waited for. The row of the table has nothing to
	// do with it.
	beginAlone: "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE; LOCK TABLE schema_window IN SHARE ROW EXCLUSIVE MODE",
	control:    controlPostgres,
	prompt:     promptMax,
	words:      strings.NewReplacer(skipLocked, " FOR UPDATE SKIP LOCKED", databaseClock, "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"),
	dooms:      true, again: true,
	hangUp: hangUpPostgres,
	greet:  greetPostgres,
	check:  checkPostgres,
}

func greetSQLite(s *session) error {
	var mode string
	if err := s.conn.QueryRowContext(context.Background(), "PRAGMA journal_mode").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("journal mode is %q: the file system does not support WAL", mode)
	}
	return nil
}

func checkSQLite(ctx context.Context, s *session) error {
	var verdict string
	if err := s.conn.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return moraine.Wrap(errors.New(verdict), moraine.Corrupt, "the rows are damaged")
	}
	return nil
}

// controlPostgres sends a statement by itself: where a transaction is doomed
// none can be prepared. The server says ROLLBACK, and reports no error, when it
// is told to commit what is doomed.
func controlPostgres(s *session, statement string) error {
	ctx := context.Background()
	if statement != commit {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.prompt)
		defer cancel()
	}
	return s.conn.Raw(func(c any) error {
		tag, err := c.(*stdlib.Conn).Conn().PgConn().Exec(ctx, statement).ReadAll()
		if err != nil {
			return err
		}
		if statement == commit && (len(tag) != 1 || tag[0].CommandTag.String() != commit) {
			return errNoCommit
		}
		return nil
	})
}

// hangUpPostgres also drops what the server still sends. An error is of no
// interest: the connection is done with.
func hangUpPostgres(conn any) {
	_ = conn.(*stdlib.Conn).Conn().PgConn().Conn().Close() //nolint:errcheck // see above
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = conn.(*stdlib.Conn).Conn().Close(ended) //nolint:errcheck // see above
}

// errNoCommit is the cause of a commit that the server turned into a rollback.
var errNoCommit = errors.New("the transaction was rolled back instead of committed")

// greetPostgres refuses a server on which a commit would not be durable, or text
// not what it is elsewhere.
func greetPostgres(s *session) error {
	var g greeting
	ctx, cancel := context.WithTimeout(context.Background(), s.prompt)
	defer cancel()
	row := s.conn.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
current_setting('default_transaction_read_only'), current_setting('synchronous_commit'), current_setting('fsync'), pg_is_in_recovery()`)
	if err := row.Scan(&g.version, &g.encoding, &g.reading, &g.commits, &g.syncs, &g.standby); err != nil {
		return err
	}
	if err := g.unfit(); err != nil {
		return err
	}
	if g.commits == "off" {
		// Only what is on disk may be acknowledged.
		_, err := s.conn.ExecContext(ctx, "SET synchronous_commit TO on")
		return err
	}
	return nil
}

// greeting is what a server says of itself, in the words of its settings.
type greeting struct {
	version                           int
	encoding, reading, commits, syncs string
	standby                           bool
}

// versionMin is the first version that is good enough.
const versionMin = 14

// unfit says why the server cannot be used; nil if it can.
func (g *greeting) unfit() error {
	switch {
	case g.version < versionMin*10000:
		return refuse("PostgreSQL is version %d, and at least %d is needed", g.version/10000, versionMin)
	case g.encoding != "UTF8":
		return refuse("the database is encoded in %s: make one with encoding UTF8", g.encoding)
	case g.standby:
		return refuse("the server is a standby: name the primary, or all of them with target_session_attrs=read-write")
	case g.reading != "off":
		return refuse("the database is read-only (default_transaction_read_only)")
	case g.syncs != "on":
		return refuse("the server does not sync what it commits (fsync is off)")
	}
	return nil
}

// refuse says what is wrong with a database.
func refuse(format string, args ...any) error {
	return moraine.Errorf(moraine.Unavailable, format, args...)
}

// checkPostgres reads every row of every table, which finds pages whose checksum
// is wrong, and compares the indexes with the tables if the extension amcheck is
// there.
func checkPostgres(ctx context.Context, s *session) error {
	tables, err := names(ctx, s.conn, "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename")
	if err != nil {
		return err
	}
	for _, table := range tables {
		var n sql.NullInt64
		// The text of whole rows: no column is left out, nor what lies outside its row.
		if err := s.conn.QueryRowContext(ctx, "SELECT sum(length(t::text)) FROM "+table+" AS t").Scan(&n); err != nil {
			return err
		}
	}
	indexes, err := names(ctx, s.conn, `SELECT quote_ident(indexname) FROM pg_indexes, pg_extension
WHERE extname = 'amcheck' AND schemaname = current_schema() ORDER BY indexname`)
	if err != nil {
		return err
	}
	for _, index := range indexes {
		if _, err := s.conn.ExecContext(ctx, "SELECT bt_index_check($1::regclass, true)", index); err != nil {
			return err
		}
	}
	return nil
}

// names reads a column of text.
func names(ctx context.Context, conn *sql.Conn, query string) (list []string, err error) {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		list = append(list, name)
	}
	return list, rows.Err()
}
