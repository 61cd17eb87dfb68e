package pack

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"moraine"
	"moraine/internal/disk"
)

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, b moraine.BlobRef) error {
	done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	r, err := parseRef(b)
	if err != nil {
		return err
	}
	if r.kind == single {
		err = s.deleteLarge(fileName{kind: r.kind, id: r.id})
	} else {
		d := &deletion{ref: r, done: make(chan error, 1)}
		s.reaper.queue(d)
		err = <-d.done
	}
	if err == nil {
		s.stats.deletes.Add(1)
	}
	return err
}

// deleteLarge unlinks a large file. It is looked for in open/ first: it can
// only move from there to sealed/, so it is not missed. When it is in neither,
// an earlier Delete may have been cut short between unlinking and syncing, so
// both directories are synced.
func (s *Store) deleteLarge(n fileName) error {
	s.handles.forget(n)
	var dirs []string
	for _, path := range []string{s.openPath(n), s.sealedPath(n)} {
		err := s.fs.Remove(path)
		if err == nil {
			dirs = []string{filepath.Dir(path)}
			break
		}
		if !isMissing(err) {
			return unavailable(err)
		}
		dirs = append(dirs, filepath.Dir(path))
	}
	// The name is gone, but a crash on the next line may bring it back: the row
	// is still there to delete it again.
	for _, dir := range dirs {
		if err := s.syncDir(dir); err != nil && !isMissing(err) {
			return unavailable(err)
		}
	}
	// A reader may have opened the file after the first forget.
	s.handles.forget(n)
	return nil
}

// deletion is a small blob on its way out, or, without done, a pack to be
// looked at because it may hold nothing any more.
type deletion struct {
	ref  ref
	done chan error // takes one value
}

// reaper makes all changes to records of shared packs that are already
// durable. One goroutine does that, so that the merging of neighbours needs no
// locks, and deletions that come together share a sync.
type reaper struct {
	s *Store

	mu      sync.Mutex // guards waiting
	waiting []*deletion
	wake    chan struct{} // holds at most one value; closed to stop
	stopped chan struct{}
}

// reapMax bounds the deletions that share a sync.
const reapMax = 1024

func newReaper(s *Store) *reaper {
	return &reaper{s: s, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
}

func (p *reaper) queue(d *deletion) {
	p.mu.Lock()
	p.waiting = append(p.waiting, d)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default: // it will look
	}
}

// inspect has a shared pack removed if nothing in it is live.
func (p *reaper) inspect(n fileName) {
	p.queue(&deletion{ref: ref{id: n.id, shape: shape{kind: n.kind}}})
}

func (p *reaper) take() []*deletion {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.waiting), reapMax)
	batch := p.waiting[:n:n]
	if p.waiting = p.waiting[n:]; len(p.waiting) == 0 {
		p.waiting = nil
	}
	return batch
}

func (p *reaper) run() {
	defer close(p.stopped)
	for range p.wake {
		for batch := p.take(); len(batch) > 0; batch = p.take() {
			byPack := map[packID][]*deletion{}
			for _, d := range batch {
				byPack[d.ref.id] = append(byPack[d.ref.id], d)
			}
			for id, group := range byPack {
				p.reap(fileName{kind: shared, id: id}, group)
			}
		}
	}
}

func (p *reaper) stop() {
	close(p.wake)
	<-p.stopped
}

// reap deletes blobs of one pack and answers for each.
func (p *reaper) reap(n fileName, group []*deletion) {
	f, path, err := p.s.find(n, os.O_RDWR)
	if err != nil {
		if isMissing(err) {
			err = nil // the pack went with its last blob
		} else {
			err = unavailable(err)
		}
		for _, d := range group {
			d.answer(err)
		}
		return
	}
	m := &marker{f: f, name: n}
	errs := make([]error, len(group))
	if m.end, err = p.s.recordsEnd(f, n); err == nil {
		for i, d := range group {
			if d.done != nil {
				errs[i] = m.mark(d.ref)
			}
		}
		err = m.commit()
	}
	if err == nil {
		// Durable now: the dead marks. A crash from here on leaves space that is
		// given back when a neighbour is deleted or the pack is empty.
		m.punch(p.s)
		p.removeDead(f, n, path, group)
	}
	_ = f.Close() // whatever counts is synced
	for i, d := range group {
		if err != nil && errs[i] == nil {
			errs[i] = unavailable(err)
		}
		d.answer(errs[i])
	}
}

func (d *deletion) answer(err error) {
	if d.done != nil {
		d.done <- err
	}
}

// recordsEnd is the offset behind the last durable record of a shared pack.
func (s *Store) recordsEnd(f disk.File, n fileName) (int64, error) {
	if u := s.findUnsealed(n); u != nil {
		return u.end.Load(), nil
	}
	return f.Size()
}

// marker marks records of one pack as dead.
type marker struct {
	f     disk.File
	name  fileName
	end   int64 // of the durable records
	wrote bool
	holes []hole // dead now, to be punched once that is durable
}

// hole is a range of bytes.
type hole struct{ from, to int64 }

// mark writes what makes a record dead. Nothing is durable before commit.
func (m *marker) mark(r ref) error {
	if r.off+headerSize > m.end {
		return damage(m.name, r.off, errShort)
	}
	h, err := readHeader(m.f, m.name, r.off)
	switch {
	case err != nil && !isDamage(err):
		return unavailable(err)
	case err == nil && h.crc == r.crc && h.kind == kindBlob && !h.dead:
		return m.kill(r.off, h)
	}
	// The record was deleted before, or something is wrong with it. What was
	// written then may not be durable, so it is written again.
	at, covered, ferr := findHole(m.f, m.name, r.off)
	switch {
	case ferr != nil:
		return unavailable(ferr)
	case covered:
		return m.rewrite(at)
	case err == nil && h.crc == r.crc && h.kind == kindBlob:
		return m.kill(r.off, h)
	case err == nil:
		err = errOther
	}
	return damage(m.name, r.off, err)
}

// kill marks the record at off, which no hole covers, and merges it with its
// dead neighbours.
func (m *marker) kill(off int64, h header) error {
	from, base := m.before(off, h)
	to := max(off+h.span, from.to)
	to, later := m.after(to)
	// The latest batch that the range touches, or recovery would take an
	// earlier one for the last.
	base = max(base, h.base, later)
	if from.from == off && to == off+h.span {
		var state [8]byte
		binary.LittleEndian.PutUint64(state[:], stateDead)
		return m.write(state[:], off+stateOffset, hole{off, to})
	}
	if from.from != off {
		// The record's own mark as well: its reference is looked up there first.
		var state [8]byte
		binary.LittleEndian.PutUint64(state[:], stateDead)
		if err := m.write(state[:], off+stateOffset, hole{}); err != nil {
			return err
		}
	}
	// Any part of what follows may be lost in a crash: the header alone says
	// that the range is dead, and the trailer only helps a neighbour find it.
	var head [headerSize]byte
	var foot [trailerSize]byte
	header{kind: kindHole, span: to - from.from, base: base, dead: true}.encode(head[:], m.name.id, shared, from.from)
	trailer{sum: sumOf(0, head[:]), span: to - from.from}.encode(foot[:], m.name.id, to-trailerSize)
	if err := m.write(foot[:], to-trailerSize, hole{}); err != nil {
		return err
	}
	return m.write(head[:], from.from, hole{from.from, to})
}

// before finds the dead range that ends at or covers off. If there is none the
// range is empty and begins at off.
func (m *marker) before(off int64, h header) (hole, int64) {
	none := hole{off, off}
	if off == fileHeaderSize {
		return none, h.base
	}
	t, err := readTrailer(m.f, m.name, off)
	if err != nil || t.span > off-fileHeaderSize {
		return none, h.base // a torn record, or damage: it stays as it is
	}
	p, err := readHeader(m.f, m.name, off-t.span)
	if err != nil || !p.mergeable() || p.span < t.span {
		return none, h.base
	}
	return hole{off - t.span, off - t.span + p.span}, p.base
}

// after returns the end and the base of the dead range that begins at off, or
// off.
func (m *marker) after(off int64) (end, base int64) {
	if off+headerSize > m.end {
		return off, 0
	}
	h, err := readHeader(m.f, m.name, off)
	if err != nil || !h.mergeable() || off+h.span > m.end {
		return off, 0
	}
	return off + h.span, h.base
}

// mergeable reports whether the record may become part of a hole. What a crash
// tore stays apart: a reference into it is damage.
func (h header) mergeable() bool {
	return h.dead && (h.kind == kindBlob || h.kind == kindHole)
}

// rewrite writes the header of a hole once more.
func (m *marker) rewrite(at int64) error {
	var p [headerSize]byte
	if err := readAt(m.f, p[:], at); err != nil {
		return faulty(m.name, at, err)
	}
	return m.write(p[:], at, hole{})
}

func (m *marker) write(p []byte, off int64, dead hole) error {
	m.wrote = true
	if _, err := m.f.WriteAt(p, off); err != nil {
		return unavailable(err)
	}
	if dead.to > dead.from {
		m.holes = append(m.holes, dead)
	}
	return nil
}

func (m *marker) commit() error {
	if !m.wrote {
		return nil
	}
	return m.f.Sync()
}

// blockSize is the grain in which file systems give space back.
const blockSize = 4096

// punch gives back what lies between the headers and trailers of the holes. It
// is not needed for anything else, so an error is only logged.
func (m *marker) punch(s *Store) {
	for _, h := range joined(m.holes) {
		from := roundUp(h.from+headerSize, blockSize)
		to := roundDown(h.to-trailerSize, blockSize)
		if from >= to {
			continue
		}
		if err := s.notePunch(disk.Punch(m.f, from, to-from)); err != nil {
			s.log.Warn("space of deleted blobs could not be given back", "file", m.name.base(), "error", err)
			return
		}
	}
}

// joined returns the same bytes in ranges that do not overlap: the deletions of
// one batch make the same hole grow again and again.
func joined(holes []hole) []hole {
	slices.SortFunc(holes, func(a, b hole) int { return cmp.Compare(a.from, b.from) })
	var out []hole
	for _, h := range holes {
		if n := len(out); n > 0 && h.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, h.to)
			continue
		}
		out = append(out, h)
	}
	return out
}

// removeDead unlinks a sealed pack in which nothing is live. A crash before the
// directory is synced brings back a pack of dead records, which is harmless
// and is found by the next walk.
func (p *reaper) removeDead(f disk.File, n fileName, path string, group []*deletion) {
	if p.s.findUnsealed(n) != nil || path != p.s.sealedPath(n) {
		return // the sealer will ask again
	}
	thorough := false
	for _, d := range group {
		thorough = thorough || d.done == nil
	}
	dead, err := allDead(f, n, thorough)
	if err == nil && dead {
		p.s.handles.forget(n)
		err = p.s.remove(path)
		p.s.handles.forget(n) // a reader may have opened it in between
	}
	if err != nil {
		p.s.log.Warn("pack could not be inspected or removed", "file", n.base(), "error", err)
	}
}

// allDead reports whether a sealed pack holds nothing live and nothing
// damaged. Unless it is thorough it looks only whether one dead record fills
// the pack, as it does when all deletions were merged.
func allDead(f disk.File, n fileName, thorough bool) (bool, error) {
	size, err := f.Size()
	if err != nil {
		return false, err
	}
	dead := true
	sc := newScanner(f, n, size)
	sc.damaged = func(_, _ int64, _ error) error {
		dead = false
		return errStop
	}
	records := 0
	sc.record = func(_ int64, h header) error {
		records++
		if h.kind != kindEnd && !h.mergeable() || records > 2 && !thorough {
			dead = false
			return errStop
		}
		return nil
	}
	sealed, err := sc.run(fileHeaderSize)
	if err != nil && !errors.Is(err, errStop) {
		return false, err
	}
	return dead && sealed, nil
}
