// Package gateway builds versitygw, an S3 server that others wrote, and runs it on
// files of a directory. It must not import the server's packages.
package gateway

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
	"time"

	"moraine/test/internal/moraineproc"
)

// The identity that every store under test knows.
const (
	KeyID  = "AKIDGATEWAY"
	Secret = "gateway/secret"
	Region = "us-east-1"
)

const module = "github.com/versity/versitygw"

// readyMax bounds the wait for a store that starts.
const readyMax = time.Minute

// Build compiles the store, once for all time, and returns its binary.
func Build(ctx context.Context) (string, error) {
	root, err := moraineproc.Root()
	if err != nil {
		return "", err
	}
	tools := filepath.Join(root, "tools", "versitygw")
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
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return "", err
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

// Store is a running store.
type Store struct {
	Addr string // host:port
	cmd  *exec.Cmd
	log  bytes.Buffer // written until Stop returns
}

// Start runs the store with a bucket, which is a directory in dir.
func Start(ctx context.Context, binary, dir, bucket string) (*Store, error) {
	if err := os.MkdirAll(filepath.Join(dir, bucket), 0o755); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Store{Addr: l.Addr().String()}
	if err := l.Close(); err != nil {
		return nil, err
	}
	s.cmd = exec.Command(binary, "--port", s.Addr, "--region", Region, "--keep-alive", "--quiet", "posix", dir)
	s.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+KeyID, "ROOT_SECRET_ACCESS_KEY="+Secret)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readyMax)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr+"/", nil)
		if err != nil {
			return nil, errors.Join(err, s.Stop())
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			return s, resp.Body.Close()
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("versitygw does not answer: %w", ctx.Err()), s.Stop())
		case <-tick.C:
		}
	}
}

// PID is the process id.
func (s *Store) PID() int { return s.cmd.Process.Pid }

// Stop ends the store as a power cut would.
func (s *Store) Stop() error {
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = s.cmd.Wait() // it was killed
	return nil
}
