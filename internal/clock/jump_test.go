package clock_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/clock"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// rig is a machine with a clock that can be set, and a process on it that can
// be killed.
type rig struct {
	t       *testing.T
	max     time.Duration // MaxDowntime
	wall    time.Time
	elapsed time.Duration
	kept    clock.State // on disk
	saveErr error
	told    []string
	*clock.Clock
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, max: 21 * day, wall: noon}
	r.start()
	r.is("at the start", noon)
	return r
}

// start begins a process from what is on disk.
func (r *rig) start() {
	r.elapsed = 0
	r.Clock = clock.New(clock.Config{
		System: func() time.Time { return r.wall }, Elapsed: func() time.Duration { return r.elapsed },
		Save: func(s clock.State) error {
			if r.saveErr != nil {
				return r.saveErr
			}
			r.kept = roundTrip(r.t, s)
			return nil
		},
		State: r.kept, MaxDowntime: r.max,
		Tell: func(n clock.Notice) { r.told = append(r.told, fmt.Sprint(n.Phase, " ", n.By)) },
	})
	r.check()
}

// roundTrip is a state as the next process reads it.
func roundTrip(t *testing.T, s clock.State) clock.State {
	t.Helper()
	got, err := clock.ParseState(s.String())
	if err != nil {
		t.Fatalf("%q: %v", s.String(), err)
	}
	if diff := cmp.Diff(s, got); diff != "" {
		t.Fatalf("saved and read again (-want +got):\n%s", diff)
	}
	return got
}

// pass lets time pass.
func (r *rig) pass(d time.Duration) { r.wall, r.elapsed = r.wall.Add(d), r.elapsed+d }

// set moves the system clock; to a process, a machine that sleeps is the same.
func (r *rig) set(by time.Duration) { r.wall = r.wall.Add(by) }

// restart ends the process with or without a last save and starts it later.
func (r *rig) restart(kill bool, down time.Duration) {
	if !kill {
		r.check()
	}
	r.wall = r.wall.Add(down)
	r.start()
}

func (r *rig) check() { r.Check(r.t.Context()) }

// is checks the time.
func (r *rig) is(when string, want time.Time) {
	r.t.Helper()
	if got := r.Now(); !got.Equal(want) {
		r.t.Errorf("%s: it is %v, want %v", when, got, want)
	}
}

// pending returns the name of the pending jump, "" if there is none.
func (r *rig) pending() string {
	if s := r.Status(); !s.Pending.IsZero() {
		return s.Pending.To.Format(time.RFC3339)
	}
	return ""
}

func (r *rig) isHeld(when string, want bool) {
	r.t.Helper()
	if got := r.pending(); (got != "") != want {
		r.t.Errorf("%s: the pending jump is %q, want one: %v", when, got, want)
	}
}

// confirm is an operator who names a jump.
func (r *rig) confirm(name string) error {
	at, err := time.Parse(time.RFC3339, name)
	if err != nil {
		r.t.Fatal(err)
	}
	_, err = r.Confirm(at, func(clock.Jump) error { return nil })
	return err
}

func (r *rig) wantTold(want ...string) {
	r.t.Helper()
	r.check()
	if diff := cmp.Diff(want, r.told); diff != "" {
		r.t.Errorf("told (-want +got):\n%s", diff)
	}
	r.told = nil
}

// A jump of up to a day is believed while the process runs, and one of up to
// MaxDowntime at its start. What is not believed changes nothing: time goes on
// by the monotonic clock.
func TestJump(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		start    bool
		max, by  time.Duration
		believed bool
	}{
		{"a second", false, 0, time.Second, true},
		{"running, 23:59", false, 0, day - time.Minute, true},
		{"running, a day", false, 0, day, true},
		{"running, a second more", false, 0, day + time.Second, false},
		{"running, 25 hours", false, 0, 25 * time.Hour, false},
		{"running, whatever the start may do", false, 21 * day, 25 * time.Hour, false},
		{"running, 300 years", false, 0, 1<<63 - 1, false},
		{"start, below", true, 21 * day, 21*day - time.Second, true},
		{"start, as much", true, 21 * day, 21 * day, true},
		{"start, above", true, 21 * day, 21*day + time.Second, false},
		{"start, no MaxDowntime", true, 0, 25 * time.Hour, false},
		{"start, an hour", true, time.Hour, time.Hour + time.Second, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.max = tc.max
			if tc.start {
				r.restart(false, tc.by)
			} else {
				r.set(tc.by)
			}
			want := noon
			if tc.believed {
				want = noon.Add(tc.by)
			}
			r.is("after the jump", want)
			r.isHeld("after the jump", !tc.believed)
			for range 3 {
				r.pass(30 * time.Minute)
				want = want.Add(30 * time.Minute)
				r.is("later", want)
				if got := r.Wall(); !got.Equal(r.wall) {
					t.Errorf("Wall is %v, want the system clock %v", got, r.wall)
				}
			}
			r.isHeld("later", !tc.believed)
		})
	}
}

// Small jumps cost as much as a large one, over restarts too, and trust comes
// back in a week of proved time, of which a restart is none.
func TestSmallJumpsAddUp(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		jump func(r *rig)
		each time.Duration
		fit  int
	}{
		{"of three hours", func(r *rig) { r.set(3 * time.Hour); r.pass(time.Second) }, 3*time.Hour + time.Second, 8},
		{"of six minutes", func(r *rig) { r.set(6 * time.Minute); r.pass(time.Second) }, 6*time.Minute + time.Second, 240},
		{"of 23:59", func(r *rig) { r.set(day - time.Minute) }, day - time.Minute, 1},
		{"of a week, at starts", func(r *rig) { r.restart(false, week) }, week, 3},
		{"of a week, at starts after kills", func(r *rig) { r.restart(true, week) }, week, 3},
		{"of three hours, killed each time", func(r *rig) { r.set(3 * time.Hour); r.check(); r.restart(true, 0) }, 3 * time.Hour, 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			for n := range tc.fit {
				tc.jump(r)
				r.is(fmt.Sprint("jump ", n+1), noon.Add(time.Duration(n+1)*tc.each))
				r.isHeld(fmt.Sprint("jump ", n+1), false)
			}
			tc.jump(r)
			r.isHeld("the jump after the last that fits", true)
			if got, bound := r.Now(), noon.Add(time.Duration(tc.fit)*tc.each+time.Hour); got.After(bound) {
				t.Errorf("it is %v, want at most %v", got, bound)
			}
		})
	}
	t.Run("trust comes back", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		for range 4 {
			r.set(day)
			r.isHeld("a day a week", false)
			r.pass(week)
			r.isHeld("a week later", false)
		}
		r.set(day)
		r.pass(6 * day)
		r.check()
		r.restart(false, 0)
		r.set(day)
		r.isHeld("after six days", true)
	})
	t.Run("steps of up to five minutes wait for trust", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		r.set(day)
		r.set(time.Minute)
		r.isHeld("a minute more than trust", true)
		r = newRig(t)
		r.set(day)
		r.is("a day", noon.Add(day))
		r.set(time.Minute)
		r.is("a minute later", noon.Add(day))
		r.isHeld("a minute later", false)
		r.pass(6 * time.Minute)
		r.is("when a minute's trust is not back", noon.Add(day+6*time.Minute))
		r.pass(time.Minute)
		r.is("when it is", noon.Add(day+8*time.Minute))
	})
}

// Nights of sleep are jumps: the fourth of eight hours is too much, and is one
// confirmation.
func TestSleep(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for range 3 {
		r.pass(16 * time.Hour)
		r.set(8 * time.Hour)
		r.isHeld("a night", false)
	}
	r.pass(16 * time.Hour)
	r.set(8 * time.Hour)
	r.isHeld("the fourth night", true)
	if err := r.confirm(r.pending()); err != nil {
		t.Fatal(err)
	}
	r.is("confirmed", r.wall)
	r.set(30 * 24 * time.Hour)
	r.isHeld("a month asleep", true)
}

// A confirmation gives back the trust that was spent, in this process and the
// next.
func TestConfirmGivesTrustBack(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		r := newRig(t)
		r.set(day)
		r.is("a day", r.wall)
		r.set(day)
		if err := r.confirm(r.pending()); err != nil {
			t.Fatal(err)
		}
		if restart {
			r.restart(true, 0)
		}
		r.set(day)
		r.is(fmt.Sprint("a day more, restart ", restart), r.wall)
		r.isHeld("a day more", false)
	}
}

// A jump that was too much for the trust that was left stays pending when trust
// comes back, and when the clock goes further; if it goes back to almost nothing
// it is over.
func TestPendingForWantOfTrust(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.set(day)
	r.is("a day", noon.Add(day))
	r.set(20 * time.Hour)
	r.isHeld("20 hours", true)
	r.set(time.Minute - 20*time.Hour)
	r.isHeld("a minute", false)
	r.is("a minute", noon.Add(day))
	r.set(20*time.Hour - time.Minute)
	r.isHeld("20 hours again", true)
	r.pass(2 * week)
	r.isHeld("two weeks later", true)
	r.set(6 * time.Minute)
	r.isHeld("six minutes further", true)
	r.is("six minutes further", noon.Add(day+2*week))
	r.set(-12 * time.Minute)
	r.is("twelve minutes back", r.wall)
	r.isHeld("twelve minutes back", false)
}

// A confirmation is of the jump that is pending and of no other.
func TestConfirm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	refused := func(name, want string) {
		t.Helper()
		var no *clock.Refused
		if err := r.confirm(name); !errors.As(err, &no) || !strings.Contains(err.Error(), want) {
			t.Errorf("confirming %s: %v, want %q", name, err, want)
		}
	}
	refused("2026-03-15T12:00:00Z", "nothing to confirm")
	r.set(year + 300*time.Millisecond)
	const first = "2027-03-15T12:00:00Z"
	if got := r.pending(); got != first {
		t.Fatalf("the pending jump is %s, want %s", got, first)
	}
	refused("2027-03-15T12:00:01Z", "is the one to "+first)
	r.pass(3 * time.Hour)
	r.set(5 * time.Minute) // as little is the same jump
	r.is("held", noon.Add(3*time.Hour))

	// The clock goes on to something else: what was asked for is no longer there.
	r.set(time.Hour)
	const second = "2027-03-15T16:05:00Z"
	refused(first, "is the one to "+second)
	r.isHeld("after a refusal", true)
	r.set(-2 * time.Hour)
	const third = "2027-03-15T14:05:00Z"
	refused(second, "is the one to "+third)

	// An operator elsewhere writes it in another zone.
	if err := r.confirm("2027-03-15T15:05:00+01:00"); err != nil {
		t.Fatal(err)
	}
	r.is("confirmed", r.wall)
	r.isHeld("confirmed", false)
	refused(third, "nothing to confirm")
	r.restart(true, time.Minute)
	r.is("after a restart", r.wall)
	r.set(day - time.Minute)
	r.isHeld("a day with the restart: trust was given back", false)
	r.wantTold("believed 23h59m0s")
}

const year = 365 * day

// What an operator is told, and the audit log.
func TestTold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.set(4 * time.Minute)
	r.wantTold()
	r.set(time.Hour)
	r.check()
	r.set(time.Hour)
	r.set(-2 * time.Minute)
	r.wantTold("believed 1h0m0s", "believed 58m0s")
	r.set(year)
	r.wantTold("held 8760h0m0s")
	r.pass(time.Hour)
	r.wantTold()
	r.restart(true, time.Minute)
	r.wantTold("held 8760h0m0s") // by each process once
	r.set(-year)
	r.wantTold("ended 0s")
	r.set(year)
	r.check()
	if err := r.confirm(r.pending()); err != nil {
		t.Fatal(err)
	}
	r.wantTold("held 8760h0m0s")
	r.set(-5 * time.Minute)
	r.wantTold()
	r.set(-time.Second)
	r.wantTold("back -5m1s")
	r.set(5*time.Minute + time.Second)
	r.wantTold("caughtUp 0s")
	r.set(-48*time.Hour - 4*time.Minute)
	r.wantTold("back -48h4m0s")
	r.pass(time.Hour)
	r.wantTold()
	r.restart(false, time.Hour)
	r.wantTold("back -46h4m0s")
	r.set(46 * time.Hour)
	r.wantTold() // still behind
	r.pass(4 * time.Minute)
	r.wantTold("caughtUp 0s")
	if got, want := r.Status().Counts, (clock.Counts{Back: 1}); got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
}

// The system clock comes back by itself.
func TestJumpEnds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		left time.Duration // of the jump
		held bool
		want time.Duration // after an hour that passed
	}{
		{"to where it was", 0, false, time.Hour},
		{"almost", time.Second, false, time.Hour + time.Second},
		{"to what is believed", 23 * time.Hour, false, 24 * time.Hour},
		{"not far enough", 25 * time.Hour, true, time.Hour},
		{"too far", -30 * time.Minute, false, time.Hour},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(tc.name, ", restart ", restart), func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				r.set(year)
				r.check()
				r.pass(time.Hour)
				r.check()
				r.set(tc.left - year)
				if restart {
					r.restart(true, 0)
				}
				r.is("afterwards", noon.Add(tc.want))
				r.isHeld("afterwards", tc.held)
			})
		}
	}
}

// A restart between the finding of a jump and its confirmation, with and without
// warning, is no way around the operator, though a start believes much more.
func TestRestartWhilePending(t *testing.T) {
	t.Parallel()
	for _, kill := range []bool{false, true} {
		for _, down := range []time.Duration{0, time.Minute, time.Hour, 10 * day} {
			t.Run(fmt.Sprint("kill ", kill, " down ", down), func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				r.pass(time.Hour)
				r.set(25 * time.Hour)
				r.isHeld("running", true)
				name := r.pending()
				r.check() // what a reading that finds a jump asks for
				r.restart(kill, down)
				r.isHeld("restarted", true)
				r.is("restarted", noon.Add(time.Hour))
				if again := r.pending(); (again == name) != (down <= 5*time.Minute) {
					t.Errorf("the pending jump was %s and is %s after %s", name, again, down)
				}
				if down > 5*time.Minute {
					if err := r.confirm(name); err == nil {
						t.Error("the confirmation of another jump is good")
					}
				}
				if err := r.confirm(r.pending()); err != nil {
					t.Fatal(err)
				}
				r.is("confirmed", r.wall)
				r.restart(true, 0)
				r.is("restarted after it", r.wall)
			})
		}
	}
	t.Run("killed before it was saved", func(t *testing.T) {
		t.Parallel()
		// As if the jump had come while no process ran: MaxDowntime bounds it.
		r := newRig(t)
		r.set(22 * day)
		r.is("running", noon)
		r.restart(true, 0)
		r.is("restarted", noon)
		r.isHeld("restarted", true)
	})
	t.Run("killed while the time is held", func(t *testing.T) {
		t.Parallel()
		// The minute that was not saved is lived twice.
		r := newRig(t)
		r.set(year)
		r.check()
		r.pass(50 * time.Second)
		r.is("held", noon.Add(50*time.Second))
		r.restart(true, 0)
		r.is("restarted", noon)
		r.isHeld("restarted", true)
	})
}

// A system clock that was set back does not lend what it stood still: when it is
// right again the time is, at no cost.
func TestStandingCostsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.set(-2 * day)
	for range 40 {
		r.pass(time.Hour)
		r.is("behind", noon)
	}
	r.set(2 * day)
	r.is("right again", noon.Add(40*time.Hour))
	r.set(day)
	r.is("all trust is left", noon.Add(64*time.Hour))
	r.set(-year)
	r.pass(10 * day)
	r.is("far behind", noon.Add(64*time.Hour))
	r.set(2 * year)
	r.isHeld("far ahead", true)
	r.is("held where it stood", noon.Add(64*time.Hour))
	r.set(-year - day)
	r.is("right again", noon.Add(64*time.Hour+9*day))
}

// Nothing of a confirmation or a move that cannot be saved takes effect, nor of
// a confirmation that cannot be recorded.
func TestConfirmNotKept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.set(year)
	r.check()
	at := r.Status().Pending.To
	gone := errors.New("disk is gone")
	if _, err := r.Confirm(at, func(clock.Jump) error { return gone }); !errors.Is(err, gone) || clock.NotSaved(err) {
		t.Errorf("not recorded: %v", err)
	}
	r.is("not recorded", noon)
	if r.kept.Pending.IsZero() {
		t.Error("not recorded, and confirmed on disk")
	}
	r.saveErr = gone
	recorded := clock.Jump{}
	if _, err := r.Confirm(at, func(j clock.Jump) error { recorded = j; return nil }); !clock.NotSaved(err) {
		t.Errorf("not saved: %v", err)
	}
	if want := (clock.Jump{From: noon, To: noon.Add(year)}); recorded != want {
		t.Errorf("recorded %v, want %v", recorded, want)
	}
	r.is("not saved", noon)
	r.isHeld("not saved", true)
	r.saveErr = nil
	if _, err := r.Confirm(at, func(clock.Jump) error { return nil }); err != nil {
		t.Errorf("the second attempt: %v", err)
	}
	r.is("confirmed", noon.Add(year))
}

// In test mode a move is no jump and hides none.
func TestAdvanceAndJump(t *testing.T) {
	t.Parallel()
	s := &system{at: noon}
	c := clock.New(clock.Config{System: s.now, Save: nothing, Movable: true, Elapsed: func() time.Duration { return 0 }})
	for range 3 {
		if _, err := c.Advance(year); err != nil {
			t.Fatal(err)
		}
	}
	s.at = noon.Add(25 * time.Hour)
	if got := c.Now(); !got.Equal(noon.Add(3 * year)) {
		t.Errorf("a jump is believed: %v", got)
	}
	name := c.Status().Pending.To
	if _, err := c.Advance(day); err != nil {
		t.Fatal(err)
	}
	if got := c.Status(); !got.Now.Equal(noon.Add(3*year+day)) || !got.Pending.To.Equal(name) {
		t.Errorf("moved while a jump is pending: %+v", got)
	}
}

// However the system clock is set, and however often the process is started, the
// time never runs back in a process, and never further than what was proved,
// what was trusted and what an operator said.
func TestBound(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		g := rand.New(rand.NewPCG(seed, 7))
		r := newRig(t)
		proved, confirmed := time.Duration(0), time.Duration(0)
		last := r.Now()
		for range 200 {
			switch g.IntN(6) {
			case 0, 1:
				d := time.Duration(g.Int64N(int64(8 * time.Hour)))
				r.pass(d)
				proved += d
			case 2:
				r.set(time.Duration(g.Int64N(int64(20 * time.Hour))))
			case 3:
				r.set(time.Duration(g.Int64N(int64(4*year)) - int64(2*year)))
			case 4:
				r.check()
				r.restart(g.IntN(2) == 0, time.Duration(g.Int64N(int64(30*day))))
			case 5:
				if before := r.Now(); g.IntN(20) == 0 && r.pending() != "" {
					if err := r.confirm(r.pending()); err != nil {
						t.Fatal(err)
					}
					confirmed += r.Now().Sub(before) + r.max // and trust is back
				}
			}
			now := r.Now()
			if now.Before(last) {
				t.Fatalf("seed %d: it was %v and is %v", seed, last, now)
			}
			last = now
			// Trust at starts is the dearest: as much as MaxDowntime, and as
			// much again for each week.
			bound := proved + confirmed + r.max + time.Duration(float64(proved)/float64(week)*float64(r.max))
			if got := now.Sub(noon); got > bound+time.Second {
				t.Fatalf("seed %d: time advanced by %v, want at most %v", seed, got, bound)
			}
		}
	}
}
