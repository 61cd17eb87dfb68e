package conformance_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"moraine/test/internal/treehash"
	"moraine/test/internal/vaultclient"
	"moraine/test/internal/wire"
)

// rawVault makes a vault for one raw test and returns its client.
func rawVault(t *testing.T, name string) *vaultclient.Client {
	t.Helper()
	c := client(t, "current", serverRegion)
	if err := c.CreateVault(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return c
}

// signedUpload builds an upload whose body the test sends by itself.
func signedUpload(c *vaultclient.Client, vault string, data []byte, secret string) *wire.Request {
	r := vaultclient.UploadRequest(vault, "raw", vaultclient.NewPayload(data))
	r.Set("Host", c.Addr)
	r.Set("Content-Length", fmt.Sprint(len(data)))
	creds := &wire.Credentials{KeyID: serverKeyID, Secret: secret, Region: serverRegion}
	creds.Sign(r, time.Now())
	r.Body = nil
	return r
}

func dial(t *testing.T, c *vaultclient.Client) *wire.Conn {
	t.Helper()
	conn, err := wire.Dial(t.Context(), c.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(replyMax)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestExpectContinue sends a head with Expect and looks at what comes before
// any body byte was sent.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	c := rawVault(t, "raw-expect")
	data := treehash.Pattern(0, 1<<20+3)
	for _, row := range []struct {
		name, secret, drop string
		interim            bool
		status             int
	}{
		{"a good signature gets 100 and then 201", serverSecret, "", true, 201},
		{"a bad signature gets no 100", "wrong", "", false, 403},
		{"a missing tree hash gets no 100", serverSecret, "x-amz-sha256-tree-hash", false, 400},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := vaultclient.UploadRequest("raw-expect", "", vaultclient.NewPayload(data))
			r.Del(row.drop)
			r.Set("Host", c.Addr)
			r.Set("Content-Length", fmt.Sprint(len(data)))
			r.Set("Expect", "100-continue")
			(&wire.Credentials{KeyID: serverKeyID, Secret: row.secret, Region: serverRegion}).Sign(r, time.Now())
			conn := dial(t, c)
			if _, err := conn.Write(r.Head()); err != nil {
				t.Fatal(err)
			}
			first, err := conn.ReadHead()
			if err != nil {
				t.Fatal(err)
			}
			if got := first.Status == 100; got != row.interim {
				t.Fatalf("first status line: got %d, want 100: %t", first.Status, row.interim)
			}
			if !row.interim {
				if first.Status != row.status {
					t.Errorf("status: got %d, want %d", first.Status, row.status)
				}
				negatives.Add(1)
				return
			}
			if _, err := conn.Write(data); err != nil {
				t.Fatal(err)
			}
			final, err := conn.Read("POST", nil)
			if err != nil || final.Status != row.status {
				t.Errorf("final reply: got %+v, %v; want %d", final, err, row.status)
			}
		})
	}
}

// TestTruncatedBody cuts uploads off and looks for traces.
func TestTruncatedBody(t *testing.T) {
	t.Parallel()
	const vault = "raw-cut"
	c := rawVault(t, vault)
	data := treehash.Pattern(0, 3<<20)
	upload, err := c.InitiateUpload(t.Context(), vault, "", 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, sent := range []int{0, 1, 1 << 20, len(data) - 1} {
		conn := dial(t, c)
		if _, err := conn.Write(append(signedUpload(c, vault, data, serverSecret).Head(), data[:sent]...)); err != nil {
			t.Fatal(err)
		}
		hangUp(t, conn)
		r := vaultclient.PartRequest(vault, upload, 0, vaultclient.NewPayload(data))
		r.Set("Host", c.Addr)
		r.Set("Content-Length", fmt.Sprint(len(data)))
		c.Credentials.Sign(r, time.Now())
		conn = dial(t, c)
		if _, err := conn.Write(append(r.Head(), data[:sent]...)); err != nil {
			t.Fatal(err)
		}
		hangUp(t, conn)
		negatives.Add(2)
	}
	v, err := c.DescribeVault(t.Context(), vault)
	if err != nil || v.NumberOfArchives != 0 {
		t.Errorf("after cut uploads: %d archives, %v; want none", v.NumberOfArchives, err)
	}
	parts, err := c.ListParts(t.Context(), vault, upload)
	if err != nil || len(parts) != 0 {
		t.Errorf("after cut parts: %v, %v; want none", parts, err)
	}
}

// hangUp half-closes the connection and waits for the server's answer to that:
// a 4xx reply or the end of the stream, but never a success.
func hangUp(t *testing.T, conn *wire.Conn) {
	t.Helper()
	if half, ok := conn.Conn.(interface{ CloseWrite() error }); ok {
		if err := half.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := conn.Read("POST", nil)
	if err == nil && resp.Status < 400 {
		t.Errorf("reply to a cut body: got %d, want a refusal or nothing", resp.Status)
	}
}

// TestBadHTTP sends what no HTTP server may accept: whatever the reply, it is
// a 4xx or 5xx or a closed connection, and nothing is done.
func TestBadHTTP(t *testing.T) {
	t.Parallel()
	const vault = "raw-bad"
	c := rawVault(t, vault)
	host := "Host: " + c.Addr + "\r\n"
	for _, row := range []struct{ name, bytes string }{
		{"no host", "GET /-/vaults HTTP/1.1\r\n\r\n"},
		{"two hosts", "GET /-/vaults HTTP/1.1\r\n" + host + "Host: elsewhere\r\n\r\n"},
		{"two lengths", "POST /-/vaults/x/jobs HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"},
		{"a signed length", "POST /-/vaults/x/jobs HTTP/1.1\r\n" + host + "Content-Length: +2\r\n\r\nab"},
		{"a negative length", "POST /-/vaults/x/jobs HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\nab"},
		{"a blank before the colon", "GET /-/vaults HTTP/1.1\r\n" + host + "x-amz-date : x\r\n\r\n"},
		{"a blank in the target", "GET /-/vaults/a b HTTP/1.1\r\n" + host + "\r\n"},
		{"a bare line feed injects no header", "GET /-/vaults HTTP/1.1\r\n" + host + "x-a: b\rx-c: d\r\n\r\n"},
		{"a zero byte in a header", "GET /-/vaults HTTP/1.1\r\n" + host + "x-a: b\x00c\r\n\r\n"},
		{"a bad escape in the path", "GET /-/vaults/%zz HTTP/1.1\r\n" + host + "\r\n"},
		{"an unknown transfer encoding", "POST /-/vaults/x/jobs HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n"},
		{"an authority-form target", "CONNECT example.org:443 HTTP/1.1\r\n" + host + "\r\n"},
		{"an asterisk target", "OPTIONS * HTTP/1.1\r\n" + host + "\r\n"},
		{"headers of 70 KiB", "GET /-/vaults HTTP/1.1\r\n" + host + "x-long: " + strings.Repeat("a", 70<<10) + "\r\n\r\n"},
		{"two hundred headers", "GET /-/vaults HTTP/1.1\r\n" + host + strings.Repeat("x-many: a\r\n", 200) + "\r\n"},
		{"an ancient version", "GET /-/vaults\r\n\r\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, c)
			if _, err := io.WriteString(conn, row.bytes); err != nil {
				t.Log("send:", err) // the server may hang up first
			}
			resp, err := conn.ReadHead()
			if err == nil && resp.Status < 400 && row.name != "an asterisk target" {
				t.Errorf("reply: got %d, want a refusal", resp.Status)
			}
			negatives.Add(1)
		})
	}
}

// TestSmuggling puts a second request into the body of a refused one: it must
// not be read as a request of its own.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	const vault = "raw-smuggle"
	c := rawVault(t, vault)
	inner := &wire.Request{Method: "PUT", Target: "/-/vaults/raw-smuggled"}
	inner.Set("Host", c.Addr)
	inner.Set("Content-Length", "0")
	c.Credentials.Sign(inner, time.Now())
	outer := &wire.Request{Method: "POST", Target: "/-/vaults/" + vault + "/jobs"}
	outer.Set("Host", c.Addr)
	outer.Set("Content-Length", fmt.Sprint(len(inner.Head())))
	outer.Set("Transfer-Encoding", "chunked")
	conn := dial(t, c)
	if _, err := conn.Write(append(append(outer.Head(), "0\r\n\r\n"...), inner.Head()...)); err != nil {
		t.Fatal(err)
	}
	first, err := conn.Read("POST", nil)
	if err != nil || first.Status != 400 {
		t.Errorf("outer request: got %+v, %v; want 400", first, err)
	}
	if second, err := conn.Read("PUT", nil); err == nil {
		t.Errorf("the inner request was answered: %d", second.Status)
	}
	if _, err := c.DescribeVault(t.Context(), "raw-smuggled"); !vaultclient.IsRefused(err, "ResourceNotFoundException") {
		t.Errorf("vault of the inner request: got %v, want ResourceNotFoundException", err)
	}
	negatives.Add(1)
}

// TestHeaderInjection tries to break out of values the server echoes.
func TestHeaderInjection(t *testing.T) {
	t.Parallel()
	const vault = "raw-inject"
	c := rawVault(t, vault)
	for _, target := range []string{
		"/-/vaults/a%0d%0aX-Injected:%20yes",
		"/-/vaults/" + vault + "/archives/a%0d%0aX-Injected:%20yes",
		"/a%0d%0aX-Injected:%20yes/vaults",
		"/-/vaults?limit=%0d%0aX-Injected:%20yes",
		"/-/vaults?marker=%0d%0aX-Injected:%20yes",
	} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			resp, err := c.Do(t.Context(), &wire.Request{Method: method, Target: target}, nil)
			if err != nil {
				t.Fatalf("%s %s: %v", method, target, err)
			}
			if resp.Has("X-Injected") || resp.Status < 400 {
				t.Errorf("%s %s: status %d, headers %v", method, target, resp.Status, resp.Fields)
			}
			if bytes.ContainsAny(resp.Body, "\r\n") {
				t.Errorf("%s %s: a line end in %q", method, target, resp.Body)
			}
			negatives.Add(1)
		}
	}
}

// TestKeepAlive runs refusals and successes over one connection: a refused
// request with a body must not poison the next one.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	const vault = "raw-alive"
	c := rawVault(t, vault)
	data := treehash.Pattern(0, 4096)
	for i := range 20 {
		wrong := vaultclient.NewPayload(data)
		wrong.Tree = wire.EmptyHash
		if _, err := c.UploadArchive(t.Context(), vault, "", wrong); !vaultclient.IsRefused(err, "InvalidParameterValueException") {
			t.Fatalf("round %d: wrong tree hash: got %v, want InvalidParameterValueException", i, err)
		}
		if _, err := c.UploadArchive(t.Context(), vault, "", vaultclient.NewPayload(data)); err != nil {
			t.Fatalf("round %d: upload after a refusal: %v", i, err)
		}
	}
	v, err := c.DescribeVault(t.Context(), vault)
	if err != nil || v.NumberOfArchives != 20 {
		t.Errorf("archives: got %d, %v; want 20", v.NumberOfArchives, err)
	}
}

// TestPartRace sends the same part from several connections while the upload
// is being completed: whatever wins, the archive is one of the versions whole.
func TestPartRace(t *testing.T) {
	t.Parallel()
	const vault = "raw-race"
	c := rawVault(t, vault)
	upload, err := c.InitiateUpload(t.Context(), vault, "race", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]bool{}
	errs := make(chan error, 8)
	for i := range 8 {
		p := vaultclient.NewPayload(bytes.Repeat([]byte{byte('a' + i)}, 1<<20))
		versions[p.Tree] = true
		own := client(t, "current", serverRegion)
		go func() { errs <- own.UploadPart(t.Context(), vault, upload, 0, p) }()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	parts, err := c.ListParts(t.Context(), vault, upload)
	if err != nil || len(parts) != 1 || !versions[parts[0].SHA256TreeHash] {
		t.Fatalf("parts: got %+v, %v; want one of the versions", parts, err)
	}
	if _, err := c.CompleteUpload(t.Context(), vault, upload, 1<<20, parts[0].SHA256TreeHash); err != nil {
		t.Error(err)
	}
}
