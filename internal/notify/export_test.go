package notify

import (
	"context"
	"sync"
)

// Backoff is how long to wait after a number of failed attempts.
var Backoff = backoff

// The bounds of the engine.
const (
	TriesTime = triesTime
	LeaseTime = leaseTime
	LaneMax   = laneMax
	QueueMax  = queueMax
	PutOffMax = putOffMax
)

// Dispatch takes messages that are due and begins attempts.
func (s *Service) Dispatch(ctx context.Context, attempts *sync.WaitGroup) (int, error) {
	return s.dispatch(ctx, attempts)
}

// Deliver takes messages that are due once, waits for the attempts it begins,
// and returns how many it took.
func (s *Service) Deliver(ctx context.Context) (int, error) {
	var attempts sync.WaitGroup
	n, err := s.dispatch(ctx, &attempts)
	attempts.Wait()
	return n, err
}
