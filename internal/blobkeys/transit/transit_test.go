package transit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blobkeys/mastertest"
	"moraine/internal/blobkeys/transit"
)

// open returns a master that asks v.
func open(v *mastertest.Vault, change ...func(*transit.Config)) *transit.Master {
	cfg := transit.Config{
		Address: v.URL + "/", Mount: "team/transit", Key: "archives", Namespace: "eu",
		Token: func() (string, error) { return mastertest.VaultToken, nil },
		Client: &http.Client{
			Transport:     &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	for _, c := range change {
		c(&cfg)
	}
	return transit.New(cfg)
}

func TestMaster(t *testing.T) {
	t.Parallel()
	v := mastertest.NewVault(t)
	v.Before = func(_ http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/v1/team/transit/") || !strings.HasSuffix(r.URL.Path, "/archives") || r.Header.Get("X-Vault-Namespace") != "eu" {
			t.Errorf("asked for %s in the namespace %q", r.URL.Path, r.Header.Get("X-Vault-Namespace"))
		}
		return false
	}
	mastertest.Run(t, "vault", func(*testing.T) mastertest.Master { return open(v) })
}

func TestNames(t *testing.T) {
	t.Parallel()
	v := mastertest.NewVault(t)
	if got := open(v).Name(); got != "vault:eu/team/transit/archives" {
		t.Errorf("got %s", got)
	}
	if got := open(v, func(c *transit.Config) { c.Namespace = "" }).Name(); got != "vault:team/transit/archives" {
		t.Errorf("got %s", got)
	}
}

// TestRefusals has Vault answer in all the ways that are no answer.
func TestRefusals(t *testing.T) {
	t.Parallel()
	says := func(status int, text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(status)
			fmt.Fprint(w, text)
		}
	}
	for _, row := range []struct {
		name   string
		answer func(http.ResponseWriter)
		kind   moraine.Kind
		want   string
	}{
		{"denied", says(403, `{"errors":["permission denied"]}`), moraine.Denied, "permission denied"},
		{"no engine", says(404, `{"errors":["no handler for route"]}`), moraine.NotFound, "no handler"},
		{"no key", says(400, `{"errors":["encryption key not found"]}`), moraine.Corrupt, "encryption key not found"},
		{"standby", says(429, ``), moraine.Unavailable, "status 429"},
		{"sealed", says(503, `{"errors":["Vault is sealed"]}`), moraine.Unavailable, "Vault is sealed"},
		{"broken", says(500, `<html>`), moraine.Unavailable, "status 500"},
		{"elsewhere", says(307, ``), moraine.Unavailable, "active node"},
		{"not JSON", says(200, `<html>`), moraine.Corrupt, "not JSON"},
		{"empty", says(200, `{}`), moraine.Corrupt, ""},
		{"not base64", says(200, `{"data":{"plaintext":"***"}}`), moraine.Corrupt, ""},
		{"endless", says(200, `{"data":{"plaintext":"`+strings.Repeat("A", 70_000)), moraine.Corrupt, "more than"},
		{"cut off", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "{")
		}, moraine.Unavailable, "breaks off"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			v := mastertest.NewVault(t)
			v.Before = func(w http.ResponseWriter, _ *http.Request) bool { row.answer(w); return true }
			key := []byte("a key that nobody must see......")
			_, err := open(v).Wrap(t.Context(), "a", key)
			if !moraine.IsKind(err, row.kind) || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "nobody must see") {
				t.Errorf("Wrap: %v (%v), want %v with %q", err, moraine.KindOf(err), row.kind, row.want)
			}
			raw, err := open(v).Unwrap(t.Context(), "a", []byte("vault:v1:AAAA"))
			if row.name == "empty" {
				// An answer without a plaintext is an empty one; whoever asks
				// compares it with what it should be.
				if err != nil || len(raw) > 0 {
					t.Errorf("Unwrap: %q, %v", raw, err)
				}
				return
			}
			if !moraine.IsKind(err, row.kind) || !strings.Contains(err.Error(), row.want) {
				t.Errorf("Unwrap: %v (%v), want %v with %q", err, moraine.KindOf(err), row.kind, row.want)
			}
		})
	}
}

// TestAway asks where nobody is, and somebody who never answers.
func TestAway(t *testing.T) {
	t.Parallel()
	v := mastertest.NewVault(t)
	release := make(chan struct{})
	v.Before = func(http.ResponseWriter, *http.Request) bool { <-release; return true }
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := open(v).Wrap(ctx, "a", []byte("key")); !moraine.IsKind(err, moraine.Unavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
	gone := open(v, func(c *transit.Config) { c.Address = "http://127.0.0.1:1" })
	if _, err := gone.Unwrap(t.Context(), "a", []byte("vault:v1:AAAA")); !moraine.IsKind(err, moraine.Unavailable) {
		t.Errorf("nobody there: %v", err)
	}
}

// TestToken reads the token anew each time.
func TestToken(t *testing.T) {
	t.Parallel()
	v := mastertest.NewVault(t)
	token, failure := "hvs.expired", error(nil)
	m := open(v, func(c *transit.Config) { c.Token = func() (string, error) { return token, failure } })
	if _, err := m.Wrap(t.Context(), "a", []byte("key")); !moraine.IsKind(err, moraine.Denied) {
		t.Errorf("expired: %v", err)
	}
	token = mastertest.VaultToken
	if _, err := m.Wrap(t.Context(), "a", []byte("key")); err != nil {
		t.Errorf("renewed: %v", err)
	}
	failure = errors.New("no such file")
	if _, err := m.Wrap(t.Context(), "a", []byte("key")); !moraine.IsKind(err, moraine.Unavailable) {
		t.Errorf("no file: %v", err)
	}
}
