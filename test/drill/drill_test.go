package drill

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	gateway "moraine/internal/gatewaytest"
	"moraine/test/internal/moraineproc"
)

var (
	archives = flag.Int("archives", 6, "how many archives are stored at each step")
	long     = flag.Bool("long", false, "also what goes wrong without garbage.grace")
)

var binary, storeBinary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(moraineproc.Main(m.Run, &binary, func(ctx context.Context) (err error) {
		storeBinary, err = gateway.Build(ctx)
		return err
	}))
}

// house is what a server and the commands of its operator are started with.
type house struct {
	*testing.T
	data     string
	settings string // file; "" for none
	env      []string
}

// at is the same house with another data directory, which is empty.
func (h house) at(name string) house {
	h.Helper()
	h.data = filepath.Join(filepath.Dir(h.data), name)
	if err := os.Mkdir(h.data, 0o700); err != nil {
		h.Fatal(err)
	}
	return h
}

func (h house) start(args ...string) *moraineproc.Server {
	h.Helper()
	if h.settings != "" {
		args = append(args, "--config", h.settings)
	}
	s, err := moraineproc.Start(h.Context(), moraineproc.Config{Binary: binary, Data: h.data, Args: args, Env: h.env})
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(s.Kill)
	return s
}

// moraine runs a command of the operator. It prints lines and has an exit status.
func (h house) moraine(args ...string) (out string, status int) {
	h.Helper()
	args = append(args, "--data", h.data)
	if h.settings != "" {
		args = append(args, "--config", h.settings)
	}
	cmd := exec.CommandContext(h.Context(), binary, args...)
	cmd.Env = append(os.Environ(), h.env...)
	cmd.Env = append(cmd.Env, "MORAINE_REGION="+moraineproc.Region, "MORAINE_ACCOUNT_ID="+moraineproc.Account,
		"MORAINE_ROOT_ACCESS_KEY_ID="+moraineproc.KeyID, "MORAINE_ROOT_SECRET_ACCESS_KEY="+moraineproc.Secret)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// fsck runs moraine fsck, which must end with a status, and returns its figures.
func (h house) fsck(want int) map[string]int {
	h.Helper()
	out, status := h.moraine("fsck")
	if status != want {
		h.Fatalf("fsck ended with status %d, want %d:\n%s", status, want, out)
	}
	figures := map[string]int{}
	lines := bufio.NewScanner(strings.NewReader(out))
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ": ")
		number, _, _ := strings.Cut(rest, " ")
		if n, err := strconv.Atoi(number); err == nil {
			figures[name] = n
		}
	}
	h.Logf("fsck, status %d: %d archives complete, %d pieces present, %d missing, %d orphans, %d deleted and not yet removed",
		status, figures["archives complete"], figures["extents present"], figures["extents missing"], figures["orphans"], figures["deleted and not yet removed"])
	return figures
}

// reach waits until a metric of a server is as wanted.
func reach(t *testing.T, s *moraineproc.Server, name string, wanted func(float64) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if v, ok := s.Metric(ctx, name); ok && wanted(v) {
			return
		}
		select {
		case <-ctx.Done():
			v, ok := s.Metric(t.Context(), name)
			t.Fatalf("%s is %v, %v\n%s", name, v, ok, s.Log())
		case <-tick.C:
		}
	}
}

// command runs a program of the machine.
func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
