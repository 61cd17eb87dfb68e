package pack

import (
	"sync"

	"moraine/internal/disk"
)

// aheadMin is the shortest range that is read past the page cache.
const aheadMin = windowSize

// ahead reads a long range of a large file past the page cache, up to ringSize
// windows ahead of what is delivered. The bytes are not checked. One goroutine
// uses it.
//
// The page cache would cost a page of new memory for every page that is read,
// and would push out something else for bytes that are seldom read twice.
type ahead struct {
	s         *Store
	f         *handle
	transfers *disk.Transfers
	at, end   int64    // in the file: of the next window, and of the last byte wanted
	free      [][]byte // windows without content
	window    []byte   // nil if none is being delivered
	left      []byte   // what was not yet delivered of it
}

// newAhead begins to read the bytes [from, to) of a file, or returns nil if
// that cannot be. from is where a frame of a large file begins, to where one
// ends.
func (s *Store) newAhead(f *handle, from, to int64) *ahead {
	a := &ahead{s: s, f: f, at: from, end: to}
	for n := to - from; len(a.free) < ringSize && n > 0; n -= windowSize {
		p := s.bufs.windows.get()
		if p == nil {
			break
		}
		a.free = append(a.free, p)
	}
	if len(a.free) == 0 {
		return nil
	}
	a.transfers = s.transfers.get()
	a.start()
	if a.transfers.Len() == 0 {
		a.close()
		return nil
	}
	return a
}

// start begins to read as many windows as there is memory for. If one cannot
// be started now, take comes back to it.
func (a *ahead) start() {
	for len(a.free) > 0 && a.at < a.end {
		last := len(a.free) - 1
		p := a.free[last][:roundUp(min(windowSize, a.end-a.at), disk.DirectAlign)]
		if started, err := a.transfers.StartRead(a.f.File, p, a.at); !started || err != nil {
			return
		}
		a.free = a.free[:last]
		a.at += int64(len(p))
	}
}

// take returns the next n bytes, which do not reach into another window. They
// are valid until the next call.
func (a *ahead) take(n int64) ([]byte, error) {
	if len(a.left) == 0 {
		if err := a.turn(); err != nil {
			return nil, err
		}
	}
	if int64(len(a.left)) < n {
		return nil, errShort
	}
	p := a.left[:n]
	a.left = a.left[n:]
	return p, nil
}

// turn goes on to the next window and begins to read another into the memory of
// the last.
func (a *ahead) turn() error {
	a.put()
	a.start()
	if a.transfers.Len() == 0 {
		return a.readNow()
	}
	p, err := a.transfers.Next()
	a.window = p
	if err != nil {
		return err
	}
	a.left = p
	return nil
}

// readNow reads a window through the page cache, as none could be started.
func (a *ahead) readNow() error {
	last := len(a.free) - 1
	p := a.free[last][:min(windowSize, a.end-a.at)]
	if err := readAt(a.f, p, a.at); err != nil {
		return err
	}
	a.free = a.free[:last]
	a.window, a.left = p, p
	a.at += int64(len(p))
	return nil
}

// put makes the window that was delivered free.
func (a *ahead) put() {
	if a.window != nil {
		a.free = append(a.free, a.window[:windowSize])
		a.window, a.left = nil, nil
	}
}

// close waits for what is under way and gives everything back.
func (a *ahead) close() {
	a.put()
	for a.transfers.Len() > 0 {
		p, _ := a.transfers.Next() // nobody wants it any more
		a.free = append(a.free, p[:windowSize])
	}
	a.s.transfers.put(a.transfers)
	for _, p := range a.free {
		a.s.bufs.put(p)
	}
	a.free = nil
}

// passes knows which files were lately read past the page cache, and how much.
// What is read again and again is better kept in memory: after two passes
// through a file the third goes by way of the page cache.
type passes struct {
	mu    sync.Mutex // guards the rest
	bytes map[fileName]int64
	order [passesMax]fileName // of the entries, a ring
	next  int
}

const (
	// passesMax is how many files are remembered.
	passesMax = 4096
	// passesPast is how often a file is read past the page cache in a row.
	passesPast = 2
)

// past says how to read n bytes of a file of that size, which are not in
// memory: past the page cache or not.
func (p *passes) past(name fileName, size, n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	before, known := p.bytes[name]
	switch {
	case !known:
		if p.bytes == nil {
			p.bytes = make(map[fileName]int64)
		}
		delete(p.bytes, p.order[p.next])
		p.order[p.next] = name
		p.next = (p.next + 1) % passesMax
	case before+n >= (passesPast+1)*size:
		n = -before // the count begins anew
	}
	p.bytes[name] = before + n
	return before < passesPast*size
}
