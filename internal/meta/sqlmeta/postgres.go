package sqlmeta

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// connectTimeout bounds the wait for a connection, unless the URL says
// connect_timeout.
const connectTimeout = 5 * time.Second

// stallMax is how long an answer may be in coming, byte by byte. To an Update it
// is more than any timeout of the server, so that it strikes when the server or
// the way to it is gone; a View may ask for what takes longer. Steps of the
// schema and a look at every row take as long as they take.
var stallMax = map[role]time.Duration{roleReader: 2 * time.Minute, roleWriter: 45 * time.Second}

// promptMax is how long a statement may take that needs no time, such as the
// begin of a transaction: each begins with one, so that a way that was cut
// without a word is noticed soon. It is more than lock_timeout.
const promptMax = 10 * time.Second

// parameters hold for every connection, unless the URL says otherwise. They
// travel with its beginning, so that no connection can be without them.
var parameters = map[string]string{
	"application_name": "moraine",
	// The server notices when this machine is gone, and lets go of its locks and
	// snapshots.
	"tcp_keepalives_idle":     "30",
	"tcp_keepalives_interval": "10",
	"tcp_keepalives_count":    "3",
	// Every statement is written for one plan, by an index. Statistics of a
	// table that was empty yesterday must not find another; and a look at a whole
	// table is, for the serialisability of Updates, a race with all who write it.
	"plan_cache_mode":   "force_generic_plan",
	"enable_seqscan":    "off",
	"enable_bitmapscan": "off",
	"enable_sort":       "off",
	"jit":               "off",
}

// ofRole are the parameters that depend on what a connection is for.
var ofRole = map[role]map[string]string{
	// A View lasts as long as its caller reads; he bounds it, and stallMax what
	// the server takes.
	roleReader: {"statement_timeout": "0"},
	// An Update waits for nothing but its statements.
	roleWriter: {
		"statement_timeout": "30s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "60s",
	},
	// Steps of the schema may take long. Who waits for a table keeps all others
	// from it who come later, so a step does not wait for long and tries again.
	roleSteps: {"statement_timeout": "0", "lock_timeout": "2s"},
	// Who was here last may be on the way out.
	roleAlone: {"lock_timeout": "10s"},
	// It reads all rows, however many there are.
	roleCheck: {"statement_timeout": "0"},
}

// newPostgres makes a database/sql pool for one role. The error never shows the
// password.
func newPostgres(c Config, r role, size int) (*sql.DB, error) {
	cfg, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return nil, fmt.Errorf("the URL of the database: %w", err)
	}
	given := maps.Clone(cfg.RuntimeParams)
	maps.Copy(cfg.RuntimeParams, parameters)
	maps.Copy(cfg.RuntimeParams, ofRole[r])
	maps.Copy(cfg.RuntimeParams, given)
	if !strings.Contains(c.URL, "connect_timeout") {
		cfg.ConnectTimeout = connectTimeout
	}
	stall := stallMax[r]
	if stall > 0 && c.stall > 0 {
		stall = c.stall
	}
	cfg.AfterNetConnect = func(_ context.Context, _ *pgconn.Config, conn net.Conn) (net.Conn, error) {
		if c.wrap != nil {
			conn = c.wrap(conn)
		}
		if stall > 0 {
			conn = &stalling{Conn: conn, max: stall}
		}
		return conn, nil
	}
	var options []stdlib.OptionOpenDB
	if r == roleWriter && !c.Alone {
		options = append(options, stdlib.OptionAfterConnect(joinOthers))
	}
	db := stdlib.OpenDB(*cfg, options...)
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// stalling is a connection whose reads and writes do not wait for ever.
type stalling struct {
	net.Conn
	max time.Duration

	mu    sync.Mutex
	fixed bool // guarded by mu: the driver has set a deadline of its own
}

// begin sets the deadline of one read or write, unless there is another.
func (s *stalling) begin(set func(time.Time) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fixed {
		return nil
	}
	return set(time.Now().Add(s.max))
}

func (s *stalling) Read(p []byte) (int, error) {
	if err := s.begin(s.Conn.SetReadDeadline); err != nil {
		return 0, err
	}
	return s.Conn.Read(p)
}

func (s *stalling) Write(p []byte) (int, error) {
	if err := s.begin(s.Conn.SetWriteDeadline); err != nil {
		return 0, err
	}
	return s.Conn.Write(p)
}

// SetDeadline is how the driver interrupts what is under way; the zero time
// takes that back.
func (s *stalling) SetDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fixed = !t.IsZero()
	return s.Conn.SetDeadline(t)
}

// lostConnection reports whether err says that a connection ended, or that none
// could be made, and not what the server thinks of a statement.
func lostConnection(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return true
	}
	switch {
	case strings.HasPrefix(pg.Code, "08"), // connection exceptions
		strings.HasPrefix(pg.Code, "57P"), // shutting down, crashed, starting up
		pg.Code == "53300":                // too many connections
		return true
	}
	return pg.Severity == "FATAL" || pg.Severity == "PANIC"
}

// lockedOut reports whether err says that a lock was not to be had in time.
func lockedOut(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03"
}

// mayCome reports whether a server that was not reached may be there soon: it is
// away or starting, and did not refuse who asks.
func mayCome(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return faultOf(err) == faultAway
	}
	return strings.HasPrefix(pg.Code, "57P") || pg.Code == "53300"
}
