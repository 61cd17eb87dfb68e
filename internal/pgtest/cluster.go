package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

// superuser owns every cluster. Whoever reaches its socket is believed to be it.
const superuser = "moraine"

// startTimeout bounds the wait for a server that recovers.
const startTimeout = 60 * time.Second

// Cluster is a PostgreSQL server on a socket in a directory of its own. It syncs
// what it commits, as one that is to be relied on does.
type Cluster struct {
	dir      string // holds the socket, the data and the log
	postgres string
	runAs    *syscall.Credential // nil: who runs the tests
	server   *server             // nil while it is stopped
}

// server is a process and the goroutine that waits for it.
type server struct {
	process *os.Process
	ended   chan struct{} // closed when it has ended
}

// New makes a cluster in a new directory and starts it.
func New() (*Cluster, error) { return newOn((*Cluster).initialise) }

// newOn makes a cluster whose data fill puts into its directory, and starts it.
func newOn(fill func(*Cluster) error) (_ *Cluster, err error) {
	c := &Cluster{}
	if c.postgres, err = program("postgres"); err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp(place(), "moraine-pg"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Remove())
		}
	}()
	if os.Geteuid() == 0 {
		if err := c.disown(); err != nil {
			return nil, err
		}
	}
	if err := fill(c); err != nil {
		return nil, err
	}
	if err := c.Run(); err != nil {
		return nil, err
	}
	return c, nil
}

// initialise makes an empty cluster.
func (c *Cluster) initialise() error {
	return c.Tool("initdb", "--pgdata", c.data(), "--username", superuser, "--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions")
}

// Tool runs one of the programs of PostgreSQL as the owner of the cluster, which
// it finds by its socket. What it writes must be where that user may write.
func (c *Cluster) Tool(name string, args ...string) error {
	full, err := program(name)
	if err != nil {
		return err
	}
	cmd := exec.Command(full, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "PGHOST="+c.dir, "PGUSER="+superuser)
	cmd.SysProcAttr = attributes(c.runAs)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// Where a cluster of tests may lie in memory, and how much room it wants there.
const (
	memory     = "/dev/shm"
	memoryRoom = 1 << 30
)

// place is where clusters are made: in memory where there is room, since every
// database that is made or dropped is synced. DirVariable names another
// directory. Its name is short, for a socket has to fit.
func place() string {
	if dir := os.Getenv(DirVariable); dir != "" {
		return dir
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(memory, &fs); err == nil && fs.Bavail*uint64(fs.Bsize) >= memoryRoom {
		return memory
	}
	return "/tmp"
}

// DirVariable names the variable of the environment with the directory in which
// clusters are made.
const DirVariable = "MORAINE_PGTEST_DIR"

// disown gives the directory to somebody without rights, since PostgreSQL does
// not run as root.
func (c *Cluster) disown() error {
	var u *user.User
	var err error
	for _, name := range [...]string{"postgres", "nobody"} {
		if u, err = user.Lookup(name); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	c.runAs = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(c.dir, int(uid), int(gid))
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }
func (c *Cluster) log() string  { return filepath.Join(c.dir, "log") }

// Run starts the server and waits until it answers.
func (c *Cluster) Run() error {
	if c.server != nil {
		return errors.New("the server runs already")
	}
	log, err := os.OpenFile(c.log(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(c.postgres, "-D", c.data(), "-k", c.dir, "-c", "listen_addresses=",
		"-c", "max_connections=200", "-c", "max_pred_locks_per_transaction=256", "-c", "shared_buffers=64MB")
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	cmd.SysProcAttr = attributes(c.runAs)
	s := &server{ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer close(s.ended)
		// The signal comes when the thread ends that started the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		s.process = cmd.Process
		started <- err
		if err == nil {
			_ = cmd.Wait() //nolint:errcheck // it is told to end, and how says the log
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	c.server = s
	if err := c.answers(); err != nil {
		text, _ := os.ReadFile(c.log()) //nolint:errcheck // the error says enough
		return fmt.Errorf("start PostgreSQL: %w\n%s", err, bytes.TrimSpace(text))
	}
	return nil
}

// answers waits until the server takes connections.
func (c *Cluster) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := pgx.Connect(ctx, c.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-again.C:
		case <-c.server.ended:
			return errors.New("it ended")
		case <-ctx.Done():
			return err
		}
	}
}

// Demote makes a server that was shut down a standby when it runs again: it
// answers questions, waits for a primary that never comes, and writes nothing.
func (c *Cluster) Demote() error {
	signal := filepath.Join(c.data(), "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil || c.runAs == nil {
		return err
	}
	return os.Chown(signal, int(c.runAs.Uid), int(c.runAs.Gid))
}

// Promote makes it a server again that writes, when it runs the next time.
func (c *Cluster) Promote() error { return os.Remove(filepath.Join(c.data(), "standby.signal")) }

// PID is the process id of the server while it runs, 0 while it does not.
func (c *Cluster) PID() int {
	if c.server == nil {
		return 0
	}
	return c.server.process.Pid
}

// Shutdown ends the server in good order: transactions are cut off, and what
// they wrote is undone.
func (c *Cluster) Shutdown() error { return c.end(syscall.SIGINT) }

// Crash ends the server as a crash does: nothing is written any more, and the
// next start recovers.
func (c *Cluster) Crash() error { return c.end(syscall.SIGQUIT) }

func (c *Cluster) end(how syscall.Signal) error {
	s := c.server
	if s == nil {
		return nil
	}
	c.server = nil
	err := s.process.Signal(how)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-s.ended
	return err
}

// Remove ends the server and removes all that was its.
func (c *Cluster) Remove() error {
	return errors.Join(c.end(syscall.SIGQUIT), os.RemoveAll(c.dir))
}
