package job

import "errors"

// rehearsal is what a test may change while the service runs. Service.mu
// guards it.
type rehearsal struct {
	delays   Delays
	scarcity Scarcity
	failures int // jobs that are to fail
}

// errRehearsed fails a job because a test asked for it.
var errRehearsed = errors.New("a test asked for a failure")

// SetDelays says how long jobs accepted from now on wait.
func (s *Service) SetDelays(d Delays) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rehearsal.delays = d
}

// Delays returns how long jobs accepted now wait.
func (s *Service) Delays() Delays {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rehearsal.delays
}

// SetScarcity makes Expedited retrievals scarce from now on, or plentiful.
func (s *Service) SetScarcity(scarcity Scarcity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rehearsal.scarcity = scarcity
}

func (s *Service) scarcity() Scarcity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rehearsal.scarcity
}

// FailNext makes the next job that is run fail. Called twice, it makes two
// fail.
func (s *Service) FailNext() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rehearsal.failures++
}

// rehearsedFailure takes one of the failures asked for; nil if there is none.
func (s *Service) rehearsedFailure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rehearsal.failures == 0 {
		return nil
	}
	s.rehearsal.failures--
	return errRehearsed
}
