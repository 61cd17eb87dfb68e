package proof_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"moraine/internal/config"
	"moraine/internal/disk/crashfs"
	"moraine/internal/disk/sqlvfs"
	"moraine/internal/gatewaytest"
	"moraine/internal/pgtest"
	"moraine/internal/server"
	"moraine/internal/sigv4"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := errors.Join(pgtest.Stop(), gatewaytest.Stop(), goleak.Find()); err != nil {
		log.Print(err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// waitMax is how long anything may take.
const waitMax = time.Minute

// patience ends after waitMax in which nothing happened. A disk that is watched
// stands still while its cuts are verified, which counts for nothing. It is over
// after some turns even so.
type patience struct {
	disk  *crashfs.FS // nil for that of the machine
	seen  int
	turns int
	up    <-chan time.Time
}

func newPatience(fsys *crashfs.FS) *patience {
	p := &patience{disk: fsys, seen: -1}
	p.over()
	return p
}

// over reports, when up has told, whether it is.
func (p *patience) over() bool {
	now := 0
	if p.disk != nil {
		now = p.disk.Ops()
	}
	over := now == p.seen || p.turns == 20
	p.seen, p.turns, p.up = now, p.turns+1, time.After(waitMax)
	return over
}

// goroutines are the stacks of all, to see what waits for what.
func goroutines() []byte {
	text := make([]byte, 1<<20)
	return text[:runtime.Stack(text, true)]
}

// clock is the system clock of servers and clients. It stands still but for a
// tick now and then, so that no two things need happen at the same instant.
type clock struct {
	mu   sync.Mutex // guards past
	past time.Duration
}

var began = time.Date(2024, 3, 15, 12, 0, 0, 0, time.UTC)

const tick = 7 * time.Millisecond

func (c *clock) now() time.Time { return began.Add(c.elapsed()) }

func (c *clock) elapsed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.past
}

func (c *clock) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.past += tick
}

// owner is the account of every server here.
const owner = "123456789012"

// settings are those of a server in test mode on free ports of the loopback.
func settings() (config.Config, error) {
	cfg, err := config.Load(config.Sources{})
	cfg.Listen, cfg.Admin.Listen, cfg.Data = "127.0.0.1:0", "127.0.0.1:0", "/data"
	cfg.Root.Account = owner
	cfg.TestMode, cfg.Audit.Reserve = true, 0
	return cfg, err
}

// proc is a server on a disk that can lose power, and a client of it.
type proc struct {
	url, admin string
	key        sigv4.Key
	clock      *clock
	http       *http.Client
	disk       *crashfs.FS // nil for that of the machine
	vfs        *sqlvfs.VFS
	cancel     context.CancelFunc
	done       chan error // receives how it ended
}

// welcome takes the text of the start.
type welcome struct {
	mu    sync.Mutex // guards text
	text  bytes.Buffer
	whole chan string
}

func (w *welcome) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if strings.Contains(w.text.String(), "Try it:") {
		select {
		case w.whole <- w.text.String():
		default:
		}
	}
	return len(p), nil
}

// start runs a server until stop.
func start(cfg config.Config, fsys *crashfs.FS, clk *clock) (*proc, error) {
	p, err := startWith(cfg, fsys, clk, "")
	if err != nil {
		return nil, err
	}
	p.key, err = readKey(fsys)
	return p, err
}

// place puts a data directory on a disk, or on that of the machine if it is nil.
func place(fsys *crashfs.FS) (server.Place, *sqlvfs.VFS, error) {
	if fsys == nil {
		return server.Place{}, nil, nil
	}
	vfs, err := sqlvfs.New(fsys)
	if err != nil {
		return server.Place{}, nil, err
	}
	return server.Place{FS: fsys, VFS: vfs.Name()}, vfs, nil
}

// leave ends what place began.
func leave(vfs *sqlvfs.VFS) error {
	if vfs == nil {
		return nil
	}
	return vfs.Close()
}

// startWith is start with the word that a disk is new.
func startWith(cfg config.Config, fsys *crashfs.FS, clk *clock, rebuild string) (*proc, error) {
	at, vfs, err := place(fsys)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &proc{clock: clk, disk: fsys, vfs: vfs, cancel: cancel, done: make(chan error, 1), http: &http.Client{Transport: &http.Transport{}}}
	out := &welcome{whole: make(chan string, 1)}
	opts := server.Options{Out: out, Now: clk.now, Elapsed: clk.elapsed, Version: "proof", Place: at, Rebuild: rebuild}
	go func() { p.done <- server.Run(ctx, cfg, opts) }()
	for limit := newPatience(fsys); ; {
		select {
		case text := <-out.whole:
			lines := strings.Split(text, "\n")
			p.url = lines[0][strings.LastIndex(lines[0], " ")+1:]
			p.admin = lines[1][strings.LastIndex(lines[1], " ")+1:]
			return p, nil
		case err := <-p.done:
			cancel()
			return nil, errors.Join(fmt.Errorf("the server does not start: %w", err), leave(vfs))
		case <-limit.up:
			if limit.over() {
				defer cancel()
				return nil, fmt.Errorf("the server neither starts nor fails:\n%s", goroutines())
			}
		}
	}
}

// readKey reads the root key of a data directory.
func readKey(fsys *crashfs.FS) (k sigv4.Key, err error) {
	text := fsys.ReadFile("/data/credentials")
	for line := range strings.Lines(string(text)) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), " = "); name {
		case "aws_access_key_id":
			k.ID = value
		case "aws_secret_access_key":
			k.Secret = sigv4.Secret(value)
		}
	}
	if k.ID == "" || len(k.Secret) == 0 {
		return k, fmt.Errorf("the credentials file is %q", text)
	}
	return k, nil
}

// stop ends the server, which must end well.
func (p *proc) stop() error {
	p.http.CloseIdleConnections()
	p.cancel()
	for limit := newPatience(p.disk); ; {
		select {
		case err := <-p.done:
			return errors.Join(err, leave(p.vfs))
		case <-limit.up:
			if limit.over() {
				return fmt.Errorf("the server does not end:\n%s", goroutines())
			}
		}
	}
}

// request is what a client wants.
type request struct {
	method, path string
	header       map[string]string
	body         []byte
}

// reply is what it gets.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r *reply) ok() bool { return r.status/100 == 2 }

// replyMax bounds a reply.
const replyMax = 64 << 20

// do sends a signed request. Only who calls it moves the clock.
func (p *proc) do(ctx context.Context, r request) (reply, error) {
	now := p.clock.now()
	req, err := http.NewRequestWithContext(ctx, r.method, p.url+r.path, bytes.NewReader(r.body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("X-Amz-Glacier-Version", "2012-06-01")
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	sum := sha256.Sum256(r.body)
	digest := hex.EncodeToString(sum[:])
	if given := req.Header.Get("X-Amz-Content-Sha256"); given != "" {
		digest = given
	}
	if err := sigv4.Sign(req, p.key, "us-east-1", "glacier", now, digest); err != nil {
		return reply{}, err
	}
	return p.take(req)
}

func (p *proc) take(req *http.Request) (reply, error) {
	resp, err := p.http.Do(req)
	if err != nil {
		return reply{}, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, replyMax))
	return reply{resp.StatusCode, resp.Header, body}, errors.Join(err, resp.Body.Close())
}

// pull pulls a lever of the admin listener.
func (p *proc) pull(ctx context.Context, path, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.admin+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	rep, err := p.take(req)
	if err != nil || !rep.ok() {
		return errors.Join(err, fmt.Errorf("POST %s %s: %d %s", path, body, rep.status, rep.body))
	}
	return nil
}

// getJSON reads a document, which must be there.
func (p *proc) getJSON(ctx context.Context, path string, into any) error {
	rep, err := p.do(ctx, request{method: http.MethodGet, path: path})
	if err != nil {
		return err
	}
	if rep.status != http.StatusOK {
		return fmt.Errorf("GET %s: %d %s", path, rep.status, rep.body)
	}
	return json.Unmarshal(rep.body, into)
}

// await polls a job until it has ended.
func (p *proc) await(ctx context.Context, path string) (state string, err error) {
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	limit := newPatience(p.disk)
	for {
		var j struct{ StatusCode string }
		if err := p.getJSON(ctx, path, &j); err != nil {
			return "", err
		}
		if j.StatusCode != "InProgress" {
			return j.StatusCode, nil
		}
		select {
		case <-limit.up:
			if limit.over() {
				return "", fmt.Errorf("%s does not end", path)
			}
		case <-poll.C:
		}
	}
}
