package crash_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/treehash"
	"moraine/test/internal/vaultclient"
)

// TestKillCompacting deletes two of three archives of a pack and kills the server,
// more than once, while it copies what is left: everything that was not deleted is
// there all the time, what was deleted stays so, and in the end the pack is gone.
func TestKillCompacting(t *testing.T) {
	t.Parallel()
	for _, mirrored := range []bool{false, true} {
		name := map[bool]string{false: "one copy", true: "two copies"}[mirrored]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := &yard{t: t, l: newLedger(77), data: filepath.Join(t.TempDir(), "data"), bodies: map[string][]byte{}}
			if mirrored {
				y.second = filepath.Join(t.TempDir(), "second")
			}
			y.run()
		})
	}
}

// yard is a store with a pack to be emptied.
type yard struct {
	t            *testing.T
	l            *ledger
	data, second string
	bodies       map[string][]byte // by archive id: those that must be there
	gone         []string          // archive ids
}

// config copies so slowly that kills come in the middle, or at once.
func (y *yard) config(slow bool) moraineproc.Config {
	c := config(y.data)
	rate := "unlimited"
	if slow {
		rate = "256KiB"
	}
	c.Args = append(c.Args, "--allow-short-retention", "--storage-compact-period", "0s", "--storage-compact-dead-holes", "30",
		"--storage-compact-grace", "1s", "--job-retention", "5s", "--upload-retention", "5s", "--storage-compact-rate", rate)
	if y.second != "" {
		c.Args = append(c.Args, "--storage-mirror", y.second)
	}
	return c
}

const compactVault = "compact"

func (y *yard) run() {
	y.t.Helper()
	s := launch(y.t, y.config(true))
	y.fill(s)
	// A stop seals the pack.
	if err := s.Stop(y.t.Context()); err != nil {
		y.t.Fatal(err)
	}
	old := y.packs()
	const kills = 3
	moving := 0
	for kill := range kills {
		s = launch(y.t, y.config(true))
		y.moving(s)
		// Others go on meanwhile.
		y.delete(s, 3)
		if y.under(s) {
			moving++
		}
		s.Kill()
		crashEarlyWith(y.t, y.config(true), time.Duration(20+40*kill)*time.Millisecond)
		s = launch(y.t, y.config(true))
		y.read(s)
		s.Kill()
	}
	if moving < kills {
		y.t.Errorf("only %d of %d kills came while archives were being copied", moving, kills)
	}
	s = launch(y.t, y.config(false))
	y.await(s, old)
	y.read(s)
	if failed, _ := s.Metric(y.t.Context(), "moraine_compact_failed_blobs"); failed != 0 {
		y.t.Errorf("%v blobs could not be copied", failed)
	}
	if err := s.Stop(y.t.Context()); err != nil {
		y.t.Error(err)
	}
	args := []string{"fsck", "--data", y.data}
	if y.second != "" {
		args = append(args, "--storage-mirror", y.second)
	}
	if out, err := exec.CommandContext(y.t.Context(), serverBinary, args...).CombinedOutput(); err != nil {
		y.t.Errorf("fsck: %v\n%s", err, out)
	}
}

// fill uploads archives, and deletes two of three.
func (y *yard) fill(s *moraineproc.Server) {
	y.t.Helper()
	const archives, size = 300, 96 << 10
	c := connect(s)
	defer c.Close()
	if err := c.CreateVault(y.t.Context(), compactVault); err != nil {
		y.t.Fatal(err)
	}
	var ids []string
	for i := range archives {
		body := y.l.base[i*131 : i*131+size]
		id, err := c.UploadArchive(y.t.Context(), compactVault, "", vaultclient.NewPayload(body))
		if err != nil {
			y.t.Fatal(err)
		}
		ids = append(ids, id)
		y.bodies[id] = body
	}
	for i, id := range ids {
		if i%3 > 0 {
			y.remove(c, id)
		}
	}
}

func (y *yard) remove(c *vaultclient.Client, id string) {
	y.t.Helper()
	if err := c.DeleteArchive(y.t.Context(), compactVault, id); err != nil {
		y.t.Fatal(err)
	}
	delete(y.bodies, id)
	y.gone = append(y.gone, id)
}

// delete deletes some of the archives.
func (y *yard) delete(s *moraineproc.Server, n int) {
	y.t.Helper()
	c := connect(s)
	defer c.Close()
	for id := range y.bodies {
		if n--; n < 0 {
			return
		}
		y.remove(c, id)
	}
}

// moving has passes begin until one copies: the space of what was deleted comes
// back by and by.
func (y *yard) moving(s *moraineproc.Server) {
	y.t.Helper()
	y.ask(s, http.MethodPost, "/compact/start")
	reach(y.t, s, "moraine_compact_moved_blobs_total", func(v float64) bool {
		if v >= 5 {
			return true
		}
		if !y.under(s) {
			y.ask(s, http.MethodPost, "/compact/start")
		}
		return false
	})
}

// ask asks the admin listener and returns the answer.
func (y *yard) ask(s *moraineproc.Server, method, path string) string {
	y.t.Helper()
	req, err := http.NewRequestWithContext(y.t.Context(), method, "http://"+s.AdminAddr+path, strings.NewReader("{}"))
	if err != nil {
		y.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		y.t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
		y.t.Fatalf("%s: %s, %v", path, resp.Status, err)
	}
	return string(text)
}

// under reports whether a pass is under way.
func (y *yard) under(s *moraineproc.Server) bool {
	y.t.Helper()
	return strings.Contains(y.ask(s, http.MethodGet, "/compact"), `"passStarted"`)
}

// packs lists the packs of both copies.
func (y *yard) packs() []string {
	y.t.Helper()
	var all []string
	for _, dir := range []string{filepath.Join(y.data, "packs"), y.second} {
		if dir == "" {
			continue
		}
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if strings.HasSuffix(path, ".pack") {
				all = append(all, path)
			}
			return err
		})
		if err != nil {
			y.t.Fatal(err)
		}
	}
	return all
}

// await waits until packs are gone, which the sweep removes after the grace.
func (y *yard) await(s *moraineproc.Server, old []string) {
	y.t.Helper()
	ctx, cancel := context.WithTimeout(y.t.Context(), spaceMax)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		left := map[string]bool{}
		for _, path := range y.packs() {
			left[path] = true
		}
		some := false
		for _, path := range old {
			some = some || left[path]
		}
		if !some {
			return
		}
		y.ask(s, http.MethodPost, "/compact/start")
		select {
		case <-tick.C:
		case <-ctx.Done():
			y.t.Fatalf("of the packs %v some are left: %v\n%s", old, y.packs(), s.Log())
		}
	}
}

// read reads everything that must be there, and asks for what must not.
func (y *yard) read(s *moraineproc.Server) {
	y.t.Helper()
	c := connect(s)
	defer c.Close()
	for id, body := range y.bodies {
		got, status, err := readAll(y.t.Context(), c, compactVault, id)
		if err != nil || treehash.Linear(got) != treehash.Linear(body) {
			y.t.Errorf("%s: archive %s: job %s, %v, %d bytes", lost, id, status, err, len(got))
		}
	}
	for _, id := range y.gone[:min(20, len(y.gone))] {
		if _, _, err := readAll(y.t.Context(), c, compactVault, id); !vaultclient.IsRefused(err, "ResourceNotFoundException") {
			y.t.Errorf("deleted archive %s: %v", id, err)
		}
	}
}

// crashEarlyWith starts a server and kills it after a while.
func crashEarlyWith(t *testing.T, c moraineproc.Config, life time.Duration) {
	t.Helper()
	s, err := moraineproc.Launch(c)
	if err != nil {
		t.Fatal(err)
	}
	timer := time.NewTimer(life)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.Done():
		t.Errorf("the server ended by itself:\n%s", s.Log())
	}
	s.Kill()
}
