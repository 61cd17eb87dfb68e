package mirror

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"

	"moraine/internal/treehash"
)

// lane is the way of a body into one store, which reads it there and takes it
// for a blob.Digester.
type lane struct {
	t      *tee
	side   *side
	trial  bool // of a store that was away
	queue  chan *chunk
	ctx    context.Context // of the store's Put
	cancel context.CancelFunc

	cut     chan struct{} // closed when no more comes
	reason  error         // set before cut is closed
	stopped bool          // cut is closed; belongs to the goroutine of the tee

	starved atomic.Bool  // it waits for a chunk
	taken   atomic.Int64 // chunks, so far
	fate    atomic.Int32 // one of the fates

	// These belong to the goroutine in which the store puts.
	cur   *chunk
	pos   int
	ended bool
}

// The fates of a lane: its store returns, or the tee leaves it behind first.
const (
	underWay int32 = iota
	returned
	leftBehind
)

func newLane(t *tee, side *side, trial bool) *lane {
	l := &lane{
		t: t, side: side, trial: trial, cut: make(chan struct{}),
		// The buffers of the ring, and of one that took its place.
		queue: make(chan *chunk, 2*ringSize),
	}
	l.ctx, l.cancel = context.WithCancel(t.ctx)
	return l
}

// start has the store put what comes down the lane. The goroutine is waited for
// by the tee or, when it was left behind, by Close.
func (l *lane) start() {
	l.t.s.calls.Add(1) // Put is a call itself, so Close is not yet waiting
	go l.put()
}

func (l *lane) put() {
	defer l.t.s.calls.Done()
	defer l.cancel()
	ref, err := l.side.Put(l.ctx, l.t.id, l, l.t.size)
	switch {
	case err != nil:
	case !l.ended:
		// Not a copy of this blob, whatever it is.
		l.t.s.discard(l.ctx, l.side, ref)
		ref, err = "", fmt.Errorf("the %s store returned before it had the whole body", l.side.place())
	case !(halves{ref}).inner():
		ref, err = "", fmt.Errorf("the %s store made the reference %q, which has a meaning here", l.side.place(), string(ref))
	}
	l.side.leave(l.trial)
	if l.fate.CompareAndSwap(underWay, returned) {
		l.t.results <- result{l, ref, err}
		return
	}
	l.side.back()
	l.t.s.discard(l.ctx, l.side, ref)
}

// abandon leaves the lane behind, unless its store has returned.
func (l *lane) abandon(reason error) bool {
	if !l.fate.CompareAndSwap(underWay, leftBehind) {
		return false
	}
	l.side.left(reason)
	l.stop(reason)
	return true
}

// stop ends the lane: its store gets the error in place of more bytes.
func (l *lane) stop(reason error) {
	if l.stopped {
		return
	}
	l.stopped = true
	l.reason = reason
	close(l.cut)
	l.cancel()
}

// Read implements io.Reader for the store.
func (l *lane) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if l.ended {
		return 0, io.EOF
	}
	if l.cur == nil {
		c, err := l.next()
		if err != nil {
			return 0, err
		}
		l.taken.Add(1)
		l.cur, l.pos = c, 0
	}
	n := copy(p, l.cur.data[l.pos:])
	if l.pos += n; l.pos < len(l.cur.data) {
		return n, nil
	}
	l.ended = l.cur.last
	l.cur.release()
	l.cur = nil
	if l.ended {
		return n, io.EOF
	}
	return n, nil
}

// next waits for a chunk.
func (l *lane) next() (*chunk, error) {
	select {
	case <-l.cut:
		return nil, l.reason
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	default:
	}
	l.starved.Store(true)
	defer l.starved.Store(false)
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.cut:
		return nil, l.reason
	}
}

// Leaves implements blob.Digester.
func (l *lane) Leaves() []treehash.Digest { return l.t.leaves }

const (
	// ringSize is how many buffers of one body there are at most: one that the
	// body is read into, and two on their way to the slower store.
	ringSize = 3
	// smallChunk is the length of the buffers for a body of no more than a leaf.
	smallChunk = 64 << 10
)

// ring is a set of buffers. When a lane is cut off, those it holds are given up
// with their ring, for nobody can tell when its store lets go of them.
type ring struct {
	free  chan *chunk
	made  int
	small bool
}

// chunk is a piece of a body. Nobody changes it while it has users.
type chunk struct {
	home  *ring
	buf   []byte
	data  []byte // part of buf
	last  bool   // it ends the body
	users atomic.Int32
}

func newRing(size int64) *ring {
	return &ring{free: make(chan *chunk, ringSize), small: size <= treehash.LeafSize}
}

// get returns a chunk that nobody uses, nil if there is none.
func (r *ring) get(s *Store) *chunk {
	select {
	case c := <-r.free:
		return c
	default:
	}
	if r.made == ringSize {
		return nil
	}
	r.made++
	pool, size := &s.chunks[1], treehash.LeafSize
	if r.small {
		pool, size = &s.chunks[0], smallChunk
	}
	c, ok := pool.Get().(*chunk)
	if !ok {
		c = &chunk{buf: make([]byte, size)}
	}
	c.home = r
	return c
}

func (c *chunk) release() {
	if c.users.Add(-1) == 0 {
		c.home.free <- c
	}
}

// recycle keeps the chunks that nobody uses for other bodies.
func (r *ring) recycle(s *Store) {
	pool := &s.chunks[1]
	if r.small {
		pool = &s.chunks[0]
	}
	for range len(r.free) {
		pool.Put(<-r.free)
	}
}
