package sigv4

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sign signs an outgoing request at time t: it sets X-Amz-Date,
// Authorization and, for a temporary key, X-Amz-Security-Token. The signature
// covers the host, Content-Type, Content-Range, Range and every X-Amz-* header
// that is set. The payload hash is hex; when it is "" it is that of
// x-amz-content-sha256 if the header is set, else EmptyPayload. Sign does not
// set that header and does not read the body. The only error is a query that
// cannot be decoded.
func Sign(r *http.Request, key Key, region, service string, t time.Time, payloadHash string) error {
	r.Header.Set("X-Amz-Date", basic(t))
	if len(key.Token) > 0 {
		r.Header.Set("X-Amz-Security-Token", string(key.Token))
	}
	if payloadHash == "" {
		payloadHash = EmptyPayload
		if sent := r.Header.Get("X-Amz-Content-Sha256"); sent != "" {
			payloadHash = sent
		}
	}
	m, err := outgoing(r, payloadHash)
	if err != nil {
		return err
	}
	for name := range r.Header {
		if name = strings.ToLower(name); bound(name) {
			m.signed = append(m.signed, name)
		}
	}
	slices.Sort(m.signed)
	s := scopeAt(t, region, service)
	sum := outgoingSignature(m, key, s, t)
	r.Header.Set("Authorization", formatAuthorization(key.ID+"/"+s.String(), strings.Join(m.signed, ";"), sum))
	return nil
}

// Presign turns the request's URL into one that carries its own signature and
// is good for the given time from t, at most seven days. It signs the host and
// an empty body; headers may be added afterwards. The only error is a query
// that cannot be decoded.
func Presign(r *http.Request, key Key, region, service string, t time.Time, life time.Duration) error {
	s := scopeAt(t, region, service)
	query := "X-Amz-Algorithm=" + algorithm +
		"&X-Amz-Credential=" + encode(key.ID+"/"+s.String()) +
		"&X-Amz-Date=" + basic(t) +
		"&X-Amz-Expires=" + strconv.FormatInt(int64(life/time.Second), 10)
	if len(key.Token) > 0 {
		query += "&X-Amz-Security-Token=" + encode(string(key.Token))
	}
	query += "&X-Amz-SignedHeaders=host"
	if r.URL.RawQuery != "" {
		query = r.URL.RawQuery + "&" + query
	}
	target := *r.URL
	target.RawQuery = query
	signed := *r
	signed.URL = &target
	m, err := outgoing(&signed, EmptyPayload)
	if err != nil {
		return err
	}
	target.RawQuery += "&X-Amz-Signature=" + outgoingSignature(m, key, s, t)
	r.URL = &target
	return nil
}

// outgoing returns what the signature of a client's request covers; only the
// host is among the signed headers yet.
func outgoing(r *http.Request, payload string) (*message, error) {
	params, err := splitQuery(r.URL.RawQuery, false)
	if err != nil {
		return nil, err
	}
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	return &message{
		method: cmp.Or(r.Method, http.MethodGet), path: wirePath(r.URL), params: params, host: host,
		contentLength: r.ContentLength, header: r.Header, signed: []string{"host"}, payload: payload,
	}, nil
}

// wirePath returns the path as net/http sends it.
func wirePath(u *url.URL) string {
	if path := u.EscapedPath(); path != "" {
		return path
	}
	return "/"
}

func scopeAt(t time.Time, region, service string) scope {
	return scope{date: t.UTC().Format(dateFormat), region: region, service: service}
}

func outgoingSignature(m *message, key Key, s scope, t time.Time) string {
	canonical, ok := appendCanonical(nil, m)
	if !ok {
		panic("sigv4: a header vanished while it was signed")
	}
	return signature(signingKey(key.Secret, s), stringToSign(basic(t), s, canonical))
}
