package proof_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sync/errgroup"

	"moraine/internal/audit"
	"moraine/internal/config"
	"moraine/internal/disk/crashfs"
	"moraine/internal/server"
	"moraine/internal/sigv4"
)

var (
	cutsWanted = flag.Int("cuts", 12, "power cuts to go through")
	cutSeed    = flag.Uint64("cut-seed", 1, "seed of the first history of power cuts")
	cutKeep    = flag.String("cut-keep", "", "directory that gets what the disk held after a cut that lost something")
)

// cut is what a disk held when the power failed, and what its server had said.
type cut struct {
	history uint64
	cfg     config.Config
	op      int
	fate    string
	seed    uint64 // of what comes after
	disk    *crashfs.FS
	at      time.Duration // of the system clock
	key     sigv4.Key     // "" before it was told
	clients []before
	depth   int // cuts during recoveries before this one
}

func (c *cut) String() string {
	return fmt.Sprintf("history %d, operation %d, %s, depth %d", c.history, c.op, c.fate, c.depth)
}

// before is a client at the instant of a cut.
type before struct {
	vault  string
	known  *state
	flight *step
	acked  []string
	bytes  map[string][]byte
}

func (c *client) before() before {
	c.mu.Lock()
	defer c.mu.Unlock()
	return before{c.vault, c.known, c.flight, c.acked, maps.Clone(c.bytes)}
}

// fates are what becomes of what was not synced.
var fates = []struct {
	name string
	keep crashfs.Keep
}{
	{"all of it lost", crashfs.KeepNone},
	{"some of it kept and torn", crashfs.KeepRandom},
	{"some of it kept and torn, again", crashfs.KeepRandom},
	{"all of it kept", crashfs.KeepAll},
}

// life is one history, and the cuts that are taken of it.
type life struct {
	seed    uint64
	cfg     config.Config
	fs      *crashfs.FS
	clock   *clock
	clients []*client
	rnd     *rand.Rand

	mu     sync.Mutex // guards the rest
	cutRnd *rand.Rand
	key    sigv4.Key
}

// kinds are the ways to keep bytes; histories take turns.
var kinds = []func(c *config.Config, keyFile string){
	func(*config.Config, string) {},
	func(c *config.Config, _ string) { c.Storage.Mirror = "/mirror" },
	func(c *config.Config, keyFile string) { c.Encryption.KeyFile = keyFile },
	func(c *config.Config, keyFile string) {
		c.Storage.Mirror, c.Encryption.KeyFile = "/mirror", keyFile
	},
}

// newLife is a history by its seed. The key file is not on the disk that fails.
func newLife(seed uint64, keyFile string) (*life, error) {
	cfg, err := settings()
	kinds[seed%uint64(len(kinds))](&cfg, keyFile)
	cfg.OrphanGrace = time.Hour
	l := &life{
		seed: seed, cfg: cfg, fs: crashfs.New(), clock: new(clock),
		rnd: rand.New(rand.NewPCG(seed, 1)), cutRnd: rand.New(rand.NewPCG(seed, 2)),
	}
	for n := range uint64(3) {
		l.clients = append(l.clients, newClient(fmt.Sprintf("v%d", n), seed*10+n))
	}
	return l, err
}

// oneIn is how many operations there are for one cut.
const oneIn = 40

// watch takes cuts and sends them on.
func (l *life) watch(take func(*cut)) {
	l.fs.Watch(func(op int, crash func(crashfs.Keep, *rand.Rand) *crashfs.FS) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.cutRnd.IntN(oneIn) != 0 {
			return
		}
		fate := fates[l.cutRnd.IntN(len(fates))]
		c := &cut{
			history: l.seed, cfg: l.cfg, op: op, fate: fate.name, seed: l.cutRnd.Uint64(), disk: crash(fate.keep, l.cutRnd),
			at: l.clock.elapsed(), key: l.key,
		}
		for _, cl := range l.clients {
			c.clients = append(c.clients, cl.before())
		}
		take(c)
	})
}

// Length of a history.
const (
	rounds        = 4
	stepsPerRound = 25
)

// run lives the history: rounds of requests by all clients at once, and between
// them what concerns all.
func (l *life) run(ctx context.Context) error {
	p, err := l.start()
	if err != nil {
		return err
	}
	for range rounds {
		all, working := errgroup.WithContext(ctx)
		for _, c := range l.clients {
			all.Go(func() error { return c.work(working, p, stepsPerRound) })
		}
		if err := all.Wait(); err != nil {
			return errors.Join(err, p.stop())
		}
		if p, err = l.between(ctx, p); err != nil {
			return err
		}
	}
	return p.stop()
}

func (l *life) start() (*proc, error) {
	p, err := start(l.cfg, l.fs, l.clock)
	if err == nil {
		l.mu.Lock()
		l.key = p.key
		l.mu.Unlock()
	}
	return p, err
}

// between lets days go by, has everything read, or starts the server again.
func (l *life) between(ctx context.Context, p *proc) (*proc, error) {
	if l.rnd.IntN(2) == 0 {
		if err := l.day(ctx, p); err != nil {
			return p, errors.Join(err, p.stop())
		}
	}
	if l.rnd.IntN(3) == 0 {
		if err := p.pull(ctx, "/scrub/start", "{}"); err != nil {
			return p, errors.Join(err, p.stop())
		}
	}
	if l.rnd.IntN(3) > 0 {
		return p, nil
	}
	if err := p.stop(); err != nil {
		return p, err
	}
	if l.rnd.IntN(2) == 0 {
		var out strings.Builder
		if res, err := fsck(ctx, l.cfg, l.fs, &out); err != nil || !res.Clean() {
			return p, errors.Join(err, fmt.Errorf("fsck between: %+v\n%s", res, &out))
		}
	}
	return l.start()
}

// day moves the clock so far that uploads, jobs and locks in progress expire.
func (l *life) day(ctx context.Context, p *proc) error {
	expire := &step{name: "a day", apply: func(s *state, _ string) *state {
		if s == nil {
			return nil
		}
		clear(s.Uploads)
		clear(s.Jobs)
		if s.Lock == "InProgress" {
			s.Lock = ""
		}
		return s
	}}
	for _, c := range l.clients {
		c.begin(expire)
	}
	err := p.pull(ctx, "/test/clock", `{"advance":"25h"}`)
	for _, c := range l.clients {
		c.end(err == nil, "", "")
	}
	return err
}

// TestPowerCuts lives random histories of a whole server, fails the power at
// random operations of its disk, and lets a new server recover: all that was
// acknowledged is there, nothing is there by half, and fsck finds no fault.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := server.NewKeyFile(keyFile); err != nil {
		t.Fatal(err)
	}
	var taken, verified, twice atomic.Int64
	cuts := make(chan *cut)
	var verifiers sync.WaitGroup
	var once sync.Once
	for range 2 {
		verifiers.Go(func() {
			for c := range cuts {
				if t.Failed() {
					continue
				}
				deep, err := c.verify(t.Context())
				if err != nil {
					once.Do(func() { c.save(t) })
					t.Errorf("%v: %v", c, err)
				}
				if n := verified.Add(1); n%100 == 0 {
					t.Logf("%d cuts verified", n)
				}
				twice.Add(int64(deep))
			}
		})
	}
	histories := 0
	for seed := *cutSeed; taken.Load() < int64(*cutsWanted) && !t.Failed(); seed++ {
		l, err := newLife(seed, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		histories++
		l.watch(func(c *cut) {
			if taken.Add(1) <= int64(*cutsWanted) {
				cuts <- c
			}
		})
		if err := l.run(t.Context()); err != nil {
			t.Errorf("history %d: %v", seed, err)
		}
		l.fs.Watch(nil)
	}
	close(cuts)
	verifiers.Wait()
	t.Logf("%d histories, %d cuts verified, %d of them cut again during recovery", histories, verified.Load(), twice.Load())
}

// save keeps what the disk held, as far as it was not changed by the recovery.
func (c *cut) save(t *testing.T) {
	if *cutKeep == "" {
		return
	}
	for _, name := range c.disk.Names() {
		to := filepath.Join(*cutKeep, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o700), os.WriteFile(to, c.disk.ReadFile(name), 0o600)); err != nil {
			t.Error(err)
		}
	}
}

// verify recovers from a cut and compares. It reports how many times the power
// failed again while it recovered.
func (c *cut) verify(ctx context.Context) (deep int, err error) {
	rnd := rand.New(rand.NewPCG(c.seed, 3))
	clk := &clock{past: c.at}
	again := c.again(rnd)
	p, err := start(c.cfg, c.disk, clk)
	c.disk.Watch(nil)
	if err != nil {
		return 0, err
	}
	err = c.compare(ctx, p, rnd)
	if err = errors.Join(err, p.stop()); err != nil {
		return 0, err
	}
	if err := c.check(ctx); err != nil {
		return 0, err
	}
	if second := again(); second != nil {
		deep, err := second.verify(ctx)
		if err != nil {
			return deep, fmt.Errorf("%v: %w", second, err)
		}
		return deep + 1, nil
	}
	return 0, nil
}

// again has the power fail once more, perhaps, before the server is up.
func (c *cut) again(rnd *rand.Rand) func() *cut {
	if c.depth > 1 || rnd.IntN(3) > 0 {
		return func() *cut { return nil }
	}
	var second *cut
	in := rnd.IntN(25)
	c.disk.Watch(func(op int, crash func(crashfs.Keep, *rand.Rand) *crashfs.FS) {
		if in--; in != 0 {
			return
		}
		next := *c
		next.op, next.depth, next.seed = op, c.depth+1, rnd.Uint64()
		fate := fates[rnd.IntN(len(fates))]
		next.fate, next.disk = fate.name, crash(fate.keep, rnd)
		second = &next
	})
	return func() *cut { return second }
}

// compare asks the recovered server for everything.
func (c *cut) compare(ctx context.Context, p *proc, rnd *rand.Rand) error {
	if c.key.ID != "" && (c.key.ID != p.key.ID || string(c.key.Secret) != string(p.key.Secret)) {
		return errors.New("the root key is another one")
	}
	for _, b := range c.clients {
		got, err := read(ctx, p, b.vault)
		if err != nil {
			return fmt.Errorf("%s: %w", b.vault, err)
		}
		if err := b.accepts(got); err != nil {
			return fmt.Errorf("%s: %w", b.vault, err)
		}
		if got == nil {
			continue
		}
		if err := b.retrieve(ctx, p, got, rnd); err != nil {
			return fmt.Errorf("%s: %w", b.vault, err)
		}
	}
	// It goes on as a server does.
	b := c.clients[0]
	after := &client{vault: b.vault, rnd: rnd, known: b.known.clone(), bytes: make(map[string][]byte)}
	if after.known == nil || b.flight != nil {
		return nil
	}
	return after.upload(ctx, p)
}

// accepts compares a vault with what is known of it, without the step that was
// under way or with it.
func (b *before) accepts(got *state) error {
	diff := differ(b.known, got)
	if diff == "" {
		return nil
	}
	if b.flight == nil {
		return fmt.Errorf("was acknowledged (-), is there (+):\n%s", diff)
	}
	with := differ(b.flight.apply(b.known.clone(), b.made(got)), got)
	if with == "" {
		return nil
	}
	return fmt.Errorf("was acknowledged (-), is there (+):\n%s\nand with %s (-):\n%s", diff, b.flight.name, with)
}

// differ compares what is wanted with what is there, where a job may have ended
// without anybody being told.
func differ(want, got *state) string {
	got = got.clone()
	if got != nil && want != nil {
		for id, j := range got.Jobs {
			j.Done = j.Done && want.Jobs[id].Done
			got.Jobs[id] = j
		}
	}
	return cmp.Diff(want, got, cmpopts.EquateEmpty())
}

// made is the id that is there and not known, "" if there is none.
func (b *before) made(got *state) string {
	if got == nil || b.known == nil {
		return ""
	}
	switch b.flight.makes {
	case "archive":
		return extra(got.Archives, b.known.Archives)
	case "upload":
		return extra(got.Uploads, b.known.Uploads)
	case "job":
		return extra(got.Jobs, b.known.Jobs)
	}
	return ""
}

func extra[V any](got, known map[string]V) string {
	for id := range got {
		if _, ok := known[id]; !ok {
			return id
		}
	}
	return ""
}

// retrieve reads archives and compares their bytes: mostly one, now and then all.
func (b *before) retrieve(ctx context.Context, p *proc, got *state, rnd *rand.Rand) error {
	all := rnd.IntN(6) == 0
	for id, a := range got.Archives {
		text, err := output(ctx, p, "/-/vaults/"+b.vault, fmt.Sprintf(`{"Type":"archive-retrieval","ArchiveId":%q}`, id))
		if err != nil {
			return err
		}
		if want := b.bytes[a.Tree]; !bytes.Equal(text, want) {
			return fmt.Errorf("archive %s has %d other bytes", id, len(text))
		}
		if !all {
			return nil
		}
	}
	return nil
}

// check is fsck and the check of the audit log, which holds all calls that were
// acknowledged.
func (c *cut) check(ctx context.Context) error {
	var out strings.Builder
	res, err := fsck(ctx, c.cfg, c.disk, &out)
	if err != nil || !res.Clean() {
		return errors.Join(err, fmt.Errorf("fsck: %+v\n%s", res, &out))
	}
	if _, err := audit.Verify(c.disk, "/data/audit", audit.First{}); err != nil {
		return fmt.Errorf("audit log: %w", err)
	}
	log, err := records(c.disk)
	if err != nil {
		return err
	}
	for _, b := range c.clients {
		for _, id := range b.acked {
			if !bytes.Contains(log, []byte(id)) {
				return fmt.Errorf("request %s is not in the audit log", id)
			}
		}
	}
	return nil
}

// fsck checks the directories of a disk.
func fsck(ctx context.Context, cfg config.Config, fsys *crashfs.FS, out io.Writer) (res server.FsckResult, err error) {
	at, vfs, err := place(fsys)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, leave(vfs)) }()
	return server.Fsck{
		Meta: cfg.Meta, Data: cfg.Data, Blobs: cfg.Storage.Blobs, Mirror: cfg.Storage.Mirror, Bucket: cfg.Storage.Bucket,
		Encryption: cfg.Encryption, Out: out, Place: at,
	}.Run(ctx)
}

// records is the text of an audit log.
func records(fsys *crashfs.FS) ([]byte, error) {
	var all []byte
	for _, name := range fsys.Names() {
		if filepath.Dir(name) != "/data/audit" {
			continue
		}
		text := fsys.ReadFile(name)
		switch filepath.Ext(name) {
		case ".gz":
			r, err := gzip.NewReader(bytes.NewReader(text))
			if err != nil {
				return nil, err
			}
			if text, err = io.ReadAll(r); err != nil {
				return nil, err
			}
			all = append(all, text...)
		case ".jsonl":
			all = append(all, text...)
		}
	}
	return all, nil
}
