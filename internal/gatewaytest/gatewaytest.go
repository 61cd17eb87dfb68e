// Package gatewaytest gives tests buckets of versitygw, an S3 server on plain
// files, which it builds and starts itself.
//
// It knows how that program is built and started. It must not know what is
// stored, and nothing but tests may import it.
package gatewaytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

// What the one user needs.
const (
	KeyID  = "AKIDBUCKET"
	Secret = "a secret of the bucket"
	Region = "eu-north-1"
)

const (
	module   = "github.com/versity/versitygw"
	readyMax = 2 * time.Minute
)

// Build returns the path of the program, which is built once for each version.
func Build(ctx context.Context) (string, error) {
	tools, err := sources()
	if err != nil {
		return "", err
	}
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", module)
	list.Dir = tools
	version, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("version of versitygw: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(cache, "moraine-bench", "versitygw-"+string(bytes.TrimSpace(version)))
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	// Under a name of its own first: others may build it at the same time.
	fresh := fmt.Sprintf("%s.%d", binary, os.Getpid())
	build := exec.CommandContext(ctx, "go", "build", "-o", fresh, module+"/cmd/versitygw")
	build.Dir = tools
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build versitygw: %w\n%s", err, out)
	}
	return binary, os.Rename(fresh, binary)
}

// sources finds the module that names the version, from the working directory,
// which for a test is its package, or from this file.
func sources() (string, error) {
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if _, file, _, ok := runtime.Caller(0); ok {
		starts = append(starts, filepath.Dir(file))
	}
	for _, dir := range starts {
		for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
			tools := filepath.Join(dir, "tools", "versitygw")
			if _, err := os.Stat(filepath.Join(tools, "go.mod")); err == nil {
				return tools, nil
			}
		}
	}
	return "", errors.New("no folder above holds tools/versitygw")
}

// Command is the program that serves the buckets below a directory, which are
// its directories, at an address.
func Command(binary, addr, dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, "--port", addr, "--region", Region, "--keep-alive", "--quiet", "posix")
	cmd.Args = append(append(cmd.Args, args...), dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+KeyID, "ROOT_SECRET_ACCESS_KEY="+Secret)
	return cmd
}

// Server is a running versitygw.
type Server struct {
	URL string
	cmd *exec.Cmd
}

// Start serves the buckets below a directory on a free port of the loopback.
func Start(ctx context.Context, binary, dir string) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	cmd := Command(binary, addr, dir)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &Server{URL: "http://" + addr, cmd: cmd}
	ctx, cancel := context.WithTimeout(ctx, readyMax)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for !answers(ctx, client, s.URL) {
		select {
		case <-ctx.Done():
			s.Stop()
			return nil, fmt.Errorf("versitygw does not answer: %w", ctx.Err())
		case <-tick.C:
		}
	}
	return s, nil
}

// answers reports whether there is any answer, which a refusal is too.
func answers(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // of no interest
	return true
}

// PID is the process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Stop ends it.
func (s *Server) Stop() {
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()         // it was killed
}

// New starts a server for tb alone, with buckets of these names. Where it cannot
// be built the test is skipped, or fails if CI is set.
func New(tb testing.TB, buckets ...string) *Server {
	tb.Helper()
	dir := tb.TempDir()
	s, err := begin(dir, buckets...)
	need(tb, err)
	tb.Cleanup(s.Stop)
	return s
}

func begin(dir string, buckets ...string) (*Server, error) {
	binary, err := Build(context.Background())
	if err != nil {
		return nil, &missingError{err}
	}
	for _, name := range buckets {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return nil, err
		}
	}
	return Start(context.Background(), binary, dir)
}

// missingError says why there is no program.
type missingError struct{ cause error }

func (e *missingError) Error() string { return e.cause.Error() }

func need(tb testing.TB, err error) {
	tb.Helper()
	var missing *missingError
	switch {
	case errors.As(err, &missing) && os.Getenv("CI") == "":
		tb.Skip(err)
	case err != nil:
		tb.Fatal(err)
	}
}

// shared is the server that all tests of a binary have in common.
var shared struct {
	mu     sync.Mutex // guards what follows
	server *Server
	dir    string
	err    error // of its start
}

// Bucket returns the URL of the shared server, which the first call starts, and
// the name of an empty bucket there, which is removed when tb ends.
func Bucket(tb testing.TB) (url, bucket string) {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil && shared.err == nil {
		if shared.dir, shared.err = os.MkdirTemp("", "moraine-gateway"); shared.err == nil {
			shared.server, shared.err = begin(shared.dir)
		}
	}
	need(tb, shared.err)
	dir, err := os.MkdirTemp(shared.dir, "b")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("remove a bucket: %v", err)
		}
	})
	return shared.server.URL, filepath.Base(dir)
}

// Stop stops the shared server and removes what it has. TestMain calls it after
// the tests.
func Stop() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server != nil {
		shared.server.Stop()
		shared.server = nil
	}
	if shared.dir == "" {
		return nil
	}
	return os.RemoveAll(shared.dir)
}
