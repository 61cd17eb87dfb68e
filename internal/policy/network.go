package policy

import (
	"errors"
	"net/netip"
	"strings"
)

var errNetwork = errors.New("neither an address nor a network")

// mappedBits is how many leading bits of an IPv6 address say that it holds an
// IPv4 address.
const mappedBits = 96

// parseNetwork reads a network or a bare address; IPv4 inside IPv6 is taken
// out first (access-control §3.4).
func parseNetwork(text string) (netip.Prefix, bool) {
	if !strings.Contains(text, "/") {
		address, ok := parseAddress(text)
		if !ok {
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(address, address.BitLen()), true
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, false
	}
	if p.Addr().Is4In6() && p.Bits() >= mappedBits {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits)
	}
	return p, true
}

// parseAddress reads an address without a zone.
func parseAddress(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	return a.Unmap(), err == nil && a.Zone() == ""
}

// networkOperand is a value of the address operators.
type networkOperand struct{ network netip.Prefix }

func compileNetwork(l literal) (operand, error) {
	p, ok := parseNetwork(l.text)
	if !ok {
		return nil, errNetwork
	}
	return &networkOperand{p}, nil
}

func (o *networkOperand) match(value string, _ *Request) bool {
	a, ok := parseAddress(value)
	return ok && o.network.Contains(a)
}
