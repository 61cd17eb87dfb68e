package node_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/vaultclient"
	"moraine/test/internal/wire"
)

const waitMax = 3 * time.Minute

// serverBinary is the server under test; set by TestMain.
var serverBinary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "moraine-node-")
	if err == nil {
		defer os.RemoveAll(dir)
		serverBinary, err = moraineproc.Build(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	return m.Run()
}

func start(t *testing.T, c moraineproc.Config) *moraineproc.Server {
	t.Helper()
	c.Binary, c.Data = serverBinary, filepath.Join(t.TempDir(), "data")
	s, err := moraineproc.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

func client(t *testing.T, s *moraineproc.Server) *vaultclient.Client {
	t.Helper()
	c := &vaultclient.Client{
		Addr:        s.Addr,
		Credentials: &wire.Credentials{KeyID: moraineproc.KeyID, Secret: moraineproc.Secret, Region: moraineproc.Region},
	}
	t.Cleanup(c.Close)
	return c
}

// until calls done until it returns true.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(waitMax)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not within %s", what, waitMax)
		}
	}
}

// ask returns status and text of an answer; 0 if there is none.
func ask(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func signal(t *testing.T, s *moraineproc.Server) {
	t.Helper()
	if err := s.Term(); err != nil {
		t.Fatal(err)
	}
}

// TestDrain ends a server with an upload under way and a load balancer that
// needs a moment: first it is not ready, then it takes no connection, then the
// upload is done, then it ends well.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := start(t, moraineproc.Config{Args: []string{"--drain-delay", "2s"}})
	c := client(t, s)
	if err := c.CreateVault(t.Context(), "v"); err != nil {
		t.Fatal(err)
	}
	payload := vaultclient.NewPayload([]byte("only copy"))
	upload := vaultclient.UploadRequest("v", "", payload)
	upload.Set("Host", s.Addr)
	upload.Set("Content-Length", fmt.Sprint(payload.Size))
	c.Credentials.Sign(upload, time.Now())
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send := func(p []byte) {
		if _, err := conn.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	send(append(upload.Head(), "only "...))
	until(t, "the upload begins", func() bool {
		n, ok := s.Metric(t.Context(), "moraine_requests_in_flight")
		return ok && n == 1
	})

	signal(t, s)
	until(t, "not ready", func() bool {
		status, text := ask(t, "http://"+s.AdminAddr+"/readyz")
		return status == http.StatusServiceUnavailable && text == "not ready\nserving: draining\n"
	})
	if err := c.CreateVault(t.Context(), "late"); err != nil {
		t.Errorf("a request during the delay: %v", err)
	}
	until(t, "connections are refused", func() bool {
		status, _ := ask(t, "http://"+s.Addr+"/healthz")
		return status == 0
	})
	if status, _ := ask(t, "http://"+s.AdminAddr+"/livez"); status != http.StatusOK {
		t.Errorf("/livez answers %d while requests are under way", status)
	}
	send([]byte("copy"))
	if err := conn.SetReadDeadline(time.Now().Add(waitMax)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 201 ") {
		t.Errorf("the upload: %v %q", err, answer)
	}
	if err := s.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	out, status, err := moraineproc.VerifyAudit(t.Context(), serverBinary, s.Data)
	if err != nil || status != 0 || !strings.Contains(out, "records whole: ") {
		t.Errorf("the audit log: %v, status %d: %s", err, status, out)
	}
	records, err := filepath.Glob(filepath.Join(s.Data, "audit", "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range records {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	if !strings.Contains(all.String(), `"eventName":"UploadArchive"`) {
		t.Error("the last upload is not in the audit log")
	}
}

// TestSecondSignal ends a server that would take ten minutes.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	s := start(t, moraineproc.Config{Args: []string{"--drain-delay", "10m"}})
	signal(t, s)
	until(t, "not ready", func() bool {
		status, _ := ask(t, "http://"+s.AdminAddr+"/readyz")
		return status == http.StatusServiceUnavailable
	})
	signal(t, s)
	select {
	case <-s.Done():
	case <-time.After(waitMax):
		t.Fatal("it goes on")
	}
}

// TestServiceManager listens as systemd does.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "notify-") // the name of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	address := &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unixgram"}
	socket, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := socket.SetReadDeadline(time.Now().Add(2 * waitMax)); err != nil {
		t.Fatal(err)
	}
	// hear reads until a message has a line.
	var heard []string
	hear := func(line string) {
		t.Helper()
		buf := make([]byte, 4096)
		for {
			n, err := socket.Read(buf)
			if err != nil {
				t.Fatalf("no %s after %q: %v", line, heard, err)
			}
			heard = append(heard, string(buf[:n]))
			for got := range strings.Lines(string(buf[:n])) {
				if strings.TrimSpace(got) == line {
					return
				}
			}
		}
	}
	s := start(t, moraineproc.Config{Env: []string{"NOTIFY_SOCKET=" + address.Name, "WATCHDOG_USEC=200000"}})
	hear("READY=1")
	hear("WATCHDOG=1")
	hear("WATCHDOG=1")
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(t.Context()) }()
	hear("STOPPING=1")
	if last := heard[len(heard)-1]; !strings.Contains(last, "STATUS=draining\n") || !strings.Contains(last, "EXTEND_TIMEOUT_USEC=60000000") {
		t.Errorf("the last word was %q", last)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
