package crashfs_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"moraine/internal/disk"
	"moraine/internal/disk/crashfs"
)

func create(t *testing.T, fsys *crashfs.FS, name, content string) disk.File {
	t.Helper()
	f, err := fsys.Open(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		t.Fatal(err)
	}
	write(t, f, content)
	return f
}

func write(t *testing.T, f disk.File, content string) {
	t.Helper()
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		t.Fatal(err)
	}
}

func TestNothingSurvivesUnsynced(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	f := create(t, fsys, "f", "one")
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := fsys.Crash(crashfs.KeepNone, nil).ReadFile("f"); got != nil {
		t.Errorf("the name survives without a sync of the directory: %q", got)
	}
	if err := fsys.SyncDir("."); err != nil {
		t.Fatal(err)
	}
	write(t, f, "two")
	if got := string(fsys.Crash(crashfs.KeepNone, nil).ReadFile("f")); got != "one" {
		t.Errorf("got %q, want what was synced", got)
	}
	if got := string(fsys.Crash(crashfs.KeepAll, nil).ReadFile("f")); got != "two" {
		t.Errorf("got %q, want what was written", got)
	}
	if err := fsys.Rename("f", "g"); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	seen := map[bool]int{}
	for range 50 {
		c := fsys.Crash(crashfs.KeepRandom, rnd)
		before, after := c.ReadFile("f"), c.ReadFile("g")
		if (before == nil) == (after == nil) {
			t.Fatalf("a torn rename: %q, %q", before, after)
		}
		seen[after != nil]++
	}
	if len(seen) != 2 {
		t.Errorf("a rename is always lost or always kept: %v", seen)
	}
}

func TestFailedSyncLosesForGood(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	f := create(t, fsys, "f", "one")
	if err := errors.Join(f.Sync(), fsys.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
	other, err := fsys.Open("f", os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	write(t, f, "two")
	fsys.Fail(1, crashfs.Lost)
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("the failed sync: %v", err)
	}
	if err := f.Sync(); err != nil {
		t.Errorf("the next sync: %v", err)
	}
	if err := other.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("the sync by another open file: %v", err)
	}
	if got := string(fsys.ReadFile("f")); got != "two" {
		t.Errorf("a read sees %q", got)
	}
	if got := string(fsys.Crash(crashfs.KeepAll, nil).ReadFile("f")); got != "one" {
		t.Errorf("after a crash %q", got)
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	f := create(t, fsys, "f", "text")
	fsys.Limit(4096)
	if err := disk.Allocate(f, 0, 3*4096); !disk.IsFull(err) {
		t.Errorf("allocating too much: %v", err)
	}
	if err := disk.Allocate(f, 0, 2*4096); err != nil {
		t.Errorf("allocating what is left: %v", err)
	}
	if _, err := f.WriteAt(make([]byte, 4096), 4096); err != nil {
		t.Errorf("writing what is allocated: %v", err)
	}
	if _, err := f.WriteAt([]byte{1}, 8192); !disk.IsFull(err) {
		t.Errorf("writing more: %v", err)
	}
	if _, err := fsys.Open("g", os.O_RDWR|os.O_CREATE); !disk.IsFull(err) {
		t.Errorf("making a file: %v", err)
	}
	if err := disk.Punch(f, 4096, 4096); err != nil {
		t.Errorf("punching: %v", err)
	}
	if _, err := f.WriteAt([]byte{1}, 8192); err != nil {
		t.Errorf("writing after a punch: %v", err)
	}
}

func TestTornWrite(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	f := create(t, fsys, "f", string(make([]byte, 2048)))
	if err := errors.Join(f.Sync(), fsys.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
	ones := make([]byte, 2048)
	for i := range ones {
		ones[i] = 1
	}
	if _, err := f.WriteAt(ones, 0); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	torn := 0
	for range 100 {
		got := fsys.Crash(crashfs.KeepRandom, rnd).ReadFile("f")
		for i := range got {
			if got[i] != got[i/512*512] {
				t.Fatalf("sector %d is torn", i/512)
			}
		}
		if got[0] != got[512] || got[512] != got[1024] {
			torn++
		}
	}
	if torn == 0 {
		t.Error("no write was ever torn")
	}
}

// TestShorterAndLongerAgain sees nothing of what a truncation took away.
func TestShorterAndLongerAgain(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	f := create(t, fsys, "f", "0123456789")
	if err := errors.Join(f.Truncate(3), f.Truncate(8)); err != nil {
		t.Fatal(err)
	}
	if got := string(fsys.ReadFile("f")); got != "012\x00\x00\x00\x00\x00" {
		t.Errorf("longer again: %q", got)
	}
	if _, err := f.WriteAt([]byte("x"), 6); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), fsys.SyncDir(".")); err != nil {
		t.Fatal(err)
	}
	for _, keep := range []crashfs.Keep{crashfs.KeepNone, crashfs.KeepAll} {
		if got := string(fsys.Crash(keep, nil).ReadFile("f")); got != "012\x00\x00\x00x\x00" {
			t.Errorf("after a write behind the end and a crash: %q", got)
		}
	}
	if err := disk.Punch(f, 1, 1<<40); err != nil {
		t.Fatal(err)
	}
	if got := string(fsys.ReadFile("f")); got != "0\x00\x00\x00\x00\x00\x00\x00" {
		t.Errorf("after a hole: %q", got)
	}
}
