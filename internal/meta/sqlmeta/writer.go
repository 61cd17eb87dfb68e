package sqlmeta

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"

	"moraine"
	"moraine/internal/meta"
)

// writer owns the one connection that writes. Its goroutine (run) begins, commits and
// repairs; between the two it lends the transaction to one waiting Update after
// the other, each on its own goroutine.
//
// An Update that fails before it wrote leaves nothing to undo, and most that
// fail do. One that fails later spoils the batch: everything is undone and every
// member has its turn again, now in a savepoint of its own, which costs each a
// copy of the pages it writes.
type writer struct {
	*dialect
	db    *sql.DB
	batch int
	log   *slog.Logger
	now   func() time.Time
	queue chan *request
	ended chan ending   // one Update at a time says that its turn is over
	done  chan struct{} // closed when run returns

	ses     *session      // owned by run; nil after it broke
	joined  []*request    // owned by run: who awaits the commit
	away    bool          // owned by run: the last batch found no connection to keep
	wary    int           // owned by run: how many attempts wait for others before they begin
	bold    time.Time     // owned by run: until when it is never wary
	pace    pace          // owned by run
	count   atomic.Uint64 // commits so far
	retries atomic.Uint64 // batches that ran again
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
		dialect: ses.dialect, db: db, batch: c.Batch, log: c.Log, now: c.Now, ses: ses,
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
			w.joined = append(w.joined[:0], first)
			err := w.doBatch()
			w.settle(err)
			if w.away {
				w.turnAway(err)
			}
		}
	}
}

// turnAway tells all who wait what came of the last batch: there is no
// connection to be had, and to find that out anew for each would take the last
// of them as many attempts as there are.
func (w *writer) turnAway(err error) {
	w.joined = w.joined[:0]
	for range len(w.queue) {
		if r := <-w.queue; r.state.CompareAndSwap(requestWaits, requestTaken) {
			w.joined = append(w.joined, r)
		}
	}
	w.settle(err)
}

// Bounds of how often a batch runs.
const (
	patience  = 20 * time.Second     // no run begins later than that
	racesMax  = 20                   // after conflicts with other processes
	lossesMax = 4                    // after connections that were lost or not to be had
	raceDelay = 4 * time.Millisecond // before the second run; it doubles
	lossDelay = 100 * time.Millisecond
	delayMax  = 500 * time.Millisecond
	// waryFor is how many attempts after a race take turns with those of other
	// nodes. Two that count in one vault meet in every batch, and who comes
	// later has done all of it for nothing.
	waryFor = 64
	// boldFor is how long nobody takes turns after they did not go on: as long as
	// the server lets a transaction stand still.
	boldFor = time.Minute
)

// doBatch gives first, who is in the batch, and all who wait behind it their
// turns and commits. What committed nothing, and may do better, runs again a few
// times. While there is no connection to be had, nobody waits for more than one
// attempt.
func (w *writer) doBatch() error {
	races, losses, began := 0, 0, time.Now()
	for runs := 0; ; runs++ {
		err := w.attempt(runs > 0)
		var open *openError
		switch {
		case err == nil:
			w.away = false
			return nil
		case errors.As(err, &open), !w.again, !worthAnother(err):
			w.giveUp(err)
			return err
		case faultOf(err) == faultConflict:
			w.away = false
			if races++; races >= racesMax || time.Since(began) > patience {
				return err
			}
			if time.Now().After(w.bold) {
				w.wary = waryFor
			}
			pause(raceDelay << min(races-1, 10))
		default:
			w.giveUp(err)
			if losses++; losses >= lossesMax || w.away {
				w.away = true
				return err
			}
			pause(lossDelay << (losses - 1))
		}
		w.retries.Add(1)
	}
}

// pause waits for a random time up to d, so that those who got into each other's
// way do not meet again.
func pause(d time.Duration) {
	<-time.After(rand.N(min(d, delayMax)))
}

// attempt runs the batch once. After an error nothing of it was committed, unless
// it is an openError; the connection is whole after a conflict.
func (w *writer) attempt(again bool) error {
	err := w.begin()
	if err == nil {
		err = w.turns(again)
	}
	if err == nil {
		err = w.ses.writeHeld()
	}
	if err != nil {
		return w.undo(err)
	}
	// COMMIT POINT. Before: a crash loses the whole batch, and nobody has been
	// told otherwise. After: the log is synced, and recovery keeps every row of
	// the batch. If it fails it is open which of the two the disk holds, unless
	// the server says that the batch lost a race.
	w.count.Add(1)
	began := time.Now()
	err = w.commit(w.ses)
	w.pace.note(len(w.joined), time.Since(began))
	if err == nil || w.again && faultOf(err) == faultConflict {
		return err
	}
	return &openError{err}
}

// undo ends the transaction of an attempt that failed, where its connection is
// worth keeping.
func (w *writer) undo(err error) error {
	if w.ses == nil || !w.again || faultOf(err) != faultConflict {
		return err
	}
	if lost := w.ses.run(rollback); lost != nil {
		return lost
	}
	return err
}

// openError is a commit of which nobody knows whether it took effect. It is of
// kind Unavailable, whatever the engine says: callers must not take it for a
// refusal.
type openError struct{ cause error }

func (e *openError) Error() string { return e.cause.Error() }
func (e *openError) Unwrap() error { return e.cause }

// turns gives everybody their turn: those of the batch, if it runs again, else
// first and whoever waits.
func (w *writer) turns(again bool) error {
	clean, err := true, error(nil)
	if again {
		clean, err = w.repeat()
	} else {
		clean, err = w.fill()
	}
	if err == nil && !clean {
		err = w.replay()
	}
	return err
}

// fill gives turns until nobody waits, the batch is full, or one spoils it.
func (w *writer) fill() (clean bool, err error) {
	defer w.pace.end()
	for {
		if clean, err = w.turn(w.joined[len(w.joined)-1]); err != nil || !clean {
			return clean, err
		}
		r := w.next()
		if r == nil {
			return true, nil
		}
		w.joined = append(w.joined, r)
	}
}

// repeat gives all of the batch their turns again.
func (w *writer) repeat() (clean bool, err error) {
	for _, r := range w.joined {
		if r.gone {
			continue
		}
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
		ses, err := openSession(w.db, w.dialect)
		if err != nil {
			return err
		}
		w.ses = ses
	}
	w.ses.vaults.begin(true)
	if w.wary == 0 {
		return w.ses.run(w.beginUpdate)
	}
	w.wary--
	err := w.ses.run(w.beginAlone)
	if !lockedOut(err) {
		return err
	}
	// Whoever has the turn sleeps, or is cut off, and keeps it until the server
	// ends his transaction. What the turns are for is to save work.
	w.wary, w.bold = 0, time.Now().Add(boldFor)
	if err := w.ses.run(rollback); err != nil {
		return err
	}
	return w.ses.run(w.beginUpdate)
}

// next returns a request that waits already and fits in the batch, or nil. If
// none waits it lets those run who are about to ask, and then waits a moment for
// as many as lately came together: callers come in groups, whose bytes were
// synced together, and each batch costs a sync and the pages that all of its
// members write to.
func (w *writer) next() *request {
	for yielded := false; len(w.joined) < w.batch; {
		var r *request
		open := true
		select {
		case r, open = <-w.queue:
		default:
			if !yielded {
				yielded = true
				runtime.Gosched()
				continue
			}
			if len(w.joined) >= w.pace.expected {
				return nil
			}
			select {
			case r, open = <-w.queue:
			case <-w.pace.moment():
				return nil
			}
		}
		if !open {
			return nil
		}
		if r.state.CompareAndSwap(requestWaits, requestTaken) {
			return r
		}
	}
	return nil
}

// turn lends the transaction to r and reports whether nothing of r remains that
// must be undone. An error means that the batch is lost: with its connection, or
// in a race.
func (w *writer) turn(r *request) (clean bool, err error) {
	t := &tx{ses: w.ses, now: w.now}
	r.note <- note{tx: t}
	end := <-w.ended
	r.gone = end.gone
	if t.broken != nil {
		return false, t.broken
	}
	return end.keep || !t.wrote && !(w.dooms && t.failed != nil), t.again
}

// replay undoes a batch that one Update spoiled and gives all of it their turns
// again, each in a savepoint of its own. Nobody was told anything yet.
func (w *writer) replay() error {
	w.ses.vaults.begin(false)
	if err := w.ses.run(rollback); err != nil {
		return err
	}
	if err := w.ses.run(w.beginUpdate); err != nil {
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
	var open *openError
	isOpen := errors.As(err, &open)
	err = translate(err)
	if isOpen && !moraine.IsKind(err, moraine.Unavailable) {
		err = moraine.Wrap(err, moraine.Unavailable, "the commit failed")
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
