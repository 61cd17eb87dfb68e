package server

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

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
	d.testMode = test
	text, err := d.place.readSmall(d.path(modeFile))
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
func (d *data) openClock(c clock.Config) (*clock.Clock, error) {
	var err error
	if c.State, err = d.keptClock(); err != nil {
		return nil, err
	}
	if c.State.Mark.IsZero() && d.used && c.Log != nil {
		c.Log.Warn("the newest time ever used is not known, so the system clock is believed", "missing", d.path(clockFile))
	}
	c.Save = d.saveClock
	return clock.New(c), nil
}

// keptClock is the state of the clock that the directory holds, zero for none.
func (d *data) keptClock() (clock.State, error) {
	text, err := d.place.readSmall(d.path(clockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return clock.State{}, nil
	}
	var state clock.State
	if err == nil {
		state, err = clock.ParseState(string(text))
	}
	if err != nil {
		return state, fmt.Errorf("the newest time ever used cannot be read from %s; restore the file, or remove it if the system clock is right: %w", d.path(clockFile), err)
	}
	return state, nil
}

// saveClock keeps the state of the clock. After a crash the file has its old
// content or the new.
func (d *data) saveClock(s clock.State) error { return d.write(clockFile, s.String()) }
