package sqlmeta

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"

	"moraine"
)

// The steps that lead from an empty database to the schema, one DDL statement
// each. The hundreds of a step's number are the version of the schema it
// belongs to. PostgreSQL begins with version 8. Format: a released step never
// changes.
//
//go:embed migrations/*.sql migrations/postgres/*.sql
var steps embed.FS

// versionTable is where goose notes the steps taken. Format: never change.
const versionTable = "schema_steps"

// migrate takes the steps that a database of SQLite lacks. Each is a transaction
// of its own: after a crash the next start goes on with the one that is missing.
func migrate(ctx context.Context, db *sql.DB) error {
	p, err := provider(db, sqliteDialect)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if current > target {
		return tooLate(current, target)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring schema to step %d: %w", target, err)
	}
	return nil
}

func provider(db *sql.DB, d *dialect) (*goose.Provider, error) {
	dir, err := fs.Sub(steps, d.steps)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(d.goose, db, dir,
		goose.WithDisableGlobalRegistry(true),
		goose.WithTableName(versionTable),
		goose.WithLogger(goose.NopLogger()),
	)
}

func tooLate(current, target int64) error {
	return fmt.Errorf("the database is at schema step %d, this program knows steps up to %d: use a later program", current, target)
}

// stepsLock is the advisory lock under which one node at a time looks at the
// schema and changes it. Format: never change.
const stepsLock = 0x6d6f7261696e65

// Bounds of the wait for a server at the start.
const (
	openTries = 5
	openDelay = 500 * time.Millisecond
)

// Bounds of the wait for other nodes at the start: for their steps, and for what
// they read from a table that a step changes.
const (
	stepsPatience = 10 * time.Minute
	stepsPause    = 2 * time.Second
)

// openPostgres waits for the server, brings the schema up to date and opens the
// pools.
func openPostgres(ctx context.Context, c Config) (_ *Store, err error) {
	id, err := preparePostgres(ctx, c)
	if err != nil {
		return nil, err
	}
	var alone *hold
	if c.Alone {
		if alone, err = takeHold(ctx, c); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, alone.close())
		}
	}()
	writing, err := newPostgres(c, roleWriter, 1)
	if err != nil {
		return nil, err
	}
	reading, err := newPostgres(c, roleReader, c.Views)
	if err != nil {
		return nil, errors.Join(err, writing.Close())
	}
	d := *postgresDialect
	d.prompt = cmp.Or(c.prompt, d.prompt)
	s, err := begin(&d, writing, reading, c)
	if err != nil {
		return nil, err
	}
	s.id, s.alone = id, alone
	return s, nil
}

// aloneLock is the advisory lock of a store that has its database for itself.
// The connection on which another store writes has it shared, each one from its
// beginning: who has the lock alone knows that nobody else writes. Format: never
// change.
const aloneLock = stepsLock + 1

// joinOthers takes aloneLock shared, for as long as the connection lasts.
func joinOthers(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SELECT pg_advisory_lock_shared($1)", int64(aloneLock))
	if err == nil {
		return nil
	}
	if faultOf(err) == faultConflict {
		// A store that writes is told no more than that it cannot.
		err = moraine.Errorf(moraine.Unavailable, "the database is in use by a server, or a command, that has it alone")
	}
	return errors.Join(err, conn.Close(ctx))
}

// hold is a connection that does nothing but hold aloneLock. It is gone when the
// connection is, and not taken again: what it keeps apart are starts.
type hold struct {
	db  *sql.DB
	ses *session
}

func takeHold(ctx context.Context, c Config) (_ *hold, err error) {
	h := &hold{}
	if h.db, err = newPostgres(c, roleAlone, 1); err != nil {
		return nil, err
	}
	if h.ses, err = reach(ctx, h.db); err != nil {
		return nil, errors.Join(err, h.db.Close())
	}
	_, err = h.ses.conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(aloneLock))
	if err == nil {
		return h, nil
	}
	if faultOf(err) == faultConflict {
		err = moraine.Wrap(err, moraine.Unavailable, "the database is in use by another server")
	}
	return nil, errors.Join(translate(err), h.close())
}

// letGoTimeout bounds the wait for a database that may be away.
const letGoTimeout = time.Second

// close lets go; there may be nothing to let go of.
func (h *hold) close() error {
	if h == nil {
		return nil
	}
	// The end of the session lets go, too, but some time after its connection.
	ctx, cancel := context.WithTimeout(context.Background(), letGoTimeout)
	defer cancel()
	_, _ = h.ses.conn.ExecContext(ctx, "SELECT pg_advisory_unlock_all()")
	return errors.Join(h.ses.close(), h.db.Close())
}

// preparePostgres brings the schema up to date and returns what tells the
// database from others.
func preparePostgres(ctx context.Context, c Config) (id string, err error) {
	db, err := newPostgres(c, roleSteps, 2)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ses, err := reach(ctx, db)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, ses.close()) }()
	// It ends with the session, also if this process does.
	wait := fmt.Sprintf("SET lock_timeout TO %d", stepsPatience.Milliseconds())
	if _, err := ses.conn.ExecContext(ctx, wait); err != nil {
		return "", translate(err)
	}
	if _, err := ses.conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(stepsLock)); err != nil {
		return "", translate(err)
	}
	if err := migratePostgres(ctx, db, ses.conn); err != nil {
		return "", translate(err)
	}
	err = ses.conn.QueryRowContext(ctx, "SELECT database_id FROM schema_window").Scan(&id)
	return id, translate(err)
}

// reach opens the first connection, a few times if there is no server yet.
func reach(ctx context.Context, db *sql.DB) (*session, error) {
	for tries := 1; ; tries++ {
		ses, err := openSession(db, postgresDialect)
		if err == nil {
			return ses, nil
		}
		if tries == openTries || !mayCome(err) {
			return nil, translate(err)
		}
		select {
		case <-time.After(openDelay):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// migratePostgres takes the steps that the database lacks. The caller keeps all
// others out.
//
// Nodes of two versions run side by side while a cluster is upgraded. So a step
// only adds; and one that does more raises oldest_step to its own number, which
// shuts out programs that do not know it.
func migratePostgres(ctx context.Context, db *sql.DB, conn *sql.Conn) error {
	p, err := provider(db, postgresDialect)
	if err != nil {
		return err
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if current > target {
		var oldest sql.NullInt64
		if err := conn.QueryRowContext(ctx, "SELECT max(oldest_step) FROM schema_window").Scan(&oldest); err != nil {
			return fmt.Errorf("read the window of versions: %w", err)
		}
		if !oldest.Valid || oldest.Int64 > target {
			return tooLate(current, target)
		}
	}
	if err := half(ctx, conn, p); err != nil {
		return err
	}
	if current > target {
		return nil // a later program was here, and left room for this one
	}
	if err := up(ctx, p); err != nil {
		return fmt.Errorf("bring schema to step %d: %w", target, err)
	}
	return nil
}

// up takes the steps that are missing. One that finds its table in use lets those
// pass who wait behind it, and tries again.
func up(ctx context.Context, p *goose.Provider) error {
	for began := time.Now(); ; {
		_, err := p.Up(ctx)
		if !lockedOut(err) || time.Since(began) > stepsPatience {
			return err
		}
		select {
		case <-time.After(stepsPause):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// half refuses a database that lacks a step before one that it has: it was
// restored from parts, or somebody else changed it.
func half(ctx context.Context, conn *sql.Conn, p *goose.Provider) error {
	var last int64
	if err := conn.QueryRowContext(ctx, "SELECT COALESCE(max(version_id), 0) FROM "+versionTable).Scan(&last); err != nil {
		return fmt.Errorf("read schema steps: %w", err)
	}
	for _, step := range p.ListSources() {
		var n int
		if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM "+versionTable+" WHERE version_id = $1", step.Version).Scan(&n); err != nil {
			return fmt.Errorf("read schema steps: %w", err)
		}
		if n == 0 && step.Version < last {
			return fmt.Errorf("the database is at schema step %d and lacks step %d: restore all of it from a backup", last, step.Version)
		}
	}
	return nil
}
