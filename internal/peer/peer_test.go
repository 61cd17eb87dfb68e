package peer_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/peer"
)

func proxies(networks ...string) peer.Proxies {
	var p peer.Proxies
	for _, n := range networks {
		p = append(p, netip.MustParsePrefix(n))
	}
	return p
}

func TestClient(t *testing.T) {
	t.Parallel()
	const client = "198.51.100.7"
	ours := proxies("10.0.0.0/8", "2001:db8:1::/48")
	for _, row := range []struct {
		name    string
		trusted peer.Proxies
		remote  string
		tls     bool
		headers []string // pairs
		want    peer.Client
	}{
		{"a connection", nil, client + ":4711", false, nil, peer.Client{Source: client}},
		{"a connection with TLS", nil, client + ":4711", true, nil, peer.Client{Source: client, Secure: true}},
		{"a connection by IPv6", nil, "[2001:db8::7%eth0]:4711", false, nil, peer.Client{Source: "2001:db8::7"}},
		{"IPv4 in IPv6", nil, "[::ffff:198.51.100.7]:4711", false, nil, peer.Client{Source: client}},
		{"no address", ours, "@", false, []string{"For", client, "Proto", "https"}, peer.Client{}},

		{"nobody is trusted", nil, "10.0.0.1:1", false, []string{"For", client, "Proto", "https"}, peer.Client{Source: "10.0.0.1"}},
		{"spoofed by a stranger", ours, client + ":1", false, []string{"For", "10.0.0.9", "Proto", "https"}, peer.Client{Source: client}},
		{"spoofed by a stranger with TLS", ours, client + ":1", true, []string{"For", "10.0.0.9", "Proto", "http"}, peer.Client{Source: client, Secure: true}},

		{"a proxy without headers", ours, "10.0.0.1:1", true, nil, peer.Client{Source: "10.0.0.1", Secure: true}},
		{"one proxy", ours, "10.0.0.1:1", false, []string{"For", client, "Proto", "https"}, peer.Client{client, true, true}},
		{"one proxy by IPv6", ours, "[2001:db8:1::1]:1", false, []string{"For", "2001:db8::7"}, peer.Client{"2001:db8::7", false, true}},
		{"a mapped proxy", ours, "[::ffff:10.0.0.1]:1", false, []string{"For", client}, peer.Client{client, false, true}},
		{"a client without TLS before a proxy with it", ours, "10.0.0.1:1", true, []string{"For", client, "Proto", "http"}, peer.Client{client, false, true}},
		{"two proxies", ours, "10.0.0.1:1", false, []string{"For", client + ", 10.0.0.2", "Proto", "https"}, peer.Client{client, true, true}},
		{"two proxies on two lines", ours, "10.0.0.1:1", false, []string{"For", client, "For", "10.0.0.2"}, peer.Client{client, false, true}},
		{"a client that spoofs through a proxy", ours, "10.0.0.1:1", false, []string{"For", "203.0.113.1, 10.9.9.9, " + client}, peer.Client{client, false, true}},
		{"a client that spoofs on a line of its own", ours, "10.0.0.1:1", false, []string{"For", "203.0.113.1", "For", client + ",10.0.0.2"}, peer.Client{client, false, true}},
		{"a client in our networks", ours, "10.0.0.1:1", false, []string{"For", "10.0.0.3, 10.0.0.2"}, peer.Client{"10.0.0.3", false, true}},
		{"with ports", ours, "10.0.0.1:1", false, []string{"For", client + ":55, [2001:db8:1::2]:66"}, peer.Client{client, false, true}},
		{"in brackets", ours, "10.0.0.1:1", false, []string{"For", "[2001:db8::7]"}, peer.Client{"2001:db8::7", false, true}},
		{"a hop nobody knows", ours, "10.0.0.1:1", false, []string{"For", client + ", unknown, 10.0.0.2"}, peer.Client{"10.0.0.2", false, true}},
		{"an empty header", ours, "10.0.0.1:1", true, []string{"For", "", "Proto", ""}, peer.Client{"10.0.0.1", true, true}},
		{"an empty hop", ours, "10.0.0.1:1", false, []string{"For", client + ","}, peer.Client{"10.0.0.1", false, true}},
		{"the last word about TLS", ours, "10.0.0.1:1", false, []string{"For", client, "Proto", "https, http"}, peer.Client{client, false, true}},
		{"the last line about TLS", ours, "10.0.0.1:1", false, []string{"For", client, "Proto", "http", "Proto", "HTTPS"}, peer.Client{client, true, true}},
		{"a scheme nobody knows", ours, "10.0.0.1:1", true, []string{"For", client, "Proto", "gopher"}, peer.Client{client, false, true}},
		{"a chain that is too long", ours, "10.0.0.1:1", false, []string{"For", client + strings.Repeat(",10.0.0.3", 99) + ",10.0.0.2"}, peer.Client{"10.0.0.3", false, true}},
		{"a long chain", ours, "10.0.0.1:1", false, []string{"For", client + strings.Repeat(",10.0.0.3", 99)}, peer.Client{client, false, true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = row.remote
			if row.tls {
				r.TLS = new(tls.ConnectionState)
			}
			for i := 0; i+1 < len(row.headers); i += 2 {
				r.Header.Add("X-Forwarded-"+row.headers[i], row.headers[i+1])
			}
			if diff := cmp.Diff(row.want, row.trusted.Client(r)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"198.51.100.7": "198.51.100.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::": "2001:db8:1:2::/64",
		"::1": "::/64", "": "", "nowhere": "nowhere",
	} {
		if got := peer.Network(source); got != want {
			t.Errorf("%q counts as %q, want %q", source, got, want)
		}
	}
}
