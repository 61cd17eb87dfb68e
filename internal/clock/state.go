package clock

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// State is what of a clock outlives a process.
type State struct {
	Mark    time.Time     // the newest time used; zero: none yet
	Ahead   time.Duration // how far the clock was moved, in test mode
	Spent   time.Duration // of the trust: proved time until all of it is back
	Pending Jump          // waits for an operator; zero: none
}

// Jump is a step of the system clock.
type Jump struct {
	From time.Time // the time when it was found
	To   time.Time // the system clock then; of a pending jump whole seconds, its name
}

// IsZero reports whether there is no jump.
func (j Jump) IsZero() bool { return j.To.IsZero() }

// off is how far the system clock is from where it would be if it had gone on
// from the jump as the held time did.
func (j Jump) off(now, wall time.Time) time.Duration {
	return wall.Sub(j.To.Add(now.Sub(j.From)))
}

// The words that begin the lines of a printed state which may be left out.
// Format: never change.
const (
	spentWord   = "spent"
	pendingWord = "pending"
)

// String prints a state as docs/format/clock.md says. Format: never change.
func (s State) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", stamp(s.Mark), s.Ahead)
	if s.Spent != 0 {
		fmt.Fprintf(&b, "%s %s\n", spentWord, s.Spent)
	}
	if !s.Pending.IsZero() {
		fmt.Fprintf(&b, "%s %s %s\n", pendingWord, stamp(s.Pending.From), stamp(s.Pending.To))
	}
	return b.String()
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// ParseState reads what String prints.
func ParseState(text string) (State, error) {
	var s State
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) < 2 {
		return s, errors.New("there are not two lines")
	}
	var err error
	if s.Mark, err = parseStamp(lines[0]); err != nil {
		return s, err
	}
	if s.Ahead, err = time.ParseDuration(lines[1]); err != nil {
		return s, err
	}
	if s.Ahead < 0 || s.Ahead > aheadMax {
		return s, fmt.Errorf("the clock cannot be %s ahead", s.Ahead)
	}
	for _, line := range lines[2:] {
		if err := s.parseLine(strings.Fields(line)); err != nil {
			return s, fmt.Errorf("%q: %w", line, err)
		}
	}
	return s, nil
}

// parseLine reads one of the lines that may be left out.
func (s *State) parseLine(words []string) (err error) {
	switch {
	case len(words) == 2 && words[0] == spentWord && s.Spent == 0:
		if s.Spent, err = time.ParseDuration(words[1]); err != nil {
			return err
		}
		if s.Spent <= 0 || s.Spent > trustBack {
			return fmt.Errorf("more than nothing and at most %s can be spent", trustBack)
		}
	case len(words) == 3 && words[0] == pendingWord && s.Pending.IsZero():
		if s.Pending.From, err = parseStamp(words[1]); err != nil {
			return err
		}
		if s.Pending.To, err = parseStamp(words[2]); err != nil {
			return err
		}
		if !s.Pending.To.After(s.Pending.From) || s.Pending.To.Nanosecond() != 0 {
			return errors.New("this is no jump forward to a whole second")
		}
	default:
		return errors.New("no such line is known, or it is there twice")
	}
	return nil
}

// parseStamp reads an instant that can be printed again.
func parseStamp(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, err
	}
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9999 {
		return t, fmt.Errorf("%s is out of range", text)
	}
	return t, nil
}
