package crash_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/treehash"
	"moraine/test/internal/vaultclient"
)

// scrubWait bounds each wait for the reading of everything.
const scrubWait = 5 * time.Minute

// TestKillDuringScrub kills the server while it reads everything, more than once:
// the pass goes on where it was, finds the one archive that is damaged and no
// other, and forgets neither what it found nor what it read.
func TestKillDuringScrub(t *testing.T) {
	t.Parallel()
	const archives, size, bad = 600, 8 << 10, 580
	data := t.TempDir()
	cfg := config(data)
	// A pass takes seconds at this rate, and is kept a few times on the way.
	cfg.Args = append(cfg.Args, "--scrub-rate=1MiB")
	s := launch(t, cfg)
	c := connect(s)
	if err := c.CreateVault(t.Context(), "scrub"); err != nil {
		t.Fatal(err)
	}
	l := newLedger(42)
	bodies, ids := make([][]byte, archives), make([]string, archives)
	for i := range bodies {
		bodies[i] = l.base[i*97 : i*97+size]
		id, err := c.UploadArchive(t.Context(), "scrub", "", vaultclient.NewPayload(bodies[i]))
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = id
	}
	c.Close()
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	flip(t, data, bodies[bad], size/2)

	s = launch(t, cfg)
	reach(t, s, "moraine_scrub_last_pass_seconds", func(v float64) bool { return v > 0 })
	startScrub(t, s)
	const blobs = "moraine_scrub_pass_blobs"
	read := 0.0
	for kill := range 2 {
		reach(t, s, blobs, func(v float64) bool { return v > read })
		read, _ = s.Metric(t.Context(), blobs)
		s.Kill()
		if kill == 1 {
			cfg.Args = append(cfg.Args, "--scrub-rate=0")
		}
		s = launch(t, cfg)
		if after, _ := s.Metric(t.Context(), blobs); kill == 0 && after < read {
			t.Errorf("%v blobs were read before a kill and %v after", read, after)
		}
	}
	reach(t, s, "moraine_scrub_pass_started_seconds", func(v float64) bool { return v == 0 })
	reach(t, s, "moraine_scrub_failed", func(v float64) bool { return v == 1 })

	c = connect(s)
	defer c.Close()
	for _, i := range []int{0, bad - 1, bad, bad + 1, archives - 1} {
		got, status, err := readAll(t.Context(), c, "scrub", ids[i])
		whole := err == nil && treehash.Linear(got) == treehash.Linear(bodies[i])
		if whole != (i != bad) {
			t.Errorf("archive %d: job %s, %v, %d bytes", i, status, err, len(got))
		}
	}
}

func startScrub(t *testing.T, s *moraineproc.Server) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.AdminAddr+"/scrub/start", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("scrub does not begin: %s, %v", resp.Status, err)
	}
}

// reach waits until a metric is as wanted.
func reach(t *testing.T, s *moraineproc.Server, name string, wanted func(float64) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scrubWait)
	defer cancel()
	// To read the metrics costs the server more than what most of them count.
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		if v, ok := s.Metric(ctx, name); ok && wanted(v) {
			return
		}
		<-tick.C
	}
	v, ok := s.Metric(t.Context(), name)
	t.Fatalf("%s is %v, %v\n%s", name, v, ok, s.Log())
}
