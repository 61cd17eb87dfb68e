package sigv4_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"testing"

	"moraine/internal/sigv4"
)

type suiteForm struct {
	Request   string `json:"request"`
	Canonical string `json:"canonical"`
	ToSign    string `json:"toSign"`
	Signature string `json:"signature"`
}

type suiteCase struct {
	Name      string    `json:"name"`
	Normalize bool      `json:"normalize"`
	OmitToken bool      `json:"omitToken"`
	Header    suiteForm `json:"header"`
	Query     suiteForm `json:"query"`
}

const suiteSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

// TestPublishedSuite runs every case of the published suite, both forms,
// against the canonicaliser (access-control §1.14).
func TestPublishedSuite(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/suite.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []suiteCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != 38 {
		t.Fatalf("the suite has %d cases, want 38", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			runSuiteForm(t, c, c.Header, false)
			runSuiteForm(t, c, c.Query, true)
		})
	}
}

func runSuiteForm(t *testing.T, c suiteCase, form suiteForm, presigned bool) {
	t.Helper()
	r, target := suiteRequest(t, form.Request)
	if c.Normalize {
		target = normalize(target)
	}
	// The signed headers and the payload hash are the last two lines.
	lines := strings.Split(form.Canonical, "\n")
	signed, payload := strings.Split(lines[len(lines)-2], ";"), lines[len(lines)-1]
	skip := ""
	if presigned {
		skip = "X-Amz-Signature"
	}
	canonical, ok := sigv4.Canonical(r, target, signed, payload, skip)
	if presigned && c.OmitToken {
		// The suite appends the token after signing; here the token must be
		// inside the signature, so the case has to differ.
		if canonical == form.Canonical {
			t.Error("a token outside the signature went unnoticed")
		}
		return
	}
	if !ok || canonical != form.Canonical {
		t.Errorf("presigned %v: canonical request (%v):\n%s\nwant:\n%s", presigned, ok, canonical, form.Canonical)
	}
	toSign := sigv4.StringToSign("20150830T123600Z", "us-east-1", "service", canonical)
	if toSign != form.ToSign {
		t.Errorf("presigned %v: string to sign:\n%s\nwant:\n%s", presigned, toSign, form.ToSign)
	}
	if got := sigv4.Signature(suiteSecret, "20150830", "us-east-1", "service", toSign); got != form.Signature {
		t.Errorf("presigned %v: signature %s, want %s", presigned, got, form.Signature)
	}
}

// suiteRequest reads a request of the suite, which may hold a target that
// net/http cannot parse.
func suiteRequest(t *testing.T, text string) (*http.Request, string) {
	t.Helper()
	head, _, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.ReplaceAll(head, "\n ", " "), "\n")
	method, rest, _ := strings.Cut(lines[0], " ")
	target := strings.TrimSuffix(rest, " HTTP/1.1")
	r := &http.Request{Method: method, Header: make(http.Header)}
	for _, line := range lines[1:] {
		name, value, ok := strings.Cut(line, ":")
		switch {
		case !ok && line != "":
			t.Fatalf("bad header line %q", line)
		case strings.EqualFold(name, "Host"):
			r.Host = value
		case strings.EqualFold(name, "Content-Length"):
			r.ContentLength, _ = strconv.ParseInt(value, 10, 64)
		case ok:
			r.Header.Add(name, value)
		}
	}
	return r, target
}

// normalize does what most signers do to a path and this package never does.
func normalize(target string) string {
	wire, query, _ := strings.Cut(target, "?")
	clean := path.Clean(wire)
	if strings.HasSuffix(wire, "/") && clean != "/" {
		clean += "/"
	}
	return clean + "?" + query
}

// TestSuitePathsRefused checks that the paths on which signers differ do not
// get as far as a signature.
func TestSuitePathsRefused(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/example/..", "/example1/example2/../..", "//", "/./", "/./example", "//example//", "/example/"} {
		r := &http.Request{Method: http.MethodGet, RequestURI: target, Header: make(http.Header)}
		wantRow(t, sigv4.CheckTransport(r), "T4")
	}
}
