package audit

import (
	"errors"
	"runtime"
	"sync"
	"time"
)

// queueMax bounds the lines of a chain that wait for a disk that takes none,
// in bytes.
const queueMax = 16 << 20

// Bounds of the memory kept for the next chunks: one that is written and one
// that is filled, in bytes each.
const (
	sparesMax = 2
	spareMax  = 1 << 20
)

// trail is the chain of one region.
type trail struct {
	log    *Log
	region string
	// turn holds a token while somebody writes.
	turn chan struct{}
	file writer        // of whoever has the turn
	took time.Duration // of the last write, likewise

	mu     sync.Mutex // guards what follows
	last   link       // of the last line made
	queue  []chunk    // lines that are not durable yet, in order
	queued int        // bytes of queue
	next   *round     // the one that will write queue
	// expected is how many callers lately waited together.
	expected int
	spares   [][]byte // memory for chunks, empty
	dropped  int64    // records for which the queue had no room
	failing  bool     // the last round failed; said once in the log
}

// chunk is lines of one file that follow each other.
type chunk struct {
	hour string
	text []byte
}

// gatherMax bounds the time that a write waits for more lines, which is no
// longer than the last one took.
const gatherMax = 2 * time.Millisecond

// round is a write to come, and those who wait for it.
type round struct {
	done chan struct{} // closed when it is over
	err  error         // what came of it, once done is closed

	callers int           // who wait so far; this and what follows is guarded by trail.mu
	want    int           // how many the writer waits for
	full    chan struct{} // closed when there are as many; nil if it does not wait
}

func newRound() *round { return &round{done: make(chan struct{})} }

func newTrail(l *Log, region string) *trail {
	t := &trail{
		log: l, region: region, turn: make(chan struct{}, 1), last: link{hash: genesis}, next: newRound(),
	}
	t.file = writer{log: l, region: region}
	if end, ok := l.heads[region].link(); ok {
		t.last = end
	}
	return t
}

var errFull = errors.New("too many audit records wait to be written")

// enqueue puts the lines of canonical texts, each behind its headroom, into the
// queue, and returns the round that writes them, for which the caller waits or
// not.
func (t *trail) enqueue(now time.Time, waits bool, texts ...[]byte) (*round, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queued > queueMax {
		t.dropped += int64(len(texts))
		return nil, errFull
	}
	// Asked with the lock held: after turnOver nobody gets an earlier hour.
	hour := t.log.hour(now).name
	if n := t.dropped; n > 0 {
		t.dropped = 0
		gap := service(RecordsDropped, map[string]any{"records": n})
		t.add(hour, gap.appendTo(make([]byte, headroom), now, "", false))
		gap.release()
	}
	for _, text := range texts {
		t.add(hour, text)
	}
	r := t.next
	if waits {
		if r.callers++; r.full != nil && r.callers == r.want {
			close(r.full)
		}
	}
	return r, nil
}

// add puts a line into the queue. t.mu is held.
func (t *trail) add(hour string, text []byte) {
	next := t.last.follow(text)
	if n := len(t.queue); n == 0 || t.queue[n-1].hour < hour {
		c := chunk{hour: hour}
		if n := len(t.spares); n > 0 {
			c.text, t.spares = t.spares[n-1], t.spares[:n-1]
		}
		t.queue = append(t.queue, c)
	}
	c := &t.queue[len(t.queue)-1]
	before := len(c.text)
	c.text = appendLine(c.text, text[headroom:], &next)
	t.queued += len(c.text) - before
	t.last = next
}

// await waits until a round is over, and does it itself if it is the first who
// can. Whoever comes while somebody writes waits for the next round and finds
// that it took all their lines along: many calls share one sync.
func (t *trail) await(r *round) error {
	select {
	case <-r.done:
		return r.err
	case t.turn <- struct{}{}:
	}
	defer func() { <-t.turn }()
	select {
	case <-r.done:
		return r.err
	default:
	}
	runtime.Gosched() // for those who are about to ask for the same
	t.gather(r)
	return t.perform() // of r, since its time had not come
}

// gather waits a moment for as many callers as lately waited together: those who
// were served by one sync, here or of the rows, come back at about the same time
// and shall share the next one. The turn is held.
func (t *trail) gather(r *round) {
	t.mu.Lock()
	if r.callers >= t.expected {
		t.mu.Unlock()
		return
	}
	r.want, r.full = t.expected, make(chan struct{})
	t.mu.Unlock()
	moment := time.NewTimer(min(t.took, gatherMax))
	defer moment.Stop()
	select {
	case <-r.full:
	case <-moment.C:
	}
}

// sync makes every line of the chain durable that is in the queue.
func (t *trail) sync() error {
	t.mu.Lock()
	r, idle := t.next, len(t.queue) == 0
	t.mu.Unlock()
	if idle {
		// Lines that somebody is writing are durable when the turn is free.
		t.turn <- struct{}{}
		defer func() { <-t.turn }()
		return t.perform()
	}
	return t.await(r)
}

// perform writes the queue and ends its round. The turn is held. Lines stay in
// the queue until they are durable, so that a failed write is repeated at the
// same place with the same bytes and the chain has no gap.
func (t *trail) perform() error {
	t.mu.Lock()
	r, batch := t.next, t.queue
	t.next, t.queue = newRound(), nil
	t.expected = max(r.callers, t.expected*3/4)
	t.mu.Unlock()

	var err error
	began := time.Now()
	written := 0
	for written < len(batch) && err == nil {
		if err = t.file.write(batch[written]); err == nil {
			written++
		}
	}
	if len(batch) > 0 {
		t.took = time.Since(began)
	}

	t.mu.Lock()
	for _, c := range batch[:written] {
		t.queued -= len(c.text)
		if len(t.spares) < sparesMax && cap(c.text) <= spareMax {
			t.spares = append(t.spares, c.text[:0])
		}
	}
	if written < len(batch) {
		t.queue = append(batch[written:], t.queue...)
	}
	if failing := err != nil; failing != t.failing {
		t.failing = failing
		if failing {
			t.log.cfg.Log.Error("the audit log cannot be written", "region", t.region, "err", err)
		} else {
			t.log.cfg.Log.Info("the audit log is written again", "region", t.region)
		}
	}
	t.mu.Unlock()
	r.err = err
	close(r.done)
	return err
}

// turnOver ends the file of an hour before the given one, which Log.hour has
// returned. When it returns nil every line of an earlier hour is durable, and
// there will be no more.
func (t *trail) turnOver(hour string) error {
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	if err := t.perform(); err != nil {
		return err
	}
	if t.file.hour < hour {
		return t.file.finish()
	}
	return nil
}

// close gives the file up. Every line is in it, or will never be.
func (t *trail) close() error {
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	return t.file.finish()
}
