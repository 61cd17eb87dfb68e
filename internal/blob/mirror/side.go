package mirror

import (
	"sync"
	"time"

	"moraine"
	"moraine/internal/blob"
)

// Copy is what a mirror needs of a store.
type Copy interface {
	blob.Store
	blob.Walker
	blob.Checker
	blob.Stater
}

// awayTime is how long a store that failed a put is passed over when one copy
// is enough. It is a span, so it goes by the process's own clock and no other.
const awayTime = 15 * time.Second

// side is one of the stores and what is known of its health.
type side struct {
	Copy
	index int

	mu     sync.Mutex // guards the rest
	until  time.Time  // away until then; zero: well
	why    error      // the last failure, nil since the last success
	trying bool       // a put finds out whether it is back
	hung   int        // puts that were left behind and have not returned
}

func (s *side) place() string { return places[s.index] }

// state is nil if nothing speaks against asking this side first, else why not.
func (s *side) state() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hung <= 0 && !time.Now().Before(s.until) {
		return nil
	}
	return s.why
}

// failure is why the last put failed, nil if it did not.
func (s *side) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// stuck is an error of kind Unavailable while the side has calls that do not
// return: one more would not either.
func (s *side) stuck() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hung <= 0 {
		return nil
	}
	return moraine.Wrap(s.why, moraine.Unavailable, "the %s copy does not answer", s.place())
}

// enter reports whether a put that can do without this side shall use it. After
// it was away one put at a time does, which is its trial.
func (s *side) enter() (use, trial bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hung > 0 || s.trying || time.Now().Before(s.until) {
		return false, false
	}
	s.trying = !s.until.IsZero()
	return true, s.trying
}

// worked notes that a put succeeded.
func (s *side) worked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hung <= 0 {
		s.until, s.why = time.Time{}, nil
	}
}

// failed notes that a put failed through the fault of the store.
func (s *side) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until, s.why = time.Now().Add(awayTime), err
}

// leave ends a put that entered.
func (s *side) leave(trial bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if trial {
		s.trying = false
	}
}

// left notes that a put is left behind; back, that it returned, which may be
// noted first.
func (s *side) left(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until, s.why = time.Now().Add(awayTime), err
	s.hung++
}

func (s *side) back() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hung--
}
