package sigv4_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"moraine/internal/sigv4"
)

// TestListener signs with this package, travels through net/http and verifies,
// over both protocol versions: what the client signed must be what the server
// sees.
func TestListener(t *testing.T) {
	t.Parallel()
	v := sigv4.New(config(now))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := sigv4.CheckTransport(r)
		if err == nil {
			streamed := strings.HasSuffix(r.URL.Path, "/archives")
			var res *sigv4.Result
			if res, err = v.Verify(r.Context(), r, streamed); err == nil && streamed {
				sum := sha256.New()
				io.Copy(sum, r.Body)
				err = res.CheckPayload([sha256.Size]byte(sum.Sum(nil)))
			}
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			server := httptest.NewUnstartedServer(handler)
			server.EnableHTTP2 = protocol == "HTTP/2.0"
			server.StartTLS()
			defer server.Close()
			for _, tt := range []struct{ method, target, body string }{
				{"GET", "/-/vaults", ""},
				{"HEAD", "/-/vaults?limit=1&marker=a%2Fb+c&x", ""},
				{"PUT", "/-/vaults/my%20vault~%C3%A9%252F", ""},
				{"POST", "/-/vaults/v/jobs", `{"Type":"inventory-retrieval"}`},
				{"POST", "/-/vaults/v/archives", strings.Repeat("x", 3<<20)},
				{"POST", "/", "Action=GetUser"},
			} {
				r, err := http.NewRequestWithContext(t.Context(), tt.method, server.URL+tt.target, strings.NewReader(tt.body))
				if err != nil {
					t.Fatal(err)
				}
				sum := sha256.Sum256([]byte(tt.body))
				r.Header.Set("X-Amz-Glacier-Version", "2012-06-01")
				r.Header.Set("X-Amz-Archive-Description", "two  blanks")
				r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
				if err := sigv4.Sign(r, keys()[tempKeyID], "us-east-1", "glacier", at(now)(), ""); err != nil {
					t.Fatal(err)
				}
				send(t, server, protocol, r)
			}
			r, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/-/vaults?limit=3&marker=%20", nil)
			if err := sigv4.Presign(r, keys()[tempKeyID], "us-east-1", "glacier", at(now)(), 60e9); err != nil {
				t.Fatal(err)
			}
			send(t, server, protocol, r)
		})
	}
}

func send(t *testing.T, server *httptest.Server, protocol string, r *http.Request) {
	t.Helper()
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || resp.Proto != protocol {
		t.Errorf("%s %s over %s: %d %s", r.Method, r.URL, resp.Proto, resp.StatusCode, text)
	}
}
