package sqlmeta

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPace checks how many members a batch waits for, and for how long.
func TestPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p pace
		for i, step := range []struct {
			members  int
			took     time.Duration
			expected int
			wait     time.Duration
		}{
			{1, time.Second, 1, gatherMax},
			{8, time.Millisecond, 8, time.Millisecond},
			{1, time.Microsecond, 6, time.Microsecond},
			{2, time.Hour, 4, gatherMax},
			{1, 0, 3, 0},
			{1, 0, 2, 0},
			{1, 0, 1, 0},
		} {
			p.note(step.members, step.took)
			if p.expected != step.expected {
				t.Errorf("step %d: %d expected, want %d", i, p.expected, step.expected)
			}
			began := time.Now()
			<-p.moment()
			if waited := time.Since(began); waited != step.wait {
				t.Errorf("step %d: waited %v, want %v", i, waited, step.wait)
			}
			p.end()
		}
	})
}
