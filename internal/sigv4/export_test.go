package sigv4

import "net/http"

// Canonical returns the canonical request over plain values.
func Canonical(r *http.Request, target string, signed []string, payload, skip string) (string, bool) {
	path, query := splitTarget(target)
	params, err := splitQuery(query, false)
	if err != nil {
		return "", false
	}
	canonical, ok := appendCanonical(nil, &message{
		method: r.Method, path: path, params: params, skip: skip, host: r.Host,
		contentLength: r.ContentLength, header: r.Header, signed: signed, payload: payload,
	})
	return string(canonical), ok
}

// StringToSign returns the string to sign for a canonical request.
func StringToSign(timestamp, region, service, canonical string) string {
	return stringToSign(timestamp, scope{timestamp[:8], region, service}, []byte(canonical))
}

// Signature signs a string to sign.
func Signature(secret, date, region, service, text string) string {
	return signature(signingKey(Secret(secret), scope{date, region, service}), text)
}

// HMAC is HMAC-SHA-256.
func HMAC(key []byte, text string) [32]byte { return sign(key, text) }

// SigningKey derives the key of a scope.
func SigningKey(secret, date, region, service string) [32]byte {
	return signingKey(Secret(secret), scope{date, region, service})
}

// CanonicalQuery decodes and re-encodes a raw query.
func CanonicalQuery(raw string) (string, error) {
	params, err := splitQuery(raw, false)
	return string(appendQuery(nil, params, "")), err
}

// ParseAuthorization returns the three parts of an Authorization header.
func ParseAuthorization(header string) (parts [3]string, err error) {
	a, err := parseAuthorization(header)
	return [3]string{a.credential, a.signedHeaders, a.signature}, err
}

// FormatAuthorization writes the three parts.
func FormatAuthorization(parts [3]string) string {
	return formatAuthorization(parts[0], parts[1], parts[2])
}

// CachedKeys returns the number of derived keys a verifier holds.
func (v *Verifier) CachedKeys() int {
	v.cache.mu.Lock()
	defer v.cache.mu.Unlock()
	return len(v.cache.entries)
}

const SigningKeysMax = signingKeysMax
