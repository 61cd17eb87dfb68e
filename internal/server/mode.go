package server

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"moraine/internal/clock"
	"moraine/internal/config"
	"moraine/internal/disk"
)

// What modeFile holds. Format: never change.
const (
	modeNormal = "normal"
	modeTest   = "test"
)

// ephemeral gives cfg a data directory of its own, which remove removes.
func ephemeral(cfg *config.Config) (remove func() error, err error) {
	dir, err := disk.MkdirTemp("moraine-")
	if err != nil {
		return nil, fmt.Errorf("the ephemeral data directory cannot be made: %w", err)
	}
	cfg.Data = dir
	return func() error { return disk.RemoveAll(dir) }, nil
}

// settleMode decides at the first start whether the directory is for test mode
// and holds it to that. In test mode retention ends at a word, so archives that
// somebody means to keep must never get there; and dates from a future that a
// test made up are nothing to go on with.
func (d *data) settleMode(test bool) error {
	text, err := readSmall(d.path(modeFile))
	kept := strings.TrimSpace(string(text))
	switch {
	case errors.Is(err, fs.ErrNotExist) && d.used && test:
		kept = modeNormal // from before there was a test mode
	case errors.Is(err, fs.ErrNotExist) && test:
		return d.write(modeFile, modeTest+"\n")
	case errors.Is(err, fs.ErrNotExist):
		return d.write(modeFile, modeNormal+"\n")
	case err != nil:
		return fmt.Errorf("read the mode: %w", err)
	}
	switch {
	case kept == modeNormal && test:
		return fmt.Errorf("the data directory %s has been used without test_mode and is never opened in it, since moving the clock would expire what it holds; name another directory, or set ephemeral", d.dir)
	case kept == modeTest && !test:
		return fmt.Errorf("the data directory %s was made in test mode, where the clock was movable, and is opened in no other; set test_mode, or name another directory", d.dir)
	case kept != modeNormal && kept != modeTest:
		return fmt.Errorf("%s holds neither %s nor %s; restore it from a backup", d.path(modeFile), modeNormal, modeTest)
	}
	return nil
}

// openClock returns the clock with the state that the directory holds.
func (d *data) openClock(system func() time.Time, log *slog.Logger) (*clock.Clock, error) {
	var state clock.State
	text, err := readSmall(d.path(clockFile))
	if err == nil {
		state, err = parseClock(string(text))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the newest time ever used cannot be read from %s; restore the file, or remove it if the system clock is right: %w", d.path(clockFile), err)
	}
	save := func(s clock.State) error { return d.write(clockFile, formatClock(s)) }
	return clock.New(clock.Config{System: system, Save: save, State: state, Log: log}), nil
}

// formatClock prints a state as two lines: the mark, and how far the clock was
// moved. Format: never change.
func formatClock(s clock.State) string {
	return s.Mark.UTC().Format(time.RFC3339Nano) + "\n" + s.Ahead.String() + "\n"
}

func parseClock(text string) (clock.State, error) {
	var s clock.State
	mark, ahead, ok := strings.Cut(strings.TrimSpace(text), "\n")
	if !ok {
		return s, errors.New("two lines are expected")
	}
	var err error
	if s.Mark, err = time.Parse(time.RFC3339Nano, mark); err != nil {
		return s, err
	}
	if s.Ahead, err = time.ParseDuration(ahead); err != nil {
		return s, err
	}
	if s.Ahead < 0 {
		return s, fmt.Errorf("the clock cannot be %s ahead", s.Ahead)
	}
	return s, nil
}
