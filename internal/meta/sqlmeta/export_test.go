package sqlmeta

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"moraine/internal/meta"
)

// Queries lists every statement.
func Queries() []string { return queries[:] }

// LimitPages lets the database grow by n pages and then be full, until the
// connection is given up. Call it while no Update runs.
func LimitPages(s *Store, n int) error {
	ctx, conn := context.Background(), s.writer.ses.conn
	var pages, limit int
	if err := conn.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
		return err
	}
	return conn.QueryRowContext(ctx, fmt.Sprintf("PRAGMA max_page_count(%d)", pages+n)).Scan(&limit)
}

// ErrCommit is what commits return that FailCommits makes fail.
var ErrCommit = errors.New("commit failed by the test")

// FailCommits makes the next n commits return ErrCommit, after they took effect
// if persist is set, else undone. Call it while no Update runs.
func FailCommits(s *Store, n int, persist bool) {
	w := s.writer
	honest := w.commit
	w.commit = func(ses *session) error {
		if n == 0 {
			return honest(ses)
		}
		n--
		end := commit
		if !persist {
			end = rollback
		}
		return errors.Join(ErrCommit, ses.run(end))
	}
}

// Prompt sets how long a statement of PostgreSQL may take that needs no time.
func Prompt(c Config, d time.Duration) Config {
	c.prompt = d
	return c
}

// Stall sets how long an answer of PostgreSQL may be in coming where that has a
// bound.
func Stall(c Config, d time.Duration) Config {
	c.stall = d
	return c
}

// Wrap makes every connection to PostgreSQL go through what wrap returns for it.
func Wrap(c Config, wrap func(net.Conn) net.Conn) Config {
	c.wrap = wrap
	return c
}

// Unfit is what is said of a server of PostgreSQL with a version, as it numbers
// them, and else nothing wrong, unless it does not sync.
func Unfit(version int, syncs bool) error {
	g := greeting{version: version, encoding: "UTF8", reading: "off", commits: "on", syncs: "on"}
	if !syncs {
		g.syncs = "off"
	}
	return g.unfit()
}

// FillViews opens all connections for Views.
func FillViews(ctx context.Context, s *Store) error {
	var all []*session
	for range cap(s.readers.idle) {
		ses, err := s.readers.take(ctx)
		if err != nil {
			return err
		}
		all = append(all, ses)
	}
	for _, ses := range all {
		s.readers.put(ses, nil)
	}
	return nil
}

// HoldTurn takes the turn of those who got into each other's way, and keeps it
// until release.
func HoldTurn(ctx context.Context, url string) (release func() error, err error) {
	db, err := newPostgres(Config{URL: url}, roleSteps, 1)
	if err != nil {
		return nil, err
	}
	ses, err := openSession(db, postgresDialect)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	err = ses.run(postgresDialect.beginAlone)
	return func() error { return errors.Join(ses.close(), db.Close()) }, err
}

// Show returns a setting of the connection of the first writer. Call it while no
// Update runs.
func Show(s *Store, setting string) (value string, err error) {
	err = s.writer.ses.conn.QueryRowContext(context.Background(), "SELECT current_setting($1)", setting).Scan(&value)
	return value, err
}

// RelationBytes is the size of tables of PostgreSQL with their indexes. Call it
// while no Update runs.
func RelationBytes(s *Store, tables ...string) (sum int64, err error) {
	for _, table := range tables {
		var n int64
		err = errors.Join(err, s.writer.ses.conn.QueryRowContext(context.Background(), "SELECT pg_total_relation_size($1::regclass)", table).Scan(&n))
		sum += n
	}
	return sum, err
}

// Bounds of the tries after a race.
const RacesMax = racesMax

// Disconnect takes the connection away from under a transaction.
func Disconnect(t meta.Tx) error { return t.(*tx).ses.close() }

// PlanPostgres explains how PostgreSQL runs a query.
func PlanPostgres(s *Store, query string) (lines []string, err error) {
	ses := s.writer.ses
	n := 0
	for strings.Contains(query, fmt.Sprintf("$%d", n+1)) {
		n++
	}
	args := ""
	if n > 0 {
		args = "(" + strings.Repeat("NULL, ", n-1) + "NULL)"
	}
	err = ses.conn.Raw(func(c any) error {
		all, err := c.(*stdlib.Conn).Conn().PgConn().Exec(context.Background(),
			"PREPARE planned AS "+ses.words.Replace(query)+"; EXPLAIN (COSTS OFF) EXECUTE planned"+args+"; DEALLOCATE planned").ReadAll()
		if err != nil {
			return err
		}
		for _, row := range all[1].Rows {
			lines = append(lines, string(row[0]))
		}
		return nil
	})
	return lines, err
}

// Columns lists the tables of a database and their columns with what may be in
// them, but for what is there for the steps of the schema.
func Columns(s *Store) (lines []string, err error) {
	query := `SELECT m.name || '.' || p.name || ' ' || p.type || CASE WHEN p."notnull" = 1 THEN ' NOT NULL' ELSE '' END || ' key ' || p.pk
FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS p WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE 'schema_%'`
	if s.readers.again {
		query = `SELECT c.table_name || '.' || c.column_name || ' ' || upper(c.data_type) || CASE WHEN c.is_nullable = 'NO' THEN ' NOT NULL' ELSE '' END
|| ' key ' || COALESCE((SELECT k.ordinal_position FROM information_schema.key_column_usage AS k
WHERE k.table_name = c.table_name AND k.column_name = c.column_name AND k.table_schema = c.table_schema), 0)
FROM information_schema.columns AS c WHERE c.table_schema = current_schema() AND c.table_name NOT LIKE 'schema\_%'`
	}
	err = s.readers.with(context.Background(), func(ses *session) (err error) {
		lines, err = names(context.Background(), ses.conn, query)
		return err
	})
	slices.Sort(lines)
	return lines, err
}

// Indexes lists the indexes of a database that have a name of ours, and their
// columns.
func Indexes(s *Store) (lines []string, err error) {
	query := `SELECT replace(replace(replace(sql, 'USING btree ', ''), '"', ''), 'public.', '') FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL`
	if s.readers.again {
		query = `SELECT replace(replace(replace(replace(indexdef, 'USING btree ', ''), 'public.', ''), 'WHERE (', 'WHERE '), 'NULL)', 'NULL')
FROM pg_indexes WHERE schemaname = current_schema() AND indexname NOT LIKE '%\_pkey' AND indexname NOT LIKE 'schema\_%'`
	}
	err = s.readers.with(context.Background(), func(ses *session) (err error) {
		lines, err = names(context.Background(), ses.conn, query)
		return err
	})
	slices.Sort(lines)
	return lines, err
}

// Plan explains how SQLite runs a query, a line per table.
func Plan(s *Store, query string) (lines []string, err error) {
	err = s.readers.with(context.Background(), func(ses *session) error {
		args := make([]any, strings.Count(query, "$")) // too many do no harm
		rows, err := ses.conn.QueryContext(context.Background(), "EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id, parent, unused int
			var line string
			if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
				return err
			}
			lines = append(lines, line)
		}
		return rows.Err()
	})
	return lines, err
}

// Waiting is how many Updates wait for their turn.
func Waiting(s *Store) int { return len(s.writer.queue) }

// Moved lists the tables that move as they are.
func Moved() []string { return slices.Clone(moved[:]) }

// Tables lists the tables of the schema in order of name.
func Tables(ctx context.Context, s *Store) ([]string, error) {
	rows, err := query(ctx, s, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name")
	var names []string
	for _, row := range rows {
		names = append(names, row[0].(string))
	}
	return names, err
}

// Rows returns all rows of a table.
func Rows(ctx context.Context, s *Store, table string) ([][]any, error) {
	return query(ctx, s, "SELECT * FROM "+table)
}

func query(ctx context.Context, s *Store, text string) (list [][]any, err error) {
	err = s.View(ctx, func(mtx meta.Tx) error {
		rows, err := mtx.(*tx).ses.conn.QueryContext(ctx, text)
		if err != nil {
			return err
		}
		defer rows.Close()
		columns, err := rows.Columns()
		for err == nil && rows.Next() {
			row, to := make([]any, len(columns)), make([]any, len(columns))
			for i := range row {
				to[i] = &row[i]
			}
			err = rows.Scan(to...)
			list = append(list, row)
		}
		return errors.Join(err, rows.Err())
	})
	return list, err
}

// Poll is a query that servers ask again and again, with arguments.
type Poll struct {
	Name, query, args string
	Rows              int  // that it may return, or pass over
	All               bool // it counts everything of its kind
}

// Polls lists them. Instants are those of a look in 2027.
func Polls() []Poll {
	const now = "1800000000000"
	return []Poll{
		{Name: "time of the store", query: timeGet},
		{Name: "lease", query: leaseGet, args: "'sweep'"},
		{Name: "next job", query: jobNextDue},
		{Name: "jobs to run", query: jobClaim, args: "'me', 1800000010000, " + now + ", 8", Rows: 100}, // that others run
		{Name: "expired jobs", query: sweepExpiredJobs, args: now + ", " + now + ", 100"},
		{Name: "next message", query: messageNextDue},
		{Name: "messages to send", query: messageClaim, args: "'me', 1800000010000, " + now + ", 64"},
		{Name: "idle uploads", query: sweepIdleUploads, args: now + ", 500"},
		{Name: "ended uploads", query: sweepEndedUploads, args: now + ", 500"},
		{Name: "inventories that are due", query: sweepDueInventories, args: now + ", 1"},
		{Name: "locks that are over", query: lockOver, args: now + ", 500"},
		{Name: "dead vaults", query: buryVaults, args: "500"},
		{Name: "condemned bodies", query: releaseBodies, args: "500"},
		{Name: "garbage", query: garbageList, args: "500", Rows: 500},
		{Name: "pass of scrub", query: scrubGet},
		{Name: "faulty extents", query: extentFaulty, args: `'\x00000000000000000000000000000000', 100`},
		{Name: "next extents for scrub", query: extentBlobs, args: `'\x80000000000000000000000000000000', 100`, Rows: 100},
		{Name: "metrics: jobs", query: jobCount, All: true},
		{Name: "metrics: uploads", query: uploadCountOpen, All: true},
		{Name: "metrics: messages", query: messageCount, All: true},
	}
}

// Explain runs a query with a plan for any arguments, tells how, and undoes it.
func Explain(s *Store, p Poll) (lines []string, err error) {
	ses := s.writer.ses
	args := ""
	if p.args != "" {
		args = "(" + p.args + ")"
	}
	err = ses.conn.Raw(func(c any) error {
		all, err := c.(*stdlib.Conn).Conn().PgConn().Exec(context.Background(),
			"BEGIN; SET LOCAL plan_cache_mode = force_generic_plan; PREPARE polled AS "+ses.words.Replace(p.query)+
				"; EXPLAIN (ANALYZE, BUFFERS) EXECUTE polled"+args+"; DEALLOCATE polled; ROLLBACK").ReadAll()
		if err != nil {
			return err
		}
		for _, row := range all[3].Rows {
			lines = append(lines, string(row[0]))
		}
		return nil
	})
	return lines, err
}
