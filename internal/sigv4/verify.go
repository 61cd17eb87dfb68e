package sigv4

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// UnsignedHeaders says what to do with a request that carries x-amz-*,
// Content-Type, Content-Range or Range headers outside its signature.
type UnsignedHeaders uint8

// The policies of auth.unsigned_amz_headers (access-control §1.4).
const (
	AllowUnsigned   UnsignedHeaders = 0 // accept, as the real service does
	TLSOnlyUnsigned UnsignedHeaders = 1 // accept only over TLS
	DenyUnsigned    UnsignedHeaders = 2 // refuse
)

const (
	defaultSkew    = 5 * time.Minute
	defaultMaxBody = 1 << 20
	// AnyRegion in Config.Regions accepts every region.
	AnyRegion = "*"
)

// Config says what a Verifier accepts.
type Config struct {
	// Keys finds access keys. Required.
	Keys Keys
	// Now tells the time; nil means time.Now. It is called when Verify begins,
	// so an upload may take longer than the window.
	Now func() time.Time
	// Services are the services a credential may be scoped to, "glacier";
	// none means every request is refused.
	Services []string
	// Regions are the regions served; none means every request is refused,
	// and AnyRegion as the only one accepts all.
	Regions []string
	// MaxSkew is how far a request's time may be off, either way; zero means
	// five minutes. Whole minutes, because messages count them.
	MaxSkew time.Duration
	// UnsignedHeaders is the policy for headers outside the signature; the
	// zero value accepts them.
	UnsignedHeaders UnsignedHeaders
	// Secure reports whether the client of a request speaks TLS; nil means the
	// connection does.
	Secure func(*http.Request) bool
	// MaxBody bounds the body of an operation that is not streamed, in bytes;
	// zero means 1 MiB.
	MaxBody int64
	// PresignMethods are the methods that may be presigned; none means GET
	// and HEAD.
	PresignMethods []string
	// TooMany is asked before a refusal tells whether there is a key: after row
	// A14 or A15 with unknown, after row A20 without. If it says so, the refusal
	// is row A14b instead, so that whoever tries key ids learns nothing more
	// (access-control §1.13). Nil: never.
	TooMany func(r *http.Request, unknown bool) bool
	// Debug appends the canonical request and the string to sign to the
	// message of row A20. They hold header values, never a key, a token or a
	// signature.
	Debug bool
}

// Verifier checks signatures. It is safe for concurrent use.
type Verifier struct {
	config Config
	cache  *keyCache
}

// New returns a Verifier.
func New(c Config) *Verifier {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.MaxSkew == 0 {
		c.MaxSkew = defaultSkew
	}
	if c.Secure == nil {
		c.Secure = func(r *http.Request) bool { return r.TLS != nil }
	}
	if c.MaxBody == 0 {
		c.MaxBody = defaultMaxBody
	}
	if len(c.PresignMethods) == 0 {
		c.PresignMethods = []string{http.MethodGet, http.MethodHead}
	}
	return &Verifier{config: c, cache: newKeyCache()}
}

// Forget drops what was derived from a key that was deleted. A key with a new
// secret needs no call.
func (v *Verifier) Forget(keyID string) { v.cache.forget(keyID) }

// Result is what a verified request proved.
type Result struct {
	KeyID     string
	Subject   any // Key.Subject as the lookup returned it
	Region    string
	Service   string
	Time      time.Time // when the client signed, to the second
	Presigned bool
	Temporary bool // the key belongs to a session
	// SignedHeaders are the lower-case names under the signature, sorted.
	SignedHeaders []string
	// PayloadHash is the SHA-256 of the body the signature covers. For a
	// streamed operation it is only claimed until CheckPayload has agreed.
	PayloadHash [sha256.Size]byte
	// PayloadHashSent says that the request carried x-amz-content-sha256.
	PayloadHashSent bool
	// Body is the whole body of an operation that is not streamed, with its
	// hash checked; nil when it is empty.
	Body []byte
	// Signature is the request's signature, for a replay check. Do not log it.
	Signature string

	sent string // x-amz-content-sha256 verbatim
}

// Verify checks the signature of a request that CheckTransport has passed.
// With streamed it does not touch the body; without, it reads it. A refusal is
// an *Error; any other error comes from Config.Keys.
//
// The order of the checks decides which error a client sees; the numbers are
// the steps of access-control §1.2.
func (v *Verifier) Verify(ctx context.Context, r *http.Request, streamed bool) (*Result, error) {
	res, err := v.verify(ctx, r, streamed)
	var refusal *Error
	if v.config.TooMany == nil || !errors.As(err, &refusal) {
		return res, err
	}
	unknown := refusal.Row == "A14" || refusal.Row == "A15"
	if (unknown || refusal.Row == "A20") && v.config.TooMany(r, unknown) {
		limited := Refuse("A14b")
		limited.cause = err
		err = limited
	}
	return res, err
}

func (v *Verifier) verify(ctx context.Context, r *http.Request, streamed bool) (*Result, error) {
	now := v.config.Now().UTC().Truncate(time.Second)
	path, query := splitTarget(r.RequestURI)
	params, err := splitQuery(query, false)
	if err != nil {
		return nil, Refuse("T5")
	}
	// Steps 2 to 4.
	a, err := readAuthorization(r, params, v.config.PresignMethods)
	if err != nil {
		return nil, err
	}
	// Steps 5 and 6.
	t, err := v.checkTime(&a, now)
	if err != nil {
		return nil, err
	}
	// Step 7.
	signed := strings.Split(a.signedHeaders, ";")
	if err := v.checkSigned(r, &a, signed); err != nil {
		return nil, err
	}
	// Step 8.
	keyID, s, err := v.checkScope(&a, basic(t))
	if err != nil {
		return nil, err
	}
	// Steps 9 and 10.
	key, err := v.findKey(ctx, keyID, a.token)
	if err != nil {
		return nil, err
	}
	res := &Result{
		KeyID: keyID, Subject: key.Subject, Region: s.region, Service: s.service, Time: t,
		Presigned: a.presigned, Temporary: len(key.Token) > 0, SignedHeaders: signed, Signature: a.signature,
	}
	// Steps 11 and 12.
	if err := v.checkPayload(r, res, streamed); err != nil {
		return nil, err
	}
	// Step 13, and 14 for streamed operations.
	m := &message{
		method: r.Method, path: path, params: params, host: r.Host, contentLength: r.ContentLength,
		header: r.Header, signed: signed, payload: res.sent,
	}
	if a.presigned {
		m.skip = "X-Amz-Signature"
	}
	if err := v.checkSignature(m, key, s, basic(t), a.signature, now); err != nil {
		return nil, err
	}
	if !key.Expires.IsZero() && !now.Before(key.Expires) {
		return nil, Refuse("A16")
	}
	return res, nil
}

// checkTime reads the request's time and compares it with the clock.
func (v *Verifier) checkTime(a *authorization, now time.Time) (time.Time, error) {
	parse := parseBasic
	if a.dateHeader == "date" {
		parse = parseDateHeader
	}
	t, ok := parse(a.date)
	if !ok {
		return time.Time{}, Refuse("A6", Echo(a.date))
	}
	var life time.Duration
	if a.hasExpires {
		var err error
		if life, err = parseExpires(a.expires); err != nil {
			return time.Time{}, err
		}
	}
	return t, checkWindow(t, now, v.config.MaxSkew, life)
}

// checkSigned refuses requests that leave a header out of the signature that
// belongs in it.
func (v *Verifier) checkSigned(r *http.Request, a *authorization, signed []string) error {
	if !slices.Contains(signed, "host") {
		return Refuse("A10")
	}
	must := []string{"x-amz-content-sha256"}
	if !a.presigned {
		must = []string{a.dateHeader, "x-amz-content-sha256", "x-amz-security-token"}
	}
	for _, name := range must {
		if len(r.Header[headerKey(name)]) > 0 && !slices.Contains(signed, name) {
			return Refuse("A11", headerKey(name))
		}
	}
	policy := v.config.UnsignedHeaders
	if policy == AllowUnsigned || policy == TLSOnlyUnsigned && v.config.Secure(r) {
		return nil
	}
	var unsigned []string
	for key := range r.Header {
		name := strings.ToLower(key)
		if bound(name) && !slices.Contains(signed, name) {
			unsigned = append(unsigned, key)
		}
	}
	if len(unsigned) > 0 {
		return Refuse("A11", Echo(slices.Min(unsigned)))
	}
	return nil
}

// bound reports whether a header changes what an operation does.
func bound(name string) bool {
	switch name {
	case "content-type", "content-range", "range":
		return true
	}
	return strings.HasPrefix(name, "x-amz-")
}

// credentialParts counts key id, date, region, service and terminator.
const credentialParts = 5

// checkScope takes the credential apart and compares its scope with what is
// served and with the request's time.
func (v *Verifier) checkScope(a *authorization, timestamp string) (string, scope, error) {
	parts := strings.Split(a.credential, "/")
	if len(parts) != credentialParts {
		return "", scope{}, Refuse("A12", Echo(a.credential))
	}
	s := scope{date: parts[1], region: parts[2], service: parts[3]}
	var wrong []string
	if !v.serves(s.region) {
		wrong = append(wrong, fmt.Sprintf("Credential should be scoped to a valid region, not '%s'.", Echo(s.region)))
		if len(v.config.Regions) > 0 && v.config.Regions[0] != AnyRegion {
			wrong = append(wrong, fmt.Sprintf("This server serves: %s.", strings.Join(v.config.Regions, ", ")))
		}
	}
	if !slices.Contains(v.config.Services, s.service) {
		wrong = append(wrong, fmt.Sprintf("Credential should be scoped to correct service: '%s'.", strings.Join(v.config.Services, "' or '")))
	}
	if parts[4] != terminator {
		wrong = append(wrong, fmt.Sprintf("Credential should be scoped with a valid terminator: '%s', not '%s'.", terminator, Echo(parts[4])))
	}
	if date := timestamp[:len(dateFormat)]; s.date != date {
		wrong = append(wrong, fmt.Sprintf("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.", Echo(s.date), date, timestamp))
	}
	if len(wrong) > 0 {
		return "", scope{}, Refuse("A13", strings.Join(wrong, " "))
	}
	return parts[0], s, nil
}

// regionSizeMax bounds the name of a region that AnyRegion accepts.
const regionSizeMax = 64

func (v *Verifier) serves(region string) bool {
	if slices.Contains(v.config.Regions, AnyRegion) {
		plain := func(c rune) bool { return c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') }
		return region != "" && len(region) <= regionSizeMax && !strings.ContainsFunc(region, plain)
	}
	return slices.Contains(v.config.Regions, region)
}

// tokenSizeMax bounds a session token (access-control §1.10).
const tokenSizeMax = 2048

// findKey looks the key up and matches the session token with it.
func (v *Verifier) findKey(ctx context.Context, keyID, token string) (Key, error) {
	if !validKeyID(keyID) {
		return Key{}, Refuse("A14")
	}
	if len(token) > tokenSizeMax {
		return Key{}, Refuse("A15")
	}
	key, err := v.config.Keys.Lookup(ctx, keyID, token)
	switch {
	case errors.Is(err, ErrUnknownKey) && token != "":
		return Key{}, Refuse("A15")
	case errors.Is(err, ErrUnknownKey):
		return Key{}, Refuse("A14")
	case err != nil:
		return Key{}, fmt.Errorf("look up access key: %w", err)
	case subtle.ConstantTimeCompare(key.Token, []byte(token)) != 1:
		return Key{}, Refuse("A15")
	}
	return key, nil
}

// validKeyID reports whether id is 16 to 128 capital letters and digits.
func validKeyID(id string) bool {
	if len(id) < 16 || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// checkSignature computes the signature of m and compares it with the one sent.
func (v *Verifier) checkSignature(m *message, key Key, s scope, timestamp, sent string, now time.Time) error {
	if !validSignature(sent) || !validSignedHeaders(m.signed) {
		return Refuse("A20")
	}
	canonical, ok := appendCanonical(make([]byte, 0, 1024), m)
	if !ok {
		return Refuse("A20")
	}
	text := stringToSign(timestamp, s, canonical)
	signed := v.cache.get(key, s, now)
	computed, claimed := sign(signed[:], text), [sha256.Size]byte{}
	_, err := hex.Decode(claimed[:], []byte(sent))
	if err == nil && subtle.ConstantTimeCompare(computed[:], claimed[:]) == 1 {
		return nil
	}
	refusal := Refuse("A20")
	if v.config.Debug {
		shown, _ := appendCanonical(nil, m.shown())
		refusal.Message += fmt.Sprintf("\n\nThe Canonical String for this request should have been\n'%s'\n\nThe String-to-Sign should have been\n'%s'\n", shown, text)
	}
	return refusal
}

// validSignature reports whether s is 64 lower-case hex digits.
func validSignature(s string) bool {
	if len(s) != hex.EncodedLen(sha256.Size) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; unhex(c) < 0 || 'A' <= c && c <= 'F' {
			return false
		}
	}
	return true
}

// validSignedHeaders reports whether the names are in canonical form: lower
// case, sorted, each once.
func validSignedHeaders(names []string) bool {
	if len(names) > signedHeadersCountMax {
		return false
	}
	for i, name := range names {
		if name == "" || strings.ToLower(name) != name || i > 0 && names[i-1] >= name {
			return false
		}
	}
	return true
}
