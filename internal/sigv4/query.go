package sigv4

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

// param is one decoded pair of a query string.
type param struct{ name, value string }

var errEscape = errors.New("sigv4: bad percent escape")

// ParseQuery decodes a raw query for use, cutting it exactly where the
// signature does; "+" is a space, as glacier-api §1.9 wants. The only error is
// row T5.
func ParseQuery(raw string) (url.Values, error) {
	params, err := splitQuery(raw, true)
	if err != nil {
		return nil, Refuse("T5")
	}
	values := make(url.Values, len(params))
	for _, p := range params {
		values.Add(p.name, p.value)
	}
	return values, nil
}

// splitQuery cuts a raw query into decoded pairs. A piece without "=" has an
// empty value; empty pieces are skipped. A signature keeps "+" as it is.
func splitQuery(raw string, plusIsSpace bool) ([]param, error) {
	if raw == "" {
		return nil, nil
	}
	params := make([]param, 0, strings.Count(raw, "&")+1)
	for piece := range strings.SplitSeq(raw, "&") {
		if piece == "" {
			continue
		}
		name, value, _ := strings.Cut(piece, "=")
		name, err := decode(name, plusIsSpace)
		if err != nil {
			return nil, err
		}
		if value, err = decode(value, plusIsSpace); err != nil {
			return nil, err
		}
		params = append(params, param{name, value})
	}
	return params, nil
}

// decode undoes percent-encoding once.
func decode(s string, plusIsSpace bool) (string, error) {
	if plusIsSpace {
		s = strings.ReplaceAll(s, "+", " ")
	}
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", errEscape
		}
		high, low := unhex(s[i+1]), unhex(s[i+2])
		if high < 0 || low < 0 {
			return "", errEscape
		}
		b.WriteByte(byte(high<<4 | low))
		i += 2
	}
	return b.String(), nil
}

// unhex returns the value of a hex digit, or -1.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// appendQuery appends the canonical query: every pair encoded, sorted by
// encoded name and then encoded value. The parameter called skip is left out.
func appendQuery(dst []byte, params []param, skip string) []byte {
	encoded := make([]param, 0, len(params))
	for _, p := range params {
		if skip != "" && p.name == skip {
			continue
		}
		encoded = append(encoded, param{encode(p.name), encode(p.value)})
	}
	slices.SortFunc(encoded, func(a, b param) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	for i, p := range encoded {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(dst, p.name...)
		dst = append(dst, '=')
		dst = append(dst, p.value...)
	}
	return dst
}

// encode returns s percent-encoded, and s itself when nothing needs it.
func encode(s string) string {
	for i := range len(s) {
		if !unreserved(s[i]) {
			return string(appendEncoded(make([]byte, 0, len(s)+16), s, false))
		}
	}
	return s
}

// appendEncoded appends s with everything but unreserved characters, and "/"
// when asked, as "%" and two upper-case hex digits.
func appendEncoded(dst []byte, s string, keepSlash bool) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		if unreserved(c) || keepSlash && c == '/' {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '%', digits[c>>4], digits[c&15])
	}
	return dst
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '_' || c == '.' || c == '~'
}
