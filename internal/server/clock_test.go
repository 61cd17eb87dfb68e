package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"moraine/internal/adminapi"
	"moraine/internal/audit"
	"moraine/internal/config"
	"moraine/internal/job"
	"moraine/internal/server"
	"moraine/internal/sigv4"
)

const day = 24 * time.Hour

// machine has a system clock that can be set, a server, and a client of it.
type machine struct {
	t   *testing.T
	cfg config.Config
	key sigv4.Key
	*running

	mu      sync.Mutex // guards the rest
	wall    time.Time
	elapsed time.Duration
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, cfg: settings(t, t.TempDir()), wall: time.Date(2026, 3, 15, 12, 0, 0, 0, time.UTC)}
	m.cfg.JobDelay = job.Delays{Bulk: 5 * time.Hour}
	m.boot()
	m.key = key(t, m.cfg.Data)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		m.stop(t)
	})
	return m
}

func (m *machine) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wall
}

func (m *machine) options() server.Options {
	return server.Options{Now: m.now, Elapsed: func() time.Duration {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.elapsed
	}}
}

func (m *machine) boot() { m.running = startWith(m.t, m.cfg, m.options()) }

func (m *machine) restart() {
	m.t.Helper()
	m.stop(m.t)
	m.boot()
}

// pass lets time pass, and set sets the system clock.
func (m *machine) pass(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wall, m.elapsed = m.wall.Add(d), m.elapsed+d
}

func (m *machine) set(by time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wall = m.wall.Add(by)
}

// want sends a request that is signed by the clock of the machine and returns
// the header and body of an answer of that status whose body holds text.
func (m *machine) want(method, path, body string, header map[string]string, status int, text string) (http.Header, string) {
	m.t.Helper()
	return m.wantAt(m.now(), method, path, body, header, status, text)
}

func (m *machine) wantAt(at time.Time, method, path, body string, header map[string]string, status int, text string) (http.Header, string) {
	m.t.Helper()
	req, err := http.NewRequestWithContext(m.t.Context(), method, m.url+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("X-Amz-Glacier-Version", "2012-06-01")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	if err := sigv4.Sign(req, m.key, "us-east-1", "glacier", at, digestOf(body)); err != nil {
		m.t.Fatal(err)
	}
	resp, err := newTransport().RoundTrip(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status || !strings.Contains(string(got), text) {
		m.t.Fatalf("%s %s: %d %s %v; want %d with %q", method, path, resp.StatusCode, got, err, status, text)
	}
	return resp.Header, string(got)
}

func (m *machine) create(vault string) {
	m.t.Helper()
	m.want(http.MethodPut, "/-/vaults/"+vault, "", nil, http.StatusCreated, "")
}

// upload stores an archive and returns its path.
func (m *machine) upload(vault string) string {
	m.t.Helper()
	h, _ := m.want(http.MethodPost, "/-/vaults/"+vault+"/archives", string(archive), archiveHeader(), http.StatusCreated, "")
	return "/-/vaults/" + vault + "/archives/" + h.Get("X-Amz-Archive-Id")
}

// initiate begins a lock that keeps archives for a year, and returns the path
// that completes it.
func (m *machine) initiate(vault string) string {
	m.t.Helper()
	_, described := m.want(http.MethodGet, "/-/vaults/"+vault, "", nil, http.StatusOK, "VaultARN")
	var v struct{ VaultARN string }
	if err := json.Unmarshal([]byte(described), &v); err != nil {
		m.t.Fatal(err)
	}
	h, _ := m.want(http.MethodPost, "/-/vaults/"+vault+"/lock-policy", lockBody(oneYear(v.VaultARN)), nil, http.StatusCreated, "")
	return "/-/vaults/" + vault + "/lock-policy/" + h.Get("X-Amz-Lock-Id")
}

// oneYear denies everybody to delete what is less than a year old (access-control
// §6.4).
func oneYear(arn string) string {
	return `{"Version":"2012-10-17","Statement":[` + deny(arn, `"glacier:DeleteArchive"`, `{"NumericLessThan":{"glacier:ArchiveAgeInDays":"365"}}`) + `]}`
}

// deny is a statement against everybody.
func deny(arn, actions, condition string) string {
	if condition != "" {
		condition = `,"Condition":` + condition
	}
	return `{"Effect":"Deny","Principal":"*","Action":` + actions + `,"Resource":"` + arn + `"` + condition + `}`
}

func lockBody(policy string) string {
	text, _ := json.Marshal(map[string]string{"Policy": policy})
	return string(text)
}

// retrieve initiates a retrieval and returns the path of the job.
func (m *machine) retrieve(archivePath, tier string) string {
	m.t.Helper()
	vault, id, _ := strings.Cut(archivePath, "/archives/")
	h, _ := m.want(http.MethodPost, vault+"/jobs", `{"Type":"archive-retrieval","ArchiveId":"`+id+`","Tier":"`+tier+`"}`, nil, http.StatusAccepted, "")
	return vault + "/jobs/" + h.Get("X-Amz-Job-Id")
}

// finished waits for the end of a job and returns its path.
func (m *machine) finished(path string) string {
	m.t.Helper()
	for range patiently {
		if _, body := m.want(http.MethodGet, path, "", nil, http.StatusOK, "StatusCode"); strings.Contains(body, `"Succeeded"`) {
			return path
		}
	}
	m.t.Fatalf("%s does not end", path)
	return ""
}

// multipart begins an upload and returns its path.
func (m *machine) multipart(vault string) string {
	m.t.Helper()
	h, _ := m.want(http.MethodPost, "/-/vaults/"+vault+"/multipart-uploads", "", map[string]string{"X-Amz-Part-Size": "1048576"}, http.StatusCreated, "")
	return "/-/vaults/" + vault + "/multipart-uploads/" + h.Get("X-Amz-Multipart-Upload-Id")
}

// status asks how the clock stands, as the command does.
func (m *machine) status() adminapi.ClockReply {
	m.t.Helper()
	r, err := server.ClockStatus(m.t.Context(), m.operator(), m.options())
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

// operator are the settings an operator's command is given.
func (m *machine) operator() config.Config {
	cfg := m.cfg
	cfg.Admin.Listen = strings.TrimPrefix(m.admin, "http://")
	return cfg
}

func (m *machine) confirm(name time.Time) error {
	_, err := server.ConfirmClock(m.t.Context(), m.operator(), m.options(), name)
	return err
}

// clockEvents are the phases in the audit log, which is written within a second.
func (m *machine) clockEvents(n int) string {
	m.t.Helper()
	var phases []string
	for range patiently {
		_, records := trail(m.t, m.cfg.Data)
		phases = nil
		for _, r := range records {
			if r.EventName == "ClockJump" {
				if r.EventType != "AwsServiceEvent" || r.UserIdentity.Type != "AWSService" {
					m.t.Errorf("the event is %+v", r)
				}
				phases = append(phases, fmt.Sprint(r.AdditionalEventData["phase"]))
			}
		}
		if len(phases) >= n {
			break
		}
	}
	return strings.Join(phases, " ")
}

func (m *machine) get(path string) string {
	m.t.Helper()
	resp, err := http.Get(m.admin + path)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		m.t.Fatalf("GET %s: %s %v", path, resp.Status, err)
	}
	return string(text)
}

// A jump of a year ages nothing, ends nothing and stops nothing, before and after
// a restart, until an operator confirms it.
func TestClockJump(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.create("locked")
	old := m.upload("locked")
	m.want(http.MethodPost, m.initiate("locked"), "", nil, http.StatusNoContent, "")
	m.create("draft")
	complete := m.initiate("draft")
	done := m.finished(m.retrieve(old, "Standard"))
	multipart := m.multipart("locked")
	m.pass(364 * day)
	refreshed := func() { // what is to expire is of today
		m.want(http.MethodGet, done, "", nil, http.StatusNotFound, "")
		m.want(http.MethodGet, multipart, "", nil, http.StatusNotFound, "")
		m.want(http.MethodGet, "/-/vaults/draft/lock-policy", "", nil, http.StatusNotFound, "")
		complete, done, multipart = m.initiate("draft"), m.finished(m.retrieve(old, "Standard")), m.multipart("locked")
	}
	refreshed()
	bulk := m.retrieve(m.upload("draft"), "Bulk")

	before := m.now()
	m.set(400 * day)
	unchanged := func(when string) {
		t.Helper()
		m.want(http.MethodDelete, old, "", nil, http.StatusForbidden, "explicit deny")
		m.want(http.MethodGet, "/-/vaults/draft/lock-policy", "", nil, http.StatusOK, "InProgress")
		m.want(http.MethodGet, done, "", nil, http.StatusOK, "Succeeded")
		m.want(http.MethodGet, done+"/output", "", nil, http.StatusOK, string(archive))
		m.want(http.MethodGet, multipart, "", nil, http.StatusOK, "Parts")
		// Who signs by a clock that is right by the system's is who signed now.
		m.wantAt(before, http.MethodGet, "/-/vaults", "", nil, http.StatusForbidden, "Signature expired")
		m.want(http.MethodGet, bulk, "", nil, http.StatusOK, "InProgress")
		m.finished(m.retrieve(m.upload("draft"), "Standard"))
		st := m.status()
		if st.State != "held" || st.Pending == nil || !st.Now.Equal(before) || !st.System.Equal(m.now()) {
			t.Errorf("%s: the clock is %+v", when, st)
		}
	}
	unchanged("after the jump")
	log := m.log.wait(t, "alarm: the system clock jumped forward and is not believed", 1)
	for _, want := range []string{"run moraine clock confirm 2028-04-17T12:00:00Z"} {
		if !strings.Contains(log, want) || !strings.Contains(m.get("/healthz"), want) {
			t.Errorf("neither log nor health say %q", want)
		}
	}
	ready, want := m.eventually(t, "/readyz", http.StatusServiceUnavailable), "\nclock: the system clock jumped to 2028-04-17T12:00:00Z"
	if !strings.Contains(ready, want) {
		t.Errorf("/readyz does not say %q: %s", want, ready)
	}
	for _, want := range []string{
		"moraine_clock_pending_jump_seconds 3.456e+07", "moraine_clock_skew_seconds 3.456e+07", `moraine_clock_jumps_total{kind="held"} 1`,
		fmt.Sprintf("moraine_clock_seconds %g\n", float64(before.Unix())),
	} {
		if text := m.get("/metrics"); !strings.Contains(text, want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
	if got, want := m.clockEvents(1), "held"; got != want {
		t.Errorf("the audit log has %q, want %q", got, want)
	}
	name := m.status().Pending.To

	// Another second is another jump, and a year more is a later one.
	for _, other := range []time.Time{name.Add(time.Second), before, {}} {
		if err := m.confirm(other); err == nil || !strings.Contains(err.Error(), "the jump that is pending is the one to 2028-04-17T12:00:00Z") {
			t.Errorf("confirming %v: %v", other, err)
		}
	}
	m.set(365 * day)
	if err := m.confirm(name); err == nil || !strings.Contains(err.Error(), "is the one to 2029-04-17T12:00:00Z") {
		t.Errorf("confirming the former jump: %v", err)
	}
	m.set(-365 * day)

	m.restart()
	if !strings.Contains(m.welcome, "CHECK THE CLOCK: the system clock jumped to 2028-04-17T12:00:00Z") ||
		!strings.Contains(m.welcome, "moraine clock status --data "+m.cfg.Data+" --admin-listen ") {
		t.Errorf("the start-up text does not tell:\n%s", m.welcome)
	}
	unchanged("after a restart")

	if err := m.confirm(m.status().Pending.To); err != nil {
		t.Fatal(err)
	}
	m.want(http.MethodGet, done, "", nil, http.StatusNotFound, "")
	m.want(http.MethodGet, multipart, "", nil, http.StatusNotFound, "")
	m.want(http.MethodPost, complete, "", nil, http.StatusNotFound, "No vault lock in progress")
	m.want(http.MethodDelete, old, "", nil, http.StatusNoContent, "")
	m.finished(bulk)
	if st := m.status(); st.State != "following" || !st.Now.Equal(m.now()) || st.Advice != "" || m.get("/healthz") != "ok\n" {
		t.Errorf("confirmed, and the clock is %+v", st)
	}
	if err := m.confirm(name); err == nil || !strings.Contains(err.Error(), "nothing to confirm") {
		t.Errorf("confirming it again: %v", err)
	}
	_, records := trail(t, m.cfg.Data)
	var last map[string]any
	for _, r := range records {
		if r.EventName == "ClockJump" {
			last = r.AdditionalEventData
		}
	}
	if last["phase"] != "confirmed" || last["time"] != before.Format(time.RFC3339) || last["systemClock"] != m.now().Format(time.RFC3339) || last["seconds"] != (400*day).Seconds() {
		t.Errorf("the last event of the clock is %v", last)
	}
	if err := server.VerifyAudit(m.cfg.Data, audit.First{}, io.Discard); err != nil {
		t.Error(err)
	}
}

// At a start what is believed is up to clock.max_downtime, and the operator may
// confirm the rest before it.
func TestClockJumpAtStart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		max, down time.Duration
		held      bool
	}{
		{21 * day, 20 * day, false},
		{21 * day, 22 * day, true},
		{60 * day, 59 * day, false},
		{time.Hour, 2 * time.Hour, true},
	} {
		t.Run(fmt.Sprint(tc.max, " ", tc.down), func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.cfg.Clock.MaxDowntime = tc.max
			m.stop(t)
			m.set(tc.down)
			m.boot()
			st := m.status()
			if held := st.State == "held"; held != tc.held || held == st.Now.Equal(m.now()) {
				t.Errorf("started %s later with max_downtime %s the clock is %+v", tc.down, tc.max, st)
			}
			want := "believed"
			if tc.held {
				want = "held"
			}
			if got := m.clockEvents(1); got != want {
				t.Errorf("the audit log has %q, want %q", got, want)
			}
		})
	}
	t.Run("confirmed while no server runs", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.create("v")
		m.stop(t)
		m.set(100 * day)
		if err := m.confirm(m.now().Add(time.Second)); err == nil || !strings.Contains(err.Error(), "is the one to 2026-06-23T12:00:00Z") {
			t.Errorf("confirming another jump: %v", err)
		}
		m.set(4 * time.Minute)
		if st := m.status(); st.State != "held" || st.Process != "" || st.Pending.To.Format(time.RFC3339) != "2026-06-23T12:00:00Z" {
			t.Errorf("the clock is %+v", st)
		}
		m.set(4 * time.Minute)
		if err := m.confirm(time.Date(2026, 6, 23, 12, 0, 0, 0, time.UTC)); err == nil || !strings.Contains(err.Error(), "is the one to 2026-06-23T12:08:00Z") {
			t.Errorf("confirming it too late: %v", err)
		}
		if err := m.confirm(m.status().Pending.To); err != nil {
			t.Fatal(err)
		}
		if got := m.clockEvents(1); got != "confirmed" {
			t.Errorf("the audit log has %q", got)
		}
		if err := m.confirm(m.now()); err == nil || !strings.Contains(err.Error(), "nothing to confirm") {
			t.Errorf("confirming it again: %v", err)
		}
		m.boot()
		if st := m.status(); st.State != "following" || !st.Now.Equal(m.now()) {
			t.Errorf("started after it the clock is %+v", st)
		}
		m.want(http.MethodGet, "/-/vaults/v", "", nil, http.StatusOK, "2026-03-15T12:00:00.000Z")
	})
	t.Run("not confirmed without a record", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.stop(t)
		m.set(100 * day)
		name := m.status().Pending.To
		here := filepath.Join(m.cfg.Data, "audit")
		if err := os.Rename(here, here+".away"); err != nil {
			t.Fatal(err)
		}
		write("audit", "no directory")(t, m.cfg.Data)
		if err := m.confirm(name); err == nil {
			t.Error("a jump is confirmed though the audit log cannot be opened")
		}
		remove("audit")(t, m.cfg.Data)
		if err := os.Rename(here+".away", here); err != nil {
			t.Fatal(err)
		}
		m.boot()
		if st := m.status(); st.State != "held" {
			t.Errorf("the clock is %+v", st)
		}
	})
}

// Two servers of one machine see the same jump in the same second, and a
// confirmation finds the one it is for.
func TestClockOfAnotherServer(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.set(100 * day)
	cfg := m.operator()
	cfg.Data = t.TempDir()
	defer start(t, settings(t, cfg.Data)).stop(t)
	// Both are this process, which the lock does not tell apart; a third one has
	// another name.
	write("lock", "process 1 on elsewhere\n")(t, cfg.Data)
	_, err := server.ConfirmClock(t.Context(), cfg, m.options(), m.status().Pending.To)
	if err == nil || !strings.Contains(err.Error(), "is in use by process 1 on elsewhere, but at "+cfg.Admin.Listen+" answers process ") {
		t.Errorf("%v", err)
	}
	if st := m.status(); st.State != "held" {
		t.Errorf("the clock is %+v", st)
	}
	cfg.Admin.Listen = ""
	if _, err := server.ClockStatus(t.Context(), cfg, m.options()); err == nil || !strings.Contains(err.Error(), "or name its admin.listen") {
		t.Errorf("%v", err)
	}
	cfg.Data = t.TempDir()
	if _, err := server.ClockStatus(t.Context(), cfg, m.options()); err == nil || !strings.Contains(err.Error(), "is not a data directory in use") {
		t.Errorf("%v", err)
	}
}

// L16 and its neighbours on the wire (access-control §6.5): the system clock is
// set back two days, and the server started.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.create("v1")
	old := m.upload("v1")
	m.pass(364 * day)
	m.create("locked")
	m.want(http.MethodPost, m.initiate("locked"), "", nil, http.StatusNoContent, "")
	complete := m.initiate("v1")
	initiated := m.now()
	m.stop(t) // before it sees that too
	m.set(-2 * day)
	m.boot()
	log := m.log.wait(t, "alarm: the system clock went back", 1)
	if n := strings.Count(log, "alarm:"); n != 1 || !strings.Contains(log, "level=ERROR") {
		t.Errorf("%d alarms:\n%s", n, log)
	}
	if got := m.clockEvents(1); got != "back" {
		t.Errorf("the audit log has %q", got)
	}
	if text := m.get("/metrics"); !strings.Contains(text, "moraine_clock_skew_seconds -172800\n") || !strings.Contains(text, `moraine_clock_jumps_total{kind="back"} 1`) {
		t.Error("the metrics do not tell")
	}
	if !strings.Contains(m.welcome, "CHECK THE CLOCK: the system clock is 48h0m0s behind") {
		t.Errorf("the start-up text does not tell:\n%s", m.welcome)
	}
	// Ages are what they were; signatures go by the system clock.
	m.want(http.MethodDelete, old, "", nil, http.StatusForbidden, "explicit deny")
	m.wantAt(initiated, http.MethodGet, "/-/vaults", "", nil, http.StatusForbidden, "Signature not yet current")
	m.want(http.MethodGet, "/-/vaults/v1/lock-policy", "", nil, http.StatusOK, initiated.Add(day).Format("2006-01-02T15:04:05.000Z"))
	m.create("new")
	m.want(http.MethodGet, "/-/vaults/new", "", nil, http.StatusOK, initiated.Format("2006-01-02T15:04:05.000Z"))
	// The lock is not extended by more than the two days.
	m.pass(3*day - time.Second)
	m.want(http.MethodGet, "/-/vaults/v1/lock-policy", "", nil, http.StatusOK, "InProgress")
	m.want(http.MethodDelete, old, "", nil, http.StatusForbidden, "explicit deny")
	m.pass(time.Second)
	m.want(http.MethodPost, complete, "", nil, http.StatusNotFound, "No vault lock in progress")
	m.want(http.MethodDelete, old, "", nil, http.StatusNoContent, "")
	m.want(http.MethodDelete, "/-/vaults/locked/lock-policy", "", nil, http.StatusForbidden, "Vault is already locked")
	if st := m.status(); st.State != "following" {
		t.Errorf("caught up, and the clock is %+v", st)
	}

	// Set back while it runs, and right again a day later.
	m.log.wait(t, "the system clock has caught up", 1)
	m.set(-2 * day)
	m.want(http.MethodGet, "/-/vaults", "", nil, http.StatusOK, "")
	m.log.wait(t, "alarm: the system clock went back", 2)
	m.pass(day)
	m.set(2 * day)
	if st := m.status(); st.State != "following" || !st.Now.Equal(m.now()) {
		t.Errorf("right again, and the clock is %+v", st)
	}
}

// L3 and L4 on the wire: a lock can be completed for 24 hours, and a jump of the
// system clock neither ends nor extends them.
func TestLockWindow(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	for _, v := range []string{"l3", "l4", "jump"} {
		m.create(v)
	}
	l3, l4, jump := m.initiate("l3"), m.initiate("l4"), m.initiate("jump")
	m.pass(day - time.Second)
	m.want(http.MethodPost, l3, "", nil, http.StatusNoContent, "")
	m.set(25 * time.Hour)
	m.want(http.MethodGet, "/-/vaults/l4/lock-policy", "", nil, http.StatusOK, "InProgress")
	m.want(http.MethodPost, jump, "", nil, http.StatusNoContent, "")
	m.pass(2 * time.Second)
	m.want(http.MethodPost, l4, "", nil, http.StatusNotFound, "No vault lock in progress")
	m.want(http.MethodGet, "/-/vaults/l4/lock-policy", "", nil, http.StatusNotFound, "")
	for _, v := range []string{"l3", "jump"} {
		m.want(http.MethodGet, "/-/vaults/"+v+"/lock-policy", "", nil, http.StatusOK, `"Locked"`)
	}
}

// A locked vault is worth nothing if somebody moves the clock: outside of test
// mode there is no way to, and no way into test mode.
func TestNothingMovesTheClock(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.create("locked")
	old := m.upload("locked")
	m.want(http.MethodPost, m.initiate("locked"), "", nil, http.StatusNoContent, "")
	for _, path := range []string{"/test/clock", "/clock", "/clock/advance"} {
		resp, err := http.Post(m.admin+path, "application/json", bytes.NewReader([]byte(`{"advance":"8784h"}`)))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %s", path, resp.Status)
		}
	}
	// The one verb there is believes the system clock, and nothing if that has
	// not jumped.
	for _, name := range []time.Time{m.now(), m.now().Add(366 * day)} {
		if err := m.confirm(name); err == nil || !strings.Contains(err.Error(), "nothing to confirm") {
			t.Errorf("confirming %v: %v", name, err)
		}
	}
	m.want(http.MethodDelete, old, "", nil, http.StatusForbidden, "explicit deny")
	m.stop(t)
	if err := m.confirm(m.now().Add(366 * day)); err == nil || !strings.Contains(err.Error(), "nothing to confirm") {
		t.Errorf("confirming while no server runs: %v", err)
	}
	cfg := m.cfg
	cfg.TestMode = true
	if why := refused(t, cfg); !strings.Contains(why, "is never opened in it") {
		t.Errorf("in test mode: %s", why)
	}
	m.boot()
	m.want(http.MethodDelete, old, "", nil, http.StatusForbidden, "explicit deny")
}
