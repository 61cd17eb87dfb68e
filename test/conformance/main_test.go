package conformance_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moraine/test/internal/moraineproc"
)

const (
	serverKeyID   = moraineproc.KeyID
	serverSecret  = moraineproc.Secret
	serverAccount = moraineproc.Account
	serverRegion  = moraineproc.Region
)

// serverFlags by the name a transcript asks for. "current" keeps inventories up to
// date with every write; "daily" behaves like the vendor's service. Expedited
// jobs end at once, standard ones soon, bulk ones outlive the test run.
var serverFlags = map[string][]string{
	"current": {"--inventory-interval", "0s"},
	"daily":   {"--inventory-interval", "24h"},
}

var commonFlags = []string{
	"--job-delay", "expedited=0s,standard=1s,bulk=10m",
	"--regions", "eu-north-1,us-east-1,eu-west-1,ap-south-1,eu-south-1",
}

// State of one run of the package; set up by TestMain, read by the tests.
var (
	binary    string
	servers   = map[string]*moraineproc.Server{}
	negatives atomic.Int64
	positives atomic.Int64
	seen      = &idSet{ids: map[string]bool{}}
)

// idSet remembers request ids, which must never repeat.
type idSet struct {
	mu  sync.Mutex
	ids map[string]bool // guarded by mu
}

func (s *idSet) add(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids[id] {
		return false
	}
	s.ids[id] = true
	return true
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

// run builds and starts the servers, runs the tests, and stops the servers; a
// server that does not drain cleanly fails the run, and so does a store that
// fsck does not like, or an operation that the SDK for Go has left out.
func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "moraine-conformance-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	if binary, err = moraineproc.Build(ctx, dir); err != nil {
		return fail(err)
	}
	for name, flags := range serverFlags {
		s, err := moraineproc.Start(ctx, moraineproc.Config{
			Binary: binary, Data: filepath.Join(dir, name), Args: append(flags, commonFlags...),
		})
		if err != nil {
			return fail(err)
		}
		defer s.Kill()
		servers[name] = s
	}
	code := m.Run()
	for name, s := range servers {
		if err := s.Stop(ctx); err != nil {
			code = fail(fmt.Errorf("%s: %w", name, err))
		}
		out, status, err := moraineproc.Fsck(ctx, binary, filepath.Join(dir, name))
		if err != nil || status != 0 {
			code = fail(fmt.Errorf("%s: fsck ended with %d, %v\n%s", name, status, err, out))
		}
		if code != 0 && testing.Verbose() {
			fmt.Fprintf(os.Stderr, "--- log of server %s\n%s", name, s.Log())
		}
	}
	if code == 0 && wholeRun() {
		left, err := sdkLeftOut(filepath.Join(dir, "current"))
		switch {
		case err != nil:
			code = fail(err)
		case len(left) > 0:
			code = fail(fmt.Errorf("the SDK for Go has never done %s", strings.Join(left, ", ")))
		}
	}
	fmt.Printf("transcripts: %d exchanges that succeed, %d negative cases\n", positives.Load(), negatives.Load())
	return code
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "conformance:", err)
	return 1
}

// TestTranscripts plays every file under testdata.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			tr := readTranscript(t, file)
			r := newRunner(serverOf(t, tr), tr.region)
			for _, e := range tr.exchanges {
				// Not parallel: an exchange uses what earlier ones made.
				t.Run(e.name, func(t *testing.T) {
					r.play(t, e)
				})
				if e.negative {
					negatives.Add(1)
				} else {
					positives.Add(1)
				}
			}
		})
	}
}

// serverOf returns the server a transcript asks for; one of its own is started
// with the test and ends with it.
func serverOf(t *testing.T, tr *transcript) *moraineproc.Server {
	t.Helper()
	if tr.server != "own" {
		s := servers[tr.server]
		if s == nil {
			t.Fatalf("no server named %q", tr.server)
		}
		return s
	}
	return ownServer(t, tr.flags...)
}

// ownServer starts a server with further flags for one test.
func ownServer(t *testing.T, flags ...string) *moraineproc.Server {
	t.Helper()
	s, err := moraineproc.Start(t.Context(), moraineproc.Config{
		Binary: binary, Data: filepath.Join(t.TempDir(), "data"), Args: append(slices.Clone(commonFlags), flags...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), ownStopMax)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ownStopMax is how long a server of one test may take to drain.
const ownStopMax = 3 * time.Minute
