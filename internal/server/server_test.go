package server_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"moraine/internal/account"
	"moraine/internal/config"
	"moraine/internal/pgtest"
	"moraine/internal/server"
	"moraine/internal/sigv4"
	"moraine/internal/treehash"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := errors.Join(pgtest.Stop(), goleak.Find()); err != nil {
		log.Print(err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// How long a test waits for what must come, on a machine that is busy with much
// else, and how often it asks.
const (
	waitMax = 3 * time.Minute
	asking  = 10 * time.Millisecond
)

// patiently yields at once, and again and again until waitMax has passed.
func patiently(yield func() bool) {
	tick := time.NewTicker(asking)
	defer tick.Stop()
	deadline := time.After(waitMax)
	for yield() {
		select {
		case <-tick.C:
		case <-deadline:
			return
		}
	}
}

// settings returns those of a server on free loopback ports.
func settings(t testing.TB, dir string) config.Config {
	t.Helper()
	cfg, err := config.Load(config.Sources{})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.Admin.Listen, cfg.Data = "127.0.0.1:0", "127.0.0.1:0", dir
	return cfg
}

// watcher is a writer that can be waited on.
type watcher struct {
	mu      sync.Mutex // guards the rest
	text    bytes.Buffer
	changed chan struct{} // closed at the next write
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
	return len(p), nil
}

// wait returns the text once it holds n times want.
func (w *watcher) wait(t testing.TB, want string, n int) string {
	t.Helper()
	deadline := time.After(waitMax)
	for {
		w.mu.Lock()
		if w.changed == nil {
			w.changed = make(chan struct{})
		}
		text, changed := w.text.String(), w.changed
		w.mu.Unlock()
		if strings.Count(text, want) >= n {
			return text
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("no %q in:\n%s", want, text)
		}
	}
}

// running is a server under test.
type running struct {
	url, admin string
	welcome    string
	log        watcher
	reload     chan os.Signal
	cancel     context.CancelFunc
	done       chan error
}

// start runs a server and waits until it serves.
func start(t testing.TB, cfg config.Config, change ...func(*server.Options)) *running {
	t.Helper()
	return startWith(t, cfg, server.Options{}, change...)
}

// startOn is start with the word that a disk is new.
func startOn(t testing.TB, cfg config.Config, rebuild string) *running {
	t.Helper()
	return startWith(t, cfg, server.Options{Rebuild: rebuild})
}

// startWith is start with the clocks of opts.
func startWith(t testing.TB, cfg config.Config, opts server.Options, change ...func(*server.Options)) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{reload: make(chan os.Signal), cancel: cancel, done: make(chan error, 1)}
	out := new(watcher)
	opts.Out, opts.Log = out, slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opts.Reload, opts.Version = r.reload, "test"
	for _, fn := range change {
		fn(&opts)
	}
	go func() {
		err := server.Run(ctx, cfg, opts)
		if err != nil {
			out.Write([]byte("Try it: it failed: " + err.Error()))
		}
		r.done <- err
	}()
	t.Cleanup(func() { cancel() })
	r.welcome = out.wait(t, "Try it:", 1)
	lines := strings.Split(r.welcome, "\n")
	if strings.Contains(r.welcome, "it failed:") {
		t.Fatalf("the server does not start: %s", r.welcome)
	}
	r.url = lines[0][strings.LastIndex(lines[0], " ")+1:]
	r.admin = lines[1][strings.LastIndex(lines[1], " ")+1:]
	return r
}

// stop drains the server and expects a clean end.
func (r *running) stop(t testing.TB) {
	t.Helper()
	r.cancel()
	select {
	case err := <-r.done:
		if err != nil {
			t.Fatalf("the server ended with %v", err)
		}
	case <-time.After(waitMax):
		t.Fatal("the server does not end")
	}
}

// refused runs a server that must not start and returns why.
func refused(t *testing.T, cfg config.Config) string {
	t.Helper()
	return refusedOn(t, cfg, "")
}

// refusedOn is refused with the word that a disk is new.
func refusedOn(t *testing.T, cfg config.Config, rebuild string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err := server.Run(ctx, cfg, server.Options{Rebuild: rebuild, Out: canceller(cancel)})
	if err == nil {
		t.Fatal("the server started")
	}
	return err.Error()
}

// canceller stops a server that starts although it must not.
type canceller func()

func (c canceller) Write(p []byte) (int, error) { c(); return len(p), nil }

// key reads the root key from the credentials file.
func key(t testing.TB, dir string) sigv4.Key {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "credentials"))
	if err != nil {
		t.Fatal(err)
	}
	var k sigv4.Key
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		switch name {
		case "aws_access_key_id":
			k.ID = value
		case "aws_secret_access_key":
			k.Secret = sigv4.Secret(value)
		}
	}
	return k
}

// call sends a signed request.
func (r *running) call(t testing.TB, k sigv4.Key, method, path, payloadHash string, body io.Reader, header map[string]string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Amz-Glacier-Version", "2012-06-01")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	if n := header["Content-Length"]; n != "" {
		req.ContentLength = int64(len(archive))
	}
	if err := sigv4.Sign(req, k, "us-east-1", "glacier", time.Now(), payloadHash); err != nil {
		t.Fatal(err)
	}
	return newTransport().RoundTrip(req)
}

// newTransport is one that keeps no connection and takes any certificate.
func newTransport() *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true, ExpectContinueTimeout: waitMax, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
}

var archive = []byte("only copy")

const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func mustAnswer(t testing.TB, resp *http.Response, err error, want int) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != want {
		t.Fatalf("status %d, want %d: %s", resp.StatusCode, want, body)
	}
}

func TestFirstStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "data")
	r := start(t, settings(t, dir))
	for _, name := range []string{"credentials", "account-id", "lock", "meta.db"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); name != "meta.db" && mode != 0o600 {
			t.Errorf("%s has mode %o, want 600", name, mode)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v %v, want mode 700", info.Mode(), err)
	}
	k := key(t, dir)
	for _, text := range []string{r.welcome, r.log.wait(t, "serving", 1)} {
		if strings.Contains(text, string(k.Secret)) {
			t.Errorf("the secret is in %q", text)
		}
	}
	want := "AWS_SHARED_CREDENTIALS_FILE=" + filepath.Join(dir, "credentials") + " aws --profile moraine glacier list-vaults --account-id - --region us-east-1 --endpoint-url " + r.url
	if !strings.Contains(r.welcome, want) {
		t.Errorf("the start-up text lacks %q:\n%s", want, r.welcome)
	}
	resp, err := r.call(t, k, http.MethodPut, "/-/vaults/v", emptyHash, nil, nil)
	mustAnswer(t, resp, err, http.StatusCreated)
	resp, err = http.Get(r.url + "/healthz")
	mustAnswer(t, resp, err, http.StatusOK)
	resp, err = http.Get(r.admin + "/readyz")
	mustAnswer(t, resp, err, http.StatusOK)
	http.DefaultClient.CloseIdleConnections()
	r.stop(t)

	// The second start has the same key and the same vault.
	r = start(t, settings(t, dir))
	resp, err = r.call(t, k, http.MethodGet, "/-/vaults/v", emptyHash, nil, nil)
	mustAnswer(t, resp, err, http.StatusOK)
	r.stop(t)
}

func TestGivenIdentity(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := settings(t, dir)
	cfg.Root = account.Root{Account: "012345678901", KeyID: "AKIAGIVENGIVENGIVEN1", Secret: sigv4.Secret("given secret, long enough")}
	r := start(t, cfg)
	resp, err := r.call(t, sigv4.Key{ID: cfg.Root.KeyID, Secret: cfg.Root.Secret}, http.MethodPut, "/012345678901/vaults/v", emptyHash, nil, nil)
	mustAnswer(t, resp, err, http.StatusCreated)
	r.stop(t)
	if _, err := os.Stat(filepath.Join(dir, "credentials")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a secret that was given is kept on disk: %v", err)
	}

	cfg.Root.Account = "999999999999"
	if why := refused(t, cfg); !strings.Contains(why, "belongs to account 012345678901") {
		t.Errorf("a changed account: %s", why)
	}
	cfg.Root.Account = ""
	start(t, cfg).stop(t)
}

func TestRefusesToStart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		spoil func(t *testing.T, dir string)
		want  string
	}{
		{"rows lost", remove("meta.db"), "every archive would be taken for an orphan"},
		{"packs lost", func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "packs")); err != nil {
				t.Fatal(err)
			}
		}, "packs is missing"},
		{"account lost", remove("account-id"), "set account_id"},
		{"credentials spoilt", write("credentials", "[default]\naws_secret_access_key = sesame\n"), "no profile moraine"},
		{"credentials huge", write("credentials", strings.Repeat("#", 1<<20)), "1048576 bytes"},
		{"account spoilt", write("account-id", "none\n"), `"none"`},
		{"rows spoilt", write("meta.db", strings.Repeat("not a database ", 1000)), "meta.db"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			start(t, settings(t, dir)).stop(t)
			tc.spoil(t, dir)
			why := refused(t, settings(t, dir))
			if !strings.Contains(why, tc.want) {
				t.Errorf("%q lacks %q", why, tc.want)
			}
			if strings.Contains(why, "sesame") {
				t.Errorf("%q shows a secret", why)
			}
		})
	}
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func write(name, text string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWarnsOfReadableCredentials(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, settings(t, dir)).stop(t)
	if err := os.Chmod(filepath.Join(dir, "credentials"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := start(t, settings(t, dir))
	r.log.wait(t, "chmod 600", 1)
	r.stop(t)
}

func TestSecondProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, settings(t, dir))
	if why := refused(t, settings(t, dir)); !strings.Contains(why, "in use by process ") {
		t.Errorf("%q does not name the first", why)
	}
	r.stop(t)
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := settings(t, t.TempDir())
	cfg.Admin.Listen = l.Addr().String()
	if why := refused(t, cfg); !strings.Contains(why, "admin.listen") || !strings.Contains(why, "address already in use") {
		t.Errorf("%q", why)
	}
	cfg = settings(t, t.TempDir())
	cfg.Listen = l.Addr().String()
	if why := refused(t, cfg); !strings.Contains(why, "address already in use") {
		t.Errorf("%q", why)
	}
}

// upload begins an upload of archive and returns its answer and what the body
// is to be written to.
func (r *running) upload(t *testing.T, k sigv4.Key) (body *io.PipeWriter, answer chan error) {
	t.Helper()
	sum := sha256.Sum256(archive)
	tree := treehash.Leaf(archive)
	reader, body := io.Pipe()
	answer = make(chan error, 1)
	go func() {
		resp, err := r.call(t, k, http.MethodPost, "/-/vaults/v/archives", hex.EncodeToString(sum[:]), reader, map[string]string{
			// Nothing is taken from body before the server reads it.
			"Expect":               "100-continue",
			"X-Amz-Content-Sha256": hex.EncodeToString(sum[:]), "X-Amz-Sha256-Tree-Hash": tree.String(), "Content-Length": "9",
		})
		if err == nil {
			if resp.StatusCode != http.StatusCreated {
				err = errors.New(resp.Status)
			}
			resp.Body.Close()
		}
		answer <- err
	}()
	return body, answer
}

func TestDrainFinishesRequests(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, settings(t, dir))
	k := key(t, dir)
	resp, err := r.call(t, k, http.MethodPut, "/-/vaults/v", emptyHash, nil, nil)
	mustAnswer(t, resp, err, http.StatusCreated)

	body, answer := r.upload(t, k)
	if _, err := body.Write(archive[:4]); err != nil {
		t.Fatal(err)
	}
	r.cancel()
	r.log.wait(t, "draining", 1)
	if _, err := body.Write(archive[4:]); err != nil {
		t.Fatal(err)
	}
	body.Close()
	if err := <-answer; err != nil {
		t.Errorf("the upload under way: %v", err)
	}
	r.stop(t)
}

// eventually asks the admin listener until the answer has a status, and returns
// its text.
func (r *running) eventually(t testing.TB, path string, status int) string {
	t.Helper()
	var got int
	var text string
	for range patiently {
		if got, text = fetch(t, r.admin+path); got == status {
			return text
		}
	}
	t.Fatalf("GET %s goes on answering %d: %s", path, got, text)
	return ""
}

func fetch(t testing.TB, url string) (status int, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := newTransport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := settings(t, dir)
	cfg.Storage.Mirror = filepath.Join(t.TempDir(), "second")
	r := start(t, cfg)
	const well = "ready\nserving: ok\nrows: ok\nbytes: ok\nclock: ok\n"
	if got := r.eventually(t, "/readyz", http.StatusOK); got != well {
		t.Errorf("%q, want %q", got, well)
	}
	for _, gone := range []string{filepath.Join(dir, "packs"), cfg.Storage.Mirror} {
		if err := os.Rename(gone, gone+".away"); err != nil {
			t.Fatal(err)
		}
		got := r.eventually(t, "/readyz", http.StatusServiceUnavailable)
		if !strings.HasPrefix(got, "not ready\n") || !strings.Contains(got, "\nbytes: access "+gone+": no such file or directory\n") || !strings.Contains(got, "\nrows: ok\n") {
			t.Errorf("without %s: %q", gone, got)
		}
		if status, text := fetch(t, r.admin+"/livez"); status != http.StatusOK || text != "alive\n" {
			t.Errorf("/livez: %d %q", status, text)
		}
		if err := os.Rename(gone+".away", gone); err != nil {
			t.Fatal(err)
		}
		r.eventually(t, "/readyz", http.StatusOK)
	}
	r.stop(t)

	// One copy is enough where one is enough for uploads.
	cfg.Storage.MirrorAck = config.AckOne
	r = start(t, cfg)
	if err := os.Rename(cfg.Storage.Mirror, cfg.Storage.Mirror+".away"); err != nil {
		t.Fatal(err)
	}
	if got := r.eventually(t, "/readyz", http.StatusOK); got != well {
		t.Errorf("%q, want %q", got, well)
	}
	r.stop(t)
}

// TestDrainDelay takes requests while it says that there should be none.
func TestDrainDelay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := settings(t, dir)
	cfg.DrainDelay = 3 * time.Second
	r := start(t, cfg)
	began := time.Now()
	r.cancel()
	if got := r.eventually(t, "/readyz", http.StatusServiceUnavailable); got != "not ready\nserving: draining\n" {
		t.Errorf("%q", got)
	}
	resp, err := r.call(t, key(t, dir), http.MethodPut, "/-/vaults/v", emptyHash, nil, nil)
	mustAnswer(t, resp, err, http.StatusCreated)
	r.stop(t)
	if took := time.Since(began); took < cfg.DrainDelay {
		t.Errorf("it ended after %s", took)
	}
}

// TestServiceManager reads what a service manager is told:
// alive all the time, ready once, stopping once.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	told := new(watcher)
	r := start(t, settings(t, t.TempDir()), func(o *server.Options) {
		o.Watchdog = 20 * time.Millisecond
		o.Notify = func(state string) error {
			_, err := told.Write([]byte("[" + state + "]"))
			return err
		}
	})
	told.wait(t, "[READY=1\nSTATUS=serving on ", 1)
	told.wait(t, "[WATCHDOG=1]", 3)
	r.stop(t)
	text := told.wait(t, "[STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=60000000]", 1)
	for _, once := range []string{"READY=1", "STOPPING=1"} {
		if n := strings.Count(text, once); n != 1 {
			t.Errorf("%s was told %d times", once, n)
		}
	}
}

func TestDrainCutsOffWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := settings(t, dir)
	cfg.DrainTimeout = 100 * time.Millisecond
	r := start(t, cfg)
	k := key(t, dir)
	resp, err := r.call(t, k, http.MethodPut, "/-/vaults/v", emptyHash, nil, nil)
	mustAnswer(t, resp, err, http.StatusCreated)

	body, answer := r.upload(t, k)
	if _, err := body.Write(archive[:4]); err != nil {
		t.Fatal(err)
	}
	r.stop(t)
	r.log.wait(t, "requests were cut off", 1)
	body.Close()
	if err := <-answer; err == nil {
		t.Error("half an upload succeeded")
	}
}

// certificate writes a new certificate for the loopback address.
func certificate(t *testing.T, files config.TLS, serial int64) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "moraine"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		files.Cert: {Type: "CERTIFICATE", Bytes: der}, files.Key: {Type: "PRIVATE KEY", Bytes: raw},
	} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// serial shakes hands and returns the serial number of the certificate.
func (r *running) serial(t *testing.T) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(r.url, "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestCertificateReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := settings(t, filepath.Join(dir, "data"))
	cfg.TLS = config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	if why := refused(t, cfg); !strings.Contains(why, "tls.cert") {
		t.Errorf("no certificate: %q", why)
	}
	certificate(t, cfg.TLS, 1)
	r := start(t, cfg)
	if got := r.serial(t); got != 1 {
		t.Errorf("serial %d at the start, want 1", got)
	}
	certificate(t, cfg.TLS, 2)
	if got := r.serial(t); got != 1 {
		t.Errorf("serial %d before the reload, want 1", got)
	}
	r.reload <- syscall.SIGHUP
	r.log.wait(t, "certificate reloaded", 1)
	if got := r.serial(t); got != 2 {
		t.Errorf("serial %d after the reload, want 2", got)
	}
	if err := os.WriteFile(cfg.TLS.Cert, []byte("spoilt"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.reload <- syscall.SIGHUP
	r.log.wait(t, "certificate not reloaded", 1)
	if got := r.serial(t); got != 2 {
		t.Errorf("serial %d after a reload that failed, want 2", got)
	}
	r.stop(t)
}

func TestReloadWithoutCertificate(t *testing.T) {
	t.Parallel()
	r := start(t, settings(t, t.TempDir()))
	r.reload <- syscall.SIGHUP
	r.log.wait(t, "nothing to reload", 1)
	r.stop(t)
}
