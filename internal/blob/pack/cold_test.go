package pack

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/disk"
)

// dropping notes which ranges leave the cache.
type dropping struct {
	disk.File
	dropped []string
}

func (d *dropping) DropCache(off, n int64) {
	d.dropped = append(d.dropped, fmt.Sprintf("%d+%d", off>>10, n>>10))
}

// TestCold drops the cache ahead of a check, a window at a time.
func TestCold(t *testing.T) {
	t.Parallel()
	const kib = 1 << 10
	f := &dropping{}
	one, two := &handle{File: f, name: fileName{id: packID{1}}}, &handle{File: f, name: fileName{id: packID{2}}}
	now := time.UnixMilli(1_700_000_000_000)
	var c coldness
	for _, step := range []struct {
		after     time.Duration
		h         *handle
		off, size int64
	}{
		{0, one, 64, 100 * kib},
		{time.Second, one, 200 * kib, 100 * kib},  // in the window
		{time.Second, one, 8191 * kib, 100 * kib}, // past its end
		{time.Second, two, 64, 100 * kib},
		{2 * coldTime, two, 200 * kib, 100 * kib}, // read again by anybody since
		{time.Second, two, 64, 100 << 20},         // larger than a window
		{-time.Hour, two, 64, 100 * kib},          // the clock went back
	} {
		now = now.Add(step.after)
		c.drop(now, step.h, shape{kind: shared, off: step.off, size: step.size})
	}
	want := []string{"0+8192", "8188+8192", "0+8192", "200+8192", "0+102412", "0+8192"}
	if diff := cmp.Diff(want, f.dropped); diff != "" {
		t.Errorf("dropped, in KiB (-want +got):\n%s", diff)
	}
}
