package load_test

import (
	"strings"
	"testing"
	"time"

	"moraine/test/internal/load"
	"moraine/test/internal/wire"
)

// TestSigner compares with the tests' other signer, which the vectors of the
// specification check.
func TestSigner(t *testing.T) {
	t.Parallel()
	const hash = wire.EmptyHash
	for _, row := range []struct {
		name, service string
		head          load.Head
	}{
		{"glacier", "glacier", load.Head{Method: "POST", Path: "/-/vaults/v/archives", Length: 4096, Signed: []load.Field{
			{Name: "x-amz-archive-description", Value: "bench"}, {Name: "x-amz-content-sha256", Value: hash},
			{Name: "x-amz-date"}, {Name: "x-amz-glacier-version", Value: "2012-06-01"},
		}}},
		{"s3 part", "s3", load.Head{Method: "PUT", Path: "/bucket/a/b", Query: "partNumber=7&uploadId=a-b", Length: 16 << 20, Signed: []load.Field{
			{Name: "x-amz-content-sha256", Value: hash}, {Name: "x-amz-date"},
		}, Plain: []load.Field{{Name: "range", Value: "bytes=0-1"}}}},
		{"no body", "s3", load.Head{Method: "GET", Path: "/bucket/a", Length: -1, Signed: []load.Field{
			{Name: "x-amz-content-sha256", Value: hash}, {Name: "x-amz-date"},
		}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s := load.NewSigner("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", row.service)
			c := &wire.Credentials{KeyID: "AKIAIOSFODNN7EXAMPLE", Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", Region: "us-east-1", Service: row.service}
			h := row.head
			h.Host, h.Hash = "localhost:80", hash
			// The key is of a day and the stamp of a second.
			for _, now := range []time.Time{
				time.Date(2024, 3, 15, 12, 0, 0, 0, time.UTC), time.Date(2024, 3, 15, 12, 0, 1, 0, time.UTC), time.Date(2024, 3, 16, 0, 0, 0, 0, time.UTC),
			} {
				got := string(s.Append(nil, &h, now))
				r := parse(t, got)
				want := c.Make(r, wire.Signing{Stamp: r.Get("x-amz-date"), PayloadHash: hash, Headers: names(h)}).Authorization()
				if r.Get("authorization") != want || r.Get("x-amz-date") != now.Format(wire.StampFormat) {
					t.Errorf("at %v:\n got %s\nwant %s\nin %s", now, r.Get("authorization"), want, got)
				}
			}
		})
	}
}

func names(h load.Head) []string {
	out := []string{"host"}
	for _, f := range h.Signed {
		out = append(out, f.Name)
	}
	return out
}

// parse reads a head back.
func parse(t *testing.T, head string) *wire.Request {
	t.Helper()
	lines, ok := strings.CutSuffix(head, "\r\n\r\n")
	if !ok {
		t.Fatalf("%q has no end", head)
	}
	first, rest, _ := strings.Cut(lines, "\r\n")
	words := strings.Split(first, " ")
	if len(words) != 3 || words[2] != "HTTP/1.1" {
		t.Fatalf("request line %q", first)
	}
	r := &wire.Request{Method: words[0], Target: words[1]}
	for line := range strings.SplitSeq(rest, "\r\n") {
		name, value, _ := strings.Cut(line, ": ")
		r.Fields = append(r.Fields, wire.Field{Name: name, Value: value})
	}
	return r
}
