package server_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"moraine/internal/config"
	"moraine/internal/peer"
	"moraine/internal/sigv4"
)

// TestFailureLimit tries key ids from one network until it is told nothing any
// more, by either service; other networks, and whoever has a key, notice
// nothing.
func TestFailureLimit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := settings(t, dir)
	cfg.TrustedProxies = peer.Proxies{netip.MustParsePrefix("127.0.0.0/8")}
	cfg.Auth.FailureLimit = config.RateLimit{PerSecond: 0.001, Burst: 3}
	r := start(t, cfg)
	root := key(t, dir)
	unknown := sigv4.Key{ID: "AKIANOBODYNOBODYNOB1", Secret: sigv4.Secret("nobody's secret, long enough")}
	forged := unknown
	forged.ID, forged.Token = "ASIANOBODYNOBODYNOB1", sigv4.Secret("Zm9yZ2Vk")
	wrong := root
	wrong.Secret = unknown.Secret
	const here, neighbour, elsewhere, other = "2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:3::1", "198.51.100.7"
	for i, row := range []struct {
		source  string
		key     sigv4.Key
		service string
		status  int
		code    string
	}{
		{here, unknown, "glacier", 400, "UnrecognizedClientException"},
		{here, wrong, "glacier", 403, "InvalidSignatureException"},
		{neighbour, forged, "glacier", 400, "UnrecognizedClientException"},
		{here, wrong, "iam", 403, "SignatureDoesNotMatch"}, // costs nothing
		{here, unknown, "iam", 403, "InvalidClientTokenId"},
		{here, unknown, "glacier", 400, "ThrottlingException"},
		{neighbour, unknown, "iam", 400, "<Code>Throttling<"},
		{here, forged, "glacier", 400, "ThrottlingException"},
		{here, wrong, "glacier", 400, "ThrottlingException"}, // or it would tell that there is such a key
		{here, wrong, "iam", 400, "<Code>Throttling<"},
		{here, root, "glacier", 200, ""},
		{here, root, "iam", 200, ""},
		{elsewhere, unknown, "glacier", 400, "UnrecognizedClientException"},
		{other, unknown, "glacier", 400, "UnrecognizedClientException"},
		{other, wrong, "glacier", 403, "InvalidSignatureException"},
		{here, unknown, "glacier", 400, "ThrottlingException"},
	} {
		method, target, body := http.MethodGet, "/-/vaults", ""
		if row.service == "iam" {
			method, target, body = http.MethodPost, "/", "Action=ListUsers&Version=2010-05-08"
		}
		req, err := http.NewRequestWithContext(t.Context(), method, r.url+target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Amz-Glacier-Version", "2012-06-01")
		sum := sha256.Sum256([]byte(body))
		if err := sigv4.Sign(req, row.key, "us-east-1", row.service, time.Now(), hex.EncodeToString(sum[:])); err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", row.source)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != row.status || !strings.Contains(string(text), row.code) {
			t.Errorf("request %d: status %d, want %d with %s: %s", i, resp.StatusCode, row.status, row.code, text)
		}
	}
	r.stop(t)
}
