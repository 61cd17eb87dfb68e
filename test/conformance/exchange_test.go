package conformance_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/treehash"
	"moraine/test/internal/wire"
)

const (
	day      = 24 * time.Hour
	replyMax = 3 * time.Minute // one exchange on loopback
	untilMax = 3 * time.Minute // one @until
)

// runner plays the exchanges of one transcript against one server.
type runner struct {
	addr, adminAddr string
	region          string
	vars            vars
}

func newRunner(s *moraineproc.Server, region string) *runner {
	return &runner{addr: s.Addr, adminAddr: s.AdminAddr, region: region, vars: vars{
		"account": serverAccount,
		"region":  region,
		"keyid":   serverKeyID,
		"addr":    s.Addr,
		"arn":     "arn:aws:glacier:" + region + ":" + serverAccount + ":vaults",
		"empty":   wire.EmptyHash,
		"a128":    strings.Repeat("a", 128),
		"a129":    strings.Repeat("a", 129),
		"blanks":  strings.Repeat(" ", 20_480), // the longest policy
		"a255":    strings.Repeat("a", 255),
		"a256":    strings.Repeat("a", 256),
		"a1024":   strings.Repeat("a", 1024),
		"a1025":   strings.Repeat("a", 1025),
	}}
}

// play runs one exchange and reports every difference.
func (r *runner) play(t *testing.T, e *exchange) {
	t.Helper()
	times := 1
	if arg, ok := e.find("times"); ok {
		n, err := strconv.Atoi(arg)
		if err != nil {
			t.Fatalf("@times %q: %v", arg, err)
		}
		times = n
	}
	for i := range times {
		if times > 1 {
			r.vars["nnn"] = fmt.Sprintf("%03d", i+1)
		}
		resp := r.answer(t, e)
		r.compare(t, e, resp)
		if t.Failed() {
			return
		}
	}
}

// answer sends the request, again and again if the exchange says @until.
func (r *runner) answer(t *testing.T, e *exchange) *wire.Response {
	t.Helper()
	until, polling := e.find("until")
	ctx, cancel := context.WithTimeout(t.Context(), untilMax)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		resp := r.send(t, e)
		if !polling || bytes.Contains(resp.Body, []byte(until)) {
			return resp
		}
		select {
		case <-ctx.Done():
			t.Fatalf("reply never contained %q; the last one was %d %s", until, resp.Status, resp.Body)
		case <-tick.C:
		}
	}
}

func (r *runner) send(t *testing.T, e *exchange) *wire.Response {
	t.Helper()
	req, err := r.build(e)
	if err != nil {
		t.Fatalf("%s:%d: %v", e.file, e.line, err)
	}
	addr := r.addr
	if e.toAdmin() {
		addr = r.adminAddr
	}
	conn, err := wire.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	resp, err := conn.Do(req, nil, replyMax)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.Target, err)
	}
	return resp
}

func (r *runner) compare(t *testing.T, e *exchange, resp *wire.Response) {
	t.Helper()
	if resp.Status != e.status {
		t.Errorf("%s:%d: status: got %d, want %d\nbody: %s", e.file, e.line, resp.Status, e.status, clip(resp.Body))
		return
	}
	for _, wrong := range e.invariants(resp) {
		t.Errorf("%s:%d: %s", e.file, e.line, wrong)
	}
	// Captures of a repeated exchange are compared with its last round only.
	scope := maps.Clone(r.vars)
	for _, f := range e.wantFields {
		if ok, want := scope.match(f.Value, resp.Get(f.Name)); !ok || !resp.Has(f.Name) {
			t.Errorf("%s:%d: %s: got %q, want %q", e.file, e.line, f.Name, resp.Get(f.Name), want)
		}
	}
	for _, name := range e.absent {
		if resp.Has(name) {
			t.Errorf("%s:%d: unexpected %s: %s", e.file, e.line, name, resp.Get(name))
		}
	}
	r.compareBody(t, e, resp, scope)
	if _, repeated := e.find("times"); !repeated {
		r.vars = scope
	}
}

// toAdmin reports whether an exchange is with the admin listener.
func (e *exchange) toAdmin() bool {
	_, ok := e.find("admin")
	return ok
}

// invariants returns what is wrong with a reply whatever was asked.
func (e *exchange) invariants(resp *wire.Response) []string {
	if e.toAdmin() {
		return nil
	}
	check := invariants
	if e.service != "" {
		check = identityInvariants
	}
	wrong := check(resp)
	if id := resp.Get("x-amzn-RequestId"); !seen.add(id) {
		wrong = append(wrong, "request id "+id+" was used before")
	}
	return wrong
}

func (r *runner) compareBody(t *testing.T, e *exchange, resp *wire.Response, scope vars) {
	t.Helper()
	if arg, ok := strings.CutPrefix(e.wantBody, "@pattern "); ok {
		want, err := pattern(arg)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(resp.Body, want) {
			t.Errorf("%s:%d: body: %d bytes that are not the pattern %s (%d bytes)", e.file, e.line, len(resp.Body), arg, len(want))
		}
		return
	}
	want := e.wantBody
	if text, ok := strings.CutSuffix(want, `\n`); ok {
		want = text + "\n" // the file cannot show a final line end
	}
	if ok, want := scope.match(want, string(resp.Body)); !ok {
		t.Errorf("%s:%d: body\n got: %s\nwant: %s", e.file, e.line, clip(resp.Body), want)
	}
}

// build makes the bytes of a request.
func (r *runner) build(e *exchange) (*wire.Request, error) {
	now := time.Now().UTC()
	r.vars["now"], r.vars["nowrfc"] = now.Format(wire.StampFormat), now.Format("Mon, 02 Jan 2006 15:04:05 GMT")
	r.vars["noon"] = now.Truncate(day).Add(day + day/2).Sub(now).String() // until that of tomorrow
	var firstErr error
	fill := func(s string) string {
		out, err := r.vars.fill(s)
		if err != nil && firstErr == nil {
			firstErr = err
		}
		return out
	}
	req := &wire.Request{Method: e.method, Target: fill(e.target)}
	for _, f := range e.fields {
		req.Fields = append(req.Fields, wire.Field{Name: f.Name, Value: fill(f.Value)})
	}
	body, err := makeBody(e, fill)
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		req.Body = [][]byte{body}
	}
	if _, ok := e.find("hashes"); ok {
		linear, tree := treehash.Both(body)
		e.preset(req, "x-amz-content-sha256", linear)
		e.preset(req, "x-amz-sha256-tree-hash", tree)
	}
	e.preset(req, "Host", r.addr)
	_, presigned := e.find("presign")
	switch {
	case e.service != "" && e.method == "POST":
		e.preset(req, "Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	case e.service == "" && !presigned:
		e.preset(req, "x-amz-glacier-version", "2012-06-01")
	}
	_, chunked := e.find("chunked")
	if e.method != "GET" && !chunked || len(body) > 0 && !chunked {
		e.preset(req, "Content-Length", strconv.Itoa(len(body)))
	}
	if firstErr != nil {
		return nil, firstErr
	}
	r.sign(e, req, fill)
	if firstErr != nil {
		return nil, firstErr
	}
	if target, ok := e.find("send"); ok {
		req.Target = fill(target)
	}
	if chunked {
		req.Body = [][]byte{fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n\r\n", len(body), body)}
	}
	return req, firstErr
}

// preset adds a header unless the exchange has it or refuses it.
func (e *exchange) preset(req *wire.Request, name, value string) {
	for _, d := range e.dropped {
		if strings.EqualFold(d, name) {
			return
		}
	}
	for _, f := range e.fields {
		if strings.EqualFold(f.Name, name) {
			return
		}
	}
	req.Fields = append(req.Fields, wire.Field{Name: name, Value: value})
}

func makeBody(e *exchange, fill func(string) string) ([]byte, error) {
	if action, ok := e.find("call"); ok {
		form, err := identityForm(e.service, action, fill(e.body))
		return []byte(form), err
	}
	arg, ok := e.find("body")
	if !ok {
		return []byte(fill(e.body)), nil
	}
	how, rest, _ := strings.Cut(arg, " ")
	switch how {
	case "pattern":
		return pattern(rest)
	case "repeat":
		text, times, _ := strings.Cut(rest, " ")
		n, err := strconv.Atoi(times)
		return bytes.Repeat([]byte(text), n), err
	}
	return nil, fmt.Errorf("@body %s", arg)
}

// pattern reads "first-last" and returns those bytes of the test data.
func pattern(arg string) ([]byte, error) {
	var first, last int64
	if _, err := fmt.Sscanf(arg, "%d-%d", &first, &last); err != nil {
		return nil, fmt.Errorf("pattern %q: %w", arg, err)
	}
	return treehash.Pattern(first, last+1), nil
}

// sign adds the signature the exchange asks for.
func (r *runner) sign(e *exchange, req *wire.Request, fill func(string) string) {
	if e.toAdmin() {
		return
	}
	creds := &wire.Credentials{KeyID: serverKeyID, Secret: serverSecret, Region: r.region, Service: e.service}
	if name, ok := e.find("as"); ok {
		creds.KeyID, creds.Secret = fill("${"+name+"Key}"), fill("${"+name+"Secret}")
		if r.vars[name+"Token"] != "" {
			e.preset(req, "x-amz-security-token", r.vars[name+"Token"])
		}
	}
	s := wire.Signing{Stamp: time.Now().UTC().Format(wire.StampFormat)}
	r.vars["day"] = s.Stamp[:8]
	auth := "${authorization}"
	for _, d := range e.directives {
		if d.name != "sign" {
			continue
		}
		part, value, _ := strings.Cut(d.arg, " ")
		switch part {
		case "stamp":
			s.Stamp = stamp(fill(value))
		case "scope":
			s.Scope = fill(value)
		case "signed":
			s.Headers = strings.Split(value, ";")
		case "payload":
			s.PayloadHash = fill(value)
		case "keyid":
			s.KeyID = fill(value)
		case "secret":
			creds.Secret = value
		case "region":
			creds.Region = value
		case "auth":
			auth = value
		}
	}
	r.vars["stamp"] = s.Stamp
	if seconds, ok := e.find("presign"); ok {
		presign(creds, req, s, seconds)
		return
	}
	e.preset(req, "x-amz-date", s.Stamp)
	if _, unsigned := e.find("unsigned"); unsigned {
		return
	}
	signed := creds.Make(req, s)
	value := strings.NewReplacer(
		"${authorization}", signed.Authorization(),
		"${credential}", signed.Credential,
		"${signedheaders}", signed.SignedHeaders,
		"${signature}", signed.Signature,
		"${SIGNATURE}", strings.ToUpper(signed.Signature),
	).Replace(auth)
	e.preset(req, "Authorization", value)
}

// presign moves the signature into the query (access-control §1.7).
func presign(creds *wire.Credentials, req *wire.Request, s wire.Signing, seconds string) {
	join := "?"
	if strings.Contains(req.Target, "?") {
		join = "&"
	}
	if s.Headers == nil {
		s.Headers = []string{"host"}
	}
	credential := creds.Make(req, s).Credential
	req.Target += join + "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + wire.Encode(credential) +
		"&X-Amz-Date=" + s.Stamp
	if seconds != "-" {
		req.Target += "&X-Amz-Expires=" + seconds
	}
	req.Target += "&X-Amz-SignedHeaders=" + wire.Encode(strings.Join(s.Headers, ";"))
	req.Target += "&X-Amz-Signature=" + creds.Make(req, s).Signature
}

// stamp reads a literal time stamp, or now with an offset such as now-10m.
func stamp(value string) string {
	if rest, ok := strings.CutPrefix(value, "now"); ok {
		if d, err := time.ParseDuration(rest); err == nil {
			return time.Now().UTC().Add(d).Format(wire.StampFormat)
		}
	}
	return value
}

func clip(b []byte) string {
	if len(b) > 4000 {
		return fmt.Sprintf("%q… (%d bytes)", b[:4000], len(b))
	}
	return string(b)
}
