package server_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestHeaderBlock sends header blocks around the limit. What is not too large
// for HTTP is refused in the words of the API that was meant; what is is
// refused by the HTTP server, in none.
func TestHeaderBlock(t *testing.T) {
	t.Parallel()
	r := start(t, settings(t, t.TempDir()))
	const iam = "Authorization: AWS4-HMAC-SHA256 Credential=AKIANOBODYNOBODYNOB1/20240315/us-east-1/iam/aws4_request\r\n"
	long := func(n int) string { // lines of a KiB
		return strings.Repeat("X-Long: "+strings.Repeat("a", 1<<10-10)+"\r\n", n)
	}
	for _, row := range []struct {
		name, head  string
		status      int
		contentType string
		body        string
	}{
		{"sixty", long(60), 400, "application/json", `"code":"MissingAuthenticationTokenException"`},
		{"one line of seventy", "X-Long: " + strings.Repeat("a", 70<<10) + "\r\n", 431, "application/json", `{"message":"Request header fields are too large","code":"BadRequest","type":"Client"}`},
		{"seventy", long(70), 431, "application/json", `{"message":"Request header fields are too large","code":"BadRequest","type":"Client"}`},
		{"seventy for IAM", iam + long(70), 431, "text/xml", "<Code>ValidationError</Code><Message>Request header fields are too large</Message>"},
		{"more than the HTTP server takes", long(140), 431, "text/plain; charset=utf-8", "431 Request Header Fields Too Large"},
	} {
		t.Run(row.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(waitMax)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(conn, "GET /-/vaults HTTP/1.1\r\nHost: localhost\r\n"+row.head+"\r\n"); err != nil {
				t.Log("send:", err) // the server may hang up first
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != row.status || resp.Header.Get("Content-Type") != row.contentType || !strings.Contains(string(text), row.body) {
				t.Errorf("status %d, want %d with %s; %s, want %s; %v: %s", resp.StatusCode, row.status, row.body, resp.Header.Get("Content-Type"), row.contentType, err, text)
			}
			if closed := resp.Close; closed != (row.status == 431) {
				t.Errorf("the connection is closed: %v", closed)
			}
		})
	}
	r.stop(t)
}

// TestHTTP2HeaderBlock does the same over HTTP/2.
func TestHTTP2HeaderBlock(t *testing.T) {
	t.Parallel()
	h := startHTTP2(t, 0)
	header := map[string]string{}
	for i := range 70 {
		header["X-Long-"+string(rune('A'+i/26))+string(rune('A'+i%26))] = strings.Repeat("a", 1<<10)
	}
	status, text := h.send(t, http2Request{method: "GET", path: "/-/vaults", header: header})
	if status != http.StatusRequestHeaderFieldsTooLarge || !strings.Contains(text, `"code":"BadRequest"`) {
		t.Errorf("status %d: %s", status, text)
	}
}
