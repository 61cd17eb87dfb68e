package proof_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"moraine/internal/gatewaytest"
	"moraine/internal/pgtest"
)

var (
	scripts     = flag.Int("histories", 1, "random histories to run on all stacks")
	scriptSeed  = flag.Uint64("history-seed", 1, "seed of the first")
	scriptCalls = flag.Int("calls", 120, "calls of each")
	replay      = flag.String("script", "", "file with the one history to run instead")
)

// player runs a script on a stack.
type player struct {
	stack stack
	clock *clock
	ids   map[int]string    // by number of the call that was answered with it
	names map[string]string // the other way round
	types map[int]bool      // whether the call made a job of an inventory
	texts []string          // what was answered, ids replaced by names
	hours time.Duration     // that the clock was moved
	jobs  []*ordered
}

// ordered is a job that was begun.
type ordered struct {
	path string
	due  time.Duration // by hours
	over bool          // it was seen to have ended, or to be gone
}

// nobody is an id that was never given.
const nobody = "zzzzzzzzzzzzzzzzzzzzzzzz"

// play runs the script from the beginning on a new stack.
func play(ctx context.Context, t *testing.T, k kind, script []call) (texts []string, err error) {
	clk := new(clock)
	s, err := k.open(t, clk)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.name, err)
	}
	p := &player{stack: s, clock: clk, ids: map[int]string{}, names: map[string]string{}, types: map[int]bool{}}
	for i := range script {
		clk.tick()
		text, err := p.perform(ctx, &script[i])
		if err != nil {
			return p.texts, fmt.Errorf("%s: %s: %w", k.name, &script[i], err)
		}
		p.texts = append(p.texts, text)
	}
	return p.texts, s.close()
}

// fill puts the ids of this stack into a text.
func (p *player) fill(text string, escape func(string) string) string {
	return reference.ReplaceAllStringFunc(text, func(r string) string {
		n, err := strconv.Atoi(r[1:])
		id, ok := p.ids[n]
		if err != nil || !ok {
			id = nobody
		}
		return escape(id)
	})
}

func same(s string) string { return s }

func (p *player) perform(ctx context.Context, c *call) (string, error) {
	switch c.verb {
	case "clock":
		by, err := time.ParseDuration(c.path)
		if err != nil {
			return "", err
		}
		p.hours += by
		if err := p.stack.advance(ctx, by); err != nil {
			return "", err
		}
		return "", p.settle(ctx)
	case "restart":
		return "", p.stack.restart(ctx)
	case "trouble":
		var seed uint64
		if len(c.data) > 0 {
			seed = c.data[0].seed
		}
		return "", p.stack.trouble(ctx, c.path, seed)
	}
	return p.request(ctx, c)
}

// settle waits until every job that is due has ended: when that is, is nothing
// that stacks agree on.
func (p *player) settle(ctx context.Context) error {
	limit := time.Now().Add(waitMax)
	for _, j := range p.jobs {
		for !j.over && j.due <= p.hours {
			rep, err := p.stack.do(ctx, request{method: "GET", path: j.path})
			if err != nil {
				return err
			}
			j.over = !bytes.Contains(rep.body, []byte(`"StatusCode":"InProgress"`))
			if !j.over && time.Now().After(limit) {
				return fmt.Errorf("the job does not end: %s", rep.body)
			}
			if !j.over {
				<-time.NewTimer(2 * time.Millisecond).C
			}
		}
	}
	return nil
}

func (p *player) request(ctx context.Context, c *call) (string, error) {
	path, query, _ := strings.Cut(c.path, "?")
	r := request{method: c.verb, path: p.fill(path, same), header: map[string]string{}, body: []byte(p.fill(c.json, same))}
	if query != "" {
		r.path += "?" + p.fill(query, url.QueryEscape)
	}
	if len(c.data) > 0 {
		r.body = join(c.data)
	}
	for _, h := range c.header {
		r.header[h[0]] = p.fill(h[1], same)
	}
	rep, err := p.stack.do(ctx, r)
	if err != nil {
		return "", err
	}
	p.learn(c, &rep)
	text := p.print(c, &rep)
	if id := rep.header.Get("X-Amz-Job-Id"); c.verb == "POST" && rep.ok() && id != "" {
		j := &ordered{path: path + "/" + id, due: p.hours}
		if strings.Contains(c.json, `"Bulk"`) && !p.types[c.n] { // it means nothing to an inventory
			j.due += bulkDelay
		}
		p.jobs = append(p.jobs, j)
		return text, p.settle(ctx)
	}
	return text, nil
}

// learn notes the id that a call was answered with.
func (p *player) learn(c *call, rep *reply) {
	for _, name := range idNames {
		if id := rep.header.Get(name); id != "" && p.ids[c.n] == "" {
			p.ids[c.n] = id
			if p.names[id] == "" {
				p.names[id] = fmt.Sprintf("<%d>", c.n)
			}
			p.types[c.n] = strings.Contains(c.json, "inventory-retrieval")
		}
	}
	if m := markerText.FindSubmatch(rep.body); m != nil && c.verb == "GET" && strings.Contains(c.path, "limit=") {
		p.ids[c.n] = string(m[1])
	}
}

// ofInventory reports whether a path is of the output of an inventory.
func (p *player) ofInventory(path string) bool {
	if !strings.HasSuffix(path, "/output") {
		return false
	}
	m := reference.FindStringSubmatch(path)
	if m == nil {
		return false
	}
	n, err := strconv.Atoi(m[1])
	return err == nil && p.types[n]
}

// longBody is printed as a hash.
const longBody = 20_000

// print is a reply as it is compared: without what is of this moment, and with
// names for ids. Of a range of an inventory only the length is compared, since
// it may cut through ids.
func (p *player) print(c *call, rep *reply) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d\n", rep.status)
	for _, name := range slices.Sorted(maps.Keys(rep.header)) {
		if name == "Date" || name == "X-Amzn-Requestid" {
			continue
		}
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(rep.header[name], " | "))
	}
	ranged := slices.ContainsFunc(c.header, func(h [2]string) bool { return h[0] == "Range" })
	switch {
	case p.ofInventory(c.path) && ranged && rep.ok():
		fmt.Fprintf(&b, "%d bytes of an inventory", len(rep.body))
	case strings.HasSuffix(c.path, "/output") && rep.ok() && !p.ofInventory(c.path) || len(rep.body) > longBody:
		fmt.Fprintf(&b, "%d bytes %x", len(rep.body), sha256.Sum256(rep.body))
	default:
		b.Write(rep.body)
	}
	text := b.String()
	for id, name := range p.names {
		text = strings.ReplaceAll(text, id, name)
	}
	return markerText.ReplaceAllString(text, `"Marker":"<marker>"`)
}

// difference is where two stacks answer differently.
type difference struct {
	script []call
	line   int
	a, b   kind
	texts  [2]string
	err    error // one of them broke instead
}

// compare runs a script on stacks and returns the first difference, nil for none.
func compare(ctx context.Context, t *testing.T, script []call, kinds []kind) *difference {
	texts, errs := make([][]string, len(kinds)), make([]error, len(kinds))
	var all errgroup.Group
	for i, k := range kinds {
		all.Go(func() error {
			texts[i], errs[i] = play(ctx, t, k, script)
			return nil
		})
	}
	_ = all.Wait() // they return nil
	for i, k := range kinds {
		if errs[i] != nil {
			return &difference{script: script, line: len(texts[i]), a: kinds[0], b: k, err: errs[i]}
		}
		for line := range texts[i] {
			if texts[i][line] != texts[0][line] {
				return &difference{script: script, line: line, a: kinds[0], b: k, texts: [2]string{texts[0][line], texts[i][line]}}
			}
		}
	}
	return nil
}

// shrinkMax bounds the time for making a failing script short.
const shrinkMax = 2 * time.Minute

// shrink takes lines away as long as the two stacks still differ.
func (d *difference) shrink(ctx context.Context, t *testing.T) *difference {
	limit := time.Now().Add(shrinkMax)
	d.script = d.script[:min(len(d.script), d.line+1)]
	for step := len(d.script) / 2; step > 0; step /= 2 {
		for from := 0; from < len(d.script) && time.Now().Before(limit); {
			less := slices.Concat(d.script[:from], d.script[min(from+step, len(d.script)):])
			if next := compare(ctx, t, less, d.kinds()); next != nil && (next.err == nil) == (d.err == nil) {
				d = next
				d.script = d.script[:min(len(d.script), d.line+1)]
				continue
			}
			from += step
		}
	}
	return d
}

func (d *difference) kinds() []kind {
	if d.a.name == d.b.name {
		return []kind{d.a}
	}
	return []kind{d.a, d.b}
}

// last is the call on which they differ.
func (d *difference) last() string {
	short := *d
	short.script = d.script[d.line:min(d.line+1, len(d.script))]
	return short.String()
}

func (d *difference) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s and %s differ in the last line of this script, which -script replays:\n", d.a.name, d.b.name)
	for i := range d.script {
		fmt.Fprintln(&b, &d.script[i])
	}
	if d.err != nil {
		fmt.Fprintf(&b, "-- %v\n", d.err)
		return b.String()
	}
	fmt.Fprintf(&b, "-- %s:\n%s\n-- %s:\n%s\n", d.a.name, d.texts[0], d.b.name, d.texts[1])
	return b.String()
}

// TestSameAnswers runs random histories on every way to keep rows and bytes:
// status, headers and bodies of all answers are the same, but for ids.
func TestSameAnswers(t *testing.T) {
	t.Parallel()
	sameAnswers(t, stacks)
}

// TestSameAnswersPair is TestSameAnswers of a server that keeps nothing.
func TestSameAnswersPair(t *testing.T) {
	t.Parallel()
	// They are there, or the test ends here: stacks are opened elsewhere.
	pgtest.Database(t)
	gatewaytest.Bucket(t)
	sameAnswers(t, pair)
}

func sameAnswers(t *testing.T, kinds []kind) {
	t.Helper()
	if *replay != "" {
		script, err := readScript(*replay)
		if err != nil {
			t.Fatal(err)
		}
		if d := compare(t.Context(), t, script, kinds); d != nil {
			t.Error(d)
		}
		return
	}
	calls := 0
	for n := range uint64(*scripts) {
		seed := *scriptSeed + n
		script := writeScript(seed, *scriptCalls)
		calls += len(script)
		if d := compare(t.Context(), t, script, kinds); d != nil {
			t.Logf("history %d differs, and is made shorter:\n%s", seed, d.last())
			t.Fatal(d.shrink(t.Context(), t))
		}
	}
	t.Logf("%d histories of %d calls in all, on %d stacks", *scripts, calls, len(kinds))
}

func readScript(name string) (script []call, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		c, err := parseCall(strings.TrimRight(line, "\n"))
		if err != nil {
			return nil, err
		}
		script = append(script, c)
	}
	return script, nil
}
