package audit_test

import (
	"testing"

	"golang.org/x/sys/unix"
)

// cpu returns a function that reports the processor time that went by since,
// per operation: a busy machine does not change it.
func cpu(b *testing.B) (report func()) {
	used := func() int64 {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	before := used()
	return func() { b.ReportMetric(float64(used()-before)/float64(b.N), "cpu-ns/op") }
}
