package move

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
)

// fuse goes off once, before a piece of traffic is passed on: when so many bytes
// have passed, or some pieces after one with a certain word. That piece, and what
// follows on its connection, goes nowhere, if what blow says is that who sent it
// is dead.
type fuse struct {
	mu    sync.Mutex // guards the rest
	lit   bool
	bytes int64  // that may pass; 0 for no end
	word  []byte // nil for none
	after int    // pieces of the client after the word that may pass
	seen  bool
	blow  func() (dead bool)
	blown bool
}

// light arms the fuse.
func (f *fuse) light(n int64, word string, after int, blow func() (dead bool)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lit, f.blown, f.seen = true, false, false
	f.bytes, f.word, f.after, f.blow = n, []byte(word), after, blow
}

// douse disarms it and reports whether it went off.
func (f *fuse) douse() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	blown := f.blown
	f.lit, f.blown = false, false
	return blown
}

// passes asks whether a piece may go on.
func (f *fuse) passes(piece []byte, fromClient bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.lit || f.blown {
		return true
	}
	now := false
	if f.bytes > 0 {
		f.bytes -= int64(len(piece))
		now = f.bytes <= 0
	}
	if len(f.word) > 0 && fromClient {
		f.seen = f.seen || bytes.Contains(piece, f.word)
		if f.seen {
			now = now || f.after == 0
			f.after--
		}
	}
	f.blown = now
	return !now || !f.blow()
}

// relay forwards connections to one place, past a fuse.
type relay struct {
	listener      net.Listener
	network, addr string
	fuse          *fuse
	done          sync.WaitGroup

	mu     sync.Mutex // guards the rest
	closed bool
	conns  map[net.Conn]struct{}
}

func newRelay(t *testing.T, network, addr string, f *fuse) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, network: network, addr: addr, fuse: f, conns: map[net.Conn]struct{}{}}
	r.done.Go(r.accept)
	t.Cleanup(func() {
		_ = l.Close() // ends accept
		r.mu.Lock()
		r.closed = true
		for c := range r.conns {
			_ = c.Close() // ends both directions
		}
		r.mu.Unlock()
		r.done.Wait()
	})
	return r
}

// at is where it listens.
func (r *relay) at() string { return r.listener.Addr().String() }

func (r *relay) accept() {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.done.Go(func() { r.serve(c) })
	}
}

func (r *relay) serve(in net.Conn) {
	defer in.Close()
	out, err := net.Dial(r.network, r.addr)
	if err != nil {
		return
	}
	defer out.Close()
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return
	}
	r.conns[in], r.conns[out] = struct{}{}, struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, in)
		delete(r.conns, out)
	}()
	var back sync.WaitGroup
	back.Go(func() { r.forward(in, out, false) })
	r.forward(out, in, true)
	back.Wait()
}

// forward passes pieces on until either end closes. The end of one direction is
// the end of both.
func (r *relay) forward(to io.WriteCloser, from io.ReadCloser, fromClient bool) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && r.fuse.passes(buf[:n], fromClient) {
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		} else if n > 0 {
			break
		}
		if err != nil {
			break
		}
	}
	_ = to.Close()   // they may be closed
	_ = from.Close() // already
}
