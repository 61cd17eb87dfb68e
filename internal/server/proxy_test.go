package server_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"moraine/internal/peer"
	"moraine/internal/sigv4"
)

// TestTrustedProxies lets a user act only over TLS and from one address, of
// which the headers of a proxy tell: if it is trusted.
func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	const client = "198.51.100.7"
	loopback := peer.Proxies{netip.MustParsePrefix("127.0.0.0/8")}
	for _, row := range []struct {
		name    string
		trusted peer.Proxies
		headers []string // pairs
		allowed bool
		source  string // in the audit log
	}{
		{"by a trusted proxy", loopback, []string{"X-Forwarded-For", client, "X-Forwarded-Proto", "https"}, true, client},
		{"by two trusted proxies", loopback, []string{"X-Forwarded-For", client + ", 127.0.0.9", "X-Forwarded-Proto", "https"}, true, client},
		{"a trusted proxy without TLS", loopback, []string{"X-Forwarded-For", client, "X-Forwarded-Proto", "http"}, false, client},
		{"another client spoofs through it", loopback, []string{"X-Forwarded-For", client, "X-Forwarded-For", "203.0.113.1", "X-Forwarded-Proto", "https"}, false, "203.0.113.1"},
		{"the proxy says nothing", loopback, nil, false, "127.0.0.1"},
		{"spoofed by a stranger", nil, []string{"X-Forwarded-For", client, "X-Forwarded-Proto", "https"}, false, "127.0.0.1"},
		{"spoofed while another proxy is trusted", peer.Proxies{netip.MustParsePrefix("10.0.0.0/8")}, []string{"X-Forwarded-For", client, "X-Forwarded-Proto", "https"}, false, "127.0.0.1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cfg := settings(t, dir)
			cfg.TrustedProxies = row.trusted
			r := start(t, cfg)
			root := key(t, dir)
			const iam = "2010-05-08"
			r.form(t, root, "iam", iam, url.Values{"Action": {"CreateUser"}, "UserName": {"bob"}})
			r.form(t, root, "iam", iam, url.Values{"Action": {"PutUserPolicy"}, "UserName": {"bob"}, "PolicyName": {"p"}, "PolicyDocument": {
				`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["glacier:ListVaults","iam:GetUser"],"Resource":"*",` +
					`"Condition":{"IpAddress":{"aws:SourceIp":"` + client + `"},"Bool":{"aws:SecureTransport":"true"}}}}`,
			}})
			var made struct {
				Key struct{ AccessKeyId, SecretAccessKey string } `xml:"CreateAccessKeyResult>AccessKey"`
			}
			answer := r.form(t, root, "iam", iam, url.Values{"Action": {"CreateAccessKey"}, "UserName": {"bob"}})
			if err := xml.Unmarshal([]byte(answer), &made); err != nil {
				t.Fatal(err)
			}
			bob := sigv4.Key{ID: made.Key.AccessKeyId, Secret: sigv4.Secret(made.Key.SecretAccessKey)}

			want := http.StatusForbidden
			if row.allowed {
				want = http.StatusOK
			}
			for service, body := range map[string]string{"glacier": "", "iam": "Action=GetUser&Version=" + iam} {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/-/vaults", nil)
				if service == "iam" {
					req, err = http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/", strings.NewReader(body))
				}
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("X-Amz-Glacier-Version", "2012-06-01")
				sum := sha256.Sum256([]byte(body))
				if err := sigv4.Sign(req, bob, "us-east-1", service, time.Now(), hex.EncodeToString(sum[:])); err != nil {
					t.Fatal(err)
				}
				for i := 0; i+1 < len(row.headers); i += 2 {
					req.Header.Add(row.headers[i], row.headers[i+1])
				}
				resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != want {
					t.Errorf("%s: status %d, want %d: %s", service, resp.StatusCode, want, text)
				}
			}
			r.stop(t)
			_, records := trail(t, dir)
			for _, name := range []string{"ListVaults", "GetUser"} {
				found := false
				for _, record := range records {
					if record.EventName != name {
						continue
					}
					if found = true; record.SourceIPAddress != row.source {
						t.Errorf("%s: recorded from %s, want %s", name, record.SourceIPAddress, row.source)
					}
				}
				if !found {
					t.Errorf("%s is not recorded", name)
				}
			}
		})
	}
}

// TestForwardedCount counts the headers of proxies like all others.
func TestForwardedCount(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := settings(t, dir)
	cfg.TrustedProxies = peer.Proxies{netip.MustParsePrefix("127.0.0.0/8")}
	r := start(t, cfg)
	k := key(t, dir)
	for _, n := range []int{50, 101} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/-/vaults", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Amz-Glacier-Version", "2012-06-01")
		if err := sigv4.Sign(req, k, "us-east-1", "glacier", time.Now(), ""); err != nil {
			t.Fatal(err)
		}
		for range n {
			req.Header.Add("X-Forwarded-For", "127.0.0.1")
		}
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if n > 100 {
			mustAnswer(t, resp, err, http.StatusBadRequest)
			continue
		}
		mustAnswer(t, resp, err, http.StatusOK)
	}
	r.stop(t)
}
