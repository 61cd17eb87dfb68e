package proof_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/account"
	"moraine/internal/api"
	"moraine/internal/blob"
	"moraine/internal/blob/mem"
	wallclock "moraine/internal/clock"
	"moraine/internal/config"
	"moraine/internal/disk/crashfs"
	"moraine/internal/gatewaytest"
	"moraine/internal/job"
	"moraine/internal/meta/metatest"
	"moraine/internal/pgtest"
	"moraine/internal/seal"
	"moraine/internal/server"
	"moraine/internal/sigv4"
	"moraine/internal/vault"
)

// stack is a server on one way to keep rows and bytes.
type stack interface {
	do(ctx context.Context, r request) (reply, error)
	advance(ctx context.Context, by time.Duration) error
	restart(ctx context.Context) error
	// trouble is what only some ways have, and what no client may notice: fsck,
	// scrub, a damaged copy, a lost disk.
	trouble(ctx context.Context, kind string, seed uint64) error
	close() error
}

// kind is one way to keep rows and bytes. To compare another one, add it here.
type kind struct {
	name string
	open func(t *testing.T, clk *clock) (stack, error)
}

// stacks are compared with the first.
var stacks = []kind{
	{"memory", openMemory},
	{"packs", onDisk(func(*testing.T, *config.Config) {})},
	{"mirror", onDisk(withMirror)},
	{"encrypted", onDisk(withKeys)},
	{"encrypted mirror", onDisk(func(t *testing.T, c *config.Config) { withMirror(t, c); withKeys(t, c) })},
	{"machine", onMachine},
}

// pair is compared with the first of stacks. It needs programs that are not
// everywhere.
var pair = []kind{stacks[0], {"pair", onPair}}

func withMirror(_ *testing.T, c *config.Config) { c.Storage.Mirror = "/mirror" }

func withKeys(t *testing.T, c *config.Config) {
	t.Helper()
	c.Encryption.KeyFile = filepath.Join(t.TempDir(), "key")
	if err := server.NewKeyFile(c.Encryption.KeyFile); err != nil {
		t.Fatal(err)
	}
}

// rootKey is the same everywhere.
var rootKey = sigv4.Key{ID: "AKIAIOSFODNN7EXAMPLE", Secret: sigv4.Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")}

func root() account.Root {
	return account.Root{Account: owner, KeyID: rootKey.ID, Secret: rootKey.Secret}
}

// bulkDelay is what a Bulk job waits for; the others run at once.
const bulkDelay = 5 * time.Hour

// whole is a whole server.
type whole struct {
	*proc
	cfg   config.Config
	fs    *crashfs.FS // nil for that of the machine
	clock *clock

	ahead   time.Duration // of the system clock
	lost    int           // mirrors, or directories
	damaged int64         // copies that were
}

func onDisk(change func(t *testing.T, c *config.Config)) func(t *testing.T, clk *clock) (stack, error) {
	return func(t *testing.T, clk *clock) (stack, error) {
		return openWhole(&whole{fs: crashfs.New(), clock: clk}, func(c *config.Config) { change(t, c) })
	}
}

func onMachine(t *testing.T, clk *clock) (stack, error) {
	dir, err := os.MkdirTemp(t.TempDir(), "data")
	if err != nil {
		return nil, err
	}
	return openWhole(&whole{clock: clk}, func(c *config.Config) { c.Data = dir })
}

// onPair is a server that keeps nothing: rows in PostgreSQL, bytes in a bucket.
func onPair(t *testing.T, clk *clock) (stack, error) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "master.key")
	if err := os.WriteFile(keys, []byte(account.GenerateMaster()), 0o600); err != nil {
		return nil, err
	}
	url, bucket := gatewaytest.Bucket(t)
	return openWhole(&whole{clock: clk}, func(c *config.Config) {
		c.Data, c.MasterKeyFile = filepath.Join(dir, "data"), keys
		c.Meta.URL = pgtest.Database(t)
		c.Storage.Blobs = "s3://" + bucket + "/archives"
		b := &c.Storage.Bucket
		b.Endpoint, b.Region, b.PathStyle = url, gatewaytest.Region, true
		b.AccessKeyID, b.SecretAccessKey = gatewaytest.KeyID, gatewaytest.Secret
	})
}

func openWhole(s *whole, change func(c *config.Config)) (stack, error) {
	var err error
	if s.cfg, err = settings(); err != nil {
		return nil, err
	}
	s.cfg.Root, s.cfg.JobDelay = root(), job.Delays{Bulk: bulkDelay}
	s.cfg.OrphanGrace = time.Hour
	change(&s.cfg)
	return s, s.start("")
}

func (s *whole) start(rebuild string) (err error) {
	s.proc, err = startWith(s.cfg, s.fs, s.clock, rebuild)
	if err == nil {
		s.key = rootKey
	}
	return err
}

func (s *whole) advance(ctx context.Context, by time.Duration) error {
	s.ahead += by
	return s.pull(ctx, "/test/clock", fmt.Sprintf(`{"advance":%q}`, by))
}

func (s *whole) restart(context.Context) error { return errors.Join(s.stop(), s.start("")) }

func (s *whole) close() error { return s.stop() }

func (s *whole) trouble(ctx context.Context, kind string, seed uint64) error {
	switch kind {
	case "fsck":
		return s.check(ctx, "")
	case "scrub":
		return s.scrub(ctx)
	case "lose":
		return s.lose(ctx)
	case "damage":
		return s.damage(ctx, seed)
	}
	return fmt.Errorf("there is no trouble %q", kind)
}

// check stops the server for fsck.
func (s *whole) check(ctx context.Context, rebuild string) error {
	if err := s.stop(); err != nil {
		return err
	}
	var out strings.Builder
	res, err := fsck(ctx, s.cfg, s.fs, &out)
	// A copy that was replaced stays where it is for a day.
	res.Places = max(0, res.Places-s.damaged)
	if err != nil || !res.Clean() {
		return errors.Join(err, fmt.Errorf("fsck: %+v\n%s", res, &out))
	}
	return s.start(rebuild)
}

// scrub has everything read from now on, and waits for the end of it.
func (s *whole) scrub(ctx context.Context) error {
	from := s.clock.now().Add(s.ahead)
	return s.until(ctx, "the end of a scrub", func() (bool, error) {
		var now struct {
			State string
			Last  *struct{ Started time.Time } `json:"lastPass"`
		}
		if err := s.getAdmin(ctx, "/scrub", &now); err != nil || now.State != "idle" {
			return false, err
		}
		if now.Last != nil && !now.Last.Started.Before(from) {
			return true, nil
		}
		return false, s.pull(ctx, "/scrub/start", "{}")
	})
}

// lose takes the mirror away and has it made anew, or the directory of a server
// that keeps nothing.
func (s *whole) lose(ctx context.Context) error {
	if s.cfg.Storage.Mirror == "" && s.cfg.Storage.Blobs == "" {
		return s.restart(ctx)
	}
	if err := s.stop(); err != nil {
		return err
	}
	s.lost++
	if s.cfg.Storage.Blobs != "" {
		s.cfg.Data = fmt.Sprintf("%s%d", s.cfg.Data, s.lost)
		return s.start("")
	}
	s.cfg.Storage.Mirror = fmt.Sprintf("/mirror%d", s.lost)
	if err := s.start("mirror"); err != nil {
		return err
	}
	return s.until(ctx, "a second copy of everything", func() (bool, error) {
		var m struct {
			Counted    time.Time
			Rebuilding []string
			Lost       int64
		}
		err := s.getAdmin(ctx, "/mirror", &m)
		if m.Lost > 0 {
			err = errors.Join(err, fmt.Errorf("%d blobs are lost", m.Lost))
		}
		return !m.Counted.IsZero() && len(m.Rebuilding) == 0, err
	})
}

// damage turns a bit of one copy where there is another.
func (s *whole) damage(ctx context.Context, seed uint64) error {
	if s.cfg.Storage.Mirror == "" {
		return nil
	}
	rnd := rand.New(rand.NewPCG(seed, 5))
	side := []string{"/data/packs", s.cfg.Storage.Mirror}[rnd.IntN(2)]
	var files []string
	for _, name := range s.fs.Names() {
		if strings.HasPrefix(name, side+"/sealed/") && strings.HasSuffix(name, ".blob") {
			files = append(files, name)
		}
	}
	if len(files) == 0 {
		return nil
	}
	slices.Sort(files)
	name := files[rnd.IntN(len(files))]
	// Behind the headers, in what is read with the archive.
	s.damaged++
	s.fs.Flip(name, 4096+int64(rnd.IntN(64<<10)), 1<<rnd.IntN(8))
	return s.scrub(ctx)
}

// until polls.
func (s *whole) until(ctx context.Context, what string, done func() (bool, error)) error {
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	limit := time.After(waitMax)
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-poll.C:
		case <-limit:
			return fmt.Errorf("waited in vain for %s", what)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *proc) getAdmin(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.admin+path, nil)
	if err != nil {
		return err
	}
	rep, err := p.take(req)
	if err != nil || !rep.ok() {
		return errors.Join(err, fmt.Errorf("GET %s: %d %s", path, rep.status, rep.body))
	}
	return json.Unmarshal(rep.body, into)
}

// memory is the services over the plainest stores there are.
type memory struct {
	*proc
	rows    *metatest.Memory
	blobs   *mem.Store
	keyring *seal.Keyring
	wall    *wallclock.Clock
	vaults  *vault.Service
	jobs    *job.Service
	http    *httptest.Server
	cancel  context.CancelFunc
	parts   *errgroup.Group
}

func openMemory(_ *testing.T, clk *clock) (stack, error) {
	keyring, err := seal.Parse([]byte(account.GenerateMaster()))
	if err != nil {
		return nil, err
	}
	s := &memory{
		proc:  &proc{clock: clk, key: rootKey, http: &http.Client{Transport: &http.Transport{}}},
		blobs: mem.New(), keyring: keyring,
	}
	s.wall = wallclock.New(wallclock.Config{
		System: clk.now, Elapsed: clk.elapsed, Movable: true, Save: func(wallclock.State) error { return nil },
	})
	s.rows = metatest.NewMemory(s.wall.Now)
	return s, s.start()
}

// start joins new services to the stores.
func (s *memory) start() error {
	now := s.wall.Now
	pending, authority := new(blob.Pending), access.New(access.Config{Now: now})
	accounts := account.New(account.Config{Meta: s.rows, Keyring: s.keyring, Root: root(), Now: s.wall.Wall})
	s.vaults = vault.New(vault.Config{
		Meta: s.rows, Blobs: s.blobs, Pending: pending, Access: authority, Now: now,
		Retention: 24 * time.Hour, OrphanGrace: time.Hour, Hastened: func() { s.jobs.Wake() }, Notice: func(string, map[string]any) {},
	})
	s.jobs = job.New(job.Config{
		Meta: s.rows, Blobs: s.blobs, Pending: pending, Access: authority, Now: now, Owner: "memory",
		Delays: job.Delays{Bulk: bulkDelay}, Finished: func() {}, Suspect: func(moraine.BlobID) {},
		Retention: 24 * time.Hour, FreeTier: 10 << 30,
	})
	if err := accounts.Open(context.Background()); err != nil {
		return err
	}
	handler := api.New(api.Config{
		Vaults: s.vaults, Jobs: s.jobs, Principals: accounts, Now: now,
		Verifier: sigv4.New(sigv4.Config{
			Keys: accounts, Now: s.clock.now, Services: []string{"glacier"}, Regions: []string{"us-east-1"},
			MaxSkew: 5 * time.Minute, MaxBody: 1 << 20, UnsignedHeaders: sigv4.AllowUnsigned,
		}),
		Claimed: func(context.Context, string) (access.Principal, bool) { return access.Principal{}, false },
	})
	s.http = httptest.NewServer(handler)
	s.url = s.http.URL
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.parts = cancel, new(errgroup.Group)
	s.parts.Go(func() error { return s.vaults.Run(ctx) })
	s.parts.Go(func() error { return s.jobs.Run(ctx) })
	return nil
}

func (s *memory) advance(_ context.Context, by time.Duration) error {
	_, err := s.wall.Advance(by)
	s.vaults.Wake()
	s.jobs.Wake()
	return err
}

func (s *memory) close() error {
	s.proc.http.CloseIdleConnections()
	s.http.Close()
	s.cancel()
	return s.parts.Wait()
}

func (s *memory) restart(context.Context) error { return errors.Join(s.close(), s.start()) }

func (s *memory) trouble(ctx context.Context, kind string, _ uint64) error {
	if kind == "fsck" || kind == "lose" {
		return s.restart(ctx) // as the others do for it
	}
	if kind == "scrub" || kind == "damage" {
		return nil
	}
	return fmt.Errorf("there is no trouble %q", kind)
}
