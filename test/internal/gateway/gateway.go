// Package gateway starts versitygw, an S3 server on plain files, for tests of a
// server that keeps its bytes in a bucket.
//
// It knows how that program is built and started. It must not know what is stored.
package gateway

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"moraine/test/internal/moraineproc"
)

// Credentials of the one user.
const (
	KeyID  = "AKIDBUCKET"
	Secret = "a secret of the bucket"
)

const (
	module   = "github.com/versity/versitygw"
	readyMax = 2 * time.Minute
)

// Build returns the path of the program, which is built once for each version.
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
	// Under a name of its own first: others may build it at the same time.
	fresh := fmt.Sprintf("%s.%d", binary, os.Getpid())
	build := exec.CommandContext(ctx, "go", "build", "-o", fresh, module+"/cmd/versitygw")
	build.Dir = tools
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build versitygw: %w\n%s", err, out)
	}
	return binary, os.Rename(fresh, binary)
}

// Server is a running versitygw.
type Server struct {
	URL string
	cmd *exec.Cmd
}

// Start serves the buckets below a directory, which are its directories.
func Start(ctx context.Context, binary, dir string) (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, "--port", addr, "--region", moraineproc.Region, "--keep-alive", "--quiet", "posix", dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY_ID="+KeyID, "ROOT_SECRET_ACCESS_KEY="+Secret)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &Server{URL: "http://" + addr, cmd: cmd}
	ctx, cancel := context.WithTimeout(ctx, readyMax)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !answers(ctx, s.URL) {
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
func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
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
