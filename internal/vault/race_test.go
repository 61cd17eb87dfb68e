package vault_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moraine"
	"moraine/internal/meta/metatest"
)

// TestInitiateRace is L12.
func TestInitiateRace(t *testing.T) {
	t.Parallel()
	h := newV1(t)
	var won, lost atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			switch _, err := h.initiate(w1); {
			case err == nil:
				won.Add(1)
			case moraine.IsKind(err, moraine.Locked):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 99 {
		t.Errorf("%d of 100 initiated the lock, %d were told it is in progress", won.Load(), lost.Load())
	}
}

// TestCompleteAbortRace lets a completion and an abort race: one wins.
func TestCompleteAbortRace(t *testing.T) {
	t.Parallel()
	h := newV1(t)
	for range 20 {
		h.must(h.DeleteVault(t.Context(), h.call, "v1"))
		h.create("v1")
		id := h.mustInitiate(w1)
		var completed, aborted error
		var wg sync.WaitGroup
		wg.Go(func() { completed = h.completeLock(id) })
		wg.Go(func() { aborted = h.AbortVaultLock(t.Context(), h.call, "v1") })
		wg.Wait()
		if (completed == nil) == (aborted == nil) {
			t.Fatalf("complete: %v, abort: %v", completed, aborted)
		}
	}
}

// race is what came of deletions that ran beside a change.
type race struct {
	turns   []int64 // in which each deletion took effect, 0 if it was refused
	change  int64   // turn of the change
	refused error   // of the change
}

// race lets bob delete archives from eight goroutines, each archive once. When a
// third of them is tried, change runs, and beside, if not nil, at the same time.
// Whatever the change is, a deletion that is refused leaves the archive, one that
// is not takes it away, and none that begins after the change was acknowledged
// is to succeed.
func (h *house) race(archives int, change func(ctx context.Context) error, beside func()) race {
	h.t.Helper()
	var ids []moraine.ArchiveID
	for range archives {
		ids = append(ids, h.mustUpload("v1", []byte("a")).ID)
	}
	h.rows.Store = &metatest.Ordered{Store: h.rows.Store}
	r := race{turns: make([]int64, archives)}
	var acknowledged atomic.Bool
	var wg sync.WaitGroup
	work := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range work {
				late := acknowledged.Load()
				err := h.DeleteArchive(metatest.Turn(h.t.Context(), &r.turns[i]), h.as("bob"), "v1", ids[i])
				switch {
				case err == nil && late:
					h.t.Errorf("deletion %d began after the change was acknowledged, and succeeded", i)
				case err != nil && !moraine.IsKind(err, moraine.Denied):
					h.t.Error(err)
				}
				if err != nil {
					r.turns[i] = 0
				}
				if gone := !h.exists(ids[i]); gone != (err == nil) {
					h.t.Errorf("archive %d is deleted: %v, answer %v", i, gone, err)
				}
			}
		})
	}
	for i := range ids {
		if i == archives/3 {
			wg.Go(func() {
				r.refused = change(metatest.Turn(h.t.Context(), &r.change))
				acknowledged.Store(r.refused == nil)
			})
			if beside != nil {
				wg.Go(beside)
			}
		}
		work <- i
	}
	close(work)
	wg.Wait()
	d, err := h.DescribeVault(h.t.Context(), h.call, "v1")
	if err != nil || d.Figures.Archives != int64(archives-r.deleted()) {
		h.t.Errorf("%d archives left of %d after %d deletions, %v", d.Figures.Archives, archives, r.deleted(), err)
	}
	return r
}

// deleted counts the deletions that succeeded.
func (r *race) deleted() (n int) {
	for _, turn := range r.turns {
		if turn > 0 {
			n++
		}
	}
	return n
}

// TestDeleteRaces is L13 and its kin: deletions race with a change that forbids
// them. Each that succeeds took effect before the change.
func TestDeleteRaces(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before func(h *house)
		forbid func(ctx context.Context, h *house) error
	}{
		"lock": {nil, func(ctx context.Context, h *house) error {
			_, err := h.InitiateVaultLock(ctx, h.call, "v1", text(w1))
			return err
		}},
		"access policy": {nil, func(ctx context.Context, h *house) error {
			return h.SetVaultAccessPolicy(ctx, h.call, "v1", text(w1))
		}},
		"access policy in place of another": {
			func(h *house) { h.must(h.SetVaultAccessPolicy(h.t.Context(), h.call, "v1", text(w2))) },
			func(ctx context.Context, h *house) error {
				return h.SetVaultAccessPolicy(ctx, h.call, "v1", text(w1))
			},
		},
		"legal hold": {
			func(h *house) { h.mustLock(w2) },
			func(ctx context.Context, h *house) error {
				hold := func() ([]moraine.Tag, error) { return []moraine.Tag{{Key: "LegalHold", Value: "true"}}, nil }
				return h.AddTagsToVault(ctx, h.call, "v1", hold)
			},
		},
		"legal hold in place of none": {
			func(h *house) {
				h.mustLock(w2)
				h.must(h.tag(h.call, "LegalHold", "no"))
			},
			func(ctx context.Context, h *house) error {
				hold := func() ([]moraine.Tag, error) { return []moraine.Tag{{Key: "LegalHold", Value: "yes"}}, nil }
				return h.AddTagsToVault(ctx, h.call, "v1", hold)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newV1(t)
			if c.before != nil {
				c.before(h)
			}
			r := h.race(60, func(ctx context.Context) error { return c.forbid(ctx, h) }, nil)
			h.must(r.refused)
			for i, turn := range r.turns {
				if turn > r.change {
					t.Errorf("deletion %d took effect in turn %d, after it was forbidden in turn %d", i, turn, r.change)
				}
			}
			if n := r.deleted(); n == 0 || n == len(r.turns) {
				t.Logf("%d of %d deletions were early: no race", n, len(r.turns))
			}
		})
	}
}

// TestCompletionRaces lets the completion of a lock race with deletions that the
// lock in progress forbids, and with what would end that lock: its window and an
// abort. A completion that is acknowledged finds every archive there; nothing
// slips through between the two states.
func TestCompletionRaces(t *testing.T) {
	t.Parallel()
	for name, beside := range map[string]func(h *house){
		"nothing else": nil,
		"end of the window": func(h *house) {
			for range 6 {
				h.advance(time.Millisecond)
			}
		},
		"abort": func(h *house) {
			if err := h.AbortVaultLock(h.t.Context(), h.call, "v1"); err != nil && !moraine.IsKind(err, moraine.Locked) {
				h.t.Error(err)
			}
		},
	} {
		for round := range 8 {
			t.Run(fmt.Sprint(name, " ", round), func(t *testing.T) {
				t.Parallel()
				h := newV1(t)
				id := h.mustInitiate(w1)
				h.advance(moraine.LockWindow - 3*time.Millisecond)
				var other func()
				if beside != nil {
					other = func() { beside(h) }
				}
				r := h.race(30, func(ctx context.Context) error { return h.CompleteVaultLock(ctx, h.call, "v1", id) }, other)
				switch {
				case r.refused == nil:
					if n := r.deleted(); n != 0 {
						t.Errorf("the lock was completed, and %d archives it retains were deleted", n)
					}
					h.wantLock(moraine.LockLocked)
				case beside == nil || !moraine.IsKind(r.refused, moraine.NotFound):
					t.Errorf("the completion: %v", r.refused)
				default:
					t.Logf("the lock was over before the completion; %d deletions", r.deleted())
					h.wantLock("")
				}
			})
		}
	}
}

// TestChangeKeepsDenying goes round and round through changes of which each
// leaves the deletion forbidden, by one document or another: none slips through.
func TestChangeKeepsDenying(t *testing.T) {
	t.Parallel()
	always := document(deny(`"glacier:DeleteArchive"`, ""))
	set := func(p string) func(h *house) error {
		return func(h *house) error { return h.SetVaultAccessPolicy(h.t.Context(), h.call, "v1", text(p)) }
	}
	tag := func(value string) func(h *house) error {
		return func(h *house) error { return h.tag(h.call, "LegalHold", value) }
	}
	untag := func(h *house) error { return h.remove([]string{"LegalHold"}) }
	unset := func(h *house) error { return h.DeleteVaultAccessPolicy(h.t.Context(), h.call, "v1") }
	lock := func(h *house) error { _, err := h.initiate(w2); return err }
	abort := func(h *house) error { return h.AbortVaultLock(h.t.Context(), h.call, "v1") }
	for name, c := range map[string]struct {
		before, round []func(h *house) error
	}{
		"access policies": {[]func(*house) error{set(w1)}, []func(*house) error{set(always), set(w1)}},
		"legal holds":     {[]func(*house) error{lock, tag("true")}, []func(*house) error{tag("yes"), tag("")}},
		"policy to hold":  {[]func(*house) error{lock, set(always)}, []func(*house) error{tag("true"), unset, set(w1), untag}},
		"policy to lock":  {[]func(*house) error{tag("true"), set(always)}, []func(*house) error{lock, unset, set(always), abort}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newV1(t)
			a := h.mustUpload("v1", []byte("a"))
			for _, step := range c.before {
				h.must(step(h))
			}
			var over atomic.Bool
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for !over.Load() {
						if err := h.DeleteArchive(t.Context(), h.call, "v1", a.ID); !moraine.IsKind(err, moraine.Denied) {
							t.Errorf("DeleteArchive: %v", err)
							return
						}
					}
				})
			}
			for range 15 {
				for _, step := range c.round {
					if err := step(h); err != nil {
						t.Error(err)
					}
				}
			}
			over.Store(true)
			wg.Wait()
			if !h.exists(a.ID) {
				t.Error("the archive is gone")
			}
		})
	}
}
