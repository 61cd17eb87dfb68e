package sqlmeta

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"moraine"
	"moraine/internal/meta"
)

// writer owns the one connection that writes. Its goroutine (run) begins,
// commits and repairs; between the two it lends the transaction to one waiting
// Update after the other, each on its own goroutine.
//
// An Update that fails before it wrote leaves nothing to undo, and most that
// fail do. One that fails later spoils the batch: everything is undone and every
// member has its turn again, now in a savepoint of its own, which costs each a
// copy of the pages it writes.
type writer struct {
	db    *sql.DB
	batch int
	log   *slog.Logger
	now   func() time.Time
	queue chan *request
	ended chan ending   // one Update at a time says that its turn is over
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
	// note brings the turn, a second one if the batch is spoiled, then the
	// result of the commit. A request that gets no turn receives one note only.
	// Its buffer spares the writer from waiting for an Update that went away.
	note chan note
	gone bool // fn panicked or ended its goroutine; owned by run
}

// ending is how an Update's turn ended.
type ending struct {
	keep bool // its writes
	gone bool // nobody listens any more
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
		db: db, batch: c.Batch, log: c.Log, now: c.Now, ses: ses,
		queue:  make(chan *request, c.Queue),
		ended:  make(chan ending),
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
	var own error
	for turn.tx != nil {
		own = w.perform(turn.tx, fn)
		// Even an Update that failed awaits the commit: what it saw, and what
		// its error says, may be the unfinished work of others in the batch.
		turn = <-r.note
	}
	if turn.err != nil {
		return turn.err
	}
	return own
}

// perform runs fn in its turn and gives the transaction back, also when fn
// panics or ends its goroutine.
func (w *writer) perform(t *tx, fn func(meta.Tx) error) (err error) {
	end := ending{gone: true}
	defer func() {
		t.over = true
		w.ended <- end
	}()
	if err = fn(t); err == nil {
		err = t.failed
	}
	end = ending{keep: err == nil}
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
	clean, err := w.fill(first)
	if err == nil && !clean {
		err = w.replay()
	}
	if err == nil {
		err = w.ses.writeHeld()
	}
	if err != nil {
		w.settle(err)
		return
	}
	// COMMIT POINT. Before: a crash loses the whole batch, and nobody has been
	// told otherwise. After: the log is synced, and recovery keeps every row of
	// the batch. If it fails it is open which of the two the disk holds.
	w.count.Add(1)
	err = w.commit(w.ses)
	if open := translate(err); err != nil && !moraine.IsKind(open, moraine.Unavailable) {
		// Whatever the engine says of it, the outcome is open, and callers must
		// not take it for a refusal.
		err = moraine.Wrap(open, moraine.Unavailable, "the commit failed")
	}
	w.settle(err)
}

// fill gives turns until nobody waits, the batch is full, or one spoils it.
func (w *writer) fill(first *request) (clean bool, err error) {
	for r := first; r != nil; r = w.next() {
		w.joined = append(w.joined, r)
		if clean, err = w.turn(r); err != nil || !clean {
			return clean, err
		}
	}
	return true, nil
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
	w.ses.vaults.begin(true)
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

// turn lends the transaction to r and reports whether nothing of r remains that
// must be undone. An error means that the connection, and so the batch, is lost.
func (w *writer) turn(r *request) (clean bool, err error) {
	t := &tx{ses: w.ses, now: w.now}
	r.note <- note{tx: t}
	end := <-w.ended
	r.gone = end.gone
	return end.keep || !t.wrote, t.broken
}

// replay undoes a batch that one Update spoiled and gives all of it their turns
// again, each in a savepoint of its own. Nobody was told anything yet.
func (w *writer) replay() error {
	w.ses.vaults.begin(false)
	if err := w.ses.run(rollback); err != nil {
		return err
	}
	if err := w.ses.run(beginUpdate); err != nil {
		return err
	}
	for _, r := range w.joined {
		if r.gone {
			continue
		}
		if err := w.turnAlone(r); err != nil {
			return err
		}
	}
	return nil
}

// turnAlone is turn in a savepoint.
func (w *writer) turnAlone(r *request) error {
	if err := w.ses.run(savepoint); err != nil {
		return err
	}
	clean, err := w.turn(r)
	if err != nil {
		return err
	}
	if !clean {
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
