package clock_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"moraine/internal/clock"
)

var noon = time.Date(2026, 3, 15, 12, 0, 0, 0, time.UTC)

// system is a system clock that can be set.
type system struct{ at time.Time }

func (s *system) now() time.Time { return s.at }

func nothing(clock.State) error { return nil }

// The time follows the system clock but never runs back.
func TestNowNeverRunsBack(t *testing.T) {
	t.Parallel()
	s := &system{at: noon}
	c := clock.New(clock.Config{System: s.now, Save: nothing})
	for _, step := range []struct {
		name         string
		system, want time.Time
	}{
		{"as the system", noon, noon},
		{"forward", noon.Add(time.Hour), noon.Add(time.Hour)},
		{"a second back", noon.Add(time.Hour - time.Second), noon.Add(time.Hour)},
		{"a year back", noon.AddDate(-1, 0, 0), noon.Add(time.Hour)},
		{"caught up", noon.Add(2 * time.Hour), noon.Add(2 * time.Hour)},
	} {
		s.at = step.system
		if got := c.Now(); !got.Equal(step.want) {
			t.Errorf("%s: the system says %v, Now %v, want %v", step.name, step.system, got, step.want)
		}
		if got := c.Wall(); !got.Equal(step.system) {
			t.Errorf("%s: the system says %v, Wall %v", step.name, step.system, got)
		}
	}
}

// A restart does not undo the mark, nor a move.
func TestStateIsKept(t *testing.T) {
	t.Parallel()
	s := &system{at: noon}
	var kept clock.State
	save := func(s clock.State) error { kept = s; return nil }
	c := clock.New(clock.Config{System: s.now, Save: save, Movable: true})
	if now, err := c.Advance(24 * time.Hour); err != nil || !now.Equal(noon.Add(24*time.Hour)) {
		t.Fatalf("Advance = %v, %v", now, err)
	}
	s.at = noon.Add(time.Minute)
	if got, want := c.Now(), noon.Add(24*time.Hour+time.Minute); !got.Equal(want) {
		t.Errorf("a minute after the move it is %v, want %v", got, want)
	}

	c = clock.New(clock.Config{System: s.now, Save: save, State: kept})
	if got, want := c.Now(), noon.Add(24*time.Hour+time.Minute); !got.Equal(want) {
		t.Errorf("after a restart it is %v, want %v", got, want)
	}
	s.at = noon.Add(-time.Hour)
	c = clock.New(clock.Config{System: s.now, Save: save, State: kept})
	if got, want := c.Now(), noon.Add(24*time.Hour); !got.Equal(want) {
		t.Errorf("restarted with the system clock set back it is %v, want the mark %v", got, want)
	}
}

func TestAdvanceRefuses(t *testing.T) {
	t.Parallel()
	c := clock.New(clock.Config{System: (&system{at: noon}).now, Save: nothing, Movable: true})
	for _, by := range []time.Duration{0, -time.Second, 1<<63 - 1, -1 << 63, 101 * 365 * 24 * time.Hour} {
		if _, err := c.Advance(by); err == nil || clock.NotSaved(err) {
			t.Errorf("Advance(%v): %v", by, err)
		}
	}
	fixed := clock.New(clock.Config{System: (&system{at: noon}).now, Save: nothing})
	if _, err := fixed.Advance(time.Hour); err == nil || !strings.Contains(err.Error(), "in test mode only") {
		t.Errorf("Advance without test mode: %v", err)
	}
	for _, c := range []*clock.Clock{c, fixed} {
		if got := c.Now(); !got.Equal(noon) {
			t.Errorf("refused moves moved the clock to %v", got)
		}
	}
}

// A move that cannot be kept does not happen.
func TestAdvanceNotSaved(t *testing.T) {
	t.Parallel()
	c := clock.New(clock.Config{System: (&system{at: noon}).now, Movable: true, Save: func(clock.State) error { return errors.New("disk is gone") }})
	if _, err := c.Advance(time.Hour); !clock.NotSaved(err) {
		t.Errorf("Advance: %v", err)
	}
	if got := c.Now(); !got.Equal(noon) || c.Ahead() != 0 {
		t.Errorf("the clock moved to %v", got)
	}
}

// The mark is saved at the start, each minute and at the end; a system clock
// that went back more than five minutes is an alarm, once.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards the rest
		var saved []clock.State
		var back time.Duration
		var log bytes.Buffer
		start := time.Now()
		c := clock.New(clock.Config{
			System: func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(-back) },
			Save:   func(s clock.State) error { mu.Lock(); defer mu.Unlock(); saved = append(saved, s); return nil },
			Log:    slog.New(slog.NewTextHandler(&log, nil)),
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		turn := func(by time.Duration, minutes int) {
			mu.Lock()
			back = by
			mu.Unlock()
			<-time.After(time.Duration(minutes) * time.Minute) // virtual
			synctest.Wait()
		}
		turn(0, 2)
		if mu.Lock(); len(saved) != 3 || !saved[2].Mark.Equal(start.Add(2*time.Minute)) {
			t.Errorf("saved %v", saved)
		}
		mu.Unlock()
		turn(4*time.Minute, 1) // behind, but not far enough for an alarm
		if strings.Contains(log.String(), "alarm") {
			t.Errorf("an alarm at four minutes:\n%s", log.String())
		}
		turn(3*time.Hour, 3)
		if n := strings.Count(log.String(), "alarm: the system clock went back"); n != 1 {
			t.Errorf("%d alarms, want 1:\n%s", n, log.String())
		}
		if got, want := c.Now(), start.Add(2*time.Minute); !got.Equal(want) {
			t.Errorf("time is %v, want the mark %v", got, want)
		}
		turn(0, 1)
		if !strings.Contains(log.String(), "caught up") {
			t.Errorf("no word of the end of it:\n%s", log.String())
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if last := saved[len(saved)-1]; !last.Mark.Equal(start.Add(7 * time.Minute)) {
			t.Errorf("the last mark is %v", last.Mark)
		}
	})
}

// A jump that a reading finds is saved and told at once, not at the next minute;
// a clock that goes to and fro is saved once a second, however often it is read.
func TestRunSavesWhatReadingsFind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // guards the rest
		var saved []clock.State
		var jump time.Duration
		told := 0
		c := clock.New(clock.Config{
			System: func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(jump) },
			Save:   func(s clock.State) error { mu.Lock(); defer mu.Unlock(); saved = append(saved, s); return nil },
			Tell:   func(clock.Notice) { mu.Lock(); defer mu.Unlock(); told++ },
		})
		set := func(by time.Duration) {
			mu.Lock()
			jump = by
			mu.Unlock()
			c.Now()
		}
		count := func() (int, int) { mu.Lock(); defer mu.Unlock(); return len(saved), told }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		synctest.Wait()
		set(25 * time.Hour)
		synctest.Wait()
		if n, told := count(); n != 2 || told != 1 || saved[1].Pending.IsZero() {
			t.Errorf("%d states are saved and %d things told: %v", n, told, saved)
		}
		for range 20 {
			for range 50 {
				set(0)
				set(25 * time.Hour)
			}
			<-time.After(100 * time.Millisecond) // virtual
			synctest.Wait()
		}
		if n, told := count(); n > 5 || told > 5 {
			t.Errorf("in two seconds %d states are saved and %d things told", n, told)
		}
		if got := c.Status().Counts.Held; got != 1001 {
			t.Errorf("%d jumps are counted, want 1001", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}
