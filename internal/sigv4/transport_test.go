package sigv4_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/sigv4"
)

func TestTransportPaths(t *testing.T) {
	t.Parallel()
	tests := []struct {
		target string
		row    string // empty: accepted
	}{
		{"/", ""},
		{"/-/vaults", ""},
		{"/-/vaults/a.b", ""},
		{"/-/vaults/...", ""},
		{"/-/vaults/my%20vault~%C3%A9%252F", ""},
		{"/-/vaults/\xe1\x88\xb4", ""},
		{"/-/vaults?a=b;c&&d", ""},
		{"/?Action=x", ""},
		{"", "T2"},
		{"*", "T2"},
		{"-/vaults", "T2"},
		{"https://host/-/vaults", "T2"},
		{"//", "T4"},
		{"//-/vaults", "T4"},
		{"/-//vaults", "T4"},
		{"/-/vaults/", "T4"},
		{"/-/./vaults", "T4"},
		{"/-/../vaults", "T4"},
		{"/-/%2e%2E/vaults", "T4"},
		{"/-/%2e/vaults", "T4"},
		{"/-/vaults/a%2Fb", "T4"},
		{"/-/vaults/a%2fb", "T4"},
		{"/-/vaults/a%5Cb", "T4"},
		{"/-/vaults/a\\b", "T4"},
		{"/-/vaults/a%00", "T4"},
		{"/-/vaults/a%1f", "T4"},
		{"/-/vaults/a%7F", "T4"},
		{"/-/vaults/a%zz", "T4"},
		{"/-/vaults/a%2", "T4"},
		{"/-/vaults?a=%", "T5"},
		{"/-/vaults?%g0", "T5"},
	}
	for _, tt := range tests {
		err := sigv4.CheckTransport(&http.Request{RequestURI: tt.target})
		if tt.row == "" {
			if err != nil {
				t.Errorf("%q: %v", tt.target, err)
			}
			continue
		}
		t.Run(tt.target, func(t *testing.T) { wantRow(t, err, tt.row) })
	}
}

func TestTransportHeaders(t *testing.T) {
	t.Parallel()
	many := make(http.Header)
	for range 101 {
		many.Add("X-Filler", "x")
	}
	hundred := http.Header{"X-Filler": many["X-Filler"][:100]}
	tests := []struct {
		name    string
		header  http.Header
		host    string
		message string // empty: accepted
	}{
		{"tab", http.Header{"X-Amz-Archive-Description": {"a\tb"}}, "h", ""},
		{"non-ASCII nobody reads", http.Header{"User-Agent": {"é"}, "X-Other": {"\xff"}}, "h", ""},
		{"repeated nobody reads", http.Header{"My-Header1": {"a", "b"}}, "h", ""},
		{"hundred", hundred, "h", ""},
		{"large", http.Header{"X-Other": {strings.Repeat("x", 16<<10)}}, "h", ""},
		{"non-ASCII description", http.Header{"X-Amz-Archive-Description": {"é"}}, "h", "Invalid x-amz-archive-description: value must be printable ASCII"},
		{"non-ASCII content range", http.Header{"Content-Range": {"\x80"}}, "h", "Invalid Content-Range: value must be printable ASCII"},
		{"non-ASCII authorization", http.Header{"Authorization": {"\x80"}}, "h", "Invalid Authorization: value must be printable ASCII"},
		{"non-ASCII date", http.Header{"Date": {"\x80"}}, "h", "Invalid Date: value must be printable ASCII"},
		{"non-ASCII host", nil, "h\x80", "Invalid Host: value must be printable ASCII"},
		{"repeated tree hash", http.Header{"X-Amz-Sha256-Tree-Hash": {"a", "a"}}, "h", "Header x-amz-sha256-tree-hash must appear only once"},
		{"repeated version", http.Header{"X-Amz-Glacier-Version": {"a", "a"}}, "h", "Header x-amz-glacier-version must appear only once"},
		{"repeated token", http.Header{"X-Amz-Security-Token": {"a", "a"}}, "h", "Header x-amz-security-token must appear only once"},
		{"repeated hash", http.Header{"X-Amz-Content-Sha256": {"a", "a"}}, "h", "Header x-amz-content-sha256 must appear only once"},
		{"repeated date", http.Header{"Date": {"a", "a"}}, "h", "Header Date must appear only once"},
		{"too many", many, "h", "Too many headers"},
		{"too large", http.Header{"X-Other": {strings.Repeat("x", 16<<10+1)}}, "h", "Header X-Other is too large"},
		{"authorization too large", http.Header{"Authorization": {strings.Repeat("x", 4<<10+1)}}, "h", "Header Authorization is too large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := sigv4.CheckTransport(&http.Request{RequestURI: "/", Host: tt.host, Header: tt.header})
			got := ""
			if err != nil {
				got = err.(*sigv4.Error).Message
			}
			if got != tt.message {
				t.Errorf("got %q, want %q", got, tt.message)
			}
		})
	}
}

// TestFolding checks that a folded header is one value with one blank.
func TestFolding(t *testing.T) {
	t.Parallel()
	r := read(t, "GET / HTTP/1.1\r\nHost: h\r\nX-Amz-Archive-Description: a\r\n   b\r\n\tc\r\n\r\n")
	got, ok := sigv4.Canonical(r, "/", []string{"x-amz-archive-description"}, "P", "")
	if want := "GET\n/\n\nx-amz-archive-description:a b c\n\nx-amz-archive-description\nP"; !ok || got != want {
		t.Errorf("canonical request %q, want %q", got, want)
	}
}

func TestParseQuery(t *testing.T) {
	t.Parallel()
	got, err := sigv4.ParseQuery("limit=1&limit=2&&marker&=x&a+b=%2B+c;d&e=f=g")
	want := url.Values{"limit": {"1", "2"}, "marker": {""}, "": {"x"}, "a b": {"+ c;d"}, "e": {"f=g"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("ParseQuery = %v (-want +got):\n%s", err, diff)
	}
	_, err = sigv4.ParseQuery("a=%4")
	wantRow(t, err, "T5")
}

func TestCanonicalQuery(t *testing.T) {
	t.Parallel()
	tests := []struct{ raw, want string }{
		{"", ""},
		{"&&", ""},
		{"b=2&a=1", "a=1&b=2"},
		{"a=2&a=10&a", "a=&a=10&a=2"},
		{"a-b=1&a=2", "a=2&a-b=1"},
		{"a=b=c", "a=b%3Dc"},
		{"a=x+y", "a=x%2By"},
		{"a=%7e%2a", "a=~%2A"},
		{"a=/", "a=%2F"},
		{"é=1", "%C3%A9=1"},
		{"X-Amz-Signature=x", "X-Amz-Signature=x"},
	}
	for _, tt := range tests {
		if got, err := sigv4.CanonicalQuery(tt.raw); got != tt.want || err != nil {
			t.Errorf("canonical query of %q = %q, %v, want %q", tt.raw, got, err, tt.want)
		}
	}
}

// FuzzCanonicalQuery checks that the canonical form is its own canonical form.
func FuzzCanonicalQuery(f *testing.F) {
	f.Add("b=2&a=1&a=%20+")
	f.Add("a=b=c;d&&%C3%A9")
	f.Fuzz(func(t *testing.T, raw string) {
		once, err := sigv4.CanonicalQuery(raw)
		if err != nil {
			return
		}
		twice, err := sigv4.CanonicalQuery(once)
		if err != nil || twice != once {
			t.Errorf("%q becomes %q, then %q, %v", raw, once, twice, err)
		}
		if values, err := url.ParseQuery(once); err != nil {
			t.Errorf("url.ParseQuery(%q) = %v, %v", once, values, err)
		}
	})
}

// FuzzParseAuthorization parses, prints and parses again.
func FuzzParseAuthorization(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host;x-amz-date, Signature=00")
	f.Add("AWS4-HMAC-SHA256 Signature=00,Credential=a,x=y,SignedHeaders=h")
	f.Add("AWS4-HMAC-SHA256")
	f.Add("Basic abc")
	f.Fuzz(func(t *testing.T, header string) {
		parts, err := sigv4.ParseAuthorization(header)
		if err != nil {
			return
		}
		again, err := sigv4.ParseAuthorization(sigv4.FormatAuthorization(parts))
		if err != nil || again != parts {
			t.Errorf("%q gives %q, printed and parsed %q, %v", header, parts, again, err)
		}
	})
}

// FuzzVerify feeds whole requests to both entrances.
func FuzzVerify(f *testing.F) {
	f.Add("GET", "/-/vaults?limit=1", "AWS4-HMAC-SHA256 Credential="+keyID+"/20240315/us-east-1/glacier/aws4_request, SignedHeaders=host;x-amz-date, Signature="+strings.Repeat("0", 64), now, token, false)
	f.Add("GET", presigned("", at(now)(), 60e9).RequestURI, "", "", "", true)
	v := sigv4.New(config(now))
	f.Fuzz(func(t *testing.T, method, target, authorization, date, sessionToken string, streamed bool) {
		r := &http.Request{Method: method, RequestURI: target, Host: "h", Header: make(http.Header)}
		for name, value := range map[string]string{"Authorization": authorization, "X-Amz-Date": date, "X-Amz-Security-Token": sessionToken} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		sigv4.ScopeService(r)
		if err := sigv4.CheckTransport(r); err != nil {
			return
		}
		if res, err := v.Verify(t.Context(), r, streamed); err == nil && !res.Presigned {
			t.Errorf("an unsigned request passed: %+v", res)
		}
	})
}
