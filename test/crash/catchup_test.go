package crash_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/treehash"
	"moraine/test/internal/vaultclient"
)

// TestKillCatchingUp names a second directory for a store that had one copy, and
// kills the server while it makes the other copies; then it damages a third of
// those, and kills the server while a pass of scrub makes them anew. Every archive
// is there all the time, and in the end every copy is whole.
func TestKillCatchingUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := &laggard{
		t: t, data: filepath.Join(dir, "data"), second: filepath.Join(dir, "second"), l: newLedger(4711), bodies: map[string][]byte{},
	}
	w.fill()
	for range 2 {
		s := launch(t, w.config("256KiB"))
		reach(t, s, "moraine_mirror_copies_made_total", func(v float64) bool { return v >= 3 })
		w.unfinished(s, "moraine_mirror_missing_copies")
		s.Kill()
		s = launch(t, w.config("256KiB"))
		w.read(s)
		s.Kill()
	}
	s := launch(t, w.config("unlimited"))
	w.whole(s)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.fsck(true)

	damaged := 0
	for _, body := range w.bodies {
		if damaged < archivesLagging/3 {
			flip(t, w.second, body[:64], 7)
			damaged++
		}
	}
	for range 2 {
		s = launch(t, w.config("256KiB", "--scrub-rate=256KiB"))
		startScrub(t, s)
		reach(t, s, "moraine_scrub_findings_total", func(v float64) bool { return v >= 2 })
		if read, _ := s.Metric(t.Context(), "moraine_scrub_pass_started_seconds"); read == 0 {
			t.Error("the pass was over before the kill, which proves little")
		}
		s.Kill()
		s = launch(t, w.config("256KiB"))
		w.read(s)
		s.Kill()
	}
	s = launch(t, w.config("unlimited", "--scrub-rate=0"))
	// The pass that was under way goes on, and another sees the rest.
	reach(t, s, "moraine_scrub_pass_started_seconds", func(v float64) bool { return v == 0 })
	startScrub(t, s)
	reach(t, s, "moraine_scrub_pass_started_seconds", func(v float64) bool { return v == 0 })
	w.whole(s)
	if failed, _ := s.Metric(t.Context(), "moraine_scrub_failed"); failed != 0 {
		t.Errorf("%v pieces are quarantined", failed)
	}
	w.read(s)
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	w.fsck(false) // the copies that were replaced are kept for a day, damage and all
}

// archivesLagging is how many archives wait for their second copy.
const archivesLagging = 120

const catchUpVault = "catch-up"

// laggard is a store whose second copies are behind.
type laggard struct {
	t            *testing.T
	data, second string
	l            *ledger
	bodies       map[string][]byte // by archive id
}

func (w *laggard) config(rate string, more ...string) moraineproc.Config {
	c := config(w.data)
	c.Args = append(c.Args, "--storage-mirror", w.second, "--storage-mirror-rate", rate, "--scrub-period=0s")
	c.Args = append(c.Args, more...)
	return c
}

// fill uploads archives while there is one copy.
func (w *laggard) fill() {
	w.t.Helper()
	const size = 64 << 10
	s := start(w.t, w.data)
	c := connect(s)
	defer c.Close()
	if err := c.CreateVault(w.t.Context(), catchUpVault); err != nil {
		w.t.Fatal(err)
	}
	for i := range archivesLagging {
		body := w.l.base[i*size+i : (i+1)*size+i]
		id, err := c.UploadArchive(w.t.Context(), catchUpVault, fmt.Sprint(i), vaultclient.NewPayload(body))
		if err != nil {
			w.t.Fatal(err)
		}
		w.bodies[id] = body
	}
	if err := s.Stop(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// unfinished wants a metric that counts what is left to be above zero.
func (w *laggard) unfinished(s *moraineproc.Server, name string) {
	w.t.Helper()
	if v, ok := s.Metric(w.t.Context(), name); !ok || v == 0 {
		w.t.Errorf("%s is %v, %v at the kill, which proves little", name, v, ok)
	}
}

// whole waits until no copy is missing.
func (w *laggard) whole(s *moraineproc.Server) {
	w.t.Helper()
	tw := &twin{t: w.t, l: w.l}
	tw.awaitWhole(s)
}

func (w *laggard) read(s *moraineproc.Server) {
	w.t.Helper()
	c := connect(s)
	defer c.Close()
	for id, body := range w.bodies {
		got, status, err := readAll(w.t.Context(), c, catchUpVault, id)
		if err != nil || treehash.Linear(got) != treehash.Linear(body) {
			w.t.Errorf("%s: archive %s: job %s, %v, %d bytes", lost, id, status, err, len(got))
		}
	}
}

// fsck checks a stopped store. Every copy that a row names is whole; clean says
// that nothing else is damaged either.
func (w *laggard) fsck(clean bool) {
	w.t.Helper()
	out, err := exec.CommandContext(w.t.Context(), serverBinary, "fsck", "--data", w.data, "--storage-mirror", w.second).CombinedOutput()
	if err != nil && clean {
		w.t.Errorf("fsck: %v\n%s", err, out)
	}
	for _, want := range []string{"copies missing: 0\n", "copies damaged: 0\n", "extents missing: 0\n", "extents damaged: 0\n", "archives incomplete: 0\n"} {
		if !strings.Contains(string(out), want) {
			w.t.Errorf("fsck lacks %q:\n%s", want, out)
		}
	}
}
