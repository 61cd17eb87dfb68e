package load

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strconv"
	"time"
)

// Head is a request without its body. Path and Query go out as they are and
// must be in the form Signature Version 4 signs: escaped, parameters sorted.
type Head struct {
	Method, Path, Query string
	Host                string
	// Signed fields have lower-case names that come after "host" in byte order
	// and are sorted; an x-amz-date among them is given its value here.
	Signed []Field
	Plain  []Field // fields that are not signed
	Hash   string  // SHA-256 of the body, in hex
	Length int64   // of the body; negative: no Content-Length
}

// Field is one header line.
type Field struct{ Name, Value string }

// dateField is the field a Signer gives its value.
const dateField = "x-amz-date"

// Signer writes signed heads. It is used by one goroutine at a time.
type Signer struct {
	keyID, secret, region, service string

	second int64  // the stamp is of this second
	stamp  string // of now
	scope  string // of today
	mac    hash.Hash
	digest [sha256.Size]byte
	text   []byte
}

// NewSigner makes a signer for one access key, region and service.
func NewSigner(keyID, secret, region, service string) *Signer {
	return &Signer{keyID: keyID, secret: secret, region: region, service: service}
}

// Append appends the head of a signed request to dst.
func (s *Signer) Append(dst []byte, h *Head, now time.Time) []byte {
	s.keep(now)
	dst = append(dst, h.Method...)
	dst = append(dst, ' ')
	dst = append(dst, h.Path...)
	if h.Query != "" {
		dst = append(dst, '?')
		dst = append(dst, h.Query...)
	}
	dst = append(dst, " HTTP/1.1\r\nhost: "...)
	dst = append(dst, h.Host...)
	for _, f := range h.Signed {
		dst = appendField(dst, f.Name, s.value(f))
	}
	for _, f := range h.Plain {
		dst = appendField(dst, f.Name, f.Value)
	}
	if h.Length >= 0 {
		dst = append(dst, "\r\ncontent-length: "...)
		dst = strconv.AppendInt(dst, h.Length, 10)
	}
	dst = append(dst, "\r\nauthorization: AWS4-HMAC-SHA256 Credential="...)
	dst = append(dst, s.keyID...)
	dst = append(dst, '/')
	dst = append(dst, s.scope...)
	dst = append(dst, ", SignedHeaders="...)
	dst = appendNames(dst, h.Signed)
	dst = append(dst, ", Signature="...)
	dst = s.appendSignature(dst, h)
	return append(dst, "\r\n\r\n"...)
}

func (s *Signer) appendSignature(dst []byte, h *Head) []byte {
	t := append(s.text[:0], h.Method...)
	t = append(t, '\n')
	t = append(t, h.Path...)
	t = append(t, '\n')
	t = append(t, h.Query...)
	t = append(t, "\nhost:"...)
	t = append(t, h.Host...)
	t = append(t, '\n')
	for _, f := range h.Signed {
		t = append(t, f.Name...)
		t = append(t, ':')
		t = append(t, s.value(f)...)
		t = append(t, '\n')
	}
	t = append(t, '\n')
	t = appendNames(t, h.Signed)
	t = append(t, '\n')
	t = append(t, h.Hash...)
	s.digest = sha256.Sum256(t)
	t = append(t[:0], "AWS4-HMAC-SHA256\n"...)
	t = append(t, s.stamp...)
	t = append(t, '\n')
	t = append(t, s.scope...)
	t = append(t, '\n')
	t = hex.AppendEncode(t, s.digest[:])
	s.text = t
	s.mac.Reset()
	s.mac.Write(t)
	return hex.AppendEncode(dst, s.mac.Sum(s.digest[:0]))
}

func (s *Signer) value(f Field) string {
	if f.Name == dateField {
		return s.stamp
	}
	return f.Value
}

// keep renews the stamp each second and the key each day.
func (s *Signer) keep(now time.Time) {
	if now.Unix() == s.second {
		return
	}
	s.second = now.Unix()
	s.stamp = now.UTC().Format("20060102T150405Z")
	scope := s.stamp[:8] + "/" + s.region + "/" + s.service + "/aws4_request"
	if scope == s.scope {
		return
	}
	s.scope = scope
	key := []byte("AWS4" + s.secret)
	for _, part := range []string{s.stamp[:8], s.region, s.service, "aws4_request"} {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(part))
		key = m.Sum(nil)
	}
	s.mac = hmac.New(sha256.New, key)
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, '\r', '\n')
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	return append(dst, value...)
}

func appendNames(dst []byte, fields []Field) []byte {
	dst = append(dst, "host"...)
	for _, f := range fields {
		dst = append(dst, ';')
		dst = append(dst, f.Name...)
	}
	return dst
}
