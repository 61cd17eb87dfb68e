package pack_test

import (
	"strconv"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

// stride is how many operations a sweep steps over: none, unless it is short.
func stride() int {
	if testing.Short() {
		return 7
	}
	return 1
}
