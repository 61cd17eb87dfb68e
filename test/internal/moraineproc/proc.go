package moraineproc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The root identity every server under test is started with, unless Config
// says otherwise.
const (
	KeyID   = "AKIAMORAINETEST00001"
	Secret  = "moraine/test/secret+key/0123456789abcdef"
	Account = "210987654321"
	Region  = "eu-north-1"
)

const (
	readyMax = 5 * time.Minute // a start that recovers a big store
	stopMax  = 3 * time.Minute
	logMax   = 256 << 10
)

// Config says how to start a server. Binary and Data are required.
type Config struct {
	Binary, Data string
	Args         []string  // further flags of "moraine serve"
	Env          []string  // further environment, NAME=value
	Region       string    // zero: Region
	Log          io.Writer // receives the server's output as well; may be nil
	Output       *os.File  // receives it instead, without a detour; may be nil
}

// Server is a running process.
type Server struct {
	Addr, AdminAddr string
	Data            string // its data directory
	// StartTook is the time from exec to the first healthy answer.
	StartTook time.Duration

	cmd     *exec.Cmd
	log     *tail
	done    chan struct{} // closed when the process is gone
	exitErr error         // set before done is closed
}

// Start runs "moraine serve" on free loopback ports and waits until it is
// ready. A port stolen between choosing and binding costs one more attempt.
func Start(ctx context.Context, c Config) (*Server, error) {
	var err error
	for range 3 {
		var s *Server
		if s, err = start(ctx, c); err == nil {
			return s, nil
		}
		if !strings.Contains(err.Error(), "address already in use") {
			break
		}
	}
	return nil, err
}

func start(ctx context.Context, c Config) (*Server, error) {
	s, err := Launch(c)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := s.ready(ctx); err != nil {
		s.Kill()
		return nil, fmt.Errorf("%w\n%s", err, s.Log())
	}
	s.StartTook = time.Since(began)
	return s, nil
}

// Launch runs "moraine serve" like Start and does not wait for anything.
func Launch(c Config) (*Server, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Addr: ports[0], AdminAddr: ports[1], Data: c.Data,
		log:  &tail{},
		done: make(chan struct{}),
	}
	args := append([]string{"serve", "--listen", s.Addr, "--admin-listen", s.AdminAddr, "--data", c.Data}, c.Args...)
	s.cmd = exec.Command(c.Binary, args...)
	s.cmd.Env = append(cleanEnv(),
		"MORAINE_ROOT_ACCESS_KEY_ID="+KeyID,
		"MORAINE_ROOT_SECRET_ACCESS_KEY="+Secret,
		"MORAINE_ACCOUNT_ID="+Account,
		"MORAINE_REGION="+cmp.Or(c.Region, Region))
	s.cmd.Env = append(s.cmd.Env, c.Env...)
	var out io.Writer = s.log
	if c.Log != nil {
		out = io.MultiWriter(s.log, c.Log)
	}
	if c.Output != nil {
		out = c.Output
	}
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	go func() {
		s.exitErr = s.cmd.Wait()
		close(s.done)
	}()
	return s, nil
}

// cleanEnv is the environment without the settings of some other server.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MORAINE_") })
}

func (s *Server) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyMax)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if status(ctx, "http://"+s.Addr+"/healthz") == http.StatusOK {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("server not ready: %w", ctx.Err())
		case <-s.done:
			return fmt.Errorf("server ended before it was ready: %w", s.exitErr)
		case <-tick.C:
		}
	}
}

func status(ctx context.Context, url string) int {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// PID is the process id.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Done is closed when the process has ended, for whatever reason.
func (s *Server) Done() <-chan struct{} { return s.done }

// Log returns the last output of the server.
func (s *Server) Log() string { return s.log.String() }

// Kill ends the process as a power cut would end it, and waits for its end.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // the only failure is that it has already ended
	<-s.done
}

// Stop asks the server to drain and waits for its clean end.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.Term(); err != nil {
		return err
	}
	return s.Wait(ctx)
}

// Term asks the server to drain. Asked twice it ends at once.
func (s *Server) Term() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Wait waits for the clean end of a server that was asked to drain.
func (s *Server) Wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopMax)
	defer cancel()
	select {
	case <-s.done:
	case <-ctx.Done():
		s.Kill()
		return fmt.Errorf("server did not drain: %w\n%s", ctx.Err(), s.Log())
	}
	if s.exitErr != nil {
		return fmt.Errorf("server ended badly: %w\n%s", s.exitErr, s.Log())
	}
	return nil
}

// Fsck runs "moraine fsck" on a stopped store and returns what it printed and
// its exit status.
func Fsck(ctx context.Context, binary, data string) (string, int, error) {
	return check(ctx, binary, "fsck", "--data", data)
}

// VerifyAudit runs "moraine audit verify" on a store and returns what it printed
// and its exit status.
func VerifyAudit(ctx context.Context, binary, data string) (string, int, error) {
	return check(ctx, binary, "audit", "verify", "--data", data)
}

func check(ctx context.Context, binary string, args ...string) (string, int, error) {
	out, err := exec.CommandContext(ctx, binary, args...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(out), exit.ExitCode(), nil
	}
	return string(out), 0, err
}

func freePorts(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs[i] = l.Addr().String()
	}
	return addrs, nil
}

// tail keeps the last logMax bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if over := t.buf.Len() - logMax; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
