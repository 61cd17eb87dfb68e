package s3

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/semaphore"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/treehash"
)

// Bounds of the objects that small blobs share.
const (
	batchMax     = 8 << 20 // bytes from which on nothing more is added
	batchesMax   = 16      // requests at a time
	recordMemory = 4 << 10 // that a record needs beside its data, at most
)

// putSmall receives a blob into memory and has it written with others.
func (s *Store) putSmall(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (place, error) {
	b := s.batcherFor(ctx)
	need := size + recordMemory
	if err := b.room.Acquire(ctx, need); err != nil {
		return place{}, err
	}
	defer b.room.Release(need)
	data := make([]byte, size)
	if err := blob.ReadLast(r, data); err != nil {
		return place{}, err
	}
	leaves, err := digests(r, size, func() []treehash.Digest { return []treehash.Digest{treehash.Leaf(data)} })
	if err != nil {
		return place{}, err
	}
	if err := ctx.Err(); err != nil {
		return place{}, err
	}
	a := &addition{record: record{blob: id, size: size, digest: leaves[0]}, data: data, done: make(chan error, 1)}
	b.add(a)
	// The record is on its way; the answer comes even if ctx ends.
	if err := <-a.done; err != nil {
		return place{}, err
	}
	return a.at, nil
}

// digests asks r for its leaf digests, if it has them, else computes them.
func digests(r io.Reader, size int64, compute func() []treehash.Digest) ([]treehash.Digest, error) {
	d, ok := r.(blob.Digester)
	if !ok {
		return compute(), nil
	}
	leaves := d.Leaves()
	if want := (place{size: size}).leaves(); int64(len(leaves)) != want {
		return nil, fmt.Errorf("reader has %d leaf digests for %d leaves", len(leaves), want)
	}
	return leaves, nil
}

// addition is a record on its way into a shared object.
type addition struct {
	record record
	data   []byte
	at     place      // set before done
	done   chan error // takes one value
}

// batcher gathers small blobs and writes them together. The first one waits for
// others for as long as Config.Linger says, or until the object is full; while no
// more requests may be made, it waits on and gathers more.
type batcher struct {
	s     *Store
	class types.StorageClass
	room  *semaphore.Weighted // of Config.SmallMemory
	slots *semaphore.Weighted // of batchesMax

	mu  sync.Mutex // guards cur and what it points at
	cur *batch     // being gathered; nil for none
}

// batch is what will be one object.
type batch struct {
	all  []*addition
	size int64
	full chan struct{} // closed when nothing more is added
}

func newBatcher(s *Store, class types.StorageClass) *batcher {
	return &batcher{s: s, class: class, room: semaphore.NewWeighted(s.cfg.SmallMemory), slots: semaphore.NewWeighted(batchesMax)}
}

// add hands a record over. Whoever calls is inside a call that Close waits for,
// and gets an answer from the goroutine that sends the batch.
func (b *batcher) add(a *addition) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.cur
	if c == nil {
		c = &batch{full: make(chan struct{})}
		b.cur = c
		go b.run(c) // ends when all in the batch have their answer, which they wait for
	}
	c.all = append(c.all, a)
	if c.size += recordSize + framed(a.record.size); c.size >= batchMax || len(c.all) == countMax {
		b.cur = nil
		close(c.full)
	}
}

// run waits until a batch is to be sent, and sends it.
func (b *batcher) run(c *batch) {
	if linger := b.s.cfg.Linger; linger > 0 {
		timer := time.NewTimer(linger)
		select {
		case <-timer.C:
		case <-c.full:
			timer.Stop()
		}
	}
	// A store that hangs is left by its callers' requests in bounded time, so a
	// slot comes free.
	_ = b.slots.Acquire(context.Background(), 1) // without a deadline it cannot fail
	b.mu.Lock()
	if b.cur == c {
		b.cur = nil
	}
	b.mu.Unlock()
	err := b.send(c)
	b.slots.Release(1)
	for _, a := range c.all {
		a.done <- err
	}
}

// send writes a batch as one object.
func (b *batcher) send(c *batch) error {
	ctx := context.Background() // of nobody's request, and bounded by the time of a call
	now := b.s.cfg.Now()
	o := object{id: newObjectID(moraine.NewBlobID(now)), count: len(c.all)}
	body, index := b.assemble(o, now.UnixMilli(), c.all)
	if Cold(string(b.class)) {
		// The index is durable before the object, so that Walk can always say
		// what is in it. A crash on the next line leaves an index without an
		// object, which Walk removes after the grace.
		if err := b.s.bucket.put(ctx, o.indexKey(), rope{index}, types.StorageClassStandard); err != nil {
			return err
		}
	}
	if err := b.s.bucket.put(ctx, o.key(), body, b.class); err != nil {
		// Whether there is an object is unknown. No reference to it was given
		// out: if there is one, its blobs are orphans.
		return late(ctx, err)
	}
	// Durable now: every record of the batch. A crash on the next line leaves
	// blobs that no row names yet.
	b.s.stats.batches.Add(1)
	b.s.stats.batchRecords.Add(int64(len(c.all)))
	return nil
}

// assemble puts the records in their places.
func (b *batcher) assemble(o object, made int64, all []*addition) (body rope, index []byte) {
	entries := make([]entry, len(all))
	body = append(body, nil) // the index, when it is known
	next := indexSize(o.count)
	for i, a := range all {
		a.at = place{id: o.id, count: o.count, off: next, size: a.record.size}
		entries[i] = entry{a.record.blob, next, a.record.size}
		head := make([]byte, recordSize)
		a.record.encode(head, o.id, next)
		body = append(body, head)
		body, _ = appendFrames(body, a.at.seed(), 0, a.data, make([]byte, 0, a.at.frames()*crcSize))
		next = a.at.framesEnd()
	}
	index = encodeIndex(o.id, made, entries)
	body[0] = index
	return body, index
}
