package metatest

import (
	"context"
	"errors"
	"sync"

	"moraine"
	"moraine/internal/meta"
)

// Fault is what becomes of a commit that is reported as failed.
type Fault string

// The two faults every durable write is tested with.
const (
	Lost Fault = "lost" // nothing of it remains
	Kept Fault = "kept" // it took effect all the same
)

// Faults wraps a store and fails commits on demand. Tests of services use it;
// what an engine does when its commit fails is the engine's own test.
type Faults struct {
	meta.Store

	mu     sync.Mutex    // guards what follows
	fault  Fault         // "" for none
	pass   int           // Updates that are let through first
	failed chan struct{} // closed when the fault has happened
}

// ErrInjected is the cause of a commit that Faults failed.
var ErrInjected = errors.New("injected")

// Fail fails one Update after letting pass others through, and returns a
// channel that is closed when its outcome is settled. An Update whose function
// fails by itself counts, too.
func (f *Faults) Fail(fault Fault, pass int) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.pass, f.failed = fault, pass, make(chan struct{})
	return f.failed
}

// next takes the fault of an Update that begins, and the channel to close.
func (f *Faults) next() (Fault, chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fault == "" {
		return "", nil
	}
	if f.pass > 0 {
		f.pass--
		return "", nil
	}
	fault := f.fault
	f.fault = ""
	return fault, f.failed
}

// Update implements meta.Store.
func (f *Faults) Update(ctx context.Context, fn func(meta.Tx) error) error {
	fault, failed := f.next()
	if fault == "" {
		return f.Store.Update(ctx, fn)
	}
	defer close(failed)
	err := f.Store.Update(ctx, func(tx meta.Tx) error {
		if err := fn(tx); err != nil || fault == Kept {
			return err
		}
		return ErrInjected
	})
	if err != nil && !errors.Is(err, ErrInjected) {
		return err
	}
	return moraine.Wrap(ErrInjected, moraine.Unavailable, "the commit failed")
}

var _ meta.Store = (*Faults)(nil)
