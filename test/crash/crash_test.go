package crash_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/vaultclient"
	"moraine/test/internal/wire"
)

var (
	rounds   = flag.Int("rounds", 4, "kills of TestKill")
	seedFlag = flag.Uint64("seed", 0, "seed of TestKill; 0 takes one from the clock")
	workers  = flag.Int("workers", 8, "concurrent connections of TestKill")
	liveFor  = flag.Duration("live", 2500*time.Millisecond, "longest life of a server in TestKill")
)

// serverBinary is the server under test; set by TestMain.
var serverBinary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "moraine-crash-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	if serverBinary, err = moraineproc.Build(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		return 1
	}
	return m.Run()
}

var serveFlags = []string{"--job-delay", "0s", "--inventory-interval", "0s"}

func config(data string) moraineproc.Config {
	return moraineproc.Config{Binary: serverBinary, Data: data, Args: serveFlags}
}

func start(t *testing.T, data string) *moraineproc.Server {
	t.Helper()
	s, err := moraineproc.Start(t.Context(), config(data))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

var credentials = &wire.Credentials{KeyID: moraineproc.KeyID, Secret: moraineproc.Secret, Region: moraineproc.Region}

func connect(s *moraineproc.Server) *vaultclient.Client {
	return &vaultclient.Client{Addr: s.Addr, Credentials: credentials}
}

// fsck checks a stopped store and demands a clean result.
func fsck(t *testing.T, data string) string {
	t.Helper()
	out, code, err := moraineproc.Fsck(t.Context(), serverBinary, data)
	if err != nil || code != 0 {
		t.Errorf("fsck: exit %d, %v\n%s", code, err, out)
	}
	return out
}

// verifyAudit demands an audit log whose chains have no gap. The server was
// stopped, so no line may be cut short.
func verifyAudit(t *testing.T, data string) {
	t.Helper()
	out, code, err := moraineproc.VerifyAudit(t.Context(), serverBinary, data)
	if err != nil || code != 0 {
		t.Errorf("audit verify: exit %d, %v\n%s", code, err, out)
	}
}

// TestKill is the crash harness described in the package comment.
func TestKill(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	l := newLedger(seed)
	data := filepath.Join(t.TempDir(), "data")
	s := start(t, data)
	setup := connect(s)
	for _, vault := range vaults {
		if err := setup.CreateVault(t.Context(), vault); err != nil {
			t.Fatal(err)
		}
	}
	setup.Close()

	kills := 0
	var readBytes int64
	for round := range *rounds {
		work(t, l, s, r)
		kills++
		if round%2 == 1 { // a crash during recovery, too
			crashEarly(t, data, r)
			kills++
		}
		if round%3 == 2 { // a crashed store is already whole
			fsck(t, data)
		}
		s = start(t, data)
		v := &verifier{l: l, client: func() *vaultclient.Client { return connect(s) }, r: r, all: round == *rounds-1 || *rounds <= 4}
		v.run(t)
		if round == *rounds-1 {
			v.completeAll(t)
		}
		readBytes += v.bytes.Load()
		t.Logf("round %d: ready after %v, %d MiB read back", round+1, s.StartTook.Round(time.Millisecond), v.bytes.Load()>>20)
		if len(l.faults) > 0 {
			break
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	report := fsck(t, data)
	verifyAudit(t, data)
	lost := 0
	for i, fault := range l.faults {
		if strings.HasPrefix(fault, "LOST") {
			lost++
		}
		if i < 50 {
			t.Error(fault)
		}
	}
	if t.Failed() {
		t.Logf("last output of the server:\n%s", s.Log())
	}
	table(l, seed, kills, lost, readBytes, report)
}

// work loads the server from many connections and kills it at some moment.
func work(t *testing.T, l *ledger, s *moraineproc.Server, r *rand.Rand) {
	t.Helper()
	var killing atomic.Bool
	var wg sync.WaitGroup
	for range *workers {
		w := &worker{l: l, c: connect(s), r: rand.New(rand.NewPCG(r.Uint64(), 2)), killing: &killing}
		wg.Go(func() { w.run(t.Context()) })
	}
	life := time.NewTimer(200*time.Millisecond + time.Duration(r.Int64N(int64(*liveFor))))
	defer life.Stop()
	select {
	case <-life.C:
	case <-s.Done():
		l.fault("the server ended by itself:\n%s", s.Log())
	}
	killing.Store(true)
	s.Kill()
	wg.Wait()
}

// crashEarly starts the server and kills it before or soon after it is ready.
func crashEarly(t *testing.T, data string, r *rand.Rand) {
	t.Helper()
	s, err := moraineproc.Launch(config(data))
	if err != nil {
		t.Fatal(err)
	}
	life := time.NewTimer(time.Duration(r.Int64N(int64(120 * time.Millisecond))))
	defer life.Stop()
	select {
	case <-life.C:
	case <-s.Done():
		t.Errorf("the server ended by itself:\n%s", s.Log())
	}
	s.Kill()
}

// table prints what the run did, for the log of a build.
func table(l *ledger, seed uint64, kills, lost int, readBytes int64, report string) {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "operation\tsent\tacknowledged\tin flight at a kill\trefused\t")
	var names []string
	for name := range l.counts {
		names = append(names, name)
	}
	slices.Sort(names)
	var sum count
	for _, name := range names {
		c := l.counts[name]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t\n", name, c.sent, c.acknowledged, c.inFlight, c.refused)
		sum.sent, sum.acknowledged, sum.inFlight, sum.refused = sum.sent+c.sent, sum.acknowledged+c.acknowledged, sum.inFlight+c.inFlight, sum.refused+c.refused
	}
	fmt.Fprintf(w, "all\t%d\t%d\t%d\t%d\t\n", sum.sent, sum.acknowledged, sum.inFlight, sum.refused)
	_ = w.Flush() // standard output
	fmt.Printf("kills %d, lost %d, other faults %d, read back %d MiB, seed %d\nfsck: %s\n",
		kills, lost, len(l.faults)-lost, readBytes>>20, seed, strings.TrimSpace(report))
}
