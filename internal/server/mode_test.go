package server_test

import (
	"testing"

	"moraine/internal/server"
)

// What is read of the clock file can be written and read again.
func FuzzParseClock(f *testing.F) {
	f.Add("2026-03-15T12:00:00.123456789Z\n24h0m0s\n")
	f.Add("2026-03-15T12:00:00+01:00\n0s")
	f.Add("2026-03-15T12:00:00Z\n-1s")
	f.Add("\n")
	f.Fuzz(func(t *testing.T, text string) {
		want, err := server.ParseClock(text)
		if err != nil {
			return
		}
		printed := server.FormatClock(want)
		got, err := server.ParseClock(printed)
		if err != nil || !got.Mark.Equal(want.Mark) || got.Ahead != want.Ahead || got.Ahead < 0 {
			t.Errorf("%q became %q: %v, %v, %v", text, printed, want, got, err)
		}
	})
}
