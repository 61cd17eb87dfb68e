package sqlmeta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	honest := s.writer.commit
	s.writer.commit = func(ses *session) error {
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

// Disconnect takes the connection away from under a transaction.
func Disconnect(t meta.Tx) error { return t.(*tx).ses.close() }

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
