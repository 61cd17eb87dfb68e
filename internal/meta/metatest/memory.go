package metatest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"moraine"
	"moraine/internal/meta"
)

// Memory is a meta.Store on the model: rows in memory, as plain as can be. It is
// the reference that whole servers are compared with. Rows that no service makes
// it does not refuse.
type Memory struct {
	now  func() time.Time
	turn chan struct{} // holds one value while no Update runs

	mu     sync.Mutex // guards the rest
	rows   *model     // never changed once it is here
	closed bool
	active sync.WaitGroup // Add under mu, while open
}

// memoryTx is a transaction on the rows of a Memory, by its clock.
type memoryTx struct {
	*model
	now func() time.Time
}

func (t memoryTx) Time() (time.Time, error) { return t.now().UTC().Truncate(time.Millisecond), nil }

// NewMemory returns a store without rows, whose time is now's.
func NewMemory(now func() time.Time) *Memory {
	s := &Memory{now: now, turn: make(chan struct{}, 1), rows: newModel()}
	s.turn <- struct{}{}
	return s
}

func (s *Memory) enter() (*model, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, moraine.Errorf(moraine.Unavailable, "storage is closed")
	}
	s.active.Add(1)
	return s.rows, nil
}

// View implements meta.Store.
func (s *Memory) View(ctx context.Context, fn func(tx meta.Tx) error) error {
	rows, err := s.enter()
	if err != nil {
		return err
	}
	defer s.active.Done()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("view: %w", err)
	}
	return fn(memoryTx{rows, s.now})
}

// Update implements meta.Store. A copy of all rows is changed, and takes their
// place if fn succeeds.
func (s *Memory) Update(ctx context.Context, fn func(tx meta.Tx) error) error {
	if _, err := s.enter(); err != nil {
		return err
	}
	defer s.active.Done()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	select {
	case <-s.turn:
	case <-ctx.Done():
		return fmt.Errorf("update: %w", ctx.Err())
	}
	defer func() { s.turn <- struct{}{} }()
	s.mu.Lock()
	next := s.rows.clone()
	s.mu.Unlock()
	// What a job points to is changed in place by whoever reads it to change it.
	for id, j := range next.jobs {
		if j.Retrieval != nil {
			r := *j.Retrieval
			j.Retrieval = &r
		}
		if j.Inventory != nil {
			i := *j.Inventory
			j.Inventory = &i
		}
		next.jobs[id] = j
	}
	if err := fn(memoryTx{next, s.now}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = next
	return nil
}

// Close implements meta.Store.
func (s *Memory) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.active.Wait()
	return nil
}

var _ meta.Store = (*Memory)(nil)
