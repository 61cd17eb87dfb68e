package adminclient_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"moraine/internal/adminapi"
	"moraine/internal/adminclient"
	"moraine/internal/blobkeys"
	"moraine/internal/clock"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"127.0.0.1:8081": true, "[::1]:8081": true, "0.0.0.0:8081": true, ":8081": true, "admin.example:80": true,
		"": false, "127.0.0.1": false, "127.0.0.1:0": false, "127.0.0.1:": false,
	} {
		if _, err := adminclient.New(address); (err == nil) != ok {
			t.Errorf("%q: %v, want success: %v", address, err, ok)
		}
	}
}

// The client and the surface understand each other.
func TestClock(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 15, 12, 0, 0, 0, time.UTC)
	s := clock.Status{Now: noon, System: noon.Add(time.Hour), Pending: clock.Jump{From: noon, To: noon.Add(time.Hour)}}
	srv := httptest.NewServer(adminapi.New(adminapi.Config{Metrics: adminapi.NewMetrics(adminapi.Sources{}), Clock: &adminapi.Clock{
		Status: func() clock.Status { return s },
		Confirm: func(name time.Time) error {
			if !name.Equal(s.Pending.To) {
				return &clock.Refused{Pending: s.Pending}
			}
			s.Now, s.Pending = s.System, clock.Jump{}
			return nil
		},
	}}))
	defer srv.Close()
	// A server that listens on every address is asked at the loopback one.
	c, err := adminclient.New(strings.Replace(srv.Listener.Addr().String(), "127.0.0.1", "0.0.0.0", 1))
	if err != nil {
		t.Fatal(err)
	}
	st, err := c.Clock(t.Context())
	if err != nil || st.State != "held" || !st.Pending.To.Equal(s.Pending.To) {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := c.ConfirmClock(t.Context(), noon); err == nil || err.Error() != "the jump that is pending is the one to 2026-03-15T13:00:00Z, and no other can be confirmed" {
		t.Errorf("refused with %v", err)
	}
	if st, err = c.ConfirmClock(t.Context(), st.Pending.To); err != nil || st.State != "following" || !st.Now.Equal(noon.Add(time.Hour)) {
		t.Errorf("%+v, %v", st, err)
	}
}

// The same of the keys.
func TestEncryption(t *testing.T) {
	t.Parallel()
	done := ""
	refuse := error(nil)
	change := func(what string) func(context.Context) error {
		return func(context.Context) error { done += what; return refuse }
	}
	srv := httptest.NewServer(adminapi.New(adminapi.Config{Metrics: adminapi.NewMetrics(adminapi.Sources{}), Encryption: &adminapi.Encryption{
		Status: func(context.Context) (blobkeys.Status, error) { return blobkeys.Status{Master: "file:0a"}, nil },
		Rotate: change("rotate "), Rewrap: change("rewrap "),
	}}))
	defer srv.Close()
	c, err := adminclient.New(srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, ask := range []func(context.Context) (adminapi.EncryptionReply, error){c.Encryption, c.RotateKey, c.RewrapKeys} {
		if st, err := ask(t.Context()); err != nil || st.State != "on" || st.Master != "file:0a" {
			t.Errorf("%+v, %v", st, err)
		}
	}
	if done != "rotate rewrap " {
		t.Errorf("asked for %q", done)
	}
	refuse = errors.New("the master says no")
	if _, err := c.RotateKey(t.Context()); err == nil || err.Error() != "the master says no" {
		t.Errorf("refused with %v", err)
	}
}

// What is not an admin listener is told from one.
func TestStrangers(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"a page": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) },
		"elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.example/", http.StatusTemporaryRedirect)
		},
		"other JSON": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.Write([]byte("[]")) },
		"older":      http.NotFound,
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for range 2000 {
				w.Write([]byte(strings.Repeat(" ", 1024)))
			}
		},
	} {
		srv := httptest.NewServer(h)
		c, err := adminclient.New(srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Clock(t.Context()); err == nil || !strings.Contains(err.Error(), "not as an admin listener does") {
			t.Errorf("%s: %v", name, err)
		}
		srv.Close()
		if _, err := c.Clock(t.Context()); err == nil || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("%s, gone: %v", name, err)
		}
	}
}
