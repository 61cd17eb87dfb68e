package lease_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"moraine/internal/housetest"
	"moraine/internal/lease"
	"moraine/internal/meta"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func elsewhere(t *testing.T, when string, err error) {
	t.Helper()
	if !errors.Is(err, lease.ErrElsewhere) {
		t.Fatalf("%s: %v, want that it is elsewhere", when, err)
	}
}

func take(t *testing.T, l *lease.Lease) *lease.Held {
	t.Helper()
	h, err := l.Take(t.Context())
	must(t, err)
	return h
}

// TestStall has a process sleep through its lease. Another does the work
// meanwhile, and the first one learns that when it wants to act, whether the
// other still has the lease or gave it back.
func TestStall(t *testing.T) {
	for _, released := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			rows := housetest.Rows(t)
			a, b := lease.New(rows, "work", "a"), lease.New(rows, "work", "b")
			first := take(t, a)
			must(t, rows.View(t.Context(), first.Check))
			_, err := b.Take(t.Context())
			elsewhere(t, "b asks while a has it", err)
			elsewhere(t, "b enters while a has it", rows.Update(t.Context(), b.Enter))

			<-time.After(lease.Time) // by the time of the bubble, in which a sleeps
			must(t, rows.Update(t.Context(), first.Check))
			second := take(t, b)
			if released {
				must(t, second.Release(t.Context()))
			}
			elsewhere(t, "a acts", rows.Update(t.Context(), first.Check))
			elsewhere(t, "a renews", first.Keep(t.Context()))
			must(t, first.Release(t.Context())) // of what it lost: nothing happens
			if !released {
				must(t, rows.View(t.Context(), second.Check))
				return
			}
			// To have it again is not to have had it all the time.
			third := take(t, a)
			elsewhere(t, "a acts on what it began before", rows.Update(t.Context(), first.Check))
			must(t, rows.Update(t.Context(), third.Check))
		})
	}
}

// TestKeep holds a lease for long, renewing it now and then.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := housetest.Rows(t)
		a, b := lease.New(rows, "work", "a"), lease.New(rows, "work", "b")
		h := take(t, a)
		before := rows.Commits()
		must(t, h.Keep(t.Context()))
		if n := rows.Commits() - before; n != 0 {
			t.Errorf("a renewal that is not due made %d commits", n)
		}
		for range 20 {
			<-time.After(lease.Time / 2)
			must(t, h.Keep(t.Context()))
			_, err := b.Take(t.Context())
			elsewhere(t, "b asks", err)
		}
		must(t, rows.Update(t.Context(), h.Check))
		must(t, h.Release(t.Context()))
		must(t, rows.Update(t.Context(), b.Enter))
	})
}

// TestRefused writes nothing when another has the lease, and undoes what was
// written in a transaction that then found it elsewhere.
func TestRefused(t *testing.T) {
	t.Parallel()
	rows := housetest.Rows(t)
	a, b := lease.New(rows, "work", "a"), lease.New(rows, "work", "b")
	take(t, a)
	before := rows.Commits()
	if _, err := b.Take(t.Context()); err == nil || rows.Commits() != before {
		t.Errorf("refused with %v and %d commits", err, rows.Commits()-before)
	}
	other := lease.New(rows, "trace", "b")
	elsewhere(t, "b works", rows.Update(t.Context(), func(tx meta.Tx) error {
		return errors.Join(other.Enter(tx), b.Enter(tx))
	}))
	must(t, rows.View(t.Context(), func(tx meta.Tx) error {
		if _, err := tx.Leases().Get("trace"); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("what was written remains: %v", err)
		}
		return nil
	}))
}

// TestNobodyElse is the lease of a process that is alone.
func TestNobodyElse(t *testing.T) {
	t.Parallel()
	var l *lease.Lease
	must(t, l.Enter(nil))
	h := take(t, l)
	must(t, errors.Join(h.Check(nil), h.Keep(t.Context()), h.Release(t.Context())))
}
