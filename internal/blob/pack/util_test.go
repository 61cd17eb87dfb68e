package pack_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

// sweep says at which operations to fail: at each one if MORAINE_SWEEP is
// "full", else at every so many from a random one on, so that many short runs
// together try them all.
func sweep(t *testing.T, step int) (first, stride int) {
	if os.Getenv("MORAINE_SWEEP") == "full" {
		return 1, 1
	}
	first = 1 + rand.IntN(step)
	t.Logf("every %dth operation from %d", step, first)
	return first, step
}
