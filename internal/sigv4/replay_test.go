package sigv4_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"moraine/internal/sigv4"
)

// signedAs is a verified request with the n-th signature.
func signedAs(n int) *sigv4.Result {
	return &sigv4.Result{KeyID: "AKIAIOSFODNN7EXAMPLE", Signature: fmt.Sprintf("%016x%048x", uint64(n)*0x9e3779b97f4a7c15, n)}
}

func TestReplays(t *testing.T) {
	t.Parallel()
	now := time.Date(2024, 3, 15, 12, 0, 0, 0, time.UTC)
	for _, enforce := range []bool{false, true} {
		r := sigv4.NewReplays(enforce, func() time.Time { return now })
		note := func(when string, n int, once, wantSeen, wantRefused bool) {
			t.Helper()
			seen, err := r.Note(signedAs(n), once)
			var refusal *sigv4.Error
			refused := errors.As(err, &refusal) && refusal.Row == "A20"
			if seen != wantSeen || refused != wantRefused || refused != (err != nil) {
				t.Errorf("enforce %v, %s: seen %v, %v", enforce, when, seen, err)
			}
		}
		note("first", 1, true, false, false)
		note("another", 2, true, false, false)
		note("again, not completed", 1, true, true, false)
		r.Completed(signedAs(1))
		note("again, completed", 1, true, true, enforce)
		note("again, harmless", 1, false, true, false)
		now = now.Add(9 * time.Minute)
		note("nine minutes later", 1, true, true, enforce)
		now = now.Add(2 * time.Minute)
		note("in the next generation", 1, true, true, enforce)
		now = now.Add(11 * time.Minute)
		note("still asked for", 1, true, true, enforce)
		now = now.Add(20 * time.Minute)
		note("nobody asked", 1, true, false, false)
		note("nor for the other", 2, true, false, false)
	}
}

// TestReplaysNil checks that no memory is no hindrance.
func TestReplaysNil(t *testing.T) {
	t.Parallel()
	var r *sigv4.Replays
	r.Completed(signedAs(1))
	if seen, err := r.Note(signedAs(1), true); seen || err != nil {
		t.Errorf("seen %v, %v", seen, err)
	}
}

// TestReplaysBound notes far more requests than are remembered: memory does not
// grow, and the latest quarter of a million is known.
func TestReplaysBound(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r := sigv4.NewReplays(true, nil)
	const all, kept = 600_000, 240_000
	for n := range all {
		if seen, _ := r.Note(signedAs(n), true); seen {
			t.Fatalf("%d was seen", n)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 24<<20 {
		t.Errorf("%d MiB are held", grown>>20)
	}
	for n := all - kept; n < all; n++ {
		if seen, _ := r.Note(signedAs(n), true); !seen {
			t.Fatalf("%d of %d is forgotten", n, all)
		}
	}
	if seen, _ := r.Note(signedAs(1), true); seen {
		t.Error("the first is remembered")
	}
}

func TestReplaysConcurrent(t *testing.T) {
	t.Parallel()
	r := sigv4.NewReplays(false, nil)
	var callers sync.WaitGroup
	var mu sync.Mutex // guards fresh
	fresh := 0
	for range 8 {
		callers.Go(func() {
			for n := range 2000 {
				if seen, _ := r.Note(signedAs(n), true); !seen {
					mu.Lock()
					fresh++
					mu.Unlock()
				}
				r.Completed(signedAs(n))
			}
		})
	}
	callers.Wait()
	if fresh != 2000 {
		t.Errorf("%d requests were the first of their signature, want 2000", fresh)
	}
}
