package wire

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"
)

// EmptyHash is the SHA-256 of nothing.
const EmptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// StampFormat is the basic ISO 8601 form of x-amz-date.
const StampFormat = "20060102T150405Z"

// Credentials is one access key in one region. The zero Service means
// "glacier". A Credentials value may be used by many goroutines.
type Credentials struct {
	KeyID, Secret string
	Region        string
	Service       string
	mu            sync.Mutex
	scope         string // guarded by mu: the scope the cached key is for
	key           []byte // guarded by mu
}

// Signing is one signature about to be made. The zero value of a field means
// what an honest client does.
type Signing struct {
	Stamp       string   // time of the request; StampFormat
	PayloadHash string   // "" takes x-amz-content-sha256, else the body's hash
	Headers     []string // signed header names; nil takes host, date and every x-amz-* header
	Scope       string   // credential scope; "" takes the honest one
	KeyID       string   // "" takes the one of the credentials
}

// Signed is the outcome of signing: the three parts of an Authorization header
// and the digest of the canonical request they cover.
type Signed struct {
	Credential, SignedHeaders, Signature string
	CanonicalHash                        string
}

// Authorization joins the parts in the form the SDKs send.
func (s Signed) Authorization() string {
	return "AWS4-HMAC-SHA256 Credential=" + s.Credential + ", SignedHeaders=" + s.SignedHeaders + ", Signature=" + s.Signature
}

const glacier = "glacier"

func (c *Credentials) service() string { return cmp.Or(c.Service, glacier) }

// Sign adds x-amz-date, the version header of glacier if absent, and
// Authorization to r.
func (c *Credentials) Sign(r *Request, now time.Time) {
	stamp := now.UTC().Format(StampFormat)
	r.Set("x-amz-date", stamp)
	if c.service() == glacier && r.Get("x-amz-glacier-version") == "" {
		r.Set("x-amz-glacier-version", "2012-06-01")
	}
	r.Set("Authorization", c.Make(r, Signing{Stamp: stamp}).Authorization())
}

// Make computes a signature over r as it stands and changes nothing in it.
func (c *Credentials) Make(r *Request, s Signing) Signed {
	scope := cmp.Or(s.Scope, s.Stamp[:min(8, len(s.Stamp))]+"/"+c.Region+"/"+c.service()+"/aws4_request")
	names := s.Headers
	if names == nil {
		names = defaultSigned(r)
	}
	hash := s.PayloadHash
	if hash == "" {
		hash = cmp.Or(r.Get("x-amz-content-sha256"), bodyHash(r.Body))
	}
	canonical := Canonical(r, names, hash)
	digest := sha256.Sum256([]byte(canonical))
	text := "AWS4-HMAC-SHA256\n" + s.Stamp + "\n" + scope + "\n" + hex.EncodeToString(digest[:])
	return Signed{
		Credential:    cmp.Or(s.KeyID, c.KeyID) + "/" + scope,
		SignedHeaders: strings.Join(names, ";"),
		Signature:     hex.EncodeToString(mac(c.signingKey(scope), text)),
		CanonicalHash: hex.EncodeToString(digest[:]),
	}
}

// signingKey derives the key for a scope, remembering the last one.
func (c *Credentials) signingKey(scope string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.key != nil && c.scope == scope {
		return c.key
	}
	key := []byte("AWS4" + c.Secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	c.key, c.scope = key, scope
	return key
}

// Canonical builds the canonical request of access-control §1.4.
func Canonical(r *Request, names []string, payloadHash string) string {
	path, query, _ := strings.Cut(r.Target, "?")
	var b strings.Builder
	b.WriteString(r.Method + "\n" + encode(path, true) + "\n" + canonicalQuery(query) + "\n")
	for _, name := range names {
		var values []string
		for _, f := range r.Fields {
			if strings.EqualFold(f.Name, name) {
				values = append(values, strings.Join(strings.FieldsFunc(f.Value, isBlank), " "))
			}
		}
		b.WriteString(name + ":" + strings.Join(values, ",") + "\n")
	}
	b.WriteString("\n" + strings.Join(names, ";") + "\n" + payloadHash)
	return b.String()
}

func canonicalQuery(raw string) string {
	var pairs [][2]string
	for piece := range strings.SplitSeq(raw, "&") {
		if piece == "" {
			continue
		}
		name, value, _ := strings.Cut(piece, "=")
		if name == "X-Amz-Signature" {
			continue
		}
		pairs = append(pairs, [2]string{encode(decode(name), false), encode(decode(value), false)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		return cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1]))
	})
	parts := make([]string, len(pairs))
	for i, p := range pairs {
		parts[i] = p[0] + "=" + p[1]
	}
	return strings.Join(parts, "&")
}

func defaultSigned(r *Request) []string {
	names := []string{}
	for _, f := range r.Fields {
		n := strings.ToLower(f.Name)
		if n == "host" || n == "content-range" || n == "range" || strings.HasPrefix(n, "x-amz-") {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func bodyHash(body [][]byte) string {
	if len(body) == 0 {
		return EmptyHash
	}
	h := sha256.New()
	for _, piece := range body {
		h.Write(piece)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Encode percent-encodes every byte but the unreserved ones, as a query value.
func Encode(s string) string { return encode(s, false) }

func encode(s string, keepSlash bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9',
			c == '-', c == '_', c == '.', c == '~', c == '/' && keepSlash:
			b.WriteByte(c)
		default:
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

func decode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if v, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				b.Write(v)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isBlank(r rune) bool { return r == ' ' || r == '\t' }

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
