package audit_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/audit"
	"moraine/internal/disk"
	"moraine/internal/disk/crashfs"
)

// dir lists the directory of the log.
func dir(fsys *crashfs.FS) []string {
	var out []string
	for _, name := range fsys.Names() {
		out = append(out, filepath.Base(name))
	}
	slices.Sort(out)
	return out
}

func (h *house) tidy() {
	h.t.Helper()
	if err := h.Tidy(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// later is an hour and some after noon.
func later(hours int) time.Time { return noon.Add(time.Duration(hours)*time.Hour + time.Minute) }

// in appends a record of a region.
func (h *house) in(region, name string) {
	h.t.Helper()
	if err := h.Append(in(region, name), ""); err != nil {
		h.t.Fatal(err)
	}
}

// two fills a log with two regions and two hours: E0 to E3.
func two(t testing.TB, fsys *crashfs.FS) *house {
	t.Helper()
	h := open(t, fsys, audit.Config{Region: "us-east-1"})
	h.in("us-east-1", "E0")
	h.in("eu-west-1", "E1")
	h.at(later(1))
	h.in("us-east-1", "E2")
	h.in("eu-west-1", "E3")
	return h
}

func TestTidy(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := two(t, fsys)
	h.tidy()
	want := []string{
		"audit-eu-west-1-2024-03-15T12.jsonl.gz", "audit-eu-west-1-2024-03-15T13.jsonl",
		"audit-us-east-1-2024-03-15T12.jsonl.gz", "audit-us-east-1-2024-03-15T13.jsonl",
		"manifest-2024-03-15T12.json",
	}
	if diff := cmp.Diff(want, dir(fsys)); diff != "" {
		t.Errorf("after an hour (-want +got):\n%s", diff)
	}
	verify(t, fsys, 5)
	// Nothing is written in the third hour: its end closes the second one.
	h.at(later(2))
	h.tidy()
	h.at(later(3))
	h.in("", "E4")
	h.tidy()
	h.close()
	h, err := tryOpenAt(t, fsys, audit.Config{Region: "us-east-1"}, later(4))
	if err != nil {
		t.Fatal(err)
	}
	h.in("eu-west-1", "E5")
	h.tidy()
	h.close()
	want = []string{
		"audit-eu-west-1-2024-03-15T12.jsonl.gz", "audit-eu-west-1-2024-03-15T13.jsonl.gz", "audit-eu-west-1-2024-03-15T16.jsonl",
		"audit-us-east-1-2024-03-15T12.jsonl.gz", "audit-us-east-1-2024-03-15T13.jsonl.gz", "audit-us-east-1-2024-03-15T15.jsonl.gz",
		"audit-us-east-1-2024-03-15T16.jsonl",
		"manifest-2024-03-15T12.json", "manifest-2024-03-15T13.json", "manifest-2024-03-15T15.json",
	}
	if diff := cmp.Diff(want, dir(fsys)); diff != "" {
		t.Errorf("after four hours (-want +got):\n%s", diff)
	}
	r, err := audit.Verify(fsys, "audit", audit.First{})
	if err != nil || r.Records != 8 || r.Files != 7 || len(r.Chains) != 2 || r.Chains[0].Last != 3 || r.Chains[1].Last != 5 || r.Manifests.Last != 3 {
		t.Errorf("verify: %+v, %v", r, err)
	}
	if got, want := fmt.Sprint(events(t, fsys)), "[E1 E3 E5 E0 E2 E4]"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	if n := fsys.OpenFiles(); n != 0 {
		t.Errorf("%d files are still open", n)
	}
}

// TestHourIsOver checks that no line comes into an hour that has its manifest,
// whatever the clock says: not in this process and not in the next.
func TestHourIsOver(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := two(t, fsys)
	h.tidy()
	h.at(noon)
	h.in("eu-west-1", "E4")
	h.in("ap-south-1", "E5")
	h.close()
	h = open(t, fsys, audit.Config{Region: "sa-east-1"})
	h.tidy()
	h.append("E6")
	h.close()
	for _, name := range dir(fsys) {
		if strings.Contains(name, "T12.jsonl") && !strings.HasSuffix(name, ".gz") {
			t.Errorf("there is %s", name)
		}
	}
	// Every file of a past hour is compressed, and the clock is back.
	if err := errors.Join(fsys.Remove("audit/audit-sa-east-1-2024-03-15T13.jsonl"), fsys.Remove("audit/audit-us-east-1-2024-03-15T13.jsonl"),
		fsys.Remove("audit/audit-eu-west-1-2024-03-15T13.jsonl"), fsys.Remove("audit/audit-ap-south-1-2024-03-15T13.jsonl")); err != nil {
		t.Fatal(err)
	}
	h = open(t, fsys, audit.Config{Region: "us-east-1"})
	h.append("E7")
	if got := dir(fsys); !slices.Contains(got, "audit-us-east-1-2024-03-15T13.jsonl") {
		t.Errorf("the next line is in none of the next hour: %v", got)
	}
	h.close()
	verify(t, fsys, 5)
}

// TestTidyFaults fails each operation of Tidy in turn, in each way: no record is
// lost, and the next Tidy ends where an undisturbed one does.
func TestTidyFaults(t *testing.T) {
	t.Parallel()
	quiet := crashfs.New()
	two(t, quiet).tidy()
	want := dir(quiet)
	for _, fault := range []crashfs.Fault{crashfs.Lost, crashfs.Persisted, crashfs.Full} {
		for n := 1; ; n++ {
			fsys := crashfs.New()
			h := two(t, fsys)
			fsys.Fail(n, fault)
			err := h.Tidy(t.Context())
			if !fsys.Failed() {
				break
			}
			check := func(when string, fsys *crashfs.FS) {
				t.Helper()
				if got, want := fmt.Sprint(events(t, fsys)), "[E1 E3 E0 E2]"; got != want {
					t.Fatalf("fault %d at operation %d (%v), %s: events %s, want %s", fault, n, err, when, got, want)
				}
				verify(t, fsys, 5)
			}
			check("at once", fsys)
			// After a crash here, with what was not synced lost or kept.
			for _, keep := range []crashfs.Keep{crashfs.KeepNone, crashfs.KeepAll} {
				after := fsys.Crash(keep, nil)
				check("after a crash", after)
				again, err := tryOpenAt(t, after, audit.Config{Region: "us-east-1"}, later(1))
				if err != nil {
					t.Fatal(err)
				}
				again.tidy()
				again.close()
				if _, err := audit.Verify(after, "audit", audit.First{}); err != nil {
					t.Errorf("fault %d at operation %d, tidied after a crash: %v", fault, n, err)
				}
				if got := dir(after); !slices.Equal(got, want) {
					t.Errorf("fault %d at operation %d, tidied after a crash: %v", fault, n, got)
				}
			}
			h.tidy()
			check("tidied again", fsys)
			if diff := cmp.Diff(want, dir(fsys)); diff != "" {
				t.Errorf("fault %d at operation %d (-want +got):\n%s", fault, n, diff)
			}
			check("and after a loss of power", fsys.Crash(crashfs.KeepNone, nil))
		}
	}
}

// TestTidyPowerCut cuts the power at each operation of Tidy: what is on the disk
// then is the plain file, or the compressed one complete, or both.
func TestTidyPowerCut(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		fsys := crashfs.New()
		h := two(t, fsys)
		fsys.Fail(n, crashfs.PowerCut)
		if h.Tidy(t.Context()) == nil {
			break
		}
		rnd := rand.New(rand.NewPCG(uint64(n), 3))
		for range 4 {
			after := fsys.Crash(crashfs.KeepRandom, rnd)
			verify(t, after, 5)
			again, err := tryOpenAt(t, after, audit.Config{Region: "us-east-1"}, later(1))
			if err != nil {
				t.Fatal(err)
			}
			again.tidy()
			again.close()
			verify(t, after, 6)
			if got, want := fmt.Sprint(events(t, after)), "[E1 E3 E0 E2]"; got != want {
				t.Fatalf("power cut at operation %d: events %s, want %s", n, got, want)
			}
		}
	}
}

// TestTidyStops checks that compression ends with its context, leaves nothing
// behind, and is done later.
func TestTidyStops(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := two(t, fsys)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Tidy(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("tidy: %v", err)
	}
	if got := dir(fsys); len(got) != 4 {
		t.Errorf("there are %v", got)
	}
	h.tidy()
	verify(t, fsys, 5)
}

// TestDamagedStaysPlain checks that a closed file which is not as it was written
// is left alone, and that the others are closed.
func TestDamagedStaysPlain(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := two(t, fsys)
	const name = "audit/audit-us-east-1-2024-03-15T12.jsonl"
	spoiled := bytes.Replace(fsys.ReadFile(name), []byte(`"E0"`), []byte(`"X0"`), 1)
	if err := disk.WriteFile(fsys, name, spoiled); err != nil {
		t.Fatal(err)
	}
	h.tidy()
	h.tidy()
	if !bytes.Equal(fsys.ReadFile(name), spoiled) || fsys.ReadFile("audit/audit-eu-west-1-2024-03-15T12.jsonl.gz") == nil {
		t.Errorf("there are %v", dir(fsys))
	}
	var damage *audit.Damage
	if _, err := audit.Verify(fsys, "audit", audit.First{}); !errors.As(err, &damage) || damage.File != name || damage.Line != 2 {
		t.Errorf("verify: %v", err)
	}
}

// TestVerifyClosed removes and alters closed files and manifests.
func TestVerifyClosed(t *testing.T) {
	t.Parallel()
	const (
		east, west = "audit/audit-us-east-1-2024-03-15T12.jsonl.gz", "audit/audit-eu-west-1-2024-03-15T12.jsonl.gz"
		first      = "audit/manifest-2024-03-15T12.json"
		second     = "audit/manifest-2024-03-15T13.json"
	)
	for _, tt := range []struct {
		name, file string
		line       int64
		spoil      func(fsys *crashfs.FS) error
	}{
		{"a file is missing", strings.TrimSuffix(east, ".gz"), 0, func(f *crashfs.FS) error { return f.Remove(east) }},
		{"all files of a region are missing", strings.TrimSuffix(west, ".gz"), 0, func(f *crashfs.FS) error {
			return errors.Join(f.Remove(west), f.Remove("audit/audit-eu-west-1-2024-03-15T13.jsonl.gz"))
		}},
		{"a manifest is missing", second, 1, func(f *crashfs.FS) error { return f.Remove(first) }},
		{"all manifests are missing", west, 0, func(f *crashfs.FS) error { return errors.Join(f.Remove(first), f.Remove(second)) }},
		{"the last manifest is missing", "audit/audit-eu-west-1-2024-03-15T13.jsonl.gz", 0, func(f *crashfs.FS) error { return f.Remove(second) }},
		{"a manifest is altered", first, 1, func(f *crashfs.FS) error { f.Flip(first, 60, 1); return nil }},
		{"a manifest has another hour's name", "audit/manifest-2024-03-15T14.json", 1, func(f *crashfs.FS) error {
			return f.Rename(second, "audit/manifest-2024-03-15T14.json")
		}},
		{"a compressed file is altered", east, 1, func(f *crashfs.FS) error { f.Flip(east, 200, 4); return nil }},
		{"a compressed file is cut", east, 1, func(f *crashfs.FS) error {
			return disk.WriteFile(f, east, f.ReadFile(east)[:300])
		}},
		{"a compressed file is empty", east, 0, func(f *crashfs.FS) error { return disk.WriteFile(f, east, nil) }},
		{"a file is replaced by another chain", east, 0, func(f *crashfs.FS) error {
			other := crashfs.New()
			two(t, other).tidy()
			return disk.WriteFile(f, east, other.ReadFile(east))
		}},
		{"a plain file beside it says something else", east, 0, func(f *crashfs.FS) error {
			other := crashfs.New()
			two(t, other)
			return disk.WriteFile(f, strings.TrimSuffix(east, ".gz"), other.ReadFile(strings.TrimSuffix(east, ".gz")))
		}},
		{"a file that no manifest lists", "audit/audit-ap-south-1-2024-03-15T12.jsonl", 0, func(f *crashfs.FS) error {
			other := crashfs.New()
			h := open(t, other, audit.Config{Region: "ap-south-1"})
			h.close()
			const name = "audit/audit-ap-south-1-2024-03-15T12.jsonl"
			return disk.WriteFile(f, name, other.ReadFile(name))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fsys := crashfs.New()
			h := two(t, fsys)
			h.tidy()
			h.at(later(2))
			h.tidy()
			h.close()
			verify(t, fsys, 5)
			if err := tt.spoil(fsys); err != nil {
				t.Fatal(err)
			}
			_, err := audit.Verify(fsys, "audit", audit.First{})
			var damage *audit.Damage
			if !errors.As(err, &damage) || damage.File != tt.file || damage.Line != tt.line {
				t.Errorf("verify: %v, want %s, line %d", err, tt.file, tt.line)
			}
		})
	}
}

// TestPutAway moves the files of an hour away, as operators do.
func TestPutAway(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := two(t, fsys)
	h.tidy()
	h.at(later(2))
	h.tidy()
	for _, name := range dir(fsys) {
		if strings.Contains(name, "T12") {
			if err := fsys.Remove(filepath.Join("audit", name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.in("eu-west-1", "E4")
	h.at(later(3))
	h.tidy()
	h.close()
	for _, tt := range []struct {
		first audit.First
		ok    bool
	}{
		{audit.First{}, false},
		{audit.First{Oldest: true}, true},
		{audit.First{Of: map[string]int64{"us-east-1": 3, "eu-west-1": 2}}, true},
		{audit.First{Of: map[string]int64{"us-east-1": 3, "eu-west-1": 3}}, false},
		{audit.First{Number: 2, Of: map[string]int64{"us-east-1": 3}}, true},
	} {
		r, err := audit.Verify(fsys, "audit", tt.first)
		if (err == nil) != tt.ok || tt.ok && (r.Records != 3 || r.Manifests.First != 2 || r.Manifests.Last != 3) {
			t.Errorf("%+v: %+v, %v", tt.first, r, err)
		}
	}
}

// TestPutAwayWhole moves all files of a region away: its chain goes on where it
// was, since a manifest tells.
func TestPutAwayWhole(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := two(t, fsys)
	h.at(later(2))
	h.tidy()
	h.at(later(3))
	h.in("us-east-1", "E4")
	h.at(later(4))
	h.tidy()
	h.close()
	for _, name := range dir(fsys) {
		if strings.Contains(name, "T12") || strings.Contains(name, "T13") {
			if err := fsys.Remove(filepath.Join("audit", name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	h, err := tryOpenAt(t, fsys, audit.Config{Region: "us-east-1"}, later(5))
	if err != nil {
		t.Fatal(err)
	}
	h.in("eu-west-1", "E5")
	h.close()
	r, err := audit.Verify(fsys, "audit", audit.First{Of: map[string]int64{"us-east-1": 4}})
	if err != nil || len(r.Chains) != 2 || r.Chains[0].First != 3 || r.Chains[1].First != 4 {
		t.Errorf("verify: %+v, %v", r, err)
	}
}

// TestEmptyFile closes a file that a crash left without a line.
func TestEmptyFile(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := two(t, fsys)
	h.tidy()
	h.close()
	const name = "audit/audit-us-east-1-2024-03-15T14.jsonl"
	if err := disk.WriteFile(fsys, name, []byte("\n\n")); err != nil {
		t.Fatal(err)
	}
	h, err := tryOpenAt(t, fsys, audit.Config{Region: "eu-west-1"}, later(4))
	if err != nil {
		t.Fatal(err)
	}
	h.tidy()
	h.close()
	verify(t, fsys, 6)
	for _, name := range dir(fsys) {
		if strings.Contains(name, "us-east-1") {
			if err := fsys.Remove(filepath.Join("audit", name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	h, err = tryOpenAt(t, fsys, audit.Config{Region: "eu-west-1"}, later(4))
	if err != nil {
		t.Fatal(err)
	}
	h.in("us-east-1", "E4")
	h.close()
	r, err := audit.Verify(fsys, "audit", audit.First{Oldest: true})
	if len(r.Chains) != 2 || r.Chains[1].First != 4 {
		t.Errorf("the chain goes on at %+v, %v", r.Chains, err)
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := open(t, fsys, audit.Config{Region: "us-east-1", Retention: 48 * time.Hour})
	for i := range 60 {
		h.at(later(i))
		h.in("us-east-1", fmt.Sprint("E", i))
		h.tidy()
	}
	all := events(t, fsys)
	if len(all) == 0 || all[0] != "E11" || !slices.Contains(all, "AuditFilesRemoved") {
		t.Errorf("what is left: %v", all)
	}
	if _, err := audit.Verify(fsys, "audit", audit.First{Oldest: true}); err != nil {
		t.Error(err)
	}
	// A clock far in the future takes a day's files at once, and says so.
	before := len(dir(fsys))
	h.at(later(10_000))
	h.tidy()
	h.tidy()                                         // and not again within the hour
	if gone := before - len(dir(fsys)); gone != 46 { // a file and a manifest for each of 24 hours, but for those of the hour just closed
		t.Errorf("%d files are gone", gone)
	}
	h.close()
	if _, err := audit.Verify(fsys, "audit", audit.First{Oldest: true}); err != nil {
		t.Error(err)
	}
	// The newest manifest stays, so that the next one continues it.
	h, err := tryOpenAt(t, fsys, audit.Config{Region: "us-east-1", Retention: 48 * time.Hour}, later(20_000))
	if err != nil {
		t.Fatal(err)
	}
	h.tidy()
	h.at(later(30_000))
	h.tidy()
	h.close()
	if r, err := audit.Verify(fsys, "audit", audit.First{Oldest: true}); err != nil || r.Manifests.Last < 60 {
		t.Errorf("verify: %+v, %v", r, err)
	}
}

// TestRetentionFaults fails each operation of a removal: the next Tidy ends it.
func TestRetentionFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []crashfs.Fault{crashfs.Lost, crashfs.Persisted} {
		for n := 1; ; n++ {
			fsys := crashfs.New()
			h := open(t, fsys, audit.Config{Region: "us-east-1", Retention: 24 * time.Hour})
			for i := range 3 {
				h.at(later(i))
				h.in("us-east-1", fmt.Sprint("E", i))
				h.tidy()
			}
			h.at(later(40))
			fsys.Fail(n, fault)
			_ = h.Tidy(t.Context())
			if !fsys.Failed() {
				break
			}
			fsys = fsys.Crash(crashfs.KeepNone, nil)
			h, err := tryOpenAt(t, fsys, audit.Config{Region: "us-east-1", Retention: 24 * time.Hour}, later(40))
			if err != nil {
				t.Fatal(err)
			}
			h.tidy()
			h.close()
			if _, err := audit.Verify(fsys, "audit", audit.First{Oldest: true}); err != nil {
				t.Errorf("fault %d at operation %d: %v", fault, n, err)
			}
			if got := dir(fsys); slices.Contains(got, "manifest-2024-03-15T12.json") || slices.Contains(got, "audit-us-east-1-2024-03-15T12.jsonl.gz") {
				t.Errorf("fault %d at operation %d: there are %v", fault, n, got)
			}
		}
	}
}

// TestVersion1 opens a log that a server of version 1 has written: its chain is
// continued, and its files are closed like any other.
func TestVersion1(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	if err := disk.MkdirAll(fsys, "audit"); err != nil {
		t.Fatal(err)
	}
	old, err := filepath.Glob(filepath.Join("testdata", "version1", "*.jsonl"))
	if err != nil || len(old) != 2 {
		t.Fatalf("fixtures: %v, %v", old, err)
	}
	for _, name := range old {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := disk.WriteFile(fsys, filepath.Join("audit", filepath.Base(name)), text); err != nil {
			t.Fatal(err)
		}
	}
	verify(t, fsys, 7)
	// In the hour of the last file, which stays as it is.
	h, err := tryOpenAt(t, fsys, audit.Config{Region: "us-east-1"}, later(1))
	if err != nil {
		t.Fatal(err)
	}
	h.in("us-east-1", "E1")
	h.in("eu-west-1", "E2")
	verify(t, fsys, 10)
	h.close()
	h, err = tryOpenAt(t, fsys, audit.Config{Region: "eu-west-1"}, later(2))
	if err != nil {
		t.Fatal(err)
	}
	h.tidy()
	h.close()
	want := []string{
		"audit-2024-03-15T12.jsonl.gz", "audit-2024-03-15T13.jsonl.gz",
		"audit-eu-west-1-2024-03-15T13.jsonl.gz", "audit-eu-west-1-2024-03-15T14.jsonl", "audit-us-east-1-2024-03-15T13.jsonl.gz",
		"manifest-2024-03-15T12.json", "manifest-2024-03-15T13.json",
	}
	if diff := cmp.Diff(want, dir(fsys)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	verify(t, fsys, 11)
	r, err := audit.Verify(fsys, "audit", audit.First{})
	if err != nil || len(r.Chains) != 3 || r.Chains[2].Region != "us-east-1" || r.Chains[2].First != 8 || r.Chains[1].First != 1 {
		t.Errorf("chains: %+v, %v", r.Chains, err)
	}
	all := records(t, fsys)
	if all[1].EventName != "UploadArchive" || all[1].RequestParameters["vaultName"] != "examplevault" {
		t.Errorf("an old record is %+v", all[1])
	}
}

// TestRun checks that Run closes hours by itself, and that its goroutines end
// with it.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fsys := crashfs.New()
		l, err := audit.Open(audit.Config{FS: fsys, Dir: "audit", Reserve: 1 << 16})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		r := write("ListVaults")
		r.ReadOnly = true
		if err := l.Append(r, ""); err != nil {
			t.Fatal(err)
		}
		<-time.After(1500 * time.Millisecond)
		if got := events(t, fsys.Crash(crashfs.KeepNone, nil)); !slices.Equal(got, []string{"ListVaults"}) {
			t.Errorf("a second later %v is durable", got)
		}
		<-time.After(2 * time.Hour)
		synctest.Wait()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if got := dir(fsys); !slices.ContainsFunc(got, func(n string) bool { return strings.HasPrefix(n, "manifest-") }) {
			t.Errorf("after two hours there are %v", got)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		verify(t, fsys, 2)
	})
}

// TestManifest holds the form of a manifest.
func TestManifest(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	two(t, fsys).tidy()
	line := fsys.ReadFile("audit/manifest-2024-03-15T12.json")
	var m struct {
		ManifestVersion int
		Hour            string
		Files           []struct {
			Name              string
			SizeBytes         int64
			SHA256, LastHash  string
			FirstSeq, LastSeq int64
		}
		Moraine struct{ Seq int64 }
	}
	if err := json.Unmarshal(line, &m); err != nil {
		t.Fatal(err)
	}
	text := content(t, fsys, "audit/audit-us-east-1-2024-03-15T12.jsonl")
	f := m.Files[1]
	if m.ManifestVersion != 1 || m.Hour != "2024-03-15T12" || m.Moraine.Seq != 1 || len(m.Files) != 2 ||
		f.Name != "audit-us-east-1-2024-03-15T12.jsonl" || f.SizeBytes != int64(len(text)) || f.FirstSeq != 1 || f.LastSeq != 2 ||
		f.SHA256 != fmt.Sprintf("%x", sha256.Sum256(text)) || !bytes.Contains(text, []byte(f.LastHash)) {
		t.Errorf("manifest %s", line)
	}
}
