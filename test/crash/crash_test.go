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
	"testing"
	"text/tabwriter"
	"time"

	"moraine/test/internal/iamclient"
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

// config is a server whose inventories are current and whose retrievals finish at
// once, but for the Bulk ones, which wait for longer than any run.
func config(data string) moraineproc.Config {
	return moraineproc.Config{Binary: serverBinary, Data: data, Args: []string{"--job-delay", "bulk=720h", "--inventory-interval", "0s"}}
}

func start(t *testing.T, data string) *moraineproc.Server {
	t.Helper()
	return launch(t, config(data))
}

func launch(t *testing.T, c moraineproc.Config) *moraineproc.Server {
	t.Helper()
	s, err := moraineproc.Start(t.Context(), c)
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

// connect is a connection to the server as root, of whose writes the ledger
// hears.
func (l *ledger) connect(s *moraineproc.Server) *vaultclient.Client {
	c := connect(s)
	c.Observe = l.observe
	return c
}

// connectIAM is connect for identities.
func (l *ledger) connectIAM(s *moraineproc.Server) *iamclient.Client {
	c := iamclient.New(s.Addr, moraineproc.KeyID, moraineproc.Secret, moraineproc.Region)
	c.Observe = l.observe
	return c
}

// verifier compares the server with the ledger.
func (l *ledger) verifier(s *moraineproc.Server, r *rand.Rand, all bool) *verifier {
	return &verifier{
		l: l, r: r, all: all, patience: messagesMax,
		client: func() *vaultclient.Client { return l.connect(s) },
		iam:    func() *iamclient.Client { return l.connectIAM(s) },
	}
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

// TestKill is the crash harness described in the package comment.
func TestKill(t *testing.T) {
	t.Parallel() // it waits for leases of killed processes
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	l, p := newLedger(seed), newPost(t, seed)
	c := config(filepath.Join(t.TempDir(), "data"))
	c.Args = append(c.Args, l.regionFlag())
	p.settings(&c)
	s := launch(t, c)
	l.setUp(t, s, r)

	var res result
	for round := range *rounds {
		work(t, l, s, r)
		res.kills++
		if round%2 == 1 { // a crash during recovery, too
			crashEarly(t, c, r)
			res.kills++
		}
		if round%3 == 2 { // a crashed store is already whole
			fsck(t, c.Data)
		}
		s = launch(t, c)
		v := l.verifier(s, r, round == *rounds-1 || *rounds <= 4)
		v.run(t)
		if round == *rounds-1 {
			v.completeAll(t)
			res.owed, res.delivered = v.messages(t.Context(), p)
		}
		res.readBytes += v.bytes.Load()
		t.Logf("round %d: ready after %v, %d MiB read back", round+1, s.StartTook.Round(time.Millisecond), v.bytes.Load()>>20)
		if len(l.faults) > 0 {
			break
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	res.fsck = fsck(t, c.Data)
	res.audit = checkAudit(t, l, c.Data)
	for i, fault := range l.faults {
		if i < 50 {
			t.Error(fault)
		}
	}
	if t.Failed() {
		t.Logf("last output of the server:\n%s", s.Log())
	}
	res.print(l, p, seed)
}

// setUp makes the vaults, what belongs to some of them for good, and the user who
// may do everything.
func (l *ledger) setUp(t *testing.T, s *moraineproc.Server, r *rand.Rand) {
	t.Helper()
	c, iam := l.connect(s), l.connectIAM(s)
	defer c.Close()
	defer iam.Close()
	for _, vault := range vaults {
		if err := c.CreateVault(t.Context(), vault); err != nil {
			t.Fatal(err)
		}
	}
	for vault, config := range configs {
		if err := c.SetNotifications(t.Context(), vault, config); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if l.auditor, err = newAuditor(t.Context(), iam, r, l.number()); err != nil {
		t.Fatal(err)
	}
}

// work loads the server from many connections and kills it at some moment.
func work(t *testing.T, l *ledger, s *moraineproc.Server, r *rand.Rand) {
	t.Helper()
	l.locksLeft, l.locksComing, l.unitsLeft = l.locksLeft+locksPerKill, 0, l.unitsLeft+unitsPerKill
	var k kill
	var wg sync.WaitGroup
	for i := range *workers {
		w := &worker{
			l: l, c: l.connect(s), iam: l.connectIAM(s), r: rand.New(rand.NewPCG(r.Uint64(), 2)),
			clerk: i%4 == 3, kill: &k,
		}
		wg.Go(func() { w.run(t.Context()) })
	}
	await := func(d time.Duration) {
		life := time.NewTimer(d)
		defer life.Stop()
		select {
		case <-life.C:
		case <-s.Done():
			l.fault("the server ended by itself:\n%s", s.Log())
		}
	}
	await(200*time.Millisecond + time.Duration(r.Int64N(int64(*liveFor))))
	k.near.Store(true)
	await(time.Duration(r.Int64N(int64(20 * time.Millisecond))))
	k.now.Store(true)
	s.Kill()
	wg.Wait()
}

// crashEarly starts the server and kills it before or soon after it is ready.
func crashEarly(t *testing.T, c moraineproc.Config, r *rand.Rand) {
	t.Helper()
	s, err := moraineproc.Launch(c)
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

// result is what a run did besides the operations.
type result struct {
	kills           int
	readBytes       int64
	owed, delivered int // messages
	fsck            string
	audit           auditReport
}

// print writes the result and a table of the operations, for the log of a build.
func (res *result) print(l *ledger, p *post, seed uint64) {
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
	words := map[string]int{}
	for _, fault := range l.faults {
		word, _, _ := strings.Cut(fault, ":")
		words[word]++
	}
	final := 0
	for _, lock := range l.locks {
		if state, _ := lock.state(); state == locked {
			final++
		}
	}
	letters, _ := p.all()
	turnedAway, repeated := 0, 0
	for _, m := range letters {
		turnedAway += m.turnedAway
		repeated += max(0, m.accepted-1)
	}
	fmt.Printf("kills %d, lost %d, half %d, other faults %d, read back %d MiB, seed %d\n",
		res.kills, words[lost], words[half], len(l.faults)-words[lost]-words[half], res.readBytes>>20, seed)
	fmt.Printf("locks completed %d, keys revoked %d\n", final, len(l.revoked))
	fmt.Printf("messages owed %d, delivered %d, refused or cut off %d, delivered again %d\n", res.owed, res.delivered, turnedAway, repeated)
	fmt.Printf("audit: %d records of calls, %d acknowledged writes, %d writes recorded that nobody was told of, %d records cut short\n",
		res.audit.records, len(l.acknowledged), res.audit.unheard, res.audit.torn)
	fmt.Printf("audit verify: %s\nfsck: %s\n", oneLine(res.audit.verdict), oneLine(res.fsck))
}

func oneLine(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "\n", ", ") }
