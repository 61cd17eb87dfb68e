package mirror

import (
	"context"
	"io"
	"slices"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/treehash"
)

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
	if !s.Mirrored() {
		return s.sides[first].Put(ctx, id, r, size)
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if size < 1 {
		return "", moraine.Errorf(moraine.Invalid, "a blob of %d bytes cannot be stored", size)
	}
	if err := s.begin(); err != nil {
		return "", err
	}
	defer s.calls.Done()
	t := &tee{s: s, ctx: ctx, id: id, size: size, results: make(chan result, sidesCount)}
	if err := t.run(r); err != nil {
		return "", err
	}
	// Durable now: each copy that the reference names. A crash on the next line
	// leaves copies whose id no row names, which the search for orphans finds.
	for i, side := range s.sides {
		if t.made[i] == "" {
			s.stats.lagging.Add(1)
			s.watch(Event{Blob: id, Place: side.place(), Err: t.why[i], Put: true})
		}
	}
	return t.made.ref(), nil
}

// tee is one put to both stores. Its fields belong to the goroutine of Put,
// but for leaves, which lanes read after the last chunk has come.
type tee struct {
	s       *Store
	ctx     context.Context // of the one call
	id      moraine.BlobID
	size    int64
	lanes   []*lane           // whose stores have not returned, and were not left behind
	made    halves            // copies that are durable
	why     [sidesCount]error // there is none
	ring    *ring
	results chan result
	leaves  []treehash.Digest
}

// result is what a store returned.
type result struct {
	lane *lane
	ref  moraine.BlobRef
	err  error
}

// run puts the body to the stores. It fails as a whole, with nothing in made, or
// made holds as many copies as were asked for.
func (t *tee) run(r io.Reader) error {
	if err := t.open(); err != nil {
		return err
	}
	done := false
	defer func() {
		if !done {
			t.abort(moraine.Errorf(moraine.Internal, "the body panicked"))
		}
	}()
	err := t.pump(r)
	if err == nil {
		err = t.confirm()
	}
	done = true
	if err != nil {
		t.abort(err)
		return err
	}
	t.ring.recycle(t.s)
	return nil
}

// open begins to put to the stores that are to have the blob.
func (t *tee) open() error {
	t.ring = newRing(t.size)
	for _, side := range t.s.sides {
		use, trial := true, false
		if t.s.cfg.Ack == One {
			use, trial = side.enter()
		} else if err := side.stuck(); err != nil {
			return err
		}
		if use {
			t.lanes = append(t.lanes, newLane(t, side, trial))
		} else {
			t.why[side.index] = moraine.Wrap(side.state(), moraine.Unavailable, "the %s copy was away", side.place())
		}
	}
	if len(t.lanes) == 0 {
		// Both failed a moment ago: to refuse without a try would help nobody,
		// unless a try cannot end.
		for _, side := range t.s.sides {
			if side.stuck() == nil {
				t.lanes = append(t.lanes, newLane(t, side, false))
			}
		}
	}
	if len(t.lanes) == 0 {
		return t.why[first]
	}
	for _, l := range t.lanes {
		l.start()
	}
	return nil
}

// pump reads the body, which nobody else reads, and sends it down the lanes.
func (t *tee) pump(r io.Reader) error {
	digester, _ := r.(blob.Digester)
	var hasher *treehash.Hasher
	if digester == nil {
		hasher = treehash.NewLeafHasher()
	}
	for left := t.size; left > 0; {
		c, err := t.chunk()
		if err != nil {
			return err
		}
		c.data = c.buf[:min(left, int64(len(c.buf)))]
		left -= int64(len(c.data))
		c.last = left == 0
		read := blob.ReadFull
		if c.last {
			// The stores get the last bytes when the verdict on all is known.
			read = blob.ReadLast
		}
		if err := read(r, c.data); err != nil {
			return err
		}
		if hasher != nil {
			hasher.Write(c.data)
		}
		switch {
		case !c.last:
		case digester != nil:
			t.leaves = digester.Leaves()
		default:
			t.leaves = hasher.Leaves()
		}
		t.send(c)
	}
	return nil
}

// send gives a chunk to every lane. A queue has room for all there are.
func (t *tee) send(c *chunk) {
	c.users.Store(int32(len(t.lanes)))
	for _, l := range t.lanes {
		l.queue <- c
	}
}

// chunk returns a buffer for the next piece of the body when there is one, and
// takes note of stores that fail or lag in the meantime.
func (t *tee) chunk() (*chunk, error) {
	for {
		if err := t.ctx.Err(); err != nil {
			return nil, err
		}
		select {
		case res := <-t.results:
			if err := t.early(res); err != nil {
				return nil, err
			}
			continue
		default:
		}
		if c := t.ring.get(t.s); c != nil {
			return c, nil
		}
		lag := time.NewTimer(t.s.cfg.Lag)
		select {
		case res := <-t.results:
			lag.Stop()
			if err := t.early(res); err != nil {
				return nil, err
			}
		case c := <-t.ring.free:
			lag.Stop()
			return c, nil
		case <-lag.C:
			t.leaveLaggard()
		case <-t.ctx.Done():
			lag.Stop()
		}
	}
}

// early takes note of a store that failed before it had the whole body.
func (t *tee) early(res result) error {
	// What it did not take is given up with the buffers it is in.
	t.ring = newRing(t.size)
	return t.lost(res)
}

// lost takes note of a store that failed. It returns nil if the put goes on
// without it.
func (t *tee) lost(res result) error {
	t.remove(res.lane)
	if err := t.ctx.Err(); err != nil {
		return err
	}
	side := res.lane.side
	t.why[side.index] = res.err
	if !moraine.IsKind(res.err, moraine.Invalid) {
		side.failed(res.err)
	}
	if t.s.cfg.Ack == One && (len(t.lanes) > 0 || t.made != (halves{})) {
		return nil
	}
	return res.err
}

func (t *tee) remove(gone *lane) {
	t.lanes = slices.DeleteFunc(t.lanes, func(l *lane) bool { return l == gone })
}

// leaveLaggard leaves a lane behind that takes nothing while the other waits,
// if one copy is enough.
func (t *tee) leaveLaggard() {
	if t.s.cfg.Ack != One || len(t.lanes) < sidesCount {
		return
	}
	a, b := t.lanes[first], t.lanes[second]
	if a.starved.Load() == b.starved.Load() {
		return // it is the body that is slow, or both are
	}
	if a.starved.Load() {
		a = b
	}
	t.leave(a, moraine.Errorf(moraine.Unavailable, "the %s copy lags behind", a.side.place()))
	t.ring = newRing(t.size)
}

// leave leaves a lane behind. If its store has returned after all, its result
// comes as any other.
func (t *tee) leave(l *lane, reason error) {
	if !l.abandon(reason) {
		return
	}
	t.why[l.side.index] = reason
	t.remove(l)
}

// confirm waits until the stores say that all is durable.
func (t *tee) confirm() error {
	// It ticks when one store has said so and the other keeps it waiting.
	lag := time.NewTimer(t.s.cfg.Lag)
	defer lag.Stop()
	var taken int64
	for len(t.lanes) > 0 {
		select {
		case res := <-t.results:
			if res.err != nil {
				if err := t.lost(res); err != nil {
					return err
				}
				continue
			}
			t.remove(res.lane)
			res.lane.side.worked()
			t.made[res.lane.side.index] = res.ref
			for _, l := range t.lanes {
				taken = l.taken.Load()
			}
			lag.Reset(t.s.cfg.Lag)
		case <-lag.C:
			// A store that still takes what was sent is slow and not stuck.
			l := t.lanes[first]
			if now := l.taken.Load(); t.s.cfg.Ack == One && t.made != (halves{}) && now == taken {
				t.leave(l, moraine.Errorf(moraine.Unavailable, "the %s copy lags behind", l.side.place()))
			} else {
				taken = now
			}
			lag.Reset(t.s.cfg.Lag)
		case <-t.ctx.Done():
			return t.ctx.Err()
		}
	}
	return nil
}

// abort undoes a put that failed. Copies that are durable, or become so in spite
// of it, are deleted, since no reference names them. A store that does not return
// is left behind, with either Ack: it cannot change the answer any more.
func (t *tee) abort(reason error) {
	for _, l := range t.lanes {
		l.stop(reason)
	}
	lag := time.NewTimer(t.s.cfg.Lag)
	defer lag.Stop()
	for len(t.lanes) > 0 {
		select {
		case res := <-t.results:
			t.remove(res.lane)
			t.made[res.lane.side.index] = res.ref
		case <-lag.C:
			for _, l := range slices.Clone(t.lanes) {
				t.leave(l, moraine.Errorf(moraine.Unavailable, "the %s copy does not answer", l.side.place()))
			}
			lag.Reset(t.s.cfg.Lag)
		}
	}
	for i, side := range t.s.sides {
		t.s.discard(t.ctx, side, t.made[i])
	}
}

// discard deletes a copy that no reference names. If that fails it is an orphan,
// or surplus if the blob has another that is named.
func (s *Store) discard(ctx context.Context, side *side, ref moraine.BlobRef) {
	if ref == "" {
		return
	}
	if err := side.Delete(context.WithoutCancel(ctx), ref); err != nil {
		s.log.Warn("a copy that is not needed keeps its space", "place", side.place(), "ref", string(ref), "err", err)
	}
}
