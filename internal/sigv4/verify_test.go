package sigv4_test

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"strings"
	"testing"
	"time"

	"moraine/internal/sigv4"
)

const (
	now      = "20240315T120000Z"
	mismatch = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	invalid  = "The security token included in the request is invalid."
)

// incoming returns a signed request as the server sees it. The edits run
// before signing.
func incoming(method, target, body string, edits ...func(*http.Request)) *http.Request {
	return incomingAs(keys()[keyID], "us-east-1", "glacier", at(now)(), method, target, body, edits...)
}

func incomingAs(key sigv4.Key, region, service string, t time.Time, method, target, body string, edits ...func(*http.Request)) *http.Request {
	r := request(method, target, body)
	r.Header.Set("X-Amz-Glacier-Version", "2012-06-01")
	for _, edit := range edits {
		edit(r)
	}
	sum := sha256.Sum256([]byte(body))
	payload := r.Header.Get("X-Amz-Content-Sha256")
	if payload == "" {
		payload = hex.EncodeToString(sum[:])
	}
	if err := sigv4.Sign(r, key, region, service, t, payload); err != nil {
		panic(err)
	}
	return r
}

// presigned returns a presigned GET signed at t, with any query added before.
func presigned(query string, t time.Time, life time.Duration) *http.Request {
	r := request("GET", "/-/vaults"+query, "")
	if err := sigv4.Presign(r, keys()[keyID], "us-east-1", "glacier", t, life); err != nil {
		panic(err)
	}
	r.RequestURI = r.URL.RequestURI()
	return r
}

func request(method, target, body string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "localhost:8443"
	if body != "" {
		r.Header.Set("Content-Length", fmt.Sprint(len(body)))
	}
	return r
}

func get(edits ...func(*http.Request)) *http.Request {
	return incoming("GET", "/-/vaults", "", edits...)
}

func set(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// after edits a request that is already signed.
func after(r *http.Request, edits ...func(*http.Request)) *http.Request {
	for _, edit := range edits {
		edit(r)
	}
	return r
}

// swap replaces text in the Authorization header.
func swap(from, to string) func(*http.Request) {
	return func(r *http.Request) {
		r.Header.Set("Authorization", strings.ReplaceAll(r.Header.Get("Authorization"), from, to))
	}
}

func target(edit func(string) string) func(*http.Request) {
	return func(r *http.Request) { r.RequestURI = edit(r.RequestURI) }
}

func cut(piece string) func(*http.Request) {
	return target(func(s string) string { return strings.Replace(s, piece, "", 1) })
}

func add(piece string) func(*http.Request) {
	return target(func(s string) string { return s + piece })
}

func remove(name string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Del(name) }
}

func signedAt(basic string) *http.Request {
	return incomingAs(keys()[keyID], "us-east-1", "glacier", at(basic)(), "GET", "/-/vaults", "")
}

func scoped(region, service string) *http.Request {
	return incomingAs(keys()[keyID], region, service, at(now)(), "GET", "/-/vaults", "")
}

// TestCatalogue has at least one request for every row of access-control
// §1.11 that this package decides.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	const (
		m400, m403, m408 = http.StatusBadRequest, http.StatusForbidden, http.StatusRequestTimeout

		incomplete = "IncompleteSignatureException"
		badSig     = "InvalidSignatureException"
		badParam   = "InvalidParameterValueException"
		missing    = "MissingParameterValueException"
		unknown    = "UnrecognizedClientException"
	)
	long := strings.Repeat("x", 300)
	upload := func(edits ...func(*http.Request)) *http.Request {
		return incoming("POST", "/-/vaults/v/archives", "abc", edits...)
	}
	sum := sha256.Sum256([]byte("abc"))
	hash := hex.EncodeToString(sum[:])
	sentHash := set("X-Amz-Content-Sha256", hash)
	tests := []struct {
		name     string
		r        *http.Request
		streamed bool
		row      string
		status   int
		code     string
		message  string
	}{
		{"T1", after(get(), func(r *http.Request) { r.TransferEncoding = []string{"chunked"} }), false, "T1", m400, "BadRequest", "Transfer-Encoding is not supported"},
		{"T2 absolute", after(get(), func(r *http.Request) { r.RequestURI = "http://h/-/vaults" }), false, "T2", m400, "BadRequest", "Invalid request target"},
		{"T2 star", after(get(), func(r *http.Request) { r.RequestURI = "*" }), false, "T2", m400, "BadRequest", "Invalid request target"},
		{"T3 authorization", after(get(), func(r *http.Request) { r.Header.Add("Authorization", "x") }), false, "T3", m400, "BadRequest", "Header Authorization must appear only once"},
		{"T3 date", after(get(), func(r *http.Request) { r.Header.Add("X-Amz-Date", now) }), false, "T3", m400, "BadRequest", "Header x-amz-date must appear only once"},
		{"T4", after(get(), func(r *http.Request) { r.RequestURI = "/-/vaults/" }), false, "T4", m400, badParam, "Invalid request path"},
		{"T5", after(get(), add("?a=%zz")), false, "T5", m400, "BadRequest", "Invalid query string"},
		{"T6", incoming("POST", "/-/vaults/v/jobs", strings.Repeat("x", 1<<20+1)), false, "T6", m400, "BadRequest", "Request body too large"},
		{"T6 length unknown", after(incoming("POST", "/-/vaults/v/jobs", strings.Repeat("x", 1<<20+1)), func(r *http.Request) { r.ContentLength = -1 }), false, "T6", m400, "BadRequest", "Request body too large"},
		{"T7", after(incoming("POST", "/-/vaults/v/jobs", "{}"), func(r *http.Request) { r.ContentLength = 3 }), false, "T7", m408, "RequestTimeoutException", "Request timed out."},
		{"T9", after(upload(), func(r *http.Request) { r.ContentLength = 0; r.Header.Del("Content-Length") }), true, "T9", m400, missing, "Required parameter missing: Content-Length"},
		{"T10", after(get(), set("Range", "bytes=é")), false, "T10", m400, badParam, "Invalid Range: value must be printable ASCII"},
		{"T11", after(get(), add("?"+strings.Repeat("a", 8<<10+1))), false, "T11", m400, "BadRequest", "Query string is too large"},
		{"T11 coding", after(get(), set("Content-Encoding", "gzip")), false, "T11", m400, "BadRequest", "Content-Encoding is not supported"},

		{"A1", request("GET", "/-/vaults", ""), false, "A1", m400, "MissingAuthenticationTokenException", "Request is missing Authentication Token"},
		{"A1 blank", after(get(), set("Authorization", " ")), false, "A1", m400, "MissingAuthenticationTokenException", "Request is missing Authentication Token"},
		{"A2", after(get(), add("?X-Amz-Algorithm=AWS4-HMAC-SHA256")), false, "A2", m403, badSig, "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."},
		{"A2b", after(presigned("", at(now)(), time.Minute), func(r *http.Request) { r.Method = "DELETE" }), false, "A2b", m403, "AccessDeniedException", "Query authentication is not allowed for this operation"},
		{"A2c", after(presigned("", at(now)(), time.Minute), func(r *http.Request) { r.ContentLength = 3 }), false, "A2c", m400, badParam, "Invalid Content-Length: 3"},
		{"A2c length unknown", after(presigned("", at(now)(), time.Minute), func(r *http.Request) { r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader("abc")) }), false, "A2c", m400, badParam, "Invalid Content-Length: 3"},
		{"A3", after(get(), set("Authorization", "Bearer abc")), false, "A3", m400, incomplete, "Unsupported AWS 'algorithm': 'Bearer'."},
		{"A3 asymmetric", after(get(), swap("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")), false, "A3", m400, incomplete, "Unsupported AWS 'algorithm': 'AWS4-ECDSA-P256-SHA256'."},
		{"A3 long", after(get(), set("Authorization", long)), false, "A3", m400, incomplete, "Unsupported AWS 'algorithm': '" + long[:200] + "'."},
		{"A3 presigned", after(presigned("", at(now)(), time.Minute), target(func(s string) string { return strings.Replace(s, "HMAC", "RSA", 1) })), false, "A3", m400, incomplete, "Unsupported AWS 'algorithm': 'AWS4-RSA-SHA256'."},
		{"A4", after(get(), set("Authorization", "AWS4-HMAC-SHA256 Credential=a/b, oops, Signature=0123")), false, "A4", m400, incomplete, "'oops' not a valid key=value pair (missing equal-sign) in Authorization header: 'AWS4-HMAC-SHA256 Credential=a/b, oops, SignatureREDACTED'."},
		{"A4 signature", after(get(), set("Authorization", "AWS4-HMAC-SHA256 Credential=a, "+hash)), false, "A4", m400, incomplete, "'REDACTED' not a valid key=value pair (missing equal-sign) in Authorization header: 'AWS4-HMAC-SHA256 Credential=a, REDACTED'."},
		{"A5 all", after(get(), set("Authorization", "AWS4-HMAC-SHA256"), remove("X-Amz-Date")), false, "A5", m400, incomplete, "Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4-HMAC-SHA256"},
		{"A5 one", after(get(), swap("Signature=", "signature=")), false, "A5", m400, incomplete, "Authorization header requires 'Signature' parameter. Authorization=AWS4-HMAC-SHA256"},
		{"A5 repeated", after(get(), swap(", Signature=", ", Credential=a, Signature=")), false, "A5", m400, incomplete, "Authorization header requires 'Credential' parameter. Authorization=AWS4-HMAC-SHA256"},
		{"A5q", after(presigned("", at(now)(), time.Minute), cut("X-Amz-Date="+now+"&"), cut("&X-Amz-SignedHeaders=host")), false, "A5q", m400, incomplete, "AWS query-string parameters must include 'X-Amz-SignedHeaders'. AWS query-string parameters must include 'X-Amz-Date'. Re-examine the query-string parameters."},
		{"A5q repeated", after(presigned("", at(now)(), time.Minute), add("&X-Amz-Expires=900")), false, "A5q", m400, incomplete, "AWS query-string parameters must include 'X-Amz-Expires'. Re-examine the query-string parameters."},
		{"A6", after(get(), set("X-Amz-Date", "2024-03-15T12:00:00Z")), false, "A6", m400, incomplete, "Date must be in ISO-8601 'basic format'. Got '2024-03-15T12:00:00Z'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{"A6 impossible", after(get(), set("X-Amz-Date", "20240231T120000Z")), false, "A6", m400, incomplete, "Date must be in ISO-8601 'basic format'. Got '20240231T120000Z'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{"A6 RFC 1123 in x-amz-date", after(get(), set("X-Amz-Date", "Fri, 15 Mar 2024 12:00:00 GMT")), false, "A6", m400, incomplete, "Date must be in ISO-8601 'basic format'. Got 'Fri, 15 Mar 2024 12:00:00 GMT'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{"A6 zone name", after(get(), remove("X-Amz-Date"), set("Date", "Fri, 15 Mar 2024 12:00:00 PST")), false, "A6", m400, incomplete, "Date must be in ISO-8601 'basic format'. Got 'Fri, 15 Mar 2024 12:00:00 PST'. See http://en.wikipedia.org/wiki/ISO_8601"},
		{"A7", signedAt("20240315T115459Z"), false, "A7", m403, badSig, "Signature expired: 20240315T115459Z is now earlier than 20240315T115500Z (20240315T120000Z - 5 min.)"},
		{"A8", signedAt("20240315T120501Z"), false, "A8", m403, badSig, "Signature not yet current: 20240315T120501Z is still later than 20240315T120500Z (20240315T120000Z + 5 min.)"},
		{"A8 presigned", presigned("", at("20240315T120501Z")(), time.Hour), false, "A8", m403, badSig, "Signature not yet current: 20240315T120501Z is still later than 20240315T120500Z (20240315T120000Z + 5 min.)"},
		{"A9", presigned("", at("20240315T114459Z")(), 15*time.Minute), false, "A9", m403, badSig, "Signature expired: 20240315T115959Z is now earlier than 20240315T120000Z"},
		{"A9b zero", presigned("", at(now)(), 0), false, "A9b", m400, incomplete, "X-Amz-Expires must be an integer between 1 and 604800."},
		{"A9b week", presigned("", at(now)(), 604801*time.Second), false, "A9b", m400, incomplete, "X-Amz-Expires must be an integer between 1 and 604800."},
		{"A9b sign", after(presigned("", at(now)(), time.Hour), target(func(s string) string { return strings.Replace(s, "=3600", "=%2B3600", 1) })), false, "A9b", m400, incomplete, "X-Amz-Expires must be an integer between 1 and 604800."},
		{"A9b empty", after(presigned("", at(now)(), time.Hour), cut("3600")), false, "A9b", m400, incomplete, "X-Amz-Expires must be an integer between 1 and 604800."},
		{"A7 without expiry", after(presigned("", at("20240315T115459Z")(), time.Hour), cut("&X-Amz-Expires=3600")), false, "A7", m403, badSig, "Signature expired: 20240315T115459Z is now earlier than 20240315T115500Z (20240315T120000Z - 5 min.)"},
		{"A10", after(get(), swap("host;", "")), false, "A10", m403, badSig, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."},
		{"A11 date", after(get(), swap("x-amz-date;", "")), false, "A11", m403, badSig, "'X-Amz-Date' must be a 'SignedHeader' in the AWS Authorization."},
		{"A11 hash", after(get(), set("X-Amz-Content-Sha256", hash)), false, "A11", m403, badSig, "'X-Amz-Content-Sha256' must be a 'SignedHeader' in the AWS Authorization."},
		{"A11 token", after(get(), set("X-Amz-Security-Token", token)), false, "A11", m403, badSig, "'X-Amz-Security-Token' must be a 'SignedHeader' in the AWS Authorization."},
		{"A11 presigned hash", after(presigned("", at(now)(), time.Hour), set("X-Amz-Content-Sha256", sigv4.EmptyPayload)), false, "A11", m403, badSig, "'X-Amz-Content-Sha256' must be a 'SignedHeader' in the AWS Authorization."},
		{"A12 four", after(get(), swap("/aws4_request", "")), false, "A12", m400, incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '" + keyID + "/20240315/us-east-1/glacier'"},
		{"A12 six", after(get(), swap("Credential=", "Credential=x/")), false, "A12", m400, incomplete, "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'x/" + keyID + "/20240315/us-east-1/glacier/aws4_request'"},
		{"A13 region", scoped("mars-1", "glacier"), false, "A13", m403, badSig, "Credential should be scoped to a valid region, not 'mars-1'. This server serves: us-east-1, eu-central-1."},
		{"A13 service", scoped("us-east-1", "s3"), false, "A13", m403, badSig, "Credential should be scoped to correct service: 'glacier'."},
		{"A13 terminator", after(get(), swap("aws4_request", "aws5")), false, "A13", m403, badSig, "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5'."},
		{"A13 date", after(get(), swap("/20240315/", "/20240314/")), false, "A13", m403, badSig, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20240314' != '20240315', from '20240315T120000Z'."},
		{"A13 two", after(scoped("mars-1", "s3")), false, "A13", m403, badSig, "Credential should be scoped to a valid region, not 'mars-1'. This server serves: us-east-1, eu-central-1. Credential should be scoped to correct service: 'glacier'."},
		{"A14 unknown", after(get(), swap(keyID, "AKIAIOSFODNN7NOTHERE")), false, "A14", m400, unknown, invalid},
		{"A14 malformed", after(get(), swap(keyID, "akiaiosfodnn7example")), false, "A14", m400, unknown, invalid},
		{"A14 short", after(get(), swap(keyID, "AKIDEXAMPLE")), false, "A14", m400, unknown, invalid},
		{"A15 token with a long-term key", get(set("X-Amz-Security-Token", token)), false, "A15", m400, unknown, invalid},
		{"A15 no token", after(get(), swap(keyID, tempKeyID)), false, "A15", m400, unknown, invalid},
		{"A15 other token", after(get(set("X-Amz-Security-Token", "x")), swap(keyID, tempKeyID)), false, "A15", m400, unknown, invalid},
		{"A15 unknown key with a token", after(get(set("X-Amz-Security-Token", "x")), swap(keyID, "ASIAIOSFODNN7NOTHERE")), false, "A15", m400, unknown, invalid},
		{"A15 long token", get(set("X-Amz-Security-Token", strings.Repeat("x", 2049))), false, "A15", m400, unknown, invalid},
		{"A17", upload(), true, "A17", m400, missing, "Required parameter missing: x-amz-content-sha256"},
		{"A18 unsigned", upload(set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")), true, "A18", m400, badParam, "Invalid x-amz-content-sha256 value"},
		{"A18 streaming", upload(set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")), true, "A18", m400, badParam, "Invalid x-amz-content-sha256 value"},
		{"A18 empty", after(upload(sentHash), set("X-Amz-Content-Sha256", "")), true, "A18", m400, badParam, "Invalid x-amz-content-sha256 value"},
		{"A18 not hex", upload(set("X-Amz-Content-Sha256", "g"+hash[1:])), true, "A18", m400, badParam, "Invalid x-amz-content-sha256 value"},
		{"A18 JSON operation", upload(set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")), false, "A18", m400, badParam, "Invalid x-amz-content-sha256 value"},
		{"A19", after(upload(sentHash), func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("abd")) }), false, "A19", m403, badSig, "The value passed in as x-amz-content-sha256 does not match the computed payload hash. Computed digest: a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9 expected hash: " + hash},
		{"A20", after(get(), set("X-Amz-Glacier-Version", "2012-06-02")), false, "A20", m403, badSig, mismatch},
		{"A20 body", after(incoming("POST", "/-/vaults/v/jobs", "{}"), func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("[]")) }), false, "A20", m403, badSig, mismatch},
		{"A20 body on GET", after(get(), func(r *http.Request) { r.ContentLength, r.Body = -1, io.NopCloser(strings.NewReader("x")) }), false, "A20", m403, badSig, mismatch},
		{"A20 signed header absent", after(get(), remove("X-Amz-Glacier-Version")), false, "A20", m403, badSig, mismatch},
		{"A20 order", after(get(), swap("host;x-amz-date", "x-amz-date;host")), false, "A20", m403, badSig, mismatch},
		{"A20 case", after(get(), swap("x-amz-glacier-version", "X-Amz-Glacier-Version")), false, "A20", m403, badSig, mismatch},
		{"A20 twice", after(get(), swap("host;", "host;host;")), false, "A20", m403, badSig, mismatch},
		{"A20 empty name", after(get(), swap("host;", ";host;")), false, "A20", m403, badSig, mismatch},
		{"A20 short signature", after(get(), func(r *http.Request) {
			h := r.Header.Get("Authorization")
			r.Header.Set("Authorization", h[:len(h)-1])
		}), false, "A20", m403, badSig, mismatch},
		{"A20 presigned", after(presigned("", at(now)(), time.Hour), add("&limit=1")), false, "A20", m403, badSig, mismatch},
	}
	v := sigv4.New(config(now))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := sigv4.CheckTransport(tt.r)
			if err == nil {
				_, err = v.Verify(t.Context(), tt.r, tt.streamed)
			}
			refusal := wantRow(t, err, tt.row)
			if refusal.Status != tt.status || refusal.Code != tt.code || refusal.Message != tt.message {
				t.Errorf("got  %d %s %s\nwant %d %s %s", refusal.Status, refusal.Code, refusal.Message, tt.status, tt.code, tt.message)
			}
		})
	}
}

func TestCallersRows(t *testing.T) {
	t.Parallel()
	tests := []struct {
		got     *sigv4.Error
		status  int
		code    string
		message string
	}{
		{sigv4.Refuse("A21"), 400, "MissingParameterValueException", "Required parameter missing: API version"},
		{sigv4.Refuse("A21b", "2011"), 400, "InvalidParameterValueException", "Unsupported API version: 2011"},
		{sigv4.Refuse("A22", "1%s2"), 403, "AccessDeniedException", "Access denied for account ID: 1%s2"},
		{sigv4.Refuse("A23", "no"), 403, "AccessDeniedException", "no"},
	}
	for _, tt := range tests {
		if tt.got.Status != tt.status || tt.got.Code != tt.code || tt.got.Message != tt.message {
			t.Errorf("got %+v, want %d %s %s", tt.got, tt.status, tt.code, tt.message)
		}
		if want := tt.code + ": " + tt.message; tt.got.Error() != want {
			t.Errorf("Error() = %q, want %q", tt.got.Error(), want)
		}
	}
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte("abc"))
	tests := []struct {
		name     string
		r        *http.Request
		streamed bool
	}{
		{"five minutes ago", signedAt("20240315T115500Z"), false},
		{"five minutes ahead", signedAt("20240315T120500Z"), false},
		{"upper-case hash, streamed", incoming("POST", "/-/vaults/v/archives", "abc", set("X-Amz-Content-Sha256", fmt.Sprintf("%X", sum))), true},
		{"upper-case hash, read", incoming("POST", "/-/vaults/v/jobs", "abc", set("X-Amz-Content-Sha256", fmt.Sprintf("%X", sum))), false},
		{"spaces between parts", after(get(), swap(", ", " ,\t  ")), false},
		{"no spaces between parts", after(get(), swap(", ", ",")), false},
		{"unknown part", after(get(), swap(", Signature=", ", Extra=a=b, Signature=")), false},
		{"unsigned header", after(get(), set("Amz-Sdk-Request", "attempt=1"), set("Content-Type", "text/plain")), false},
		{"presigned, last second", presigned("", at("20240315T114500Z")(), 15*time.Minute), false},
		{"presigned, a week", presigned("?limit=3", at("20240308T120000Z")(), 7*24*time.Hour), false},
		{"X-Amz-Signature beside a header signature", incoming("GET", "/-/vaults?X-Amz-Signature=x", ""), false},
	}
	v := sigv4.New(config(now))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if err := sigv4.CheckTransport(tt.r); err != nil {
				t.Fatalf("CheckTransport = %v", err)
			}
			res, err := v.Verify(t.Context(), tt.r, tt.streamed)
			if err != nil {
				t.Fatalf("Verify = %v", err)
			}
			if tt.streamed {
				if err := res.CheckPayload(sum); err != nil {
					t.Errorf("CheckPayload = %v", err)
				}
			}
		})
	}
}

// TestSessionExpiry checks that a session's end shows only to a caller whose
// signature is good.
func TestSessionExpiry(t *testing.T) {
	t.Parallel()
	key := keys()[tempKeyID]
	key.Expires = at(now)()
	cfg := config(now)
	cfg.Keys = keyring{tempKeyID: key}
	v := sigv4.New(cfg)
	r := incomingAs(key, "us-east-1", "glacier", at(now)(), "GET", "/-/vaults", "")
	_, err := v.Verify(t.Context(), r, false)
	refusal := wantRow(t, err, "A16")
	if refusal.Status != 403 || refusal.Code != "ExpiredTokenException" || refusal.Message != "The security token included in the request is expired" {
		t.Errorf("refusal %+v", refusal)
	}
	_, err = v.Verify(t.Context(), after(r, set("X-Amz-Glacier-Version", "x")), false)
	wantRow(t, err, "A20")

	key.Expires = key.Expires.Add(time.Second)
	cfg.Keys = keyring{tempKeyID: key}
	r = incomingAs(key, "us-east-1", "glacier", at(now)(), "GET", "/-/vaults", "")
	if _, err := sigv4.New(cfg).Verify(t.Context(), r, false); err != nil {
		t.Errorf("a second before the end: %v", err)
	}
}

type failReader struct{ t *testing.T }

func (f failReader) Read([]byte) (int, error) {
	f.t.Error("the body was read")
	return 0, io.ErrUnexpectedEOF
}

// TestStreamedBodyIsNotTouched covers acceptance and refusals alike.
func TestStreamedBodyIsNotTouched(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte("abc"))
	v := sigv4.New(config(now))
	for _, edit := range []func(*http.Request){
		func(*http.Request) {},
		swap("us-east-1", "mars-1"),
		set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"),
		set("X-Amz-Glacier-Version", "x"),
	} {
		r := incoming("POST", "/-/vaults/v/archives", "abc", set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:])))
		r.Body = io.NopCloser(failReader{t})
		v.Verify(t.Context(), after(r, edit), true)
	}
	r := incoming("POST", "/-/vaults/v/jobs", "abc", set("X-Amz-Content-Sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"))
	r.Body = io.NopCloser(failReader{t})
	_, err := v.Verify(t.Context(), r, false)
	wantRow(t, err, "A18")
}

func TestUnsignedHeaderPolicy(t *testing.T) {
	t.Parallel()
	overTLS := func(r *http.Request) { r.TLS = &tls.ConnectionState{} }
	nothing := func(*http.Request) {}
	tests := []struct {
		policy  sigv4.UnsignedHeaders
		edit    func(*http.Request)
		header  string
		message string // empty: accepted
	}{
		{sigv4.AllowUnsigned, nothing, "X-Amz-Archive-Description", ""},
		{sigv4.TLSOnlyUnsigned, overTLS, "X-Amz-Archive-Description", ""},
		{sigv4.TLSOnlyUnsigned, nothing, "X-Amz-Archive-Description", "'X-Amz-Archive-Description' must be a 'SignedHeader' in the AWS Authorization."},
		{sigv4.DenyUnsigned, overTLS, "Range", "'Range' must be a 'SignedHeader' in the AWS Authorization."},
		{sigv4.DenyUnsigned, overTLS, "Content-Type", "'Content-Type' must be a 'SignedHeader' in the AWS Authorization."},
		{sigv4.DenyUnsigned, overTLS, "Amz-Sdk-Request", ""},
		{sigv4.DenyUnsigned, overTLS, "User-Agent", ""},
	}
	for _, tt := range tests {
		cfg := config(now)
		cfg.UnsignedHeaders = tt.policy
		_, err := sigv4.New(cfg).Verify(t.Context(), after(get(), tt.edit, set(tt.header, "x")), false)
		if tt.message == "" {
			if err != nil {
				t.Errorf("policy %d, %s: %v", tt.policy, tt.header, err)
			}
			continue
		}
		if refusal := wantRow(t, err, "A11"); refusal.Message != tt.message {
			t.Errorf("policy %d: %s", tt.policy, refusal.Message)
		}
	}
	// Behind a proxy the connection does not tell whether the client speaks TLS.
	for _, secure := range []bool{true, false} {
		cfg := config(now)
		cfg.UnsignedHeaders = sigv4.TLSOnlyUnsigned
		cfg.Secure = func(*http.Request) bool { return secure }
		_, err := sigv4.New(cfg).Verify(t.Context(), after(get(), overTLS, set("Range", "x")), false)
		if (err == nil) != secure {
			t.Errorf("a proxy says that TLS is %v: %v", secure, err)
		}
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	t.Run("admin window", func(t *testing.T) {
		t.Parallel()
		cfg := config(now)
		cfg.Services, cfg.Regions, cfg.MaxSkew = []string{"iam", "sts"}, []string{sigv4.AnyRegion}, 15*time.Minute
		v := sigv4.New(cfg)
		form := func(basic, region, service string) *http.Request {
			return incomingAs(keys()[keyID], region, service, at(basic)(), "POST", "/", "Action=GetUser")
		}
		r := form("20240315T114500Z", "us-gov-9", "sts")
		if err := sigv4.CheckTransport(r); err != nil {
			t.Errorf("CheckTransport = %v", err)
		}
		if _, err := v.Verify(t.Context(), r, false); err != nil {
			t.Errorf("Verify = %v", err)
		}
		_, err := v.Verify(t.Context(), form("20240315T114459Z", "us-east-1", "iam"), false)
		if refusal := wantRow(t, err, "A7"); !strings.HasSuffix(refusal.Message, "- 15 min.)") {
			t.Errorf("message %q", refusal.Message)
		}
		_, err = v.Verify(t.Context(), form(now, "Mars!", "glacier"), false)
		want := "Credential should be scoped to a valid region, not 'Mars!'. Credential should be scoped to correct service: 'iam' or 'sts'."
		if refusal := wantRow(t, err, "A13"); refusal.Message != want {
			t.Errorf("message %q, want %q", refusal.Message, want)
		}
	})
	t.Run("presign methods", func(t *testing.T) {
		t.Parallel()
		cfg := config(now)
		cfg.PresignMethods = []string{"DELETE"}
		_, err := sigv4.New(cfg).Verify(t.Context(), after(presigned("", at(now)(), time.Hour), func(r *http.Request) { r.Method = "DELETE" }), false)
		wantRow(t, err, "A20")
		_, err = sigv4.New(cfg).Verify(t.Context(), presigned("", at(now)(), time.Hour), false)
		wantRow(t, err, "A2b")
	})
	t.Run("debug", func(t *testing.T) {
		t.Parallel()
		cfg := config(now)
		cfg.Debug = true
		_, err := sigv4.New(cfg).Verify(t.Context(), after(get(), set("X-Amz-Glacier-Version", "x")), false)
		refusal := wantRow(t, err, "A20")
		for _, part := range []string{mismatch, "x-amz-glacier-version:x\n", "20240315/us-east-1/glacier/aws4_request\n"} {
			if !strings.Contains(refusal.Message, part) {
				t.Errorf("message %q lacks %q", refusal.Message, part)
			}
		}
	})
	t.Run("debug hides", func(t *testing.T) {
		t.Parallel()
		cfg := config(now)
		cfg.Debug = true
		temporary := keys()[tempKeyID]
		token := string(temporary.Token)
		url := request("GET", "/-/vaults?X-Amz-Glacier-Version=2012-06-01", "")
		if err := sigv4.Presign(url, temporary, "us-east-1", "glacier", at(now)(), time.Hour); err != nil {
			t.Fatal(err)
		}
		url.RequestURI = url.URL.RequestURI()
		for name, r := range map[string]*http.Request{
			"header": after(incomingAs(temporary, "us-east-1", "glacier", at(now)(), "GET", "/-/vaults", ""), set("X-Amz-Glacier-Version", "x")),
			"query":  after(url, add("&x=y")),
			// Nobody signs these, but anybody may claim to.
			"other headers": after(get(set("Cookie", "sesame")), swap("host;", "authorization;cookie;host;")),
			"signature":     after(get(), add("?X-Amz-Signature=sesame")),
		} {
			_, err := sigv4.New(cfg).Verify(t.Context(), r, false)
			refusal := wantRow(t, err, "A20")
			signature := r.Header.Get("Authorization")
			signature = signature[strings.LastIndex(signature, "=")+1:]
			if i := strings.Index(r.RequestURI, "X-Amz-Signature="); i >= 0 && signature == "" {
				signature = r.RequestURI[i+len("X-Amz-Signature="):][:64]
			}
			for _, secret := range []string{token, neturl.QueryEscape(token), "sesame", signature} {
				if strings.Contains(refusal.Message, secret) {
					t.Errorf("%s: %q holds %q", name, refusal.Message, secret)
				}
			}
			if !strings.Contains(refusal.Message, "REDACTED") {
				t.Errorf("%s: %q does not say that something is left out", name, refusal.Message)
			}
		}
	})
	t.Run("nothing served", func(t *testing.T) {
		t.Parallel()
		_, err := sigv4.New(sigv4.Config{Keys: keys(), Now: at(now)}).Verify(t.Context(), get(), false)
		wantRow(t, err, "A13")
	})
}

func TestBodyFaultKeepsItsCause(t *testing.T) {
	t.Parallel()
	r := after(incoming("POST", "/-/vaults/v/jobs", "{}"), func(r *http.Request) { r.ContentLength = 3 })
	_, err := sigv4.New(config(now)).Verify(t.Context(), r, false)
	wantRow(t, err, "T7")
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v does not wrap its cause", err)
	}
}

func TestScopeService(t *testing.T) {
	t.Parallel()
	tests := []struct {
		r    *http.Request
		want string
	}{
		{get(), "glacier"},
		{scoped("us-east-1", "iam"), "iam"},
		{presigned("", at(now)(), time.Hour), "glacier"},
		{request("GET", "/", ""), ""},
		{after(get(), set("Authorization", "AWS4-HMAC-SHA256 Credential=a/b")), ""},
		{after(request("GET", "/", ""), add("?X-Amz-Credential=%zz")), ""},
	}
	for _, tt := range tests {
		if got := sigv4.ScopeService(tt.r); got != tt.want {
			t.Errorf("ScopeService(%q, %q) = %q, want %q", tt.r.Header.Get("Authorization"), tt.r.RequestURI, got, tt.want)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	sum := sha256.Sum256([]byte("abc"))
	digest := hex.EncodeToString(sum[:])
	for name, r := range map[string]*http.Request{
		"get":  get(),
		"list": incoming("GET", "/-/vaults?limit=10&marker=arn%3Aaws%3Aglacier", ""),
		// What an SDK sends with an archive.
		"upload": incoming("POST", "/-/vaults/photos-2024/archives", "abc",
			set("X-Amz-Content-Sha256", digest), set("X-Amz-Sha256-Tree-Hash", digest), set("X-Amz-Archive-Description", "holiday pictures, August"),
			set("User-Agent", "aws-sdk-go-v2/1.41.5 ua/2.1 os/linux lang/go#1.26 md/GOOS#linux api/glacier#1.33.0"),
			set("Content-Type", "application/octet-stream"), set("Accept-Encoding", "identity")),
	} {
		b.Run(name, func(b *testing.B) {
			v := sigv4.New(config(now))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), r, name == "upload"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestTooMany checks which refusals ask whether there were too many, and what
// they become.
func TestTooMany(t *testing.T) {
	t.Parallel()
	stranger := keys()[keyID]
	stranger.ID = "AKIANOBODYNOBODYNOB1"
	session := keys()[tempKeyID]
	session.Token = sigv4.Secret("forged")
	for _, row := range []struct {
		name    string
		request func() *http.Request
		row     string // "" if it is accepted
		asked   bool
		unknown bool
	}{
		{"good", func() *http.Request { return get() }, "", false, false},
		{"unknown key", func() *http.Request {
			return incomingAs(stranger, "us-east-1", "glacier", at(now)(), "GET", "/-/vaults", "")
		}, "A14", true, true},
		{"forged token", func() *http.Request {
			return incomingAs(session, "us-east-1", "glacier", at(now)(), "GET", "/-/vaults", "")
		}, "A15", true, true},
		{"wrong signature", func() *http.Request { return after(get(), set("X-Amz-Glacier-Version", "x")) }, "A20", true, false},
		{"old", func() *http.Request { return signedAt("20240315T110000Z") }, "A7", false, false},
		{"no signature", func() *http.Request { return after(get(), remove("Authorization")) }, "A1", false, false},
	} {
		for _, many := range []bool{false, true} {
			asked, unknown := false, false
			cfg := config(now)
			cfg.TooMany = func(_ *http.Request, u bool) bool {
				asked, unknown = true, u
				return many
			}
			_, err := sigv4.New(cfg).Verify(t.Context(), row.request(), false)
			switch {
			case row.row == "" && err != nil:
				t.Errorf("%s: %v", row.name, err)
			case row.row != "" && row.asked && many:
				wantRow(t, err, "A14b")
			case row.row != "":
				wantRow(t, err, row.row)
			}
			if asked != row.asked || unknown != row.unknown {
				t.Errorf("%s: asked %v, of an unknown key %v", row.name, asked, unknown)
			}
		}
	}
}
