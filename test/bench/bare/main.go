// Command bare is a yardstick for the benchmark: the least a server on net/http
// does that hashes what it is sent once and has it on the disk before it
// answers. It checks no signature and keeps no row, so it shows what the machine
// could do, not what a service could.
//
//	bare -listen 127.0.0.1:0 -file FILE
//
// A PUT or POST of up to 16 MiB is appended to the file, in groups with one
// fdatasync each; its x-amz-content-sha256 must match. A GET gives the whole file
// back; Range is heeded.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// bodyMax is the largest body, and groupMax how much one group holds unless a
// single body is larger.
const (
	bodyMax  = 16 << 20
	groupMax = 64 << 20
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address")
	file := flag.String("file", "", "file to append to")
	flag.Parse()
	if err := run(*listen, *file); err != nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func run(listen, name string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	a := &appender{file: f, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go a.run()
	s := &http.Server{Handler: &handler{log: a, name: name}, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err = <-served:
	case <-ctx.Done():
		err = errors.Join(s.Close(), ignore(<-served))
	}
	a.close()
	return err
}

func ignore(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

type handler struct {
	log     *appender
	name    string    // of the file
	buffers sync.Pool // of *[]byte
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		http.ServeFile(w, r, h.name)
		return
	}
	size := r.ContentLength
	if size < 0 || size > bodyMax {
		http.Error(w, "size", http.StatusBadRequest)
		return
	}
	buf, _ := h.buffers.Get().(*[]byte)
	if buf == nil || int64(cap(*buf)) < size {
		buf = new(make([]byte, size))
	}
	defer h.buffers.Put(buf)
	body := (*buf)[:size]
	if _, err := io.ReadFull(r.Body, body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != r.Header.Get("X-Amz-Content-Sha256") {
		http.Error(w, "hash", http.StatusBadRequest)
		return
	}
	if err := h.log.append(body); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

// appender writes bodies to the end of a file, a group at a time.
type appender struct {
	file *os.File
	wake chan struct{} // a body waits; holds one signal
	done chan struct{} // run has ended
	end  int64         // of the file; run owns it

	mu      sync.Mutex
	waiting []*entry // guarded by mu
	closed  bool     // guarded by mu
}

type entry struct {
	body []byte
	err  error
	done chan struct{} // closed when err is set
}

// append returns when the body is on the disk.
func (a *appender) append(body []byte) error {
	e := &entry{body: body, done: make(chan struct{})}
	a.mu.Lock()
	a.waiting = append(a.waiting, e)
	a.mu.Unlock()
	a.signal()
	<-e.done
	return e.err
}

func (a *appender) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *appender) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.signal()
	<-a.done
}

func (a *appender) run() {
	defer close(a.done)
	for range a.wake {
		for {
			group, closed := a.take()
			if len(group) == 0 {
				if closed {
					return
				}
				break
			}
			err := a.commit(group)
			for _, e := range group {
				e.err = err
				close(e.done)
			}
		}
	}
}

// take removes the next group from those that wait.
func (a *appender) take() ([]*entry, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, size := 0, 0
	for n < len(a.waiting) && (n == 0 || size+len(a.waiting[n].body) <= groupMax) {
		size += len(a.waiting[n].body)
		n++
	}
	group := a.waiting[:n:n]
	a.waiting = a.waiting[n:]
	return group, a.closed
}

// commit writes a group and syncs once. After it the group is on the disk.
func (a *appender) commit(group []*entry) error {
	if err := writeAll(a.file, group, a.end); err != nil {
		return err
	}
	for _, e := range group {
		a.end += int64(len(e.body))
	}
	return syncFile(a.file)
}
