package pack

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/disk"
	"moraine/internal/treehash"
)

// putSmall receives a blob into memory and has the appender write it.
func (s *Store) putSmall(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (ref, error) {
	span := shape{kind: shared, off: fileHeaderSize, size: size}.span()
	if !s.room.TryAcquire(span) {
		// Memory is taken by bodies that may come slowly. Waiting for it would
		// let a few slow clients hold up everybody; a file of its own needs a few
		// frames of memory only.
		return s.putLarge(ctx, id, r, size)
	}
	defer s.room.Release(span)
	s.stats.buffered.Add(span)
	defer s.stats.buffered.Add(-span)
	buf := s.bufs.get(span)
	defer s.bufs.put(buf)

	data := buf[headerSize:][:size]
	if err := blob.ReadLast(r, data); err != nil {
		return ref{}, err
	}
	t := tail{crcs: make([]uint32, 0, (size+frameSize-1)/frameSize)}
	var err error
	if t.digests, err = digests(r, size, func() []treehash.Digest { return []treehash.Digest{treehash.Leaf(data)} }); err != nil {
		return ref{}, err
	}
	t.addFrames(data)
	rest := buf[headerSize+size:]
	clear(rest)
	a := &addition{id: id, size: size, record: buf, tailCRC: t.encode(rest), done: make(chan error, 1)}
	s.appender.queue(a)
	// The record is with the appender; it answers even if ctx ends.
	if err := <-a.done; err != nil {
		return ref{}, err
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
	if want := (shape{size: size}).leaves(); int64(len(leaves)) != want {
		return nil, fmt.Errorf("reader has %d leaf digests for %d leaves", len(leaves), want)
	}
	return leaves, nil
}

// addition is a record on its way into the current shared pack.
type addition struct {
	id      moraine.BlobID
	size    int64
	record  []byte // complete but for header and trailer, which depend on the place
	tailCRC uint32
	at      ref        // set before done
	done    chan error // takes one value
}

// place completes the record for its place.
func (a *addition) place(id packID, off, base int64) {
	a.at = ref{id: id, shape: shape{kind: shared, off: off, size: a.size}}
	h := header{kind: kindBlob, blob: a.id, size: a.size, span: int64(len(a.record)), base: base}
	a.at.crc = h.encode(a.record, id, shared, off)
	t := trailer{sum: sumOf(a.tailCRC, a.record), span: h.span}
	t.encode(a.record[len(a.record)-trailerSize:], id, a.at.trailerAt())
}

const (
	// batchMax bounds the bytes of a batch: those of more wait for the next.
	batchMax = 16 << 20
	// stageSize is the buffer in which records are put together for one write, a
	// whole number of pages.
	stageSize = 1 << 20
	// allocateStep is how far the space of a pack is reserved ahead. Full
	// disks are found here, before anything is written.
	allocateStep = 16 << 20
	// zeroStep is how far zeros are written ahead of small batches, in the same
	// sync. The next batches then overwrite blocks that exist and are written,
	// and their sync has no metadata to save: half the time on the disks we
	// measured. Batches above zeroBatchMax gain less than the zeros cost; they go
	// past the page cache.
	zeroStep     = 1 << 20
	zeroBatchMax = 128 << 10
)

// appender appends to the current shared pack. All its fields but those under
// mu belong to its goroutine.
type appender struct {
	s *Store

	mu      sync.Mutex // guards waiting and want
	waiting []*addition
	want    int           // how many the appender waits for; fewer do not wake it
	wake    chan struct{} // holds at most one value; closed to stop
	stopped chan struct{}

	expected int           // records of a batch
	took     time.Duration // the last batch

	cur   *current // nil before the first record and between packs
	stage []byte   // stageSize bytes, nil before the first batch
	zeros []byte
}

// current is the shared pack being appended to.
type current struct {
	name      fileName
	f         disk.File
	state     *unsealed // its end is where the next batch goes
	allocated int64
	zeroed    int64 // bytes before this offset exist on disk
	named     bool  // the name is durable
	failures  int   // of syncs of open/ when the name was made
}

func newAppender(s *Store) *appender {
	return &appender{s: s, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
}

// queue hands over a record. Whoever calls is inside a call that Close waits
// for, so the appender is running.
func (a *appender) queue(add *addition) {
	a.mu.Lock()
	a.waiting = append(a.waiting, add)
	enough := len(a.waiting) >= a.want
	a.mu.Unlock()
	if !enough {
		return
	}
	select {
	case a.wake <- struct{}{}:
	default: // it will look
	}
}

// gatherMax bounds the time for which a batch waits for more records.
const gatherMax = 2 * time.Millisecond

// gather waits a moment for as many records as lately came together, for no
// longer than the last batch took. Those who were served by one sync come back at
// about the same time and shall share the next one. A lone record never waits.
func (a *appender) gather() {
	// Those who are about to hand over a record do so first.
	runtime.Gosched()
	a.mu.Lock()
	n := len(a.waiting)
	if n == 0 || n >= a.expected {
		a.mu.Unlock()
		return
	}
	a.want = a.expected
	a.mu.Unlock()
	moment := time.NewTimer(min(a.took, gatherMax))
	defer moment.Stop()
	select {
	case <-a.wake: // there are enough, or it is the end
	case <-moment.C:
	}
	a.mu.Lock()
	a.want = 0
	a.mu.Unlock()
}

// take removes the next batch from the queue.
func (a *appender) take() []*addition {
	a.gather()
	a.mu.Lock()
	defer a.mu.Unlock()
	n, size := 0, 0
	for n < len(a.waiting) && (n == 0 || size+len(a.waiting[n].record) <= batchMax) {
		size += len(a.waiting[n].record)
		n++
	}
	batch := a.waiting[:n:n]
	if a.waiting = a.waiting[n:]; len(a.waiting) == 0 {
		a.waiting = nil
	}
	return batch
}

// run writes batch after batch; while one is synced the next gathers.
func (a *appender) run() {
	defer close(a.stopped)
	for range a.wake {
		for batch := a.take(); len(batch) > 0; batch = a.take() {
			began := time.Now()
			err := a.append(batch)
			a.took = time.Since(began)
			a.expected = max(len(batch), a.expected*3/4)
			for _, add := range batch {
				add.done <- err
			}
		}
	}
	if a.cur != nil {
		a.seal()
	}
}

func (a *appender) stop() {
	close(a.wake)
	<-a.stopped
}

// append makes a batch durable.
func (a *appender) append(batch []*addition) error {
	if a.cur == nil {
		if err := a.begin(); err != nil {
			return unavailable(err)
		}
	}
	c := a.cur
	base := c.state.end.Load()
	end := base
	for _, add := range batch {
		add.place(c.name.id, end, base)
		end += int64(len(add.record))
	}
	if err := a.reserve(end); err != nil {
		// Nothing was written: the pack is as good as before.
		return unavailable(err)
	}
	if err := a.write(batch, base, end); err != nil {
		// What the file holds after base is unknown, and may change when it is
		// read again. No reference to it was given out: the pack ends at base.
		a.seal()
		return unavailable(err)
	}
	// Durable now: every record of the batch and the name of the pack. A crash
	// on the next line leaves records that no row names yet.
	c.state.end.Store(end)
	a.s.stats.batches.Add(1)
	a.s.stats.batchRecords.Add(int64(len(batch)))
	if end >= a.s.cfg.PackSize {
		a.seal()
	}
	return nil
}

// begin makes a new current pack. Its header becomes durable with the first
// batch; a crash before that leaves a file without records, which Open removes.
func (a *appender) begin() error {
	name := fileName{kind: shared, id: newPackID(a.s.cfg.Now())}
	state, err := a.s.addUnsealed(name)
	if err != nil {
		return err
	}
	state.end.Store(fileHeaderSize)
	failures := a.s.failures()
	f, err := a.s.create(name)
	if err != nil {
		a.s.dropUnsealed(name)
		return err
	}
	a.cur = &current{name: name, f: f, state: state, failures: failures}
	if err := a.writeFileHeader(); err != nil {
		a.seal()
		return err
	}
	return nil
}

func (a *appender) writeFileHeader() error {
	if err := a.reserve(fileHeaderSize); err != nil {
		return err
	}
	var h [fileHeaderSize]byte
	fileHeader{kind: shared, id: a.cur.name.id, made: a.s.cfg.Now().UnixMilli()}.encode(h[:])
	_, err := a.cur.f.WriteAt(h[:], 0)
	return err
}

// reserve makes sure that the pack has space up to end.
func (a *appender) reserve(end int64) error {
	c := a.cur
	if end <= c.allocated {
		return nil
	}
	to := roundUp(end+headerSize, allocateStep) // with room for the end record
	if most := roundUp(a.s.cfg.PackSize, recordAlign) + headerSize; to > most {
		to = max(most, end+headerSize)
	}
	err := disk.Allocate(c.f, c.allocated, to-c.allocated)
	if disk.IsFull(err) {
		to = end + headerSize
		err = disk.Allocate(c.f, c.allocated, to-c.allocated)
	}
	if err != nil {
		return err
	}
	c.allocated = to
	return nil
}

// write writes a batch at base, with zeros behind it if that pays, and syncs.
func (a *appender) write(batch []*addition, base, end int64) error {
	c := a.cur
	if err := a.put(batch, base, end-base > zeroBatchMax); err != nil {
		return err
	}
	if err := a.zeroAhead(base, end); err != nil {
		return err
	}
	if err := c.f.Sync(); err != nil {
		return err
	}
	// Durable now: the bytes. A crash on the next line may lose the name of a
	// new pack, and with it a batch that nobody was told about.
	if !c.named {
		if err := a.s.syncName(c.failures); err != nil {
			return err
		}
		c.named = true
	}
	return nil
}

// put writes the records of a batch one behind the other, from base on. A batch
// that is direct goes past the page cache but for its two ends: new pages of the
// page cache cost more than all else that is done with a body, and nobody reads
// it soon.
func (a *appender) put(batch []*addition, base int64, direct bool) error {
	if a.stage == nil {
		a.stage = make([]byte, stageSize)
	}
	// What is staged begins in a page of the stage where it does in one of the
	// file, so that whole pages are whole in both.
	from := 0
	if direct {
		from = int(base % disk.DirectAlign)
	}
	at, to := base, from
	flush := func() error {
		staged := a.stage[from:to]
		write := a.cur.writePages
		if !direct {
			write = a.cur.writeCached
		}
		err := write(staged, at)
		at += int64(len(staged))
		from, to = 0, 0
		return err
	}
	for _, add := range batch {
		for rest := add.record; len(rest) > 0; {
			n := copy(a.stage[to:], rest)
			to += n
			if rest = rest[n:]; to < len(a.stage) {
				continue
			}
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if from == to {
		return nil
	}
	return flush()
}

func (c *current) writeCached(p []byte, off int64) error {
	_, err := c.f.WriteAt(p, off)
	return err
}

// writePages writes whole pages past the page cache, if the file can, and what
// is before and behind them through it: those pages it shares with what was
// written before and what will be.
func (c *current) writePages(p []byte, off int64) error {
	head := min(int64(len(p)), roundUp(off, disk.DirectAlign)-off)
	tail := roundDown(int64(len(p))-head, disk.DirectAlign) + head
	for _, part := range [...]struct{ from, to int64 }{{0, head}, {tail, int64(len(p))}} {
		if part.from == part.to {
			continue
		}
		if err := c.writeCached(p[part.from:part.to], off+part.from); err != nil {
			return err
		}
	}
	if head == tail {
		return nil
	}
	direct, err := disk.WriteDirect(c.f, p[head:tail], off+head)
	if err == nil && !direct {
		err = c.writeCached(p[head:tail], off+head)
	}
	return err
}

// zeroAhead writes zeros after the batch [base, end) if it ran past those
// written before and is small.
func (a *appender) zeroAhead(base, end int64) error {
	c := a.cur
	if end <= c.zeroed {
		return nil
	}
	c.zeroed = end
	if end-base > zeroBatchMax {
		return nil
	}
	n := min(zeroStep, c.allocated-end)
	if n <= 0 {
		return nil
	}
	if int64(len(a.zeros)) < n {
		a.zeros = make([]byte, n)
	}
	c.zeroed += n
	_, err := c.f.WriteAt(a.zeros[:n], end)
	return err
}

// seal ends the current pack where its durable records end and leaves it to
// the sealer. An error of closing tells nothing new: whatever counts is synced.
func (a *appender) seal() {
	c := a.cur
	a.cur = nil
	if err := c.f.Close(); err != nil {
		a.s.log.Warn("pack file closed with an error", "file", c.name.base(), "error", err)
	}
	a.s.sealer.queue(c.name)
}
