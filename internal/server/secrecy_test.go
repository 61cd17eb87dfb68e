package server_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"moraine/internal/sigv4"
)

// secrets collects what no log may hold, in every form it travels in.
type secrets struct {
	mu   sync.Mutex // guards list
	list map[string]string
}

func (s *secrets) add(what, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list[secret] = what
	s.list[url.QueryEscape(secret)] = what + ", escaped"
}

// key notes the secrets of a key.
func (s *secrets) key(what string, k sigv4.Key) sigv4.Key {
	s.add("the secret of "+what, string(k.Secret))
	if len(k.Token) > 0 {
		s.add("the token of "+what, string(k.Token))
	}
	return k
}

// RoundTrip sends a request and notes its signature.
func (s *secrets) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, sum, ok := strings.Cut(r.Header.Get("Authorization"), "Signature="); ok {
		s.add("a signature", sum)
	}
	if sum := r.URL.Query().Get("X-Amz-Signature"); sum != "" {
		s.add("the signature of a URL", sum)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	return transport.RoundTrip(r)
}

// find reports every secret that a text holds.
func (s *secrets) find(t *testing.T, where, text string) {
	t.Helper()
	for secret, what := range s.list {
		if strings.Contains(text, secret) {
			t.Errorf("%s holds %s", where, what)
		}
	}
}

// TestLogHoldsNoSecret runs a server that logs all it can, lets clients do and
// fail to do things with every kind of key, and reads its logs.
func TestLogHoldsNoSecret(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := settings(t, dir)
	cfg.Auth.DebugSignature = true
	r := start(t, cfg)
	s := &secrets{list: make(map[string]string)}
	root := s.key("root", key(t, dir))
	send := func(req *http.Request, want int) string {
		t.Helper()
		resp, err := s.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != want {
			t.Fatalf("%s %s: %s, %v: %s", req.Method, req.URL.Path, resp.Status, err, text)
		}
		return string(text)
	}
	request := func(method, path, body string) *http.Request {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		return req
	}
	sign := func(req *http.Request, k sigv4.Key, service, hash string) *http.Request {
		t.Helper()
		req.Header.Set("X-Amz-Glacier-Version", "2012-06-01")
		if err := sigv4.Sign(req, k, "us-east-1", service, time.Now(), hash); err != nil {
			t.Fatal(err)
		}
		return req
	}
	ask := func(k sigv4.Key, service, version string, params url.Values, want int, out any) {
		t.Helper()
		params.Set("Version", version)
		body := params.Encode()
		req := request(http.MethodPost, "/", body)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		text := send(sign(req, k, service, sha256Hex(body)), want)
		if out == nil {
			return
		}
		if err := xml.Unmarshal([]byte(text), out); err != nil {
			t.Fatal(err)
		}
	}
	const iam, sts = "2010-05-08", "2011-06-15"
	type credentials struct{ AccessKeyId, SecretAccessKey, SessionToken string }
	asKey := func(what string, c credentials) sigv4.Key {
		return s.key(what, sigv4.Key{ID: c.AccessKeyId, Secret: sigv4.Secret(c.SecretAccessKey), Token: sigv4.Secret(c.SessionToken)})
	}
	const everything = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`
	var bobs struct {
		User struct{ Arn string } `xml:"CreateUserResult>User"`
	}
	ask(root, "iam", iam, url.Values{"Action": {"CreateUser"}, "UserName": {"bob"}}, http.StatusOK, &bobs)
	ask(root, "iam", iam, url.Values{"Action": {"PutUserPolicy"}, "UserName": {"bob"}, "PolicyName": {"all"}, "PolicyDocument": {everything}}, http.StatusOK, nil)
	var made struct {
		Key credentials `xml:"CreateAccessKeyResult>AccessKey"`
	}
	ask(root, "iam", iam, url.Values{"Action": {"CreateAccessKey"}, "UserName": {"bob"}}, http.StatusOK, &made)
	bob := asKey("bob", made.Key)
	var roles struct {
		Role struct{ Arn string } `xml:"CreateRoleResult>Role"`
	}
	ask(bob, "iam", iam, url.Values{"Action": {"CreateRole"}, "RoleName": {"ops"}, "AssumeRolePolicyDocument": {
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + bobs.User.Arn + `"},"Action":"sts:AssumeRole"}}`,
	}}, http.StatusOK, &roles)
	ask(bob, "iam", iam, url.Values{"Action": {"PutRolePolicy"}, "RoleName": {"ops"}, "PolicyName": {"all"}, "PolicyDocument": {everything}}, http.StatusOK, nil)
	var own struct {
		Credentials credentials `xml:"GetSessionTokenResult>Credentials"`
	}
	ask(bob, "sts", sts, url.Values{"Action": {"GetSessionToken"}}, http.StatusOK, &own)
	var assumed struct {
		Credentials credentials `xml:"AssumeRoleResult>Credentials"`
	}
	ask(bob, "sts", sts, url.Values{"Action": {"AssumeRole"}, "RoleArn": {roles.Role.Arn}, "RoleSessionName": {"night"}}, http.StatusOK, &assumed)
	keys := map[string]sigv4.Key{
		"root": root, "bob": bob, "bob's session": asKey("bob's session", own.Credentials), "the role's session": asKey("the role's session", assumed.Credentials),
	}
	for what, k := range keys {
		send(sign(request(http.MethodPut, "/-/vaults/v", ""), k, "glacier", ""), http.StatusCreated)
		// Changed after it was signed: the reply shows what should have been.
		changed := sign(request(http.MethodGet, "/-/vaults", ""), k, "glacier", "")
		changed.Header.Set("X-Amz-Date", time.Now().UTC().Add(time.Second).Format("20060102T150405Z"))
		if text := send(changed, http.StatusForbidden); !strings.Contains(text, "Canonical String") {
			t.Errorf("auth.debug_signature shows nothing: %s", text)
		} else {
			s.find(t, "the reply to "+what, text)
		}
		wrong := k
		wrong.Secret = s.key("nobody", sigv4.Key{Secret: sigv4.Secret("wrong for " + what + ", but as long as one")}).Secret
		send(sign(request(http.MethodGet, "/-/vaults", ""), wrong, "glacier", ""), http.StatusForbidden)
		ask(wrong, "sts", sts, url.Values{"Action": {"GetCallerIdentity"}}, http.StatusForbidden, nil)
		for _, tail := range []string{"", "&x=y"} {
			presigned := request(http.MethodGet, "/-/vaults", "")
			if err := sigv4.Presign(presigned, k, "us-east-1", "glacier", time.Now(), time.Hour); err != nil {
				t.Fatal(err)
			}
			presigned.URL.RawQuery += tail
			send(presigned, map[string]int{"": http.StatusOK, "&x=y": http.StatusForbidden}[tail])
		}
		// Spoilt in other ways, which the replies quote.
		for _, spoil := range [][2]string{{"Signature=", "Signature "}, {"Credential=", "Credential=x/"}, {"AWS4-HMAC-SHA256", "AWS4"}, {"SignedHeaders=", "SignedHeaders=authorization;"}} {
			spoilt := sign(request(http.MethodGet, "/-/vaults", ""), k, "glacier", "")
			_, sum, _ := strings.Cut(spoilt.Header.Get("Authorization"), "Signature=")
			s.add("a signature", sum)
			spoilt.Header.Set("Authorization", strings.Replace(spoilt.Header.Get("Authorization"), spoil[0], spoil[1], 1))
			resp, err := s.RoundTrip(spoilt)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
	}
	r.stop(t)
	s.find(t, "the start-up text", r.welcome)
	s.find(t, "the log", r.log.wait(t, "stopped", 1))
	records, _ := trail(t, dir)
	s.find(t, "the audit log", records)
	if n := strings.Count(r.log.wait(t, "stopped", 1), "msg=request"); n < 40 {
		t.Errorf("the log has %d requests", n)
	}
}

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
