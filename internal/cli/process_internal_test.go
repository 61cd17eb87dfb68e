package cli

import (
	"runtime"
	"testing"
)

// TestEquip is not parallel: it changes how many threads run Go code.
func TestEquip(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	for _, tt := range []struct {
		name    string
		environ []string
		threads int
		ballast int
	}{
		{"nothing is said", nil, before + processorsMore, headStart},
		{"empty is nothing", []string{"GOGC=", "GOMAXPROCS="}, before + processorsMore, headStart},
		{"the number of threads", []string{"GOMAXPROCS=1"}, before, headStart},
		{"the pace of the collector", []string{"GOGC=50"}, before + processorsMore, 0},
		{"a limit of memory", []string{"GOMEMLIMIT=1GiB"}, before + processorsMore, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer runtime.GOMAXPROCS(before)
			ballast := len(equip(tt.environ))
			if threads := runtime.GOMAXPROCS(0); threads != tt.threads || ballast != tt.ballast {
				t.Errorf("%d threads and %d bytes, want %d and %d", threads, ballast, tt.threads, tt.ballast)
			}
		})
	}
}
