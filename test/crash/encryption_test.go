package crash_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"moraine/test/internal/moraineproc"
)

// TestKillWhileRotating kills an encrypting server while it makes new keys,
// wraps all of them again under another master, and takes uploads. In each
// round the two masters change places, so that a rewrap has work to do and a
// kill in the middle of it has two states to leave behind: every archive that
// was acknowledged must be readable in both.
func TestKillWhileRotating(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 3))
	l, p := newLedger(seed), newPost(t, seed)
	dir := t.TempDir()
	v := &vaulted{t: t, l: l, p: p, data: filepath.Join(dir, "data"), files: [2]string{filepath.Join(dir, "one.key"), filepath.Join(dir, "two.key")}}
	for _, name := range v.files {
		v.moraine("encryption", "new-key", name)
	}
	s := v.start(0)
	l.setUp(t, s, r)

	var changes changes
	for round := range *rounds {
		var wg sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() { changes.run(ctx, t, s.AdminAddr) })
		work(t, l, s, r)
		cancel()
		wg.Wait()
		if round%2 == 1 { // a kill with no server in between, while a verb works on the directory
			v.killVerb(round, r)
		}
		s = v.start(round + 1)
		check := l.verifier(s, r, *rounds <= 4)
		check.run(t)
		if len(l.faults) > 0 {
			for _, fault := range l.faults[:min(len(l.faults), 50)] {
				t.Error(fault)
			}
			t.Fatalf("last output of the server:\n%s", s.Log())
		}
	}
	if changes.rotated == 0 || changes.rewrapped == 0 {
		t.Errorf("%d rotations and %d rewraps were acknowledged", changes.rotated, changes.rewrapped)
	}

	// At last one master is enough.
	if _, err := ask(t.Context(), http.MethodPost, s.AdminAddr, "/encryption/rewrap"); err != nil {
		t.Error(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	master := "--encryption-key-file=" + v.files[*rounds%2]
	s = v.serve(master)
	check := l.verifier(s, r, true)
	check.run(t)
	check.completeAll(t)
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	status := v.moraine("encryption", "status", "--data", v.data, master)
	if n := strings.Count(status, "key: "); n < changes.rotated+1 || strings.Contains(status, "what to do") {
		t.Errorf("after %d rotations:\n%s", changes.rotated, status)
	}
	v.moraine("fsck", "--data", v.data, master)
	for i, fault := range l.faults {
		if i < 50 {
			t.Error(fault)
		}
	}
	if t.Failed() {
		t.Logf("last output of the server:\n%s", s.Log())
	}
	t.Logf("%d rotations, %d rewraps, %d MiB read back", changes.rotated, changes.rewrapped, check.bytes.Load()>>20)
}

// vaulted is a data directory with two key files.
type vaulted struct {
	t     *testing.T
	l     *ledger
	p     *post
	data  string
	files [2]string
}

// masters are the flags of a round.
func (v *vaulted) masters(round int) []string {
	return []string{"--encryption-key-file=" + v.files[round%2], "--encryption-old-key-file=" + v.files[(round+1)%2]}
}

func (v *vaulted) start(round int) *moraineproc.Server { return v.serve(v.masters(round)...) }

func (v *vaulted) serve(flags ...string) *moraineproc.Server {
	v.t.Helper()
	c := config(v.data)
	c.Args = append(append(append([]string{}, c.Args...), flags...), v.l.regionFlag())
	v.p.settings(&c)
	s, err := moraineproc.Start(v.t.Context(), c)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(s.Kill)
	return s
}

// moraine runs a command that must succeed.
func (v *vaulted) moraine(args ...string) string {
	v.t.Helper()
	out, err := exec.CommandContext(v.t.Context(), serverBinary, args...).CombinedOutput()
	if err != nil {
		v.t.Fatalf("moraine %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// killVerb kills a rewrap of a directory that no server is using, soon after it
// begins, or lets it end.
func (v *vaulted) killVerb(round int, r *rand.Rand) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), time.Duration(r.Int64N(int64(100*time.Millisecond))))
	defer cancel()
	args := append([]string{"encryption", "rewrap", "--data", v.data}, v.masters(round+1)...)
	out, err := exec.CommandContext(ctx, serverBinary, args...).CombinedOutput()
	if err != nil && ctx.Err() == nil {
		v.t.Errorf("moraine encryption rewrap: %v\n%s", err, out)
	}
}

// changes counts what was acknowledged.
type changes struct{ rotated, rewrapped int }

// run rotates and rewraps until the server is gone.
func (c *changes) run(ctx context.Context, t *testing.T, admin string) {
	t.Helper()
	for turn := 0; ; turn++ {
		path, count := "/encryption/rewrap", &c.rewrapped
		if turn%3 == 1 {
			path, count = "/encryption/rotate", &c.rotated
		}
		status, err := ask(ctx, http.MethodPost, admin, path)
		switch {
		case err != nil:
			return
		case status != http.StatusOK:
			t.Errorf("POST %s answers %d", path, status)
			return
		}
		*count++
	}
}

// ask sends a request to an admin listener.
func ask(ctx context.Context, method, admin, path string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+admin+path, nil)
	if err != nil {
		return 0, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return 0, err
	}
	if resp.StatusCode == http.StatusOK && !bytes.Contains(text, []byte(`"keys"`)) {
		return 0, fmt.Errorf("the answer is %s", text)
	}
	return resp.StatusCode, nil
}
