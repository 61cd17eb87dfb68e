// Package peer tells where a request comes from: from the connection, or from
// what a trusted proxy in front says of it (access-control §4.3).
//
// It knows addresses, networks and the X-Forwarded headers. It must not know
// who is asking, or for what.
package peer

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks of proxies whose word about their clients is taken.
// With none, no header is looked at.
type Proxies []netip.Prefix

// Client is who sends a request.
type Client struct {
	Source    string // address, without port and zone; "" if it has none
	Secure    bool   // it speaks TLS, to us or to the proxy
	Forwarded bool   // a trusted proxy said so, not the connection
}

// hopsMax bounds the proxies between a client and us.
const hopsMax = 100

// Client returns who sends r. Each proxy adds the address it was called from at
// the end of X-Forwarded-For, so the client is the last address there that is
// not a trusted proxy's; whatever is before it is hearsay.
func (p Proxies) Client(r *http.Request) Client {
	c := Client{Secure: r.TLS != nil}
	at, ok := peerOf(r)
	if !ok {
		return c
	}
	c.Forwarded = p.trust(at) && (len(r.Header["X-Forwarded-For"]) > 0 || len(r.Header["X-Forwarded-Proto"]) > 0)
	if c.Forwarded {
		at = p.follow(at, r.Header["X-Forwarded-For"])
		if proto := last(r.Header["X-Forwarded-Proto"]); proto != "" {
			c.Secure = strings.EqualFold(proto, "https")
		}
	}
	c.Source = at.String()
	return c
}

// Secure reports whether the client of r speaks TLS.
func (p Proxies) Secure(r *http.Request) bool { return p.Client(r).Secure }

// follow goes from proxy to proxy, from the last line to the first.
func (p Proxies) follow(at netip.Addr, lines []string) netip.Addr {
	hops := 0
	for _, line := range slices.Backward(lines) {
		for more := true; more; hops++ {
			if hops == hopsMax || !p.trust(at) {
				return at
			}
			var hop string
			line, hop, more = cutLast(line)
			next, ok := parse(hop)
			if !ok {
				return at // who called this proxy is not known
			}
			at = next
		}
	}
	return at
}

func (p Proxies) trust(at netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(at) })
}

// cutLast cuts the last item off a list with commas.
func cutLast(list string) (rest, item string, more bool) {
	i := strings.LastIndexByte(list, ',')
	return list[:max(i, 0)], strings.Trim(list[i+1:], " \t"), i >= 0
}

// last is the last item of the last line.
func last(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	_, item, _ := cutLast(lines[len(lines)-1])
	return item
}

// peerOf is the address at the other end of the connection.
func peerOf(r *http.Request) (netip.Addr, bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return plain(peer.Addr()), err == nil
}

// parse reads an address, with or without a port.
func parse(hop string) (netip.Addr, bool) {
	if at, err := netip.ParseAddr(strings.Trim(hop, "[]")); err == nil {
		return plain(at), true
	}
	at, err := netip.ParseAddrPort(hop)
	return plain(at.Addr()), err == nil
}

// plain writes one address in one way.
func plain(at netip.Addr) netip.Addr { return at.Unmap().WithZone("") }

// networkBits is how much of an IPv6 address is somebody's to choose from: who
// has one of a network of this size has all of them.
const networkBits = 64

// Network is what counts as one source when sources are limited: an IPv4
// address, or the network of an IPv6 address. What is no address is itself.
func Network(source string) string {
	at, err := netip.ParseAddr(source)
	if err != nil || at.Is4() {
		return source
	}
	network, err := at.Prefix(networkBits)
	if err != nil {
		return source
	}
	return network.String()
}
