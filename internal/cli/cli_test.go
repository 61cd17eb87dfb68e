package cli_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"moraine/internal/cli"
)

// waitMax is how long a script waits for what must come, on a busy machine.
const waitMax = 3 * time.Minute

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"moraine": func() {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		context.AfterFunc(ctx, stop)
		os.Exit(cli.Main(ctx, os.Args[1:], os.Environ, os.Stdout, os.Stderr))
	}})
}

// TestScripts runs the files of testdata/script. Besides the usual commands
// they have:
//
//	free NAME...      sets each variable to a free loopback address
//	ready URL         waits until GET answers 200
//	mode FILE MODE    checks permissions
//	tell DIR SIGNAL   sends a signal to the process that has the data directory
//	ask METHOD URL DIR [FILE]
//	                  sends a request of the root of DIR; sets ARCHIVE and LOCK
//	iam ENDPOINT DIR ACTION [NAME=VALUE...]
//	                  asks for an operation of IAM or STS as the root of DIR, or as
//	                  the key of AWS_ACCESS_KEY_ID and its kin if DIR is -; prints
//	                  the answer into the file answer
//	counted DIR ADDR  waits until a server has counted its copies
//	pick NAME FILE RE sets the variable to the first group of the first match
//	status N CMD...   runs a command that must exit with status N
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"free": free, "ready": ready, "mode": mode, "tell": tell, "ask": ask, "iam": iam,
			"pick": pick, "status": status, "counted": counted,
		},
	})
}

func free(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer l.Close() // together, so that no two get the same
		ts.Setenv(name, l.Addr().String())
	}
}

func ready(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !answers(ctx, args[0]) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("%s does not answer", args[0])
		}
	}
}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := info.Mode().Perm().String(); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// counted waits until moraine mirror status has nothing to object to.
func counted(ts *testscript.TestScript, _ bool, args []string) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(waitMax)
	for ; ts.Exec("moraine", "mirror", "status", "--data", args[0], "--admin-listen", args[1]) != nil; <-tick.C {
		if time.Now().After(deadline) {
			ts.Fatalf("the copies are not whole")
		}
	}
}

func pick(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[2]).FindStringSubmatch(ts.ReadFile(args[1]))
	if found == nil {
		ts.Fatalf("%s does not match %s", args[1], args[2])
	}
	ts.Setenv(args[0], found[1])
}

func status(ts *testscript.TestScript, _ bool, args []string) {
	got := 0
	var ended *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &ended) {
		got = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

func tell(ts *testscript.TestScript, _ bool, args []string) {
	var pid int
	_, err := fmt.Sscanf(ts.ReadFile(filepath.Join(args[0], "lock")), "process %d on", &pid)
	ts.Check(err)
	number, ok := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}[args[1]]
	if !ok {
		ts.Fatalf("no signal %s", args[1])
	}
	ts.Check(syscall.Kill(pid, number))
}
