package sqlmeta

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"moraine"
	"moraine/internal/meta"
)

// Config says where the rows are and how much may happen at once.
type Config struct {
	// Path is the database file. It is made if it does not exist; its
	// directory must. Required.
	Path string
	// Views is how many Views run at the same time; the others wait. Each may
	// hold a connection with 2 MiB of page cache. Zero means 8.
	Views int
	// Batch is how many Updates share one commit at most. Zero means 128.
	Batch int
	// Queue is how many Updates may wait in the queue; further ones wait to
	// enter it. Zero means 512.
	Queue int
	// Log is told about connections that break. Nil discards.
	Log *slog.Logger
	// Now is the time of the store. Nil: time.Now.
	Now func() time.Time
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
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Store is a meta.Store in one SQLite database. It is safe for concurrent use.
type Store struct {
	readers *readers
	writer  *writer

	mu     sync.Mutex
	closed bool           // guarded by mu
	active sync.WaitGroup // Views and Updates under way; Add only under mu and while open
	end    sync.Once
	endErr error // set once by end
}

var _ meta.Store = (*Store)(nil)

// Open opens the database at c.Path, makes it if there is none, and brings its
// schema to the version of this program. A database of a later version is
// refused and left as it is.
func Open(ctx context.Context, c Config) (*Store, error) {
	c = c.withDefaults()
	if c.Path == "" {
		return nil, errors.New("open rows: no path")
	}
	writing, err := newPool(c.Path, roleWriter, 1)
	if err != nil {
		return nil, fmt.Errorf("open rows: %w", err)
	}
	if err := migrate(ctx, writing); err != nil {
		return nil, fmt.Errorf("open rows: %w", errors.Join(translate(err), writing.Close()))
	}
	reading, err := newPool(c.Path, roleReader, c.Views)
	if err != nil {
		return nil, fmt.Errorf("open rows: %w", errors.Join(err, writing.Close()))
	}
	first, err := openSession(writing)
	if err == nil {
		err = first.prepareAll()
	}
	if err != nil {
		return nil, fmt.Errorf("open rows: %w", errors.Join(translate(err), reading.Close(), writing.Close()))
	}
	return &Store{
		readers: newReaders(reading, c),
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

// Commits is how many batches of Updates were committed since Open. Each costs
// one fsync; checkpoints cost some more, now and then.
func (s *Store) Commits() uint64 { return s.writer.count.Load() }

// Check reads the whole database and reports the first damage it finds, of
// kind Corrupt. Its time grows with the number of rows.
func (s *Store) Check(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.active.Done()
	return s.readers.with(ctx, func(ses *session) error {
		var verdict string
		if err := ses.conn.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
			return translate(err)
		}
		if verdict != "ok" {
			return moraine.Wrap(errors.New(verdict), moraine.Corrupt, "the rows are damaged")
		}
		return nil
	})
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
		s.endErr = errors.Join(s.readers.close(), s.writer.close())
	})
	return s.endErr
}

// newPool makes a database/sql pool. It is only ever asked for connections that
// sessions then keep.
func newPool(path string, r role, size int) (*sql.DB, error) {
	name, err := dataSource(path, r)
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
