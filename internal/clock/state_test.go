package clock_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/clock"
	"moraine/internal/disk"
	"moraine/internal/disk/crashfs"
)

func TestParseState(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, text string
		ok         bool
	}{
		{"as of the first version", "2026-03-15T12:00:00.123456789Z\n24h0m0s\n", true},
		{"without the last newline", "2026-03-15T12:00:00Z\n0s", true},
		{"all lines", "2026-03-15T12:00:00Z\n0s\nspent 168h0m0s\npending 2026-03-15T12:00:00.5Z 2027-03-15T12:00:00Z\n", true},
		{"pending alone", "2026-03-15T12:00:00Z\n0s\npending 2026-03-15T12:00:00Z 2027-03-15T12:00:00Z\n", true},
		{"nothing", "", false},
		{"one line", "2026-03-15T12:00:00Z\n", false},
		{"no time", "noon\n0s\n", false},
		{"out of range", "9999-12-31T23:59:59-01:00\n0s\n", false},
		{"no duration", "2026-03-15T12:00:00Z\nsoon\n", false},
		{"behind", "2026-03-15T12:00:00Z\n-1s\n", false},
		{"too far ahead", "2026-03-15T12:00:00Z\n1000000h\n", false},
		{"spent too much", "2026-03-15T12:00:00Z\n0s\nspent 168h0m0.1s\n", false},
		{"spent less than nothing", "2026-03-15T12:00:00Z\n0s\nspent -1s\n", false},
		{"spent twice", "2026-03-15T12:00:00Z\n0s\nspent 1s\nspent 1s\n", false},
		{"spent how much", "2026-03-15T12:00:00Z\n0s\nspent all\n", false},
		{"a jump back", "2026-03-15T12:00:00Z\n0s\npending 2026-03-15T12:00:00Z 2026-03-15T12:00:00Z\n", false},
		{"a name of less than a second", "2026-03-15T12:00:00Z\n0s\npending 2026-03-15T12:00:00Z 2027-03-15T12:00:00.5Z\n", false},
		{"from when", "2026-03-15T12:00:00Z\n0s\npending then 2027-03-15T12:00:00Z\n", false},
		{"to when", "2026-03-15T12:00:00Z\n0s\npending 2026-03-15T12:00:00Z then\n", false},
		{"something new", "2026-03-15T12:00:00Z\n0s\nleap 1s\n", false},
		{"an empty line", "2026-03-15T12:00:00Z\n0s\n\nspent 1s\n", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if s, err := clock.ParseState(tc.text); (err == nil) != tc.ok {
				t.Errorf("%q: %+v, %v, want success: %v", tc.text, s, err, tc.ok)
			}
		})
	}
}

// What is read of a state can be written and read again.
func FuzzParseState(f *testing.F) {
	f.Add("2026-03-15T12:00:00.123456789Z\n24h0m0s\n")
	f.Add("2026-03-15T12:00:00+01:00\n0s")
	f.Add("2026-03-15T12:00:00Z\n-1s")
	f.Add("2026-03-15T12:00:00Z\n0s\nspent 168h0m0s\npending 2026-03-15T12:00:00.5Z 2027-03-15T12:00:00Z\n")
	f.Add("\n")
	f.Fuzz(func(t *testing.T, text string) {
		want, err := clock.ParseState(text)
		if err != nil {
			return
		}
		got, err := clock.ParseState(want.String())
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%q became %q: %v (-want +got):\n%s", text, want, err, diff)
		}
	})
}

// A fault at any operation of a save, lost or persisted, and a loss of power at
// any of them leave the state from before the save or that after it. None
// forgets a pending jump that was saved, confirms one for which nobody asked,
// or takes a confirmation back that was reported.
func TestSaveFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []crashfs.Fault{crashfs.Lost, crashfs.Persisted, crashfs.Full, crashfs.PowerCut} {
		for n, reached := 1, true; reached; n++ {
			fsys := crashfs.New()
			r := &rig{t: t, wall: noon}
			r.Clock = clock.New(clock.Config{
				System: func() time.Time { return r.wall }, Elapsed: func() time.Duration { return 0 },
				Save: func(s clock.State) error { return disk.WriteFile(fsys, clockFile, []byte(s.String())) },
			})
			r.check()
			r.set(25 * time.Hour)
			fsys.Fail(n, fault)
			r.check()
			saved := !fsys.Failed()
			err := r.confirm("2026-03-16T13:00:00Z")
			reached = fsys.Failed()
			if err != nil && !clock.NotSaved(err) {
				t.Fatalf("fault %d at %d: %v", fault, n, err)
			}
			want := noon
			if err == nil {
				want = r.wall
			}
			r.is("after the confirmation", want)
			for _, s := range afterCrash(t, fsys) {
				switch held, confirmed := !s.Pending.IsZero(), s.Mark.Equal(r.wall); {
				case err == nil && !confirmed:
					t.Errorf("fault %d at %d: confirmed, and a crash leaves %v", fault, n, s)
				case !confirmed && (!s.Mark.Equal(noon) || saved && !held):
					t.Errorf("fault %d at %d: a crash leaves %v", fault, n, s)
				case confirmed && held:
					t.Errorf("fault %d at %d: confirmed and pending: %v", fault, n, s)
				}
			}
			if fault == crashfs.PowerCut {
				continue
			}
			r.check() // the next save succeeds, whatever the last one left
			for _, s := range afterCrash(t, fsys) {
				if !s.Mark.Equal(want) || s.Pending.IsZero() != (err == nil) {
					t.Errorf("fault %d at %d: the save after it leaves %v", fault, n, s)
				}
			}
		}
	}
}

const clockFile = "clock"

// afterCrash reads the states that a loss of power may leave.
func afterCrash(t *testing.T, fsys *crashfs.FS) []clock.State {
	t.Helper()
	var all []clock.State
	for seed := range uint64(6) {
		keep := []crashfs.Keep{crashfs.KeepNone, crashfs.KeepAll, crashfs.KeepRandom}[min(seed, 2)]
		text := fsys.Crash(keep, rand.New(rand.NewPCG(seed, 1))).ReadFile(clockFile)
		s, err := clock.ParseState(string(text))
		if err != nil {
			t.Fatalf("a crash left %q: %v", text, err)
		}
		all = append(all, s)
	}
	return all
}
