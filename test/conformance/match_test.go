package conformance_test

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"moraine/test/internal/wire"
)

// kinds are the placeholders a reply may use, as regular expressions.
var kinds = map[string]string{
	"archive-id":       `[A-Za-z0-9_][A-Za-z0-9_-]{137}`,
	"upload-id":        `[A-Za-z0-9_][A-Za-z0-9_-]{91}`,
	"job-id":           `[A-Za-z0-9_][A-Za-z0-9_-]{91}`,
	"inventory-marker": `[A-Za-z0-9_-]{135}`,
	"lock-id":          `[A-Za-z0-9]{24}`,
	"capacity-id":      `[A-Za-z0-9_][A-Za-z0-9_-]{23}`,
	"marker":           `[A-Za-z0-9_-]+`,
	"date":             `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`,
	"wholesecond":      `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z`,
	"second":           `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`,
	"stamp":            `\d{8}T\d{6}Z`,
	"hex64":            `[0-9a-f]{64}`,
	"number":           `\d+`,
	"uuid":             `[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`,
	"user-id":          `AIDA[A-Z2-7]{17}`,
	"group-id":         `AGPA[A-Z2-7]{17}`,
	"role-id":          `AROA[A-Z2-7]{17}`,
	"policy-id":        `ANPA[A-Z2-7]{17}`,
	"key-id":           `AKIA[A-Z2-7]{16}`,
	"session-key-id":   `ASIA[A-Z2-7]{16}`,
	"secret":           `[A-Za-z0-9+/]{40}`,
	"token":            `[A-Za-z0-9+/]+={0,2}`,
	"rest":             `(?s:.*)`,
}

var placeholder = regexp.MustCompile(`<([a-z0-9-]+)(?::([A-Za-z0-9]+))?>|\$\{([A-Za-z0-9]+)\}`)

// vars are the variables of one transcript.
type vars map[string]string

// fill replaces ${name} in a request.
func (v vars) fill(s string) (string, error) {
	var missing error
	out := placeholder.ReplaceAllStringFunc(s, func(m string) string {
		name, ok := strings.CutPrefix(m, "${")
		if !ok {
			return m
		}
		name = strings.TrimSuffix(name, "}")
		value, ok := v[name]
		if !ok {
			missing = fmt.Errorf("variable %s has no value: an earlier exchange failed", name)
		}
		return value
	})
	return out, missing
}

// match compares got with a pattern and keeps what it captures. It returns the
// pattern with its variables filled in, for the failure message.
func (v vars) match(pattern, got string) (bool, string) {
	var re, shown strings.Builder
	re.WriteString("^")
	captured := []string{}
	at := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(pattern, -1) {
		text := pattern[m[0]:m[1]]
		kind, name := sub(pattern, m, 1), sub(pattern, m, 2)
		if kind != "" && kinds[kind] == "" {
			continue // an ordinary text between angle brackets
		}
		re.WriteString(regexp.QuoteMeta(pattern[at:m[0]]))
		shown.WriteString(pattern[at:m[0]])
		at = m[1]
		if kind == "" {
			name = sub(pattern, m, 3)
		}
		value, known := v[name]
		switch {
		case known:
			re.WriteString(regexp.QuoteMeta(value))
			shown.WriteString(value)
		case kind == "":
			return false, pattern + " (no value for " + name + ")"
		case name == "":
			re.WriteString("(?:" + kinds[kind] + ")")
			shown.WriteString(text)
		default:
			captured = append(captured, name)
			re.WriteString("(" + kinds[kind] + ")")
			shown.WriteString(text)
		}
	}
	re.WriteString(regexp.QuoteMeta(pattern[at:]) + "$")
	shown.WriteString(pattern[at:])
	found := regexp.MustCompile(re.String()).FindStringSubmatch(got)
	if found == nil {
		return false, shown.String()
	}
	for i, name := range captured {
		v[name] = found[i+1]
	}
	return true, shown.String()
}

func sub(s string, m []int, i int) string {
	if m[2*i] < 0 {
		return ""
	}
	return s[m[2*i]:m[2*i+1]]
}

// The forms of a request id: of the vault API, and of IAM and STS.
var (
	requestID = regexp.MustCompile(`^[A-Za-z0-9_-]{47}$`)
	uuid      = regexp.MustCompile("^" + kinds["uuid"] + "$")
)

// invariants returns what is wrong with a reply whatever the operation was
// (glacier-api §1.6).
func invariants(resp *wire.Response) []string {
	wrong := headerInvariants(resp)
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if id := resp.Get("x-amzn-RequestId"); !requestID.MatchString(id) {
		add("x-amzn-RequestId %q is not 47 characters of base64url", id)
	}
	switch {
	case resp.Status == 204 && resp.Has("Content-Length"):
		add("204 with Content-Length %s", resp.Get("Content-Length"))
	case resp.Status != 204 && resp.Get("Content-Length") != fmt.Sprint(resp.BodySize):
		add("Content-Length %q for a body of %d bytes", resp.Get("Content-Length"), resp.BodySize)
	}
	switch {
	case resp.BodySize == 0 && resp.Has("Content-Type"):
		add("Content-Type %q without a body", resp.Get("Content-Type"))
	case resp.Status >= 400 && resp.Get("Content-Type") != "application/json":
		add("Content-Type %q of an error", resp.Get("Content-Type"))
	case resp.Status >= 400 && resp.BodySize == 0:
		add("error without a body")
	}
	return wrong
}

// headerInvariants are those of every service.
func headerInvariants(resp *wire.Response) []string {
	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	count := map[string]int{}
	for _, f := range resp.Fields {
		count[strings.ToLower(f.Name)]++
	}
	for name, n := range count {
		if n > 1 {
			add("header %s appears %d times", name, n)
		}
	}
	if date := resp.Get("Date"); len(date) == 0 {
		add("no Date")
	} else if _, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", date); err != nil {
		add("Date %q is not RFC 1123 in GMT", date)
	}
	for _, name := range []string{"Transfer-Encoding", "Content-Encoding", "x-amzn-ErrorType"} {
		if resp.Has(name) {
			add("header %s: %s", name, resp.Get(name))
		}
	}
	return wrong
}

// identityInvariants returns what is wrong with a reply of IAM or STS whatever
// the operation was (access-control §2.2).
func identityInvariants(resp *wire.Response) []string {
	wrong := headerInvariants(resp)
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	id := resp.Get("x-amzn-RequestId")
	if !uuid.MatchString(id) {
		add("x-amzn-RequestId %q is not a UUID of version 4", id)
	}
	if n := strings.Count(string(resp.Body), "<RequestId>"+id+"</RequestId>"); n != 1 {
		add("the body names the request %s %d times", id, n)
	}
	if got := resp.Get("Content-Type"); got != "text/xml" {
		add("Content-Type %q, want text/xml", got)
	}
	if got := resp.Get("Content-Length"); got != fmt.Sprint(resp.BodySize) {
		add("Content-Length %q for a body of %d bytes", got, resp.BodySize)
	}
	if got := resp.Get("Cache-Control"); got != "no-store" {
		add("Cache-Control %q, want no-store: answers may hold secrets", got)
	}
	return wrong
}
