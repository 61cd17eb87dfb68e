package server

import (
	"context"
	"net/http"
	"sync"
)

// inflight counts requests under way, so that stores are closed after the last
// one let go of them even when its connection was cut.
type inflight struct {
	mu     sync.Mutex // guards n and closed
	n      int
	closed bool
	idle   chan struct{} // closed when closed is set and n is zero
}

func newInflight() *inflight { return &inflight{idle: make(chan struct{})} }

// wrap counts the requests that next handles.
func (f *inflight) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !f.enter() {
			panic(http.ErrAbortHandler) // the connection is being cut anyway
		}
		defer f.leave()
		next.ServeHTTP(w, r)
	})
}

func (f *inflight) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.n++
	return true
}

func (f *inflight) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n--
	f.signal()
}

// close lets no more requests in and waits for those under way.
func (f *inflight) close(ctx context.Context) error {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		f.signal()
	}
	f.mu.Unlock()
	select {
	case <-f.idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// signal must be called with mu held.
func (f *inflight) signal() {
	if f.closed && f.n == 0 {
		close(f.idle)
	}
}
