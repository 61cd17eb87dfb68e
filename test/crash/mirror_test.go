package crash_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moraine/test/internal/moraineproc"
)

var mirrorRounds = flag.Int("mirror-rounds", 1, "rounds of TestKillMirrored, each of which loses both disks in turn")

// wholeMax bounds the time until every blob has two copies.
const wholeMax = 5 * time.Minute

// twin is a store with a second copy.
type twin struct {
	t          *testing.T
	data       string
	second     string
	ack        string
	r          *rand.Rand
	l          *ledger
	p          *post
	kills      int
	rebuilding int // starts that found a rebuilding under way
}

func (w *twin) dir(role string) string {
	if role == "primary" {
		return filepath.Join(w.data, "packs")
	}
	return w.second
}

// config is slow to copy, so that kills come in the middle.
func (w *twin) config(word string) moraineproc.Config {
	c := config(w.data)
	c.Args = append([]string{"--storage-mirror", w.second, "--storage-mirror-ack", w.ack, "--storage-mirror-rate", "24MiB"}, c.Args...)
	c.Args = append(c.Args, w.l.regionFlag())
	if word != "" {
		c.Args = append(c.Args, "--rebuild", word)
	}
	w.p.settings(&c)
	return c
}

func (w *twin) start(word string) *moraineproc.Server {
	w.t.Helper()
	s, err := moraineproc.Start(w.t.Context(), w.config(word))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Kill)
	return s
}

// copies asks a server how its copies are.
func (w *twin) copies(s *moraineproc.Server) (whole bool, text string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.AdminAddr+"/mirror", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	var m struct {
		Counted    time.Time
		Lost       int64
		Doing      string
		Rebuilding []string
		Places     []struct{ Missing int64 }
	}
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		w.t.Fatal(err)
	}
	if m.Lost > 0 {
		w.l.fault("LOST: %d blobs have no good copy", m.Lost)
	}
	missing := int64(0)
	for _, p := range m.Places {
		missing += p.Missing
	}
	out, err := json.Marshal(m)
	if err != nil {
		w.t.Fatal(err)
	}
	return !m.Counted.IsZero() && missing == 0 && m.Doing == "" && len(m.Rebuilding) == 0, string(out)
}

// awaitWhole waits until every blob has two copies.
func (w *twin) awaitWhole(s *moraineproc.Server) {
	w.t.Helper()
	deadline := time.NewTimer(wholeMax)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		whole, text := w.copies(s)
		if whole {
			return
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			w.t.Fatalf("not every blob has two copies: %s\n%s", text, s.Log())
		}
	}
}

// kill loads a server and kills it.
func (w *twin) kill(s *moraineproc.Server) {
	w.t.Helper()
	work(w.t, w.l, s, w.r)
	w.kills++
}

// killEarly starts a server and kills it before or soon after it is ready.
func (w *twin) killEarly() {
	w.t.Helper()
	s, err := moraineproc.Launch(w.config(""))
	if err != nil {
		w.t.Fatal(err)
	}
	life := time.NewTimer(time.Duration(w.r.Int64N(int64(200 * time.Millisecond))))
	defer life.Stop()
	select {
	case <-life.C:
	case <-s.Done():
		w.t.Errorf("the server ended by itself:\n%s", s.Log())
	}
	s.Kill()
	w.kills++
}

// lose puts an empty disk in the place of a directory.
func (w *twin) lose(role string) {
	w.t.Helper()
	if err := errors.Join(os.RemoveAll(w.dir(role)), os.Mkdir(w.dir(role), 0o700)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *twin) verify(s *moraineproc.Server) {
	w.t.Helper()
	v := w.l.verifier(s, w.r, true)
	v.run(w.t)
}

// fsck checks a stopped store with both copies.
func (w *twin) fsck() string {
	w.t.Helper()
	out, err := exec.CommandContext(w.t.Context(), serverBinary, "fsck", "--data", w.data, "--storage-mirror", w.second).CombinedOutput()
	if err != nil {
		w.t.Errorf("fsck: %v\n%s", err, out)
	}
	for _, want := range []string{"copies missing: 0\n", "copies damaged: 0\n"} {
		if !strings.Contains(string(out), want) {
			w.t.Errorf("fsck lacks %q:\n%s", want, out)
		}
	}
	return string(out)
}

// TestKillMirrored keeps two copies, kills the server under load, loses one disk
// after the other, and kills it again while it fills the new one. Everything that
// was acknowledged is served all the time.
func TestKillMirrored(t *testing.T) {
	t.Parallel() // it waits for disks to be filled
	for _, ack := range []string{"both", "one"} {
		t.Run(ack, func(t *testing.T) {
			seed := *seedFlag
			if seed == 0 {
				seed = uint64(time.Now().UnixNano())
			}
			t.Logf("seed %d", seed)
			dir := t.TempDir()
			w := &twin{
				t: t, data: filepath.Join(dir, "data"), second: filepath.Join(dir, "second"), ack: ack,
				r: rand.New(rand.NewPCG(seed, 1)), l: newLedger(seed), p: newPost(t, seed),
			}
			s := w.start("")
			w.l.setUp(t, s, w.r)
			for round := range *mirrorRounds {
				for _, role := range []string{"primary", "mirror"} {
					w.kill(s)
					if round%2 == 0 {
						w.killEarly()
					}
					s = w.start("")
					w.awaitWhole(s)
					w.kill(s)
					if ack == "one" {
						// One copy was promised, and the other may be on its way still.
						s = w.start("")
						w.awaitWhole(s)
						if err := s.Stop(t.Context()); err != nil {
							t.Error(err)
						}
					}
					w.lose(role)
					s = w.start(role)
					w.kill(s) // under load, and most likely in the middle of the rebuilding
					if whole := w.rebuilt(); !whole {
						w.rebuilding++
					}
					w.killEarly()
					s = w.start("")
					w.verify(s)
					if len(w.l.faults) > 0 {
						break
					}
				}
			}
			w.awaitWhole(s)
			w.verify(s)
			if err := s.Stop(t.Context()); err != nil {
				t.Error(err)
			}
			report := w.fsck()
			for i, fault := range w.l.faults {
				if i < 50 {
					t.Error(fault)
				}
			}
			if w.rebuilding == 0 {
				t.Error("no kill came while a disk was being filled, which proves little")
			}
			if t.Failed() {
				t.Logf("last output of the server:\n%s", s.Log())
			}
			res := result{kills: w.kills, fsck: report}
			res.print(w.l, w.p, seed)
		})
	}
}

// rebuilt reports whether no rebuilding is on record.
func (w *twin) rebuilt() bool {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.data, "storage"))
	if err != nil {
		w.t.Fatal(err)
	}
	return !strings.Contains(string(text), "rebuilding")
}
