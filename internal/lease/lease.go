// Package lease gives one process at a time the right to do a piece of work that
// all processes on the same rows could do.
//
// It knows the table of leases and how long one lasts. It must not know what is
// done under one.
//
// # Why it is safe
//
// A lease keeps work from being done twice at the same time. It is not what
// keeps the rows right: a process may stall for any time between looking at its
// lease and acting, and no clock helps against that. So whoever acts looks once
// more in the transaction that acts, which the store puts in one order with the
// transaction in which another took the lease. A process that lost its lease
// learns it there, and nothing of what it wanted to write remains.
//
// All processes go by one clock, that of the store. A clock that runs wrong, or
// jumps, makes a lease end early or late: work is then begun twice or begins
// late, and the look in the transaction decides whose counts.
package lease

import (
	"context"
	"errors"
	"sync"
	"time"

	"moraine/internal/meta"
)

// Time is how long a lease lasts: a process that dies keeps others from its work
// no longer. It is renewed when a third of that is over.
const Time = 30 * time.Second

// ErrElsewhere says that another process has the lease, or has had it since.
var ErrElsewhere = errors.New("another process has the lease")

// Lease is a right that this process may ask for. A nil Lease is always given:
// there are no other processes. Its methods may be called at the same time.
type Lease struct {
	rows        meta.Store
	name, owner string
}

// New returns the lease of a name for a process, whose name is never reused.
func New(rows meta.Store, name, owner string) *Lease {
	return &Lease{rows: rows, name: name, owner: owner}
}

// Free is ErrElsewhere while another has the lease. It is for a transaction that
// may have to Enter later, and would have worked in vain.
func (l *Lease) Free(tx meta.Tx) error {
	if l == nil {
		return nil
	}
	now, err := tx.Time()
	if err != nil {
		return err
	}
	row, err := tx.Leases().Get(l.name)
	switch {
	case errors.Is(err, meta.ErrNotFound):
		return nil
	case err == nil && row.Owner != l.owner && row.Until.After(now):
		return ErrElsewhere
	}
	return err
}

// Enter takes or renews the lease in the transaction that does the work, for
// work that is done when it commits. If another has it, the error is
// ErrElsewhere, and the transaction must fail.
func (l *Lease) Enter(tx meta.Tx) error {
	if l == nil {
		return nil
	}
	_, err := l.acquire(tx)
	return err
}

func (l *Lease) acquire(tx meta.Tx) (meta.Lease, error) {
	now, err := tx.Time()
	if err != nil {
		return meta.Lease{}, err
	}
	got, err := tx.Leases().Acquire(l.name, l.owner, now, now.Add(Time))
	if err == nil && got.Owner != l.owner {
		err = ErrElsewhere
	}
	return got, err
}

// Take takes the lease for work that takes longer than a transaction. If another
// has it, the error is ErrElsewhere, and nothing was written.
func (l *Lease) Take(ctx context.Context) (*Held, error) {
	h := &Held{of: l, renewed: time.Now()}
	if l == nil {
		return h, nil
	}
	if err := l.rows.View(ctx, l.Free); err != nil {
		return nil, err
	}
	// The lease is durable with this commit. A crash on the next line keeps the
	// work waiting until it is over.
	err := l.rows.Update(ctx, func(tx meta.Tx) (err error) {
		h.got, err = l.acquire(tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// Held is a lease that was taken. Its methods may be called at the same time.
type Held struct {
	of  *Lease
	got meta.Lease

	mu      sync.Mutex // guards renewed
	renewed time.Time  // by the clock of the process that nobody can set
}

// Check looks, in a transaction that acts, whether the lease was held all the
// time since it was taken. Else the error is ErrElsewhere, and the transaction
// must fail.
func (h *Held) Check(tx meta.Tx) error {
	if h.of == nil {
		return nil
	}
	row, err := tx.Leases().Get(h.of.name)
	if err == nil && (row.Owner != h.got.Owner || row.Number != h.got.Number || row.Until.IsZero()) {
		err = ErrElsewhere
	}
	return err
}

// Keep renews the lease if a third of it is over, and costs nothing before. It
// is called now and then during long work, which ends if the lease was lost:
// then the error is ErrElsewhere.
func (h *Held) Keep(ctx context.Context) error {
	if h.of == nil || !h.due() {
		return ctx.Err()
	}
	began := time.Now()
	err := h.of.rows.Update(ctx, func(tx meta.Tx) error {
		if err := h.Check(tx); err != nil {
			return err
		}
		_, err := h.of.acquire(tx)
		return err
	})
	if err == nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.renewed = began
	}
	return err
}

func (h *Held) due() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Since(h.renewed) >= Time/3
}

// Release gives the lease back, so that nobody has to wait until it is over. If
// that fails somebody has to.
func (h *Held) Release(ctx context.Context) error {
	if h.of == nil {
		return nil
	}
	return h.of.rows.Update(context.WithoutCancel(ctx), func(tx meta.Tx) error { return tx.Leases().Release(h.got) })
}
