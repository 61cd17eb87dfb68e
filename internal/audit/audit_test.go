package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"moraine/internal/audit"
	"moraine/internal/disk"
	"moraine/internal/disk/crashfs"
)

var noon = time.Date(2024, 3, 15, 12, 0, 0, 0, time.UTC)

// house is a log on a file system in memory.
type house struct {
	t    *testing.T
	fsys *crashfs.FS
	now  time.Time
	*audit.Log
}

func open(t *testing.T, fsys *crashfs.FS, cfg audit.Config) *house {
	t.Helper()
	h := &house{t: t, fsys: fsys, now: noon}
	cfg.FS, cfg.Dir, cfg.Now = fsys, "audit", func() time.Time { return h.now }
	var err error
	if h.Log, err = audit.Open(cfg); err != nil {
		t.Fatal(err)
	}
	return h
}

func write(name string) *audit.Record {
	return &audit.Record{EventName: name, RecipientAccountID: "111111111111", UserIdentity: audit.Identity{Type: "Root"}}
}

func (h *house) append(names ...string) {
	h.t.Helper()
	for _, name := range names {
		if err := h.Append(write(name), ""); err != nil {
			h.t.Fatal(err)
		}
	}
}

// names returns the files of the log.
func names(fsys *crashfs.FS) []string {
	var out []string
	for _, name := range fsys.Names() {
		if strings.HasSuffix(name, ".jsonl") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// events returns the names of the recorded events, those of opening left out.
func events(t *testing.T, fsys *crashfs.FS) []string {
	t.Helper()
	var out []string
	for _, r := range records(t, fsys) {
		if r.EventName != "AuditOpened" {
			out = append(out, r.EventName)
		}
	}
	return out
}

func records(t *testing.T, fsys *crashfs.FS) []audit.Record {
	t.Helper()
	var out []audit.Record
	for _, name := range names(fsys) {
		for line := range bytes.Lines(fsys.ReadFile(name)) {
			var r audit.Record
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("%s: %v: %s", name, err, line)
			}
			out = append(out, r)
		}
	}
	return out
}

func verify(t *testing.T, fsys *crashfs.FS, want int64) {
	t.Helper()
	r, err := audit.Verify(fsys, "audit", 1)
	if err != nil || r.Records != want {
		t.Errorf("verify: %+v, %v, want %d records", r, err, want)
	}
}

func TestChain(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	h := open(t, fsys, audit.Config{})
	h.append("A", "B")
	h.now = noon.Add(time.Hour)
	h.append("C")
	h.now = noon // a clock that goes back does not bring back the old file
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
				h.now = noon.Add(time.Duration(i) * 30 * time.Minute)
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
		r.ReadOnly, r.RequestParameters = true, map[string]any{"policy": big}
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

// TestTorn cuts the last line at every length and spoils its end.
func TestTorn(t *testing.T) {
	t.Parallel()
	whole := crashfs.New()
	open(t, whole, audit.Config{}).append("A", "B")
	name := names(whole)[0]
	text := whole.ReadFile(name)
	begin := bytes.LastIndexByte(text[:len(text)-1], '\n') + 1
	check := func(content []byte, want string) {
		t.Helper()
		fsys := crashfs.New()
		if err := errors.Join(disk.MkdirAll(fsys, "audit"), disk.WriteFile(fsys, name, content)); err != nil {
			t.Fatal(err)
		}
		open(t, fsys, audit.Config{}).append("C")
		if got := fmt.Sprint(events(t, fsys)); got != want {
			t.Errorf("of %d bytes: events %s, want %s", len(content), got, want)
		}
		if _, err := audit.Verify(fsys, "audit", 1); err != nil {
			t.Errorf("of %d bytes: %v", len(content), err)
		}
		if torn := fsys.ReadFile(name + ".torn"); !bytes.Equal(torn, content[begin:]) && want != "[A C]" {
			t.Errorf("of %d bytes %d are kept", len(content), len(torn))
		}
	}
	check(text[:begin], "[A C]")
	for n := begin + 1; n < len(text); n++ {
		check(text[:n], "[A AuditTruncated C]")
	}
	zeros := append(bytes.Clone(text[:begin]), make([]byte, 600)...)
	check(zeros, "[A AuditTruncated C]")
	check(append(zeros, '\n'), "[A AuditTruncated C]")
}

// TestDamage is AU5: an altered, removed, added or moved line is found.
func TestDamage(t *testing.T) {
	t.Parallel()
	fsys := crashfs.New()
	open(t, fsys, audit.Config{}).append("A", "B", "C", "D")
	name := names(fsys)[0]
	lines := slices.Collect(bytes.Lines(fsys.ReadFile(name)))
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
		{"cut", 5, func(l [][]byte) [][]byte { l[4] = l[4][:len(l[4])-1]; return l }},
		{"a byte of the hash", 2, func(l [][]byte) [][]byte { l[1][len(l[1])-5] ^= 1; return l }},
	} {
		edited := make([][]byte, len(lines))
		for i := range lines {
			edited[i] = bytes.Clone(lines[i])
		}
		edited = tt.edit(edited)
		if err := disk.WriteFile(fsys, name, bytes.Join(edited, nil)); err != nil {
			t.Fatal(err)
		}
		_, err := audit.Verify(fsys, "audit", 1)
		var damage *audit.Damage
		if !errors.As(err, &damage) || damage.Line != tt.bad || damage.File != filepath.Join("audit", filepath.Base(name)) {
			t.Errorf("%s: %v, want line %d", tt.name, err, tt.bad)
		}
	}
	if err := disk.WriteFile(fsys, name, bytes.Join(lines[1:], nil)); err != nil {
		t.Fatal(err)
	}
	if r, err := audit.Verify(fsys, "audit", 2); err != nil || r.Records != 4 {
		t.Errorf("from the second record on: %+v, %v", r, err)
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
	r.RequestParameters = map[string]any{"vaultName": "v", "policy": long}
	q := write("AddTagsToVault")
	q.RequestParameters = map[string]any{"vaultName": "v", "tags": many}
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
	r.AdditionalEventData = map[string]any{"decision": "DENY", "policySource": "lock-policy", "matchedSid": "keep"}
	if err := h.Append(r, "222222222222"); err != nil {
		t.Fatal(err)
	}
	all := records(t, fsys)[1:]
	if len(all) != 2 || all[0].SharedEventID == "" || all[0].SharedEventID != all[1].SharedEventID || all[0].EventID == all[1].EventID {
		t.Fatalf("records %+v", all)
	}
	want := audit.Identity{Type: "IAMUser", PrincipalID: "AIDA", AccountID: "111111111111"}
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
	h.now = noon.Add(time.Second)
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

func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(callers), func(b *testing.B) {
			fsys := disk.NewOS()
			l, err := audit.Open(audit.Config{FS: fsys, Dir: filepath.Join(b.TempDir(), "audit")})
			if err != nil {
				b.Fatal(err)
			}
			before := fsys.Syncs()
			work := make(chan struct{})
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					for range work {
						r := write("UploadArchive")
						r.RequestParameters = map[string]any{"vaultName": "v", "checksum": strings.Repeat("0", 64)}
						r.ResponseElements = map[string]any{"location": strings.Repeat("x", 180), "archiveId": strings.Repeat("x", 138)}
						if err := l.Append(r, ""); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			all.Wait()
			b.ReportMetric(float64(fsys.Syncs()-before)/float64(b.N), "syncs/op")
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
