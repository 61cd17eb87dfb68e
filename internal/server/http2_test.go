package server_test

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moraine/internal/config"
	"moraine/internal/server"
	"moraine/internal/sigv4"
	"moraine/internal/treehash"
)

// http2Server is a server with TLS, and a client of HTTP/2 with one connection
// to it.
type http2Server struct {
	*running
	key       sigv4.Key
	transport *http.Transport
}

// startHTTP2 starts a server that lets a body stand still for so long; 0 for
// the usual time.
func startHTTP2(t *testing.T, window time.Duration) *http2Server {
	t.Helper()
	dir := t.TempDir()
	cfg := settings(t, filepath.Join(dir, "data"))
	cfg.TLS = config.TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	certificate(t, cfg.TLS, 1)
	h := &http2Server{
		running:   start(t, cfg, func(o *server.Options) { o.SetBodyWindow(window) }),
		transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true},
	}
	h.key = key(t, cfg.Data)
	t.Cleanup(func() {
		h.transport.CloseIdleConnections()
		h.stop(t)
	})
	if status, text := h.send(t, http2Request{method: "PUT", path: "/-/vaults/v"}); status != http.StatusCreated {
		t.Fatalf("status %d: %s", status, text)
	}
	return h
}

// http2Request is a request for a body with the given hash, and the body that
// is sent, whose length is not told if it is negative.
type http2Request struct {
	method, path, service, hash string
	body                        io.Reader
	length                      int64
	header                      map[string]string
}

func (h *http2Server) send(t *testing.T, in http2Request) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitMax)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, in.method, h.url+in.path, in.body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = in.length
	req.Header.Set("X-Amz-Glacier-Version", "2012-06-01")
	for name, value := range in.header {
		req.Header.Set(name, value)
	}
	if err := sigv4.Sign(req, h.key, "us-east-1", cmp.Or(in.service, "glacier"), time.Now(), in.hash); err != nil {
		t.Fatal(err)
	}
	resp, err := h.transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.ProtoMajor != 2 {
		t.Fatalf("%s: %v", resp.Proto, err)
	}
	return resp.StatusCode, string(text)
}

// Requests of the tests below.
const (
	tagsBody  = `{"Tags":{"a":"b"}}`
	usersForm = "Action=ListUsers&Version=2010-05-08"
)

func addTags(body io.Reader, length int64) http2Request {
	return http2Request{"POST", "/-/vaults/v/tags?operation=add", "glacier", sha256Hex(tagsBody), body, length, nil}
}

func listUsers(body io.Reader) http2Request {
	return http2Request{"POST", "/", "iam", sha256Hex(usersForm), body, -1, nil}
}

func uploadOf(body io.Reader, length int64) http2Request {
	sum := sha256.Sum256(archive)
	return http2Request{"POST", "/-/vaults/v/archives", "glacier", "", body, length, map[string]string{
		"X-Amz-Content-Sha256": hex.EncodeToString(sum[:]), "X-Amz-Sha256-Tree-Hash": treehash.Leaf(archive).String(),
	}}
}

// stalled is a body of which no more comes until the client is told to stop.
func stalled(begin string) io.Reader {
	reader, _ := io.Pipe()
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(strings.NewReader(begin), reader), reader}
}

// TestHTTP2Bodies sends bodies over HTTP/2, where they need no length: their
// size is bounded all the same.
func TestHTTP2Bodies(t *testing.T) {
	t.Parallel()
	h := startHTTP2(t, 0)
	for _, row := range []struct {
		name   string
		in     http2Request
		status int
		want   string
	}{
		{"a body without length", addTags(strings.NewReader(tagsBody), -1), 204, ""},
		{"a form without length", listUsers(strings.NewReader(usersForm)), 200, "ListUsersResponse"},
		{"an endless body", addTags(endless{}, -1), 400, "Request body too large"},
		{"an endless form", listUsers(endless{}), 400, "Request body too large"},
		{"an upload without length", uploadOf(stalled(string(archive)), -1), 400, "Required parameter missing: Content-Length"},
		{"an upload", uploadOf(strings.NewReader(string(archive)), int64(len(archive))), 201, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			status, text := h.send(t, row.in)
			if status != row.status || !strings.Contains(text, row.want) {
				t.Errorf("status %d, want %d with %q: %s", status, row.status, row.want, text)
			}
		})
	}
	h.archives(t, 1)
}

// TestHTTP2Stalls sends bodies of which no more comes: each is given up in time,
// and takes no other request of its connection with it.
func TestHTTP2Stalls(t *testing.T) {
	t.Parallel()
	h := startHTTP2(t, 100*time.Millisecond)
	for _, row := range []struct {
		name string
		in   http2Request
	}{
		{"a body without length", addTags(stalled(tagsBody[:5]), -1)},
		{"a body with length", addTags(stalled(tagsBody[:5]), int64(len(tagsBody)))},
		{"nothing of a body", addTags(stalled(""), -1)},
		{"a form", listUsers(stalled(usersForm[:5]))},
		{"an upload", uploadOf(stalled(string(archive[:4])), int64(len(archive)))},
		{"nothing of an upload", uploadOf(stalled(""), int64(len(archive)))},
	} {
		t.Run(row.name, func(t *testing.T) {
			if status, text := h.send(t, row.in); status != http.StatusRequestTimeout || !strings.Contains(text, "RequestTimeout") {
				t.Errorf("status %d: %s", status, text)
			}
		})
	}
	h.archives(t, 0)
}

// archives wants the vault to hold so many.
func (h *http2Server) archives(t *testing.T, n int) {
	t.Helper()
	if _, text := h.send(t, http2Request{method: "GET", path: "/-/vaults/v"}); !strings.Contains(text, fmt.Sprintf(`"NumberOfArchives":%d,`, n)) {
		t.Errorf("not %d archives are stored: %s", n, text)
	}
}

// endless is a body without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
