package load_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"moraine/test/internal/load"
)

// TestRun sends bodies of both kinds, copied and sent from the file, to a server
// that hashes them, and has the server answer with bodies of its own.
func TestRun(t *testing.T) {
	t.Parallel()
	c := corpus(t, 4<<20)
	for _, row := range []struct {
		name        string
		size, reply int64
		conns       int
		header      string // of every reply
		discard     bool
	}{
		{"small", 4096, 0, 8, "", false},
		{"copied in pieces", 128 << 10, 10, 4, "", false},
		{"from the file", 3 << 20, 1_000_000, 3, "", false},
		{"discarded", 8, 1_000_000, 3, "", true},
		{"ending connections", 4096, 10, 4, "close", false},
		{"stamp alone", 8, 0, 1, "", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			const count = 50
			var mu sync.Mutex
			seen := make(map[string]bool)
			addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
				sum := sha256.New()
				n, err := io.Copy(sum, r.Body)
				got := hex.EncodeToString(sum.Sum(nil))
				if err != nil || n != row.size || got != r.Header.Get("X-Hash") {
					t.Errorf("%s: %d bytes, %v, with the hash %s, want %d with %s", r.URL, n, err, got, row.size, r.Header.Get("X-Hash"))
				}
				mu.Lock()
				seen[got] = true
				mu.Unlock()
				w.Header().Set("Connection", row.header)
				w.Header().Set("Content-Length", strconv.FormatInt(row.reply, 10))
				_, _ = w.Write(make([]byte, row.reply)) // the client tells
			})
			bodies := c.Bodies(count, row.size)
			done := make([]bool, count)
			s := load.NewSigner("key", "secret", "region", "service")
			got, err := c.Run(t.Context(), load.Job{
				Addr: addr, Conns: row.conns, Count: count, Want: 200, Discard: row.discard,
				Next: func(_, i int, head []byte, now time.Time) ([]byte, *load.Body) {
					b := &bodies[i]
					return s.Append(head, &load.Head{
						Method: "PUT", Path: "/", Host: addr, Hash: b.Linear, Length: b.Size,
						Plain: []load.Field{{Name: "x-hash", Value: b.Linear}},
					}, now), b
				},
				Done: func(i int, _ *load.Reply) error { done[i] = true; return nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if got.Ops() != count || got.Sent != count*row.size || got.Received != count*row.reply || len(seen) != count {
				t.Errorf("%d requests, %d bytes sent, %d received, %d different bodies, want %d, %d, %d, %[5]d",
					got.Ops(), got.Sent, got.Received, len(seen), count, count*row.size, count*row.reply)
			}
			for i, d := range done {
				if !d {
					t.Errorf("request %d was not reported", i)
				}
			}
		})
	}
}

// TestRunFails has servers that do not answer as they should.
func TestRunFails(t *testing.T) {
	t.Parallel()
	c := corpus(t, 1<<20)
	for name, row := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		want   string
	}{
		"refusal": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no room", http.StatusInsufficientStorage) }, "no room"},
		"hang up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "ended the connection"},
		"chunked": {func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() }, "Transfer-Encoding"},
		"silence": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "nothing happened"},
		"cut body": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			panic(http.ErrAbortHandler)
		}, "ended the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, row.answer)
			s := load.NewSigner("key", "secret", "region", "service")
			_, err := c.Run(t.Context(), load.Job{
				Addr: addr, Conns: 2, Count: 4, Want: 200, Idle: 200 * time.Millisecond,
				Next: func(_, _ int, head []byte, now time.Time) ([]byte, *load.Body) {
					return s.Append(head, &load.Head{Method: "GET", Path: "/", Host: addr, Length: -1}, now), nil
				},
			})
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("got %v, want an error with %q", err, row.want)
			}
		})
	}
}

// TestRunBounds ends a job by time, by bytes and by its context.
func TestRunBounds(t *testing.T) {
	t.Parallel()
	c := corpus(t, 1<<20)
	addr := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1000)) })
	s := load.NewSigner("key", "secret", "region", "service")
	job := load.Job{Addr: addr, Conns: 2, Want: 200, Next: func(_, _ int, head []byte, now time.Time) ([]byte, *load.Body) {
		return s.Append(head, &load.Head{Method: "GET", Path: "/", Host: addr, Length: -1}, now), nil
	}}
	timed := job
	timed.Duration = 50 * time.Millisecond
	if got, err := c.Run(t.Context(), timed); err != nil || got.Ops() == 0 || got.Elapsed < timed.Duration {
		t.Errorf("by time: %d requests in %v, %v", got.Ops(), got.Elapsed, err)
	}
	sized := job
	sized.Bytes = 10_000
	if got, err := c.Run(t.Context(), sized); err != nil || got.Received < 10_000 || got.Received > 11_000 {
		t.Errorf("by bytes: %d received, %v", got.Received, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Run(ctx, job); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("by context: %v", err)
	}
}

func serve(t *testing.T, answer func(http.ResponseWriter, *http.Request)) (addr string) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(answer))
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Listener = l
	s.Start()
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	return l.Addr().String()
}

func corpus(t *testing.T, size int64) *load.Corpus {
	t.Helper()
	c, err := load.NewCorpus(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
