package audit_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"moraine/internal/audit"
	"moraine/internal/audit/audittest"
	"moraine/internal/disk"
	"moraine/internal/disk/crashfs"
)

var noon = time.Date(2024, 3, 15, 12, 0, 0, 0, time.UTC)

// house is a log on a file system in memory.
type house struct {
	t    testing.TB
	fsys *crashfs.FS
	mu   sync.Mutex // guards now
	now  time.Time
	*audit.Log
}

// at moves the clock.
func (h *house) at(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = now
}

// tryOpen opens a log at noon.
func tryOpen(t testing.TB, fsys *crashfs.FS, cfg audit.Config) (*house, error) {
	t.Helper()
	return tryOpenAt(t, fsys, cfg, noon)
}

func tryOpenAt(t testing.TB, fsys *crashfs.FS, cfg audit.Config, now time.Time) (*house, error) {
	t.Helper()
	h := &house{t: t, fsys: fsys, now: now}
	cfg.FS, cfg.Dir, cfg.Now = fsys, "audit", func() time.Time {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.now
	}
	var err error
	h.Log, err = audit.Open(cfg)
	return h, err
}

func open(t testing.TB, fsys *crashfs.FS, cfg audit.Config) *house {
	t.Helper()
	h, err := tryOpen(t, fsys, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func write(name string) *audit.Record {
	return &audit.Record{EventName: name, RecipientAccountID: "111111111111", UserIdentity: audit.Identity{Type: "Root"}}
}

// in is write for a region.
func in(region, name string) *audit.Record {
	r := write(name)
	r.Region = region
	return r
}

func (h *house) append(names ...string) {
	h.t.Helper()
	for _, name := range names {
		if err := h.Append(write(name), ""); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *house) close() {
	h.t.Helper()
	if err := h.Close(); err != nil {
		h.t.Fatal(err)
	}
}

// names returns the files of the log that hold lines, plain or compressed, by
// the name of the plain one.
func names(fsys *crashfs.FS) []string {
	var out []string
	for _, name := range fsys.Names() {
		if name := strings.TrimSuffix(name, ".gz"); strings.HasSuffix(name, ".jsonl") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// content returns the lines of a file, plain or compressed.
func content(t testing.TB, fsys *crashfs.FS, name string) []byte {
	t.Helper()
	if text := fsys.ReadFile(name); text != nil {
		return text
	}
	z, err := gzip.NewReader(bytes.NewReader(fsys.ReadFile(name + ".gz")))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return text
}

func records(t testing.TB, fsys *crashfs.FS) []audittest.Event {
	t.Helper()
	var out []audittest.Event
	for _, name := range names(fsys) {
		out = append(out, audittest.Parse(t, content(t, fsys, name))...)
	}
	return out
}

// events returns the names of the recorded events, those of opening left out.
func events(t testing.TB, fsys *crashfs.FS) []string {
	t.Helper()
	var out []string
	for _, r := range records(t, fsys) {
		if r.EventName != "AuditOpened" {
			out = append(out, r.EventName)
		}
	}
	return out
}

func verify(t testing.TB, fsys *crashfs.FS, want int64) {
	t.Helper()
	r, err := audit.Verify(fsys, "audit", audit.First{})
	if err != nil || r.Records != want {
		t.Errorf("verify: %+v, %v, want %d records", r, err, want)
	}
}

func TestChain(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := open(t, fsys, audit.Config{})
	h.append("A", "B")
	h.at(noon.Add(time.Hour))
	h.append("C")
	h.at(noon) // a clock that goes back does not bring back the old file
	h.append("D")
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	verify(t, fsys, 5)
	h = open(t, fsys, audit.Config{})
	h.append("E")
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	verify(t, fsys, 7)
	if got, want := fmt.Sprint(events(t, fsys)), "[A B C D E]"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	if got := len(names(fsys)); got != 2 {
		t.Errorf("%d files, want one for each hour", got)
	}
	if n := fsys.OpenFiles(); n != 0 {
		t.Errorf("%d files are still open", n)
	}
}

// TestDurable is AU4: when Append of a write returns, a loss of power does not
// take the record.
func TestDurable(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		fsys := crashfs.New()
		h := open(t, fsys, audit.Config{})
		h.append("A", "B")
		read := write("GetJobOutput")
		read.ReadOnly = true
		if err := h.Append(read, ""); err != nil {
			t.Fatal(err)
		}
		after := fsys.Crash(crashfs.KeepNone, rand.New(rand.NewPCG(seed, 1)))
		verify(t, after, 3)
		h = open(t, after, audit.Config{})
		h.append("C")
		verify(t, after, 5)
		if got, want := fmt.Sprint(events(t, after)), "[A B C]"; got != want {
			t.Errorf("events %s, want %s", got, want)
		}
	}
}

// TestFault fails each operation in turn, in both ways: Append must not claim
// success, later ones succeed, and the chain has no gap.
func TestFault(t *testing.T) {
	t.Parallel()
	for _, fault := range []crashfs.Fault{crashfs.Lost, crashfs.Persisted, crashfs.Full} {
		for n := 1; ; n++ {
			fsys := crashfs.New()
			h := open(t, fsys, audit.Config{})
			fsys.Fail(n, fault)
			failures := 0
			for i := range 4 {
				h.at(noon.Add(time.Duration(i) * 30 * time.Minute))
				if err := h.Append(write(fmt.Sprint("E", i)), ""); err != nil {
					failures++
				}
			}
			if !fsys.Failed() {
				break
			}
			if failures > 1 {
				t.Errorf("fault %d at operation %d: %d calls failed", fault, n, failures)
			}
			if err := h.Close(); err != nil {
				t.Errorf("fault %d at operation %d: close: %v", fault, n, err)
			}
			if got, want := fmt.Sprint(events(t, fsys)), "[E0 E1 E2 E3]"; got != want {
				t.Errorf("fault %d at operation %d: events %s, want %s", fault, n, got, want)
			}
			verify(t, fsys, 5)
		}
	}
}

func TestFailClosed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name               string
		cfg                audit.Config
		write, failed, see bool // whether Append returns an error
	}{
		{"closed", audit.Config{}, true, false, false},
		{"all", audit.Config{Sync: audit.All}, true, true, true},
		{"open", audit.Config{FailOpen: true}, false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fsys := crashfs.New()
			h := open(t, fsys, tt.cfg)
			fsys.FailAll(crashfs.Lost)
			failed, read := write("CreateVault"), write("ListVaults")
			failed.ErrorCode, read.ReadOnly = "AccessDenied", true
			if err := h.Append(write("CreateVault"), ""); (err != nil) != tt.write {
				t.Errorf("a write: %v", err)
			}
			if err := h.Append(failed, ""); (err != nil) != tt.failed {
				t.Errorf("a refused write: %v", err)
			}
			if err := h.Append(read, ""); (err != nil) != tt.see {
				t.Errorf("a read: %v", err)
			}
		})
	}
}

// TestWitness checks that what must be on record is, when it returns without an
// error, and that a disk that takes nothing forbids it.
func TestWitness(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := open(t, fsys, audit.Config{})
	if err := h.Witness("ClockJump", map[string]any{"phase": "confirmed"}); err != nil {
		t.Fatal(err)
	}
	all := records(t, fsys.Crash(crashfs.KeepNone, nil))
	last := all[len(all)-1]
	if last.EventName != "ClockJump" || last.EventType != "AwsServiceEvent" || last.AdditionalEventData["phase"] != "confirmed" {
		t.Errorf("after a loss of power the last record is %+v", last)
	}
	for _, failOpen := range []bool{false, true} {
		fsys := crashfs.New()
		h := open(t, fsys, audit.Config{FailOpen: failOpen})
		fsys.FailAll(crashfs.Lost)
		if err := h.Witness("ClockJump", nil); (err == nil) != failOpen {
			t.Errorf("a disk that takes nothing, fail open %v: %v", failOpen, err)
		}
	}
}

// TestFullQueue checks that memory is bounded while the disk takes nothing, and
// that what was dropped is told.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := open(t, fsys, audit.Config{FailOpen: true})
	fsys.FailAll(crashfs.Lost)
	big := strings.Repeat("x", 90<<10)
	for range 250 {
		r := write("Big")
		r.ReadOnly = true
		r.RequestParameters.Text("policy", big)
		h.Append(r, "")
	}
	fsys.Fail(0, 0)
	if err := h.Flush(); err != nil {
		t.Fatal(err)
	}
	h.append("After")
	all := events(t, fsys)
	if n := len(all); n < 100 || n > 250 || all[n-2] != "AuditRecordsDropped" || all[n-1] != "After" {
		t.Errorf("%d records, ending in %v", n, all[max(0, n-3):])
	}
	verify(t, fsys, int64(len(all)+1))
}

// lines returns the lines of a file that is being written, without the blank
// ones.
func lines(fsys *crashfs.FS, name string) [][]byte {
	return slices.Collect(bytes.Lines(append(bytes.TrimRight(fsys.ReadFile(name), "\n"), '\n')))
}

// TestTorn cuts the last line at every length, with blank lines, zeros or
// nothing behind it, as a crash may.
func TestTorn(t *testing.T) {
	t.Parallel()
	whole := crashfs.New()
	open(t, whole, audit.Config{}).append("A", "B")
	name := names(whole)[0]
	all := lines(whole, name)
	text, begin := bytes.Join(all, nil), len(bytes.Join(all[:2], nil))
	check := func(content []byte, want string, torn []byte) {
		t.Helper()
		fsys := crashfs.New()
		if err := errors.Join(disk.MkdirAll(fsys, "audit"), disk.WriteFile(fsys, name, content)); err != nil {
			t.Fatal(err)
		}
		open(t, fsys, audit.Config{}).append("C")
		if got := fmt.Sprint(events(t, fsys)); got != want {
			t.Errorf("of %d bytes: events %s, want %s", len(content), got, want)
		}
		if _, err := audit.Verify(fsys, "audit", audit.First{}); err != nil {
			t.Errorf("of %d bytes: %v", len(content), err)
		}
		if got := fsys.ReadFile(name + ".torn"); !bytes.Equal(got, torn) {
			t.Errorf("of %d bytes %d are kept, want %d", len(content), len(got), len(torn))
		}
	}
	blank, zeros := bytes.Repeat([]byte("\n"), 600), make([]byte, 600)
	check(text[:begin], "[A C]", nil)
	check(slices.Concat(text[:begin], blank), "[A C]", nil)
	for n := begin + 1; n < len(text)-1; n += 5 {
		check(text[:n], "[A AuditTruncated C]", text[begin:n])
		if n%16 > 4 {
			continue
		}
		check(slices.Concat(text[:n], blank), "[A AuditTruncated C]", text[begin:n])
		check(slices.Concat(text[:n], zeros), "[A AuditTruncated C]", slices.Concat(text[begin:n], zeros))
	}
	check(slices.Concat(text[:begin], zeros), "[A AuditTruncated C]", zeros)
	check(slices.Concat(text[:begin], zeros, blank), "[A AuditTruncated C]", zeros)
	// A line that was lost before one that was kept: both were being written.
	last := text[begin:]
	check(slices.Concat(text[:begin], blank[:512], last), "[A AuditTruncated C]", bytes.TrimRight(slices.Concat(blank[:512], last), "\n"))
	check(slices.Concat(text[:begin], zeros[:512], last, blank), "[A AuditTruncated C]", bytes.TrimRight(slices.Concat(zeros[:512], last), "\n"))
}

// TestAlteredBefore opens a log of which a line was altered: that is not what a
// crash does, and no reason to cut off the lines behind it.
func TestAlteredBefore(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := open(t, fsys, audit.Config{})
	h.append("A", "B", "C")
	h.close()
	name := names(fsys)[0]
	text := fsys.ReadFile(name)
	if err := disk.WriteFile(fsys, name, bytes.Replace(text, []byte(`"A"`), []byte(`"X"`), 1)); err != nil {
		t.Fatal(err)
	}
	open(t, fsys, audit.Config{}).append("D")
	if got, want := fmt.Sprint(events(t, fsys)), "[X B C D]"; got != want {
		t.Errorf("events %s, want %s", got, want)
	}
	var damage *audit.Damage
	if _, err := audit.Verify(fsys, "audit", audit.First{}); !errors.As(err, &damage) || damage.Line != 2 {
		t.Errorf("verify: %v", err)
	}
	if torn := fsys.ReadFile(name + ".torn"); torn != nil {
		t.Errorf("%d bytes were cut off", len(torn))
	}
}

// TestCrash loses power among many writers: what was acknowledged is there, in a
// chain without a gap.
func TestCrash(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		fsys := crashfs.New()
		h := open(t, fsys, audit.Config{Reserve: 1 << 16})
		var callers sync.WaitGroup
		var mu sync.Mutex // guards told
		told := make(map[string]bool)
		fsys.Fail(1+rnd.IntN(60), crashfs.PowerCut)
		for c := range 8 {
			callers.Go(func() {
				for i := range 20 {
					r := in([]string{"", "eu-west-1"}[c%2], fmt.Sprint("E", c, ".", i))
					r.UserAgent = strings.Repeat("x", 10*i)
					name := r.EventName
					if h.Append(r, "") == nil {
						mu.Lock()
						told[name] = true
						mu.Unlock()
					}
				}
			})
		}
		callers.Wait()
		for _, keep := range []crashfs.Keep{crashfs.KeepNone, crashfs.KeepRandom, crashfs.KeepAll} {
			after := fsys.Crash(keep, rnd)
			open(t, after, audit.Config{}).close()
			if _, err := audit.Verify(after, "audit", audit.First{}); err != nil {
				t.Fatalf("seed %d, crash %d: %v", seed, keep, err)
			}
			found := make(map[string]bool)
			for _, e := range events(t, after) {
				found[e] = true
			}
			for e := range told {
				if !found[e] {
					t.Fatalf("seed %d, crash %d: %s was acknowledged and is gone", seed, keep, e)
				}
			}
		}
	}
}

// FuzzOpen opens a log whose file holds anything.
func FuzzOpen(f *testing.F) {
	fsys := crashfs.New()
	h := open(f, fsys, audit.Config{})
	h.append("A", "B")
	h.close()
	name := names(fsys)[0]
	text := fsys.ReadFile(name)
	f.Add(text)
	f.Add(text[:len(text)-9])
	f.Add(append(bytes.Clone(text[:800]), make([]byte, 1000)...))
	f.Add([]byte("\n\n{}\n\x00"))
	f.Fuzz(func(t *testing.T, content []byte) {
		fsys := crashfs.New()
		if err := errors.Join(disk.MkdirAll(fsys, "audit"), disk.WriteFile(fsys, name, content)); err != nil {
			t.Fatal(err)
		}
		before, beforeErr := audit.Verify(fsys, "audit", audit.First{})
		h := open(t, fsys, audit.Config{})
		h.append("C")
		h.close()
		after, err := audit.Verify(fsys, "audit", audit.First{})
		if beforeErr == nil && (err != nil || after.Records < before.Records+2) {
			t.Errorf("%+v, %v became %+v, %v", before, beforeErr, after, err)
		}
		if kept := len(fsys.ReadFile(name)) + len(fsys.ReadFile(name+".torn")); kept < len(bytes.TrimRight(content, "\n")) {
			t.Errorf("%d bytes became %d", len(content), kept)
		}
	})
}

// TestDamage is AU5: an altered, removed, added or moved line is found.
func TestDamage(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	open(t, fsys, audit.Config{}).append("A", "B", "C", "D")
	name := names(fsys)[0]
	all := lines(fsys, name)
	for _, tt := range []struct {
		name string
		bad  int64
		edit func(l [][]byte) [][]byte
	}{
		{"altered", 3, func(l [][]byte) [][]byte { l[2] = bytes.Replace(l[2], []byte(`"B"`), []byte(`"X"`), 1); return l }},
		{"first removed", 1, func(l [][]byte) [][]byte { return l[1:] }},
		{"one removed", 3, func(l [][]byte) [][]byte { return slices.Delete(l, 2, 3) }},
		{"moved", 3, func(l [][]byte) [][]byte { l[2], l[3] = l[3], l[2]; return l }},
		{"twice", 4, func(l [][]byte) [][]byte { return slices.Insert(l, 3, l[2]) }},
		{"added", 2, func(l [][]byte) [][]byte { return slices.Insert(l, 1, []byte("{}\n")) }},
		{"blanked", 3, func(l [][]byte) [][]byte { l[2] = bytes.Repeat([]byte("\n"), len(l[2])); return l }},
		{"cut", 5, func(l [][]byte) [][]byte { l[4] = l[4][:len(l[4])-1]; return l }},
		{"a byte of the hash", 2, func(l [][]byte) [][]byte { l[1][len(l[1])-5] ^= 1; return l }},
		{"something behind the blank lines", 6, func(l [][]byte) [][]byte { return append(l, []byte("\n\nx\n")) }},
	} {
		edited := make([][]byte, len(all))
		for i := range all {
			edited[i] = bytes.Clone(all[i])
		}
		edited = tt.edit(edited)
		if err := disk.WriteFile(fsys, name, bytes.Join(edited, nil)); err != nil {
			t.Fatal(err)
		}
		_, err := audit.Verify(fsys, "audit", audit.First{})
		var damage *audit.Damage
		if !errors.As(err, &damage) || damage.Line != tt.bad || damage.File != filepath.Join("audit", filepath.Base(name)) {
			t.Errorf("%s: %v, want line %d", tt.name, err, tt.bad)
		}
	}
	if err := disk.WriteFile(fsys, name, bytes.Join(all[1:], nil)); err != nil {
		t.Fatal(err)
	}
	for _, first := range []audit.First{{Number: 2}, {Oldest: true}, {Of: map[string]int64{"default": 2}}} {
		if r, err := audit.Verify(fsys, "audit", first); err != nil || r.Records != 4 {
			t.Errorf("from the second record on (%+v): %+v, %v", first, r, err)
		}
	}
}

// TestBounds is AU6.
func TestBounds(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := open(t, fsys, audit.Config{})
	long := strings.Repeat("é\"", 70_000)
	many := make(map[string]any)
	for i := range 20_000 {
		many[fmt.Sprint("tag", i)] = "value"
	}
	r := write("SetVaultAccessPolicy")
	r.UserAgent, r.ErrorMessage = long, "x"+long
	r.RequestParameters.Text("vaultName", "v")
	r.RequestParameters.Text("policy", long)
	q := write("AddTagsToVault")
	q.RequestParameters.Text("vaultName", "v")
	q.RequestParameters.Tree("tags", many)
	for _, r := range []*audit.Record{r, q} {
		if err := h.Append(r, ""); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range records(t, fsys)[1:] {
		text, _ := json.Marshal(r.RequestParameters)
		if len(text) > 100<<10 || r.RequestParameters["vaultName"] != "v" || r.RequestParameters["truncated"] != true {
			t.Errorf("%s: parameters of %d bytes", r.EventName, len(text))
		}
		for _, s := range []string{r.UserAgent, r.ErrorMessage} {
			if len(s) > 1024 || !utf8.ValidString(s) || strings.ContainsRune(s, utf8.RuneError) {
				t.Errorf("%s: a text of %d bytes", r.EventName, len(s))
			}
		}
	}
	verify(t, fsys, 3)
}

// TestShared is AU2.
func TestShared(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := open(t, fsys, audit.Config{})
	r := write("DeleteArchive")
	r.UserIdentity = audit.Identity{Type: "IAMUser", PrincipalID: "AIDA", ARN: "arn", AccountID: "111111111111", AccessKeyID: "AKIA", UserName: "bob"}
	r.AdditionalEventData.Text("decision", "DENY")
	r.AdditionalEventData.Text("policySource", "lock-policy")
	r.AdditionalEventData.Text("matchedSid", "keep")
	if err := h.Append(r, "222222222222"); err != nil {
		t.Fatal(err)
	}
	all := records(t, fsys)[1:]
	if len(all) != 2 || all[0].SharedEventID == "" || all[0].SharedEventID != all[1].SharedEventID || all[0].EventID == all[1].EventID {
		t.Fatalf("records %+v", all)
	}
	want := audittest.Identity{Type: "IAMUser", PrincipalID: "AIDA", AccountID: "111111111111"}
	if all[1].UserIdentity != want || all[0].UserIdentity.UserName != "bob" || all[1].RecipientAccountID != "222222222222" {
		t.Errorf("the owner sees %+v", all[1].UserIdentity)
	}
	if all[0].AdditionalEventData["matchedSid"] != nil || all[1].AdditionalEventData["matchedSid"] != "keep" {
		t.Errorf("of the owner's policy the caller sees %v and the owner %v", all[0].AdditionalEventData, all[1].AdditionalEventData)
	}
}

func TestNoise(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := open(t, fsys, audit.Config{})
	admitted := 0
	for range 100 {
		if h.Admit("198.51.100.7") {
			admitted++
		}
	}
	if admitted != 10 || !h.Admit("198.51.100.8") {
		t.Errorf("%d of 100 calls are admitted, want 10 and another source's", admitted)
	}
	h.at(noon.Add(time.Second))
	if !h.Admit("198.51.100.7") {
		t.Error("a second later there is no room")
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	all := records(t, fsys)
	last := all[len(all)-1]
	if last.EventName != "UnauthenticatedCalls" || last.EventType != "AwsServiceEvent" || last.AdditionalEventData["calls"] != float64(90) {
		t.Errorf("the summary is %+v", last)
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := open(t, fsys, audit.Config{})
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			for range 50 {
				if err := h.Append(write("A"), ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	verify(t, fsys, 801)
}
