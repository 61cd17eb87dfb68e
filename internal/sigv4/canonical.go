package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	// EmptyPayload is the payload hash of a request without a body.
	EmptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// message is what a signature covers, as plain values.
type message struct {
	method        string
	path          string  // as on the wire, before "?"
	params        []param // decoded, "+" kept
	skip          string  // the parameter that carries the signature, if one does
	host          string
	contentLength int64 // negative: unknown
	header        http.Header
	signed        []string // names of the signed headers, in canonical order
	payload       string   // payload hash, exactly as sent
}

// appendCanonical appends the canonical request of m (access-control §1.4).
// It reports false when a signed header is not in the request.
func appendCanonical(dst []byte, m *message) ([]byte, bool) {
	dst = append(dst, m.method...)
	dst = append(dst, '\n')
	dst = appendEncoded(dst, m.path, true)
	dst = append(dst, '\n')
	if len(m.params) > 0 {
		dst = appendQuery(dst, m.params, m.skip)
	}
	dst = append(dst, '\n')
	for _, name := range m.signed {
		var ok bool
		if dst, ok = m.appendHeader(dst, name); !ok {
			return nil, false
		}
	}
	dst = append(dst, '\n')
	for i, name := range m.signed {
		if i > 0 {
			dst = append(dst, ';')
		}
		dst = append(dst, name...)
	}
	dst = append(dst, '\n')
	return append(dst, m.payload...), true
}

// appendHeader appends the canonical line of one header. The Go server keeps
// the host outside the header map, and a client the content length.
func (m *message) appendHeader(dst []byte, name string) ([]byte, bool) {
	dst = append(dst, name...)
	dst = append(dst, ':')
	switch name {
	case "host":
		dst = append(dst, m.host...)
	case "content-length":
		if m.contentLength < 0 {
			return nil, false
		}
		dst = strconv.AppendInt(dst, m.contentLength, 10)
	default:
		values := m.header[headerKey(name)]
		if len(values) == 0 {
			return nil, false
		}
		for i, value := range values {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, value)
		}
	}
	return append(dst, '\n'), true
}

// appendValue appends a header value without blanks at its ends and with every
// inner run of blanks as one space, also between quotes.
func appendValue(dst []byte, value string) []byte {
	value = strings.Trim(value, " \t")
	blank := false
	for i := range len(value) {
		c := value[i]
		if c == ' ' || c == '\t' {
			blank = true
			continue
		}
		if blank {
			dst = append(dst, ' ')
			blank = false
		}
		dst = append(dst, c)
	}
	return dst
}

// concealed are the headers and parameters whose values nobody is shown.
var concealed = []string{"Authorization", "Cookie", "X-Amz-Security-Token", "X-Amz-Signature"}

// shown returns m as clients and logs may see it.
func (m *message) shown() *message {
	other := *m
	other.header = m.header.Clone()
	for _, name := range concealed {
		if _, ok := other.header[name]; ok {
			other.header[name] = []string{redacted}
		}
	}
	other.params = slices.Clone(m.params)
	for i, p := range other.params {
		if slices.Contains(concealed, p.name) {
			other.params[i].value = redacted
		}
	}
	return &other
}

// headerKeys saves http.CanonicalHeaderKey an allocation for the names that
// clients sign on nearly every request.
var headerKeys = map[string]string{
	"amz-sdk-invocation-id":     "Amz-Sdk-Invocation-Id",
	"amz-sdk-request":           "Amz-Sdk-Request",
	"x-amz-archive-description": "X-Amz-Archive-Description",
	"x-amz-content-sha256":      "X-Amz-Content-Sha256",
	"x-amz-date":                "X-Amz-Date",
	"x-amz-glacier-version":     "X-Amz-Glacier-Version",
	"x-amz-security-token":      "X-Amz-Security-Token",
	"x-amz-sha256-tree-hash":    "X-Amz-Sha256-Tree-Hash",
	"x-amz-user-agent":          "X-Amz-User-Agent",
}

func headerKey(name string) string {
	if key, ok := headerKeys[name]; ok {
		return key
	}
	return http.CanonicalHeaderKey(name)
}

// scope is what a signing key is good for.
type scope struct{ date, region, service string }

func (s scope) String() string {
	return s.date + "/" + s.region + "/" + s.service + "/" + terminator
}

// stringToSign returns the text a signature signs (access-control §1.5).
func stringToSign(timestamp string, s scope, canonical []byte) string {
	sum := sha256.Sum256(canonical)
	text := make([]byte, 0, 192)
	text = append(text, algorithm+"\n"...)
	text = append(text, timestamp...)
	text = append(text, '\n')
	for _, part := range [...]string{s.date, s.region, s.service} {
		text = append(text, part...)
		text = append(text, '/')
	}
	text = append(text, terminator+"\n"...)
	return string(hex.AppendEncode(text, sum[:]))
}

// signingKey derives the key of one scope from a secret.
func signingKey(secret Secret, s scope) [sha256.Size]byte {
	key := sign(append([]byte("AWS4"), secret...), s.date)
	key = sign(key[:], s.region)
	key = sign(key[:], s.service)
	return sign(key[:], terminator)
}

// signature returns the 64 hex digits that a request carries.
func signature(key [sha256.Size]byte, text string) string {
	sum := sign(key[:], text)
	return hex.EncodeToString(sum[:])
}

// sign is HMAC-SHA-256 (RFC 2104). Keys and texts here are short, and crypto/hmac
// allocates two hashes for each of them.
func sign(key []byte, text string) [sha256.Size]byte {
	if len(key) > sha256.BlockSize {
		short := sha256.Sum256(key)
		key = short[:]
	}
	var room [sha256.BlockSize + 192]byte
	block := room[:sha256.BlockSize]
	copy(block, key)
	for i := range block {
		block[i] ^= 0x36
	}
	inner := sha256.Sum256(append(block, text...))
	var outer [sha256.BlockSize + sha256.Size]byte
	copy(outer[:], key)
	for i := range sha256.BlockSize {
		outer[i] ^= 0x5c
	}
	copy(outer[sha256.BlockSize:], inner[:])
	return sha256.Sum256(outer[:])
}
