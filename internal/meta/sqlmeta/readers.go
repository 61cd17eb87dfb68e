package sqlmeta

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"moraine/internal/meta"
)

// readers is the pool of connections for Views.
type readers struct {
	*dialect
	db  *sql.DB
	log *slog.Logger
	now func() time.Time
	// idle holds one entry per allowed View: a session, or nil where none has
	// been opened yet or the last one broke.
	idle chan *session

	mu   sync.Mutex // guards what follows
	lost error      // why the last connection was not to be had; nil if it was
	at   time.Time  // when that turned out
}

// lostFor is how long nobody asks for a connection after one was not to be had:
// those who wait for a turn are told the same, instead of one after the other.
const lostFor = 100 * time.Millisecond

func newReaders(db *sql.DB, d *dialect, c Config) *readers {
	r := &readers{dialect: d, db: db, log: c.Log, now: c.Now, idle: make(chan *session, c.Views)}
	for range c.Views {
		r.idle <- nil
	}
	return r
}

// take waits for an entry of the pool and returns its session, opened if need
// be. Every take that succeeds is followed by one put.
func (r *readers) take(ctx context.Context) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	var ses *session
	select {
	case ses = <-r.idle:
	case <-ctx.Done():
		return nil, fmt.Errorf("view: %w", ctx.Err())
	}
	if ses != nil {
		return ses, nil
	}
	ses, err := r.open()
	if err != nil {
		r.idle <- nil
		return nil, translate(err)
	}
	return ses, nil
}

// open makes a connection.
func (r *readers) open() (*session, error) {
	if err := r.lostNow(); err != nil {
		return nil, err
	}
	ses, err := openSession(r.db, r.dialect)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost, r.at = err, time.Now()
	return ses, err
}

// lostNow is why a connection was not to be had a moment ago.
func (r *readers) lostNow() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.again || time.Since(r.at) >= lostFor {
		return nil
	}
	return r.lost
}

// begin takes a session and begins a transaction. A connection that was lost
// while it was idle is replaced by a new one, not by another that may be lost as
// well: fn has not run yet.
func (r *readers) begin(ctx context.Context) (*session, error) {
	ses, err := r.take(ctx)
	if err != nil {
		return nil, err
	}
	err = ses.run(r.beginView)
	if err != nil && r.again && worthAnother(err) {
		r.drop(ses, err)
		if ses, err = r.open(); err != nil {
			r.idle <- nil
			return nil, translate(err)
		}
		err = ses.run(r.beginView)
	}
	if err != nil {
		r.put(ses, err)
		return nil, translate(err)
	}
	return ses, nil
}

// put gives a session back; broken says why it must not be used again.
func (r *readers) put(ses *session, broken error) {
	if broken != nil {
		r.drop(ses, broken)
		ses = nil
	}
	r.idle <- ses
}

// drop closes a session that must not be used again.
func (r *readers) drop(ses *session, broken error) {
	if !errors.Is(broken, errCutOff) {
		r.log.Warn("reading connection given up", "error", broken)
	}
	if err := ses.close(); err != nil {
		r.log.Warn("close reading connection", "error", err)
	}
}

// with lends a session outside any transaction.
func (r *readers) with(ctx context.Context, fn func(*session) error) error {
	ses, err := r.take(ctx)
	if err != nil {
		return err
	}
	err = fn(ses)
	r.put(ses, err)
	return err
}

// view runs fn in a read transaction. The snapshot is the one its first
// statement finds.
func (r *readers) view(ctx context.Context, fn func(meta.Tx) error) error {
	ses, err := r.begin(ctx)
	if err != nil {
		return err
	}
	t := &tx{ses: ses, now: r.now, view: ctx}
	// Deferred, for fn may panic.
	defer func() {
		t.over = true
		broken := t.broken
		if broken == nil {
			broken = ses.run(rollback)
		}
		r.put(ses, broken)
	}()
	if err := fn(t); err != nil {
		return err
	}
	return t.failed
}

// close closes all sessions. No View is under way.
func (r *readers) close() error {
	var errs []error
	for range cap(r.idle) {
		if ses := <-r.idle; ses != nil {
			errs = append(errs, ses.close())
		}
	}
	return errors.Join(append(errs, r.db.Close())...)
}
