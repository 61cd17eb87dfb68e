package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	gateway "moraine/internal/gatewaytest"
	"moraine/test/internal/moraineproc"
)

// peer is a server to compare with, or Moraine itself.
type peer struct {
	name    string
	durable string // does a reply mean that the bytes are on the disk
	// share of the measured time it is given; slow servers need no more
	share    float64
	puts     bool // has nothing but single uploads
	start    func(ctx context.Context, dir string) (*process, error)
	protocol func(addr string) protocol
}

// process is a running server.
type process struct {
	addr   string
	pid    int
	admin  string                                                 // of Moraine alone
	metric func(ctx context.Context, name string) (float64, bool) // likewise
	stop   func() error
}

const peerReadyMax = time.Minute

// peers builds the servers that are asked for. Binaries that take long to build
// are kept in the user's cache directory.
func peers(ctx context.Context, names []string, dir string, serverArgs []string) ([]peer, error) {
	root, err := moraineproc.Root()
	if err != nil {
		return nil, err
	}
	var out []peer
	for _, name := range append([]string{"moraine"}, names...) {
		var p peer
		switch name {
		case "moraine":
			p, err = moraine(ctx, dir, serverArgs)
		case "versitygw":
			p, err = versitygw(ctx, name)
		case "versitygw-direct": // past the page cache
			p, err = versitygw(ctx, name, "--enable-odirect")
		case "bare":
			p, err = bare(ctx, root, dir)
		case "moto":
			p, err = moto()
			if errors.Is(err, exec.ErrNotFound) {
				fmt.Fprintln(os.Stderr, "no moto_server on PATH: left out")
				err = nil
				continue
			}
		default:
			err = fmt.Errorf("no peer %q", name)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func moraine(ctx context.Context, dir string, args []string) (peer, error) {
	binary, err := moraineproc.Build(ctx, dir)
	args = append([]string{"--job-delay", "0s", "--inventory-interval", "0s"}, args...)
	return peer{
		name: "moraine", durable: "yes", share: 1,
		protocol: func(addr string) protocol { return newGlacier(addr) },
		start: func(ctx context.Context, dir string) (*process, error) {
			said, err := os.Create(dir + ".log")
			if err != nil {
				return nil, err
			}
			defer said.Close()
			s, err := moraineproc.Start(ctx, moraineproc.Config{Binary: binary, Data: dir, Args: args, Output: said})
			if err != nil {
				return nil, fmt.Errorf("%w; see %s with -keep", err, said.Name())
			}
			return &process{
				addr: s.Addr, pid: s.PID(), admin: s.AdminAddr, metric: s.Metric,
				stop: func() error { s.Kill(); return nil },
			}, nil
		},
	}, err
}

// versitygw is an S3 server on plain files. It never syncs: a reply says that
// the bytes are in the page cache, or with direct writes that they were given to
// the disk, but not that their names are there. It is told not to log requests,
// which Moraine does.
func versitygw(ctx context.Context, name string, args ...string) (peer, error) {
	binary, err := gateway.Build(ctx)
	if err != nil {
		return peer{}, err
	}
	return peer{
		name: name, durable: "no", share: 1,
		protocol: func(addr string) protocol { return newS3(addr) },
		start: func(ctx context.Context, dir string) (*process, error) {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return nil, err
			}
			addr, err := freeAddr()
			if err != nil {
				return nil, err
			}
			return launch(ctx, gateway.Command(binary, addr, dir, args...), addr, dir)
		},
	}, nil
}

// bare is the yardstick in the directory of that name.
func bare(ctx context.Context, root, dir string) (peer, error) {
	binary := filepath.Join(dir, "bare")
	_, err := output(ctx, root, "go", "build", "-o", binary, "./test/bench/bare")
	return peer{
		name: "bare", durable: "yes", share: 1,
		protocol: func(addr string) protocol { return newPlain(addr) },
		start: func(ctx context.Context, dir string) (*process, error) {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return nil, err
			}
			addr, err := freeAddr()
			if err != nil {
				return nil, err
			}
			return launch(ctx, exec.Command(binary, "-listen", addr, "-file", filepath.Join(dir, "log")), addr, dir)
		},
	}, err
}

// moto serves the same vault API from memory and believes every signature.
func moto() (peer, error) {
	binary, err := exec.LookPath("moto_server")
	return peer{
		name: "moto", durable: "no, in memory", share: 1. / 3, puts: true,
		protocol: func(addr string) protocol { return newGlacier(addr) },
		start: func(ctx context.Context, dir string) (*process, error) {
			addr, err := freeAddr()
			if err != nil {
				return nil, err
			}
			host, port, _ := strings.Cut(addr, ":")
			return launch(ctx, exec.Command(binary, "-H", host, "-p", port), addr, dir)
		},
	}, err
}

// launch starts a server and waits until it accepts connections. What it says
// goes to a file beside its directory.
func launch(ctx context.Context, cmd *exec.Cmd, addr, dir string) (*process, error) {
	said, err := os.Create(dir + ".log")
	if err != nil {
		return nil, err
	}
	defer said.Close()
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() error {
		if err := cmd.Process.Kill(); err != nil {
			return err
		}
		_ = cmd.Wait() // it was killed
		return nil
	}
	limit := time.Now().Add(peerReadyMax)
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			return &process{addr: addr, pid: cmd.Process.Pid, stop: stop}, conn.Close()
		}
		if ctx.Err() != nil || time.Now().After(limit) {
			text, _ := os.ReadFile(said.Name()) // the better for the message, but not needed
			return nil, errors.Join(fmt.Errorf("%s does not listen: %w\n%s", cmd.Path, err, text), stop())
		}
		pause(ctx, 10*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}
