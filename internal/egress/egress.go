// Package egress makes connections to addresses that somebody else chose.
//
// It knows which addresses are of this machine and of private networks, and
// refuses them at the moment of the connection, so that no name and no
// redirection leads there. It does not know what is sent.
package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Timeout bounds a connection being made, and a whole exchange over HTTP.
const Timeout = 5 * time.Second

// Bounds of an answer over HTTP, in bytes.
const (
	headerMax = 64 << 10
	bodyMax   = 256 << 10
)

// ErrPrivate is the cause when an address is refused.
var ErrPrivate = errors.New("the address is of this machine or of a private network")

// inside are the networks that no public service is in, besides those that
// package netip tells apart.
var inside = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),   // shared by carriers
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and broadcast
	netip.MustParsePrefix("64:ff9b::/96"),    // leads to IPv4
	netip.MustParsePrefix("64:ff9b:1::/48"),  // likewise
	netip.MustParsePrefix("2002::/16"),       // likewise
	netip.MustParsePrefix("2001::/32"),       // likewise
	netip.MustParsePrefix("fec0::/10"),       // site-local
	netip.MustParsePrefix("::/96"),           // IPv4, deprecated
	netip.MustParsePrefix("::ffff:0:0:0/96"), // IPv4, translated
}

// IsPrivate reports whether an address is of this machine, of the local link or
// of a private network, or leads to such a one.
func IsPrivate(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if ip.IsLoopback() || ip.IsPrivate() || ip.IsUnspecified() || ip.IsLinkLocalUnicast() || ip.IsMulticast() {
		return true
	}
	for _, p := range inside {
		if p.Contains(ip) {
			return true
		}
	}
	return !ip.IsValid()
}

// Dialer makes connections. The zero value refuses private addresses.
type Dialer struct {
	AllowPrivate bool // connect to any address
}

// DialContext connects to an address. A name is resolved once and the addresses
// it stood for are dialled: a second answer of the name server changes nothing.
func (d Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	n := net.Dialer{Timeout: Timeout, ControlContext: d.control}
	return n.DialContext(ctx, network, address)
}

// Dial is DialContext without a context; it takes no longer than Timeout.
func (d Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// control is asked before each connection, with the address it goes to.
func (d Dialer) control(_ context.Context, network, address string, _ syscall.RawConn) error {
	if d.AllowPrivate {
		return nil
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil || IsPrivate(to.Addr()) {
		return fmt.Errorf("%s %s: %w", network, address, ErrPrivate)
	}
	return nil
}

// Client returns an HTTP client on the dialer. It follows no redirection, uses
// no proxy, keeps no connection, and reads no more of an answer than a note
// takes.
func (d Dialer) Client() *http.Client {
	return &http.Client{
		Timeout: Timeout,
		Transport: bounded{&http.Transport{
			DialContext: d.DialContext, TLSHandshakeTimeout: Timeout, DisableKeepAlives: true,
			MaxResponseHeaderBytes: headerMax, ForceAttemptHTTP2: true,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// bounded limits the bodies of answers.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err == nil {
		answer.Body = http.MaxBytesReader(nil, answer.Body, bodyMax)
	}
	return answer, err
}
