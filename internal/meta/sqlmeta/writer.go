package sqlmeta

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"moraine"
	"moraine/internal/meta"
)

// writer owns the one connection that writes. Its goroutine (run) begins,
// commits and repairs; between the two it lends the transaction to one waiting
// Update after the other, each on its own goroutine and in its own savepoint.
type writer struct {
	db    *sql.DB
	batch int
	log   *slog.Logger
	queue chan *request
	ended chan bool     // one Update at a time says that its turn is over, and whether to keep its writes
	done  chan struct{} // closed when run returns

	ses    *session      // owned by run; nil after it broke
	joined []*request    // owned by run: who awaits the commit
	count  atomic.Uint64 // commits so far
	// commit ends the transaction of a batch. Tests put a failing one here.
	commit func(*session) error
}

// request is an Update on its way.
type request struct {
	state atomic.Int32
	// note brings the turn, then the result of the commit. A request that gets
	// no turn receives one note only. Its buffer spares the writer from
	// waiting for an Update that went away.
	note chan note
}

type note struct {
	tx  *tx   // set: it is your turn
	err error // else: this came of it
}

// A request is taken by the writer or left by its caller, whichever comes
// first.
const (
	requestWaits int32 = iota
	requestTaken
	requestLeft
)

func startWriter(db *sql.DB, ses *session, c Config) *writer {
	w := &writer{
		db: db, batch: c.Batch, log: c.Log, ses: ses,
		queue:  make(chan *request, c.Queue),
		ended:  make(chan bool),
		done:   make(chan struct{}),
		commit: func(ses *session) error { return ses.run(commit) },
	}
	go w.run()
	return w
}

// close ends run when the queue is empty and closes the connection. No Update
// is under way.
func (w *writer) close() error {
	close(w.queue)
	<-w.done
	var err error
	if w.ses != nil {
		err = w.ses.close()
	}
	return errors.Join(err, w.db.Close())
}

// update waits for a turn, runs fn, and waits until its batch is committed.
func (w *writer) update(ctx context.Context, fn func(meta.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	r := &request{note: make(chan note, 1)}
	select {
	case w.queue <- r:
	case <-ctx.Done():
		return fmt.Errorf("update: %w", ctx.Err())
	}
	var turn note
	select {
	case turn = <-r.note:
	case <-ctx.Done():
		if r.state.CompareAndSwap(requestWaits, requestLeft) {
			return fmt.Errorf("update: %w", ctx.Err())
		}
		turn = <-r.note
	}
	if turn.tx == nil {
		return turn.err
	}
	own := w.perform(turn.tx, fn)
	// Even an Update that failed awaits the commit: what it saw, and what its
	// error says, may be the unfinished work of others in the batch.
	if result := <-r.note; result.err != nil {
		return result.err
	}
	return own
}

// perform runs fn in its turn and gives the transaction back, also when fn
// panics or ends its goroutine.
func (w *writer) perform(t *tx, fn func(meta.Tx) error) (err error) {
	keep := false
	defer func() {
		t.over = true
		w.ended <- keep
	}()
	if err = fn(t); err == nil {
		err = t.failed
	}
	keep = err == nil
	return err
}

func (w *writer) run() {
	defer close(w.done)
	for first := range w.queue {
		if first.state.CompareAndSwap(requestWaits, requestTaken) {
			w.doBatch(first)
		}
	}
}

// doBatch gives first and all who wait behind it their turns and commits.
func (w *writer) doBatch(first *request) {
	if err := w.begin(); err != nil {
		w.giveUp(err)
		first.note <- note{err: translate(err)}
		return
	}
	w.joined = w.joined[:0]
	for r := first; r != nil; r = w.next() {
		w.joined = append(w.joined, r)
		if err := w.turn(r); err != nil {
			w.settle(err)
			return
		}
	}
	// COMMIT POINT. Before: a crash loses the whole batch, and nobody has been
	// told otherwise. After: the log is synced, and recovery keeps every row of
	// the batch. If it fails it is open which of the two the disk holds.
	w.count.Add(1)
	err := w.commit(w.ses)
	if open := translate(err); err != nil && !moraine.IsKind(open, moraine.Unavailable) {
		// Whatever the engine says of it, the outcome is open, and callers must
		// not take it for a refusal.
		err = moraine.Wrap(open, moraine.Unavailable, "the commit failed")
	}
	w.settle(err)
}

// begin starts a transaction on the connection, a new one if the last one
// broke.
func (w *writer) begin() error {
	if w.ses == nil {
		ses, err := openSession(w.db)
		if err != nil {
			return err
		}
		w.ses = ses
	}
	return w.ses.run(beginUpdate)
}

// next returns a request that waits already and fits in the batch, or nil.
func (w *writer) next() *request {
	for len(w.joined) < w.batch {
		select {
		case r, ok := <-w.queue:
			if !ok {
				return nil
			}
			if r.state.CompareAndSwap(requestWaits, requestTaken) {
				return r
			}
		default:
			return nil
		}
	}
	return nil
}

// turn lends the transaction to r. An error means that the connection, and so
// the batch, is lost.
func (w *writer) turn(r *request) error {
	if err := w.ses.run(savepoint); err != nil {
		return err
	}
	t := &tx{ses: w.ses}
	r.note <- note{tx: t}
	keep := <-w.ended
	if t.broken != nil {
		return t.broken
	}
	if !keep {
		if err := w.ses.run(rollbackTo); err != nil {
			return err
		}
	}
	return w.ses.run(release)
}

// settle tells everybody in the batch what came of it.
func (w *writer) settle(err error) {
	if err != nil {
		w.giveUp(err)
		err = translate(err)
	}
	for i, r := range w.joined {
		r.note <- note{err: err}
		w.joined[i] = nil
	}
}

// giveUp drops the connection after an error of the engine. A failed write or
// sync leaves it in a state that only a new one, which reads the log afresh, is
// sure of.
func (w *writer) giveUp(cause error) {
	w.log.Error("writing connection given up", "error", cause)
	if w.ses == nil {
		return
	}
	if err := w.ses.close(); err != nil {
		w.log.Warn("close writing connection", "error", err)
	}
	w.ses = nil
}
