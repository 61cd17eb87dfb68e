package audit_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"moraine/internal/audit"
	"moraine/internal/disk/crashfs"
)

const reserved = "audit/reserve"

// big is a record of about 20 KiB.
func big(name string) *audit.Record {
	r := write(name)
	r.RequestParameters.Text("policy", strings.Repeat("x", 20<<10))
	return r
}

// TestReserve fills the disk: records go on being written in the space that was
// kept for them, over the end of an hour and a start too, and the reserve is
// made whole when there is space again.
func TestReserve(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	const size = 4 << 20
	h := open(t, fsys, audit.Config{Reserve: size})
	if got := len(fsys.ReadFile(reserved)); got != size {
		t.Fatalf("the reserve has %d bytes", got)
	}
	fsys.Limit(0)
	recorded := 0
	for i := range 60 {
		h.at(noon.Add(time.Duration(i) * 3 * time.Minute))
		if err := h.Append(big(fmt.Sprint("E", i)), ""); err != nil {
			t.Fatalf("record %d on a full disk: %v", i, err)
		}
		recorded++
	}
	// Nothing is lost to a crash, and a start on a full disk works.
	for _, keep := range []crashfs.Keep{crashfs.KeepNone, crashfs.KeepAll} {
		after := fsys.Crash(keep, nil)
		after.Limit(0)
		again, err := tryOpenAt(t, after, audit.Config{Reserve: size}, later(3))
		if err != nil {
			t.Fatalf("a start on a full disk: %v", err)
		}
		again.append("after the start")
		again.close()
		verify(t, after, int64(recorded)+3)
	}
	// It is not for ever: then calls fail, and nothing of the chain is lost.
	failed := false
	for range 300 {
		if err := h.Append(big("E"), ""); err != nil {
			failed = true
			break
		}
		recorded++
	}
	if !failed || recorded < 150 {
		t.Errorf("%d records on a full disk", recorded)
	}
	if got := len(fsys.ReadFile(reserved)); got != 0 {
		t.Errorf("the reserve still has %d bytes", got)
	}
	fsys.Limit(64 << 20)
	h.append("there is space again")
	h.tidy()
	if got := len(fsys.ReadFile(reserved)); got != size {
		t.Errorf("the reserve has %d bytes again", got)
	}
	h.close()
	verify(t, fsys, int64(recorded)+3) // with the opening and the record that was refused
}

// TestReserveLeavesSpace checks that the reserve takes nothing when little would
// be left to others.
func TestReserveLeavesSpace(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	free := int64(3<<20 - 1)
	h := open(t, fsys, audit.Config{Reserve: 1 << 20, Free: func() (int64, error) { return free, nil }})
	if len(fsys.ReadFile(reserved)) != 1<<20 {
		t.Error("there was space for a reserve")
	}
	fsys.Limit(0)
	for i := range 20 {
		if err := h.Append(big(fmt.Sprint("E", i)), ""); err != nil {
			t.Fatal(err)
		}
	}
	fsys.Limit(-1)
	free = 2<<20 - 1
	h.tidy()
	if got := len(fsys.ReadFile(reserved)); got != 0 {
		t.Errorf("a reserve of %d bytes was taken", got)
	}
	free = 2 << 20
	h.tidy()
	if got := len(fsys.ReadFile(reserved)); got != 1<<20 {
		t.Errorf("the reserve has %d bytes", got)
	}
}

// TestReserveChanges opens a log with another setting.
func TestReserveChanges(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	for _, size := range []int64{1 << 20, 3 << 20, 2 << 20, 0} {
		open(t, fsys, audit.Config{Reserve: size}).close()
		if got := int64(len(fsys.ReadFile(reserved))); got != size {
			t.Errorf("the reserve has %d bytes, want %d", got, size)
		}
	}
}

// TestTidyOnFullDisk checks that compression does not eat the reserve and leaves
// nothing half done.
func TestTidyOnFullDisk(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := open(t, fsys, audit.Config{Reserve: 4 << 20, Region: "us-east-1"})
	h.append("E0")
	h.at(later(1))
	h.append("E1")
	fsys.Limit(0)
	before := dir(fsys)
	if err := h.Tidy(t.Context()); err == nil {
		t.Error("a full disk has space for compression")
	}
	if got := dir(fsys); fmt.Sprint(got) != fmt.Sprint(before) || len(fsys.ReadFile(reserved)) != 4<<20 {
		t.Errorf("there are %v, and a reserve of %d bytes", got, len(fsys.ReadFile(reserved)))
	}
	fsys.Limit(-1)
	h.tidy()
	verify(t, fsys, 3)
}

// TestConcurrentTidy closes hours while many write.
func TestConcurrentTidy(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := open(t, fsys, audit.Config{Region: "us-east-1", Reserve: 1 << 20})
	var callers sync.WaitGroup
	for c := range 8 {
		callers.Go(func() {
			for i := range 60 {
				region := []string{"us-east-1", "eu-west-1", ""}[i%3]
				if err := h.Append(in(region, fmt.Sprint("E", c, ".", i)), ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 12 {
		h.at(noon.Add(time.Duration(i) * 30 * time.Minute))
		h.tidy()
		if _, err := audit.Verify(fsys, "audit", audit.First{}); err != nil {
			t.Errorf("while it is written: %v", err)
		}
	}
	callers.Wait()
	h.at(later(7))
	h.tidy()
	verify(t, fsys, 481)
	h.close()
	if n := len(events(t, fsys)); n != 480 {
		t.Errorf("%d records", n)
	}
}
