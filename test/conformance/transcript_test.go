package conformance_test

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"moraine/test/internal/wire"
)

// exchange is one request and the reply it must have.
type exchange struct {
	name, file string
	line       int
	service    string // "" for the vault API, else "iam" or "sts"

	method, target string
	fields         []wire.Field
	dropped        []string // headers the runner must not add
	directives     []directive
	body           string

	status     int
	wantFields []wire.Field
	absent     []string
	wantBody   string
	negative   bool
}

type directive struct{ name, arg string }

// transcript is one file of exchanges.
type transcript struct {
	name, server, region, service string
	flags                         []string // of a server of its own
	exchanges                     []*exchange
}

// find returns the argument of the first directive with that name.
func (e *exchange) find(name string) (string, bool) {
	for _, d := range e.directives {
		if d.name == name {
			return d.arg, true
		}
	}
	return "", false
}

func readTranscript(t *testing.T, path string) *transcript {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tr := &transcript{name: path, server: "current", region: "eu-north-1"}
	var (
		current *exchange
		block   []string
		reply   bool
		lineNo  int
	)
	flush := func() {
		if current == nil {
			return
		}
		if err := current.take(block, reply); err != nil {
			t.Fatalf("%s:%d: %v", path, current.line, err)
		}
		block = nil
	}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		lineNo++
		line := lines.Text()
		name, isNew := strings.CutPrefix(line, "=== ")
		switch {
		case isNew:
			flush()
			current, reply = &exchange{name: name, file: path, line: lineNo, service: tr.service}, false
			tr.exchanges = append(tr.exchanges, current)
		case line == "---" && current != nil && !reply:
			flush()
			reply = true
		case current == nil:
			key, value, _ := strings.Cut(line, ": ")
			switch key {
			case "server":
				tr.server = value
			case "region":
				tr.region = value
			case "service":
				tr.service = value
			case "flags":
				tr.flags = strings.Fields(value)
			}
		default:
			block = append(block, line)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	flush()
	return tr
}

// take parses one half of an exchange.
func (e *exchange) take(block []string, reply bool) error {
	for len(block) > 0 && (block[len(block)-1] == "" || strings.HasPrefix(block[len(block)-1], "# ")) {
		block = block[:len(block)-1]
	}
	if len(block) == 0 {
		return fmt.Errorf("%s: an empty half", e.name)
	}
	head, body := block[1:], ""
	for i, line := range block {
		if line == "" {
			head, body = block[1:i], strings.Join(block[i+1:], "\n")
			break
		}
	}
	if reply {
		return e.takeReply(block[0], head, body)
	}
	var ok bool
	if e.method, e.target, ok = strings.Cut(block[0], " "); !ok {
		return fmt.Errorf("request line %q", block[0])
	}
	e.body = body
	for _, line := range head {
		if rest, ok := strings.CutPrefix(line, "@"); ok {
			name, arg, _ := strings.Cut(rest, " ")
			e.directives = append(e.directives, directive{name, arg})
			if name == "service" {
				e.service = strings.TrimPrefix(arg, "glacier")
			}
			continue
		}
		if err := takeField(line, &e.fields, &e.dropped); err != nil {
			return err
		}
	}
	return nil
}

func (e *exchange) takeReply(first string, head []string, body string) error {
	if action, ok := e.find("call"); ok && first == "done" {
		first, body = "200", identityDone(e.service, action)
	}
	family, rest, _ := strings.Cut(first, " ")
	if family == "error" || family == "front" {
		var status, code string
		status, rest, _ = strings.Cut(rest, " ")
		code, message, ok := strings.Cut(rest, ": ")
		if !ok {
			return fmt.Errorf("reply line %q", first)
		}
		body, first = errorBody(code, message, family == "front"), status
		if e.service != "" {
			body = identityError(e.service, code, message)
		}
	} else if e.service != "" {
		body = joined(body)
	}
	if _, err := fmt.Sscan(first, &e.status); err != nil {
		return fmt.Errorf("reply line %q: %w", first, err)
	}
	e.wantBody, e.negative = body, e.status >= 400
	for _, line := range head {
		if err := takeField(line, &e.wantFields, &e.absent); err != nil {
			return err
		}
	}
	return nil
}

func takeField(line string, fields *[]wire.Field, absent *[]string) error {
	if name, ok := strings.CutPrefix(line, "!"); ok {
		*absent = append(*absent, name)
		return nil
	}
	name, value, ok := strings.Cut(line, ":")
	if !ok {
		return fmt.Errorf("header line %q", line)
	}
	*fields = append(*fields, wire.Field{Name: name, Value: strings.TrimPrefix(value, " ")})
	return nil
}

// frontEnd lists the codes whose bodies always print message, code, type
// (glacier-api §1.10).
var frontEnd = map[string]bool{
	"AccessDeniedException":               true,
	"ExpiredTokenException":               true,
	"IncompleteSignatureException":        true,
	"InvalidSignatureException":           true,
	"MissingAuthenticationTokenException": true,
	"ThrottlingException":                 true,
	"UnrecognizedClientException":         true,
}

func errorBody(code, message string, front bool) string {
	kind := "Client"
	if code == "ServiceUnavailableException" || code == "InsufficientCapacityException" {
		kind = "Server"
	}
	message = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(message)
	if front || frontEnd[code] {
		return fmt.Sprintf(`{"message":"%s","code":"%s","type":"%s"}`, message, code, kind)
	}
	return fmt.Sprintf(`{"code":"%s","message":"%s","type":"%s"}`, code, message, kind)
}
