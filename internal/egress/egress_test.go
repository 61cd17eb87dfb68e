package egress_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"moraine/internal/egress"
)

func TestIsPrivate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"127.0.0.1": true, "127.255.255.254": true, "10.0.0.1": true, "172.16.0.1": true, "192.168.1.1": true,
		"169.254.169.254": true, "0.0.0.0": true, "100.64.0.1": true, "255.255.255.255": true, "224.0.0.1": true,
		"::1": true, "::": true, "fe80::1": true, "fe80::1%eth0": true, "fd00:ec2::254": true, "ff02::1": true,
		"::ffff:127.0.0.1": true, "::ffff:10.0.0.1": true, "64:ff9b::7f00:1": true, "2002:7f00:1::": true, "::127.0.0.1": true,
		"8.8.8.8": false, "172.32.0.1": false, "2606:4700:4700::1111": false, "::ffff:8.8.8.8": false,
	} {
		if got := egress.IsPrivate(netip.MustParseAddr(text)); got != want {
			t.Errorf("IsPrivate(%s) is %v", text, got)
		}
	}
	if !egress.IsPrivate(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestClient(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, "/there", http.StatusFound)
		case "/long":
			io.Copy(w, io.LimitReader(strings.NewReader(strings.Repeat("x", 1<<20)), 1<<20)) //nolint:errcheck // the client leaves
		}
	}))
	defer server.Close()
	get := func(d egress.Dialer, url string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		return d.Client().Do(r)
	}
	named := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	for _, url := range []string{server.URL, named} {
		answer, err := get(egress.Dialer{}, url)
		if err == nil {
			answer.Body.Close()
		}
		if !errors.Is(err, egress.ErrPrivate) {
			t.Errorf("%s: %v", url, err)
		}
	}
	if len(asked) != 0 {
		t.Errorf("a private address was asked for %s", <-asked)
	}
	answer, err := get(egress.Dialer{AllowPrivate: true}, server.URL+"/away")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusFound || len(asked) != 1 {
		t.Errorf("status %d after %d requests: a redirection was followed", answer.StatusCode, len(asked))
	}
	if answer, err = get(egress.Dialer{AllowPrivate: true}, server.URL+"/long"); err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var tooLong *http.MaxBytesError
	if n, err := io.Copy(io.Discard, answer.Body); !errors.As(err, &tooLong) {
		t.Errorf("%d bytes of an answer were read, %v", n, err)
	}
}
