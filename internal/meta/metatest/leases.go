package metatest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"moraine/internal/meta"
)

var leaseTests = []test{
	{"one has it", in(testLease)},
	{"released", in(testLeaseReleased)},
	{"taken over", in(testLeaseTaken)},
	{"many ask", in(testLeaseRace)},
	{"time", in(testTime)},
}

func getLease(name string) func(tx meta.Tx) (meta.Lease, error) {
	return func(tx meta.Tx) (meta.Lease, error) { return tx.Leases().Get(name) }
}

// acquired fails the test unless asking for a lease gives l.
func acquired(t *testing.T, s meta.Store, owner string, now, until int, l meta.Lease) {
	t.Helper()
	update(t, s, func(tx meta.Tx) error {
		got, err := tx.Leases().Acquire(l.Name, owner, at(now), at(until))
		if diff := diff(l, got); diff != "" {
			t.Errorf("Acquire for %s at %d: want (-), got (+):\n%s", owner, now, diff)
		}
		return err
	})
	want(t, s, l, getLease(l.Name))
}

func testLease(t *testing.T, s meta.Store) {
	wantNone(t, s, getLease("sweep"))
	first := meta.Lease{Name: "sweep", Owner: "a", Number: 1, Until: at(20)}
	acquired(t, s, "a", 10, 20, first)
	acquired(t, s, "b", 10, 30, first) // refused
	acquired(t, s, "b", 19, 30, first)
	first.Until = at(25)
	acquired(t, s, "a", 15, 25, first) // renewed
	first.Until = at(18)
	acquired(t, s, "a", 16, 18, first) // also to end sooner
	acquired(t, s, "c", 16, 30, meta.Lease{Name: "scrub", Owner: "c", Number: 1, Until: at(30)})
	want(t, s, first, getLease("sweep"))
}

func testLeaseReleased(t *testing.T, s meta.Store) {
	l := meta.Lease{Name: "sweep", Owner: "a", Number: 1, Until: at(20)}
	release := func(l meta.Lease) {
		t.Helper()
		update(t, s, func(tx meta.Tx) error { return tx.Leases().Release(l) })
	}
	release(l) // there is none
	acquired(t, s, "a", 10, 20, l)
	other, old := l, l
	other.Owner, old.Number = "b", 0
	release(other)
	release(old)
	want(t, s, l, getLease("sweep"))
	release(l)
	free := l
	free.Until = time.Time{}
	want(t, s, free, getLease("sweep"))
	// The number goes on, also for the same owner: others may have had it.
	acquired(t, s, "a", 11, 20, meta.Lease{Name: "sweep", Owner: "a", Number: 2, Until: at(20)})
	release(l)
	want(t, s, meta.Lease{Name: "sweep", Owner: "a", Number: 2, Until: at(20)}, getLease("sweep"))
}

func testLeaseTaken(t *testing.T, s meta.Store) {
	acquired(t, s, "a", 10, 20, meta.Lease{Name: "sweep", Owner: "a", Number: 1, Until: at(20)})
	// It is over and nobody has taken it.
	acquired(t, s, "a", 50, 60, meta.Lease{Name: "sweep", Owner: "a", Number: 1, Until: at(60)})
	acquired(t, s, "b", 60, 70, meta.Lease{Name: "sweep", Owner: "b", Number: 2, Until: at(70)})
	acquired(t, s, "a", 60, 80, meta.Lease{Name: "sweep", Owner: "b", Number: 2, Until: at(70)})
	acquired(t, s, "a", 70, 80, meta.Lease{Name: "sweep", Owner: "a", Number: 3, Until: at(80)})
	// What a transaction that fails took it gives back.
	undone := errors.New("undone")
	err := s.Update(t.Context(), func(tx meta.Tx) error {
		_, err := tx.Leases().Acquire("sweep", "b", at(90), at(99))
		return errors.Join(err, undone)
	})
	if !errors.Is(err, undone) {
		t.Fatal(err)
	}
	want(t, s, meta.Lease{Name: "sweep", Owner: "a", Number: 3, Until: at(80)}, getLease("sweep"))
}

// testLeaseRace has many ask at the same time: one gets it, and all learn who.
func testLeaseRace(t *testing.T, s meta.Store) {
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	answers := make([]meta.Lease, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() {
			update(t, s, func(tx meta.Tx) (err error) {
				answers[i], err = tx.Leases().Acquire("sweep", name, at(10), at(20))
				return err
			})
		})
	}
	asking.Wait()
	for i := range names {
		if answers[i] != answers[0] || answers[i].Number != 1 {
			t.Fatalf("%s heard %+v, %s heard %+v", names[0], answers[0], names[i], answers[i])
		}
	}
}

// testTime asks for the time. It is about now in any store: none is made for
// the past.
func testTime(t *testing.T, s meta.Store) {
	const far = 24 * time.Hour
	now := func(tx meta.Tx) (time.Time, error) { return tx.Time() }
	a, err := read(t, s, now)
	if err != nil {
		t.Fatal(err)
	}
	if off := time.Since(a); off.Abs() > far || a.Location() != time.UTC || !a.Equal(a.Truncate(time.Millisecond)) {
		t.Errorf("the time is %v, %v off", a, off)
	}
	update(t, s, func(tx meta.Tx) error {
		b, err := tx.Time()
		if b.Before(a) {
			t.Errorf("the time ran from %v back to %v", a, b)
		}
		return err
	})
}

func (m *model) Leases() meta.Leases { return modelLeases{m} }

// Time of the model is nobody's: histories name their instants.
func (m *model) Time() (time.Time, error) { return epoch, nil }

type modelLeases struct{ *model }

func (m modelLeases) Get(name string) (meta.Lease, error) { return get(m.leases, name) }

func (m modelLeases) Acquire(name, owner string, now, until time.Time) (meta.Lease, error) {
	l, known := m.leases[name]
	if known && l.Owner != owner && l.Until.After(now) {
		return l, nil
	}
	if l.Owner != owner || l.Until.IsZero() {
		l.Number++
	}
	l.Name, l.Owner, l.Until = name, owner, until
	m.leases[name] = l
	return l, nil
}

func (m modelLeases) Release(l meta.Lease) error {
	row, known := m.leases[l.Name]
	if known && row.Owner == l.Owner && row.Number == l.Number {
		row.Until = time.Time{}
		m.leases[l.Name] = row
	}
	return nil
}
