package cluster

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

// relay forwards connections, each to the next of its targets.
type relay struct {
	listener net.Listener
	done     sync.WaitGroup

	mu      sync.Mutex // guards the rest
	targets []target
	next    int
	cut     bool
	conns   map[net.Conn]struct{}
}

// target is where a connection goes.
type target struct{ network, addr string }

func newRelay(t *testing.T, targets ...target) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, targets: targets, conns: map[net.Conn]struct{}{}}
	r.done.Add(1)
	go r.accept()
	t.Cleanup(func() {
		r.setCut(true)
		_ = l.Close() // ends accept
		r.done.Wait()
	})
	return r
}

func (r *relay) addr() string { return r.listener.Addr().String() }

// set replaces the targets.
func (r *relay) set(targets []target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.targets = targets
}

// setCut cuts all connections and takes no more, or takes them again.
func (r *relay) setCut(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	if cut {
		for c := range r.conns {
			_ = c.Close() // which is the purpose
		}
	}
}

func (r *relay) accept() {
	defer r.done.Done()
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.done.Add(1)
		go r.serve(c)
	}
}

// dial tries each target once, beginning with the one whose turn it is.
func (r *relay) dial() (net.Conn, error) {
	r.mu.Lock()
	targets := r.targets
	first := r.next
	r.next++
	cut := r.cut
	r.mu.Unlock()
	if cut {
		return nil, errors.New("cut")
	}
	err := errors.New("no target")
	for i := range targets {
		t := targets[(first+i)%len(targets)]
		var c net.Conn
		if c, err = net.Dial(t.network, t.addr); err == nil {
			return c, nil
		}
	}
	return nil, err
}

func (r *relay) serve(in net.Conn) {
	defer r.done.Done()
	defer in.Close()
	out, err := r.dial()
	if err != nil {
		return
	}
	defer out.Close()
	r.mu.Lock()
	if r.cut {
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
	var both sync.WaitGroup
	both.Add(2)
	forward := func(to, from net.Conn) {
		defer both.Done()
		_, _ = io.Copy(to, from) // the end of either is the end of both
		_ = to.Close()
		_ = from.Close()
	}
	go forward(out, in)
	forward(in, out)
	both.Wait()
}
