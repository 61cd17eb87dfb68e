package server_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moraine/internal/config"
	"moraine/internal/job"
	"moraine/internal/sigv4"
	"moraine/internal/treehash"
)

// guinea is a server in test mode and a client of it.
type guinea struct {
	*running
	t   *testing.T
	key sigv4.Key
}

func startTestMode(t *testing.T, change func(*config.Config)) *guinea {
	t.Helper()
	cfg := settings(t, t.TempDir())
	cfg.TestMode = true
	cfg.JobDelay = job.Delays{Standard: 3 * time.Hour, Bulk: 5 * time.Hour}
	if change != nil {
		change(&cfg)
	}
	g := &guinea{running: start(t, cfg), t: t, key: key(t, cfg.Data)}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		g.stop(t)
	})
	g.want(http.MethodPut, "/-/vaults/v", nil, nil, http.StatusCreated, "")
	return g
}

// pull pulls a lever and returns the reply.
func (g *guinea) pull(lever, body string) string {
	g.t.Helper()
	resp, err := http.Post(g.admin+"/test/"+lever, "application/json", strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		g.t.Fatalf("POST /test/%s %s: %d %s %v", lever, body, resp.StatusCode, reply, err)
	}
	return string(reply)
}

// want sends a signed request and returns the header and body of an answer of
// that status whose body holds text.
func (g *guinea) want(method, path string, body []byte, header map[string]string, status int, text string) (http.Header, string) {
	g.t.Helper()
	sum := treehash.Leaf(body)
	resp, err := g.call(g.t, g.key, method, path, hex.EncodeToString(sum[:]), bytes.NewReader(body), header)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != status || !strings.Contains(string(got), text) {
		g.t.Fatalf("%s %s: %d %s %v; want %d with %q", method, path, resp.StatusCode, got, err, status, text)
	}
	return resp.Header, string(got)
}

// upload stores the archive, or gets refused.
func (g *guinea) upload(status int, text string) (path string) {
	g.t.Helper()
	sum := treehash.Leaf(archive)
	digest := hex.EncodeToString(sum[:])
	h, _ := g.want(http.MethodPost, "/-/vaults/v/archives", archive, map[string]string{
		"X-Amz-Sha256-Tree-Hash": digest, "X-Amz-Content-Sha256": digest,
	}, status, text)
	return h.Get("X-Amz-Archive-Id")
}

// retrieve initiates a retrieval and returns the path of the job.
func (g *guinea) retrieve(id, tier string, status int, text string) string {
	g.t.Helper()
	h, _ := g.want(http.MethodPost, "/-/vaults/v/jobs", []byte(`{"Type":"archive-retrieval","ArchiveId":"`+id+`","Tier":"`+tier+`"}`), nil, status, text)
	return "/-/vaults/v/jobs/" + h.Get("X-Amz-Job-Id")
}

// ended waits until a job is no longer in progress and returns its state.
func (g *guinea) ended(path string) string {
	g.t.Helper()
	for range patiently {
		_, body := g.want(http.MethodGet, path, nil, nil, http.StatusOK, "StatusCode")
		var j struct{ StatusCode string }
		if err := json.Unmarshal([]byte(body), &j); err != nil {
			g.t.Fatal(err)
		}
		if j.StatusCode != "InProgress" {
			return j.StatusCode
		}
	}
	g.t.Fatalf("%s does not end", path)
	return ""
}

// TestMovedClock lives through five hours, a day and a month.
func TestMovedClock(t *testing.T) {
	t.Parallel()
	g := startTestMode(t, nil)
	if !strings.Contains(g.welcome, "TEST MODE") {
		t.Errorf("the start-up text does not tell:\n%s", g.welcome)
	}
	g.log.wait(t, "TEST MODE", 1)
	id := g.upload(http.StatusCreated, "")
	bulk := g.retrieve(id, "Bulk", http.StatusAccepted, "")
	_, body := g.want(http.MethodPost, "/-/provisioned-capacity", nil, nil, http.StatusCreated, "")
	if body != "" {
		t.Errorf("capacity: %s", body)
	}
	g.want(http.MethodGet, "/-/provisioned-capacity", nil, nil, http.StatusOK, "CapacityId")

	g.pull("clock", `{"advance":"4h59m"}`)
	g.want(http.MethodGet, bulk, nil, nil, http.StatusOK, "InProgress")
	g.pull("clock", `{"advance":"1m"}`)
	if state := g.ended(bulk); state != "Succeeded" {
		t.Errorf("the bulk job: %s", state)
	}
	g.want(http.MethodGet, bulk+"/output", nil, nil, http.StatusOK, string(archive))

	h, _ := g.want(http.MethodPost, "/-/vaults/v/multipart-uploads", nil, map[string]string{"X-Amz-Part-Size": "1048576"}, http.StatusCreated, "")
	upload := "/-/vaults/v/multipart-uploads/" + h.Get("X-Amz-Multipart-Upload-Id")
	g.want(http.MethodGet, upload, nil, nil, http.StatusOK, "Parts")
	g.pull("clock", `{"advance":"24h"}`)
	g.want(http.MethodGet, bulk, nil, nil, http.StatusNotFound, "ResourceNotFoundException")
	g.want(http.MethodGet, upload, nil, nil, http.StatusNotFound, "ResourceNotFoundException")
	g.pull("clock", `{"advance":"744h"}`)
	g.want(http.MethodGet, "/-/provisioned-capacity", nil, nil, http.StatusOK, `"ProvisionedCapacityList":[]`)
}

// Where the clock was moved to, it stays.
func TestMovedClockSurvivesRestart(t *testing.T) {
	t.Parallel()
	cfg := settings(t, t.TempDir())
	cfg.TestMode = true
	r := start(t, cfg)
	(&guinea{running: r, t: t}).pull("clock", `{"advance":"1000h"}`)
	r.stop(t)
	r = start(t, cfg)
	resp, err := http.Get(r.admin + "/test/clock")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Now   time.Time
		Ahead string
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	if got.Ahead != "1000h0m0s" || time.Until(got.Now) < 999*time.Hour {
		t.Errorf("after the restart: %+v", got)
	}
	http.DefaultClient.CloseIdleConnections()
	r.stop(t)
}

func TestLevers(t *testing.T) {
	t.Parallel()
	g := startTestMode(t, nil)
	id := g.upload(http.StatusCreated, "")

	g.pull("throttle", `{"requests":2}`)
	for range 2 {
		g.want(http.MethodGet, "/-/vaults", nil, nil, http.StatusBadRequest, `{"message":"Rate exceeded","code":"ThrottlingException","type":"Client"}`)
	}
	g.want(http.MethodGet, "/-/vaults", nil, nil, http.StatusOK, "")

	g.pull("timeout-next-upload", "")
	g.want(http.MethodGet, "/-/vaults", nil, nil, http.StatusOK, "")
	g.upload(http.StatusRequestTimeout, `{"code":"RequestTimeoutException","message":"Request timed out.","type":"Client"}`)
	g.upload(http.StatusCreated, "")

	g.pull("job-delays", `{"bulk":"0s"}`)
	if state := g.ended(g.retrieve(id, "Bulk", http.StatusAccepted, "")); state != "Succeeded" {
		t.Errorf("a bulk job without delay: %s", state)
	}
	g.pull("fail-next-job", "{}")
	if state := g.ended(g.retrieve(id, "Bulk", http.StatusAccepted, "")); state != "Failed" {
		t.Errorf("the job that was to fail: %s", state)
	}
	if state := g.ended(g.retrieve(id, "Bulk", http.StatusAccepted, "")); state != "Succeeded" {
		t.Errorf("the job after it: %s", state)
	}

	g.retrieve(id, "Expedited", http.StatusAccepted, "")
	g.pull("scarce-expedited", `{"on":true}`)
	g.retrieve(id, "Expedited", http.StatusServiceUnavailable, "InsufficientCapacityException")
	g.retrieve(id, "Standard", http.StatusAccepted, "")
	g.pull("scarce-expedited", `{"on":false}`)
	g.retrieve(id, "Expedited", http.StatusAccepted, "")
}

// A directory is for test mode from its first start, or never.
func TestModeOfDirectory(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name        string
		first, then bool
		spoil       func(*testing.T, string)
		want        string // "" if it starts
	}{
		{"normal, then test", false, true, nil, "has been used without test_mode and is never opened in it"},
		{"test, then normal", true, false, nil, "was made in test mode"},
		{"test twice", true, true, nil, ""},
		{"from before there were modes, then test", false, true, remove("mode"), "has been used without test_mode"},
		{"from before there were modes, then normal", false, false, remove("mode"), ""},
		{"neither", false, false, write("mode", "fast\n"), "neither normal nor test"},
		{"clock spoilt", false, false, write("clock", "noon\n"), "the newest time ever used cannot be read"},
		{"clock lost", false, false, remove("clock"), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cfg := settings(t, t.TempDir())
			cfg.TestMode = tc.first
			start(t, cfg).stop(t)
			if tc.spoil != nil {
				tc.spoil(t, cfg.Data)
			}
			cfg.TestMode = tc.then
			if tc.want == "" {
				start(t, cfg).stop(t)
			} else if why := refused(t, cfg); !strings.Contains(why, tc.want) {
				t.Errorf("%q lacks %q", why, tc.want)
			}
		})
	}
}

// A system clock that went back is an alarm, and things go on.
func TestSystemClockWentBack(t *testing.T) {
	t.Parallel()
	cfg := settings(t, t.TempDir())
	start(t, cfg).stop(t)
	mark := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	write("clock", mark.Format(time.RFC3339)+"\n0s\n")(t, cfg.Data)
	r := start(t, cfg)
	r.log.wait(t, "alarm: the system clock went back", 1)
	k := key(t, cfg.Data)
	resp, err := r.call(t, k, http.MethodPut, "/-/vaults/v", emptyHash, nil, nil)
	mustAnswer(t, resp, err, http.StatusCreated)
	resp, err = r.call(t, k, http.MethodGet, "/-/vaults/v", emptyHash, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if want := `"CreationDate":"` + mark.Format("2006-01-02T15:04:05.000Z") + `"`; err != nil || !strings.Contains(string(body), want) {
		t.Errorf("the vault is not of the newest time: %s %v, want %s", body, err, want)
	}
	r.stop(t)
	if text, err := os.ReadFile(filepath.Join(cfg.Data, "clock")); err != nil || !strings.HasPrefix(string(text), mark.Format(time.RFC3339)) {
		t.Errorf("the mark went back to %s, %v", text, err)
	}
}

// Without test mode nothing under /test/ answers.
func TestNoTestMode(t *testing.T) {
	t.Parallel()
	r := start(t, settings(t, t.TempDir()))
	resp, err := http.Post(r.admin+"/test/clock", "application/json", strings.NewReader(`{"advance":"1h"}`))
	mustAnswer(t, resp, err, http.StatusNotFound)
	http.DefaultClient.CloseIdleConnections()
	r.stop(t)
}

// Nothing of an ephemeral server is left. It changes TMPDIR, so it is not
// parallel.
func TestEphemeral(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	cfg := settings(t, "")
	cfg.Ephemeral = true
	r := start(t, cfg)
	made, err := filepath.Glob(filepath.Join(tmp, "moraine-*", "meta.db"))
	if err != nil || len(made) != 1 || !strings.Contains(r.welcome, filepath.Dir(made[0])) {
		t.Errorf("made %v, %v; said\n%s", made, err, r.welcome)
	}
	r.stop(t)
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	cfg.Listen = "no address"
	refused(t, cfg)
	if left, err := os.ReadDir(tmp); err != nil || len(left) != 0 {
		t.Errorf("left behind by a start that failed: %v %v", left, err)
	}
}
