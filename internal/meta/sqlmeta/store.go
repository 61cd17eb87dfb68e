package sqlmeta

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"moraine"
	"moraine/internal/meta"
)

// Config says where the rows are and how much may happen at once.
type Config struct {
	// Path is the database file of SQLite. It is made if it does not exist; its
	// directory must. Required, unless URL is set.
	Path string
	// VFS is the engine's name for the file system that Path is on. Zero is the
	// operating system's.
	VFS string
	// URL names a database of PostgreSQL 14 or later, as postgres://… It must
	// exist. Zero: SQLite.
	URL string
	// Alone refuses a database of PostgreSQL that another store has open, and keeps
	// others from writing to it. Zero: any number of stores that are not alone.
	Alone bool
	// Views is how many Views run at the same time; the others wait. Each may
	// hold a connection, on SQLite with 2 MiB of page cache. Zero means 8.
	Views int
	// Batch is how many Updates share one commit at most. Zero means 128.
	Batch int
	// Queue is how many Updates may wait in the queue; further ones wait to
	// enter it. Zero means 512.
	Queue int
	// Log is told about connections that break. Nil discards.
	Log *slog.Logger
	// Now is the time of the store. Nil: time.Now, on PostgreSQL the clock of the
	// database.
	Now func() time.Time

	wrap   func(net.Conn) net.Conn // by tests, round each connection to PostgreSQL
	prompt time.Duration           // by tests: in place of promptMax
	stall  time.Duration           // by tests: in place of stallMax
}

func (c Config) withDefaults() Config {
	if c.Views <= 0 {
		c.Views = 8
	}
	if c.Batch <= 0 {
		c.Batch = 128
	}
	if c.Queue <= 0 {
		c.Queue = 512
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil && c.URL == "" {
		c.Now = time.Now
	}
	return c
}

// Store is a meta.Store in one database. It is safe for concurrent use.
type Store struct {
	config  Config
	readers *readers
	writer  *writer
	id      string // of the database; "" on SQLite
	alone   *hold  // nil if others may have it open

	mu     sync.Mutex
	closed bool           // guarded by mu
	active sync.WaitGroup // Views and Updates under way; Add only under mu and while open
	end    sync.Once
	endErr error // set once by end
}

var _ meta.Store = (*Store)(nil)

// Open opens the database, makes it if there is none on SQLite, and brings its
// schema to the version of this program. A database that this program cannot use
// is refused and left as it is.
func Open(ctx context.Context, c Config) (*Store, error) {
	c = c.withDefaults()
	open := openSQLite
	if c.URL != "" {
		open = openPostgres
	}
	s, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open rows: %w", err)
	}
	return s, nil
}

func openSQLite(ctx context.Context, c Config) (*Store, error) {
	if c.Path == "" {
		return nil, errors.New("no path")
	}
	writing, err := newPool(c, roleWriter, 1)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, writing); err != nil {
		return nil, errors.Join(translate(err), writing.Close())
	}
	reading, err := newPool(c, roleReader, c.Views)
	if err != nil {
		return nil, errors.Join(err, writing.Close())
	}
	return begin(sqliteDialect, writing, reading, c)
}

// begin opens the connection that writes and starts what runs on it.
func begin(d *dialect, writing, reading *sql.DB, c Config) (*Store, error) {
	first, err := openSession(writing, d)
	if err == nil {
		err = first.prepareAll()
	}
	if err != nil {
		return nil, errors.Join(translate(err), reading.Close(), writing.Close())
	}
	return &Store{
		config:  c,
		readers: newReaders(reading, d, c),
		writer:  startWriter(writing, first, c),
	}, nil
}

// enter registers a View or an Update that Close must wait for.
func (s *Store) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return moraine.Errorf(moraine.Unavailable, "storage is closed")
	}
	s.active.Add(1)
	return nil
}

// View runs fn on a snapshot. If ctx ends, the next statement or the next row
// of a scan returns its error.
func (s *Store) View(ctx context.Context, fn func(tx meta.Tx) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.active.Done()
	return s.readers.view(ctx, fn)
}

// Update runs fn on the calling goroutine when its turn comes. If ctx ends
// before that, fn does not run; afterwards ctx is not asked again.
func (s *Store) Update(ctx context.Context, fn func(tx meta.Tx) error) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.active.Done()
	return s.writer.update(ctx, fn)
}

// Commits is how many batches of Updates were committed since Open. On SQLite
// each costs one fsync; checkpoints cost some more, now and then.
func (s *Store) Commits() uint64 { return s.writer.count.Load() }

// Retries is how many batches of Updates ran again since Open, after a race with
// another process or a connection that was lost: never on SQLite.
func (s *Store) Retries() uint64 { return s.writer.retries.Load() }

// Database is what tells a database of PostgreSQL from all others; "" on SQLite,
// where its file does.
func (s *Store) Database() string { return s.id }

// Check reads the whole database and reports the first damage it finds, of
// kind Corrupt. Its time grows with the number of rows.
func (s *Store) Check(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.active.Done()
	if s.config.URL != "" {
		return s.checkPostgres(ctx)
	}
	return s.readers.with(ctx, func(ses *session) error { return translate(ses.check(ctx, ses)) })
}

// checkPostgres checks on a connection of its own, which waits for an answer as
// long as it takes: a table of many rows sends nothing until all are read.
func (s *Store) checkPostgres(ctx context.Context) (err error) {
	db, err := newPostgres(s.config, roleCheck, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ses, err := reach(ctx, db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ses.close()) }()
	return translate(ses.check(ctx, ses))
}

// Close refuses new transactions, waits for those under way, and closes the
// database. Closing again waits likewise and returns the same.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end.Do(func() {
		s.active.Wait()
		// The writer closes last: the last connection moves the write-ahead
		// log into the database file, which readers may not.
		s.endErr = errors.Join(s.readers.close(), s.writer.close(), s.alone.close())
	})
	return s.endErr
}

// newPool makes a database/sql pool. It is only ever asked for connections that
// sessions then keep.
func newPool(c Config, r role, size int) (*sql.DB, error) {
	name, err := dataSource(c, r)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}
