package sqlmeta

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"moraine/internal/meta"
)

// Queries lists every statement.
func Queries() []string { return queries[:] }

// LimitPages lets the database grow by n pages and then be full, until the
// connection is given up. Call it while no Update runs.
func LimitPages(s *Store, n int) error {
	ctx, conn := context.Background(), s.writers.lanes[0].ses.conn
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
	w := s.writers.lanes[0]
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
func Waiting(s *Store) int { return len(s.writers.queue) }
