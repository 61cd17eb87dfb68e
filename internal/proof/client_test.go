package proof_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"

	"moraine/internal/treehash"
)

// client is one of several that use a server, each its own vault, one request
// after the other.
type client struct {
	vault string
	rnd   *rand.Rand

	mu     sync.Mutex // guards the rest, which the taker of cuts reads
	known  *state
	flight *step             // under way; nil for none
	acked  []string          // request ids of changes
	bytes  map[string][]byte // all that was ever sent, by tree hash
	lockID string
	steps  int
}

// step is a change under way.
type step struct {
	name string
	// apply returns what the vault is like after the step, given the id that it
	// made, "" if it makes none. It may change s.
	apply func(s *state, id string) *state
	makes string // "archive", "upload", "job" or ""
}

const partSize = treehash.LeafSize

func newClient(vault string, seed uint64) *client {
	return &client{vault: vault, rnd: rand.New(rand.NewPCG(seed, 77)), bytes: make(map[string][]byte)}
}

func (c *client) base() string { return "/-/vaults/" + c.vault }

// begin and end enclose a step.
func (c *client) begin(s *step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flight = s
	c.steps++
}

func (c *client) end(done bool, id, requestID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if done {
		c.known = c.flight.apply(c.known.clone(), id)
	}
	if done && requestID != "" {
		c.acked = append(c.acked, requestID)
	}
	c.flight = nil
}

// change makes a request that changes something. A refusal changes nothing.
func (c *client) change(ctx context.Context, p *proc, s *step, r request) (reply, error) {
	c.begin(s)
	p.clock.tick()
	rep, err := p.do(ctx, r)
	if err == nil && rep.status >= http.StatusInternalServerError {
		err = fmt.Errorf("%s: %d %s", s.name, rep.status, rep.body)
	}
	if err != nil {
		return rep, err
	}
	id := ""
	switch s.makes {
	case "archive":
		id = rep.header.Get("X-Amz-Archive-Id")
	case "upload":
		id = rep.header.Get("X-Amz-Multipart-Upload-Id")
	case "job":
		id = rep.header.Get("X-Amz-Job-Id")
	}
	c.end(rep.ok(), id, rep.header.Get("X-Amzn-Requestid"))
	return rep, nil
}

// data makes bytes that are never made again.
func (c *client) data(size int) (data []byte, linear, tree string) {
	data = make([]byte, size)
	for i := range data {
		data[i] = byte(c.rnd.Uint32())
	}
	linear = sum(data)
	tree = treehash.Root(treehash.AppendLeaves(nil, data)).String()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes[tree] = data
	return data, linear, tree
}

func sum(data []byte) string {
	h := treehash.NewHasher()
	h.Write(data)
	d := h.Linear()
	return hex.EncodeToString(d[:])
}

// size is mostly small, and now and then too large to share a pack.
func (c *client) size() int {
	if c.rnd.IntN(8) == 0 {
		return treehash.LeafSize + 1 + c.rnd.IntN(100_000)
	}
	return 1 + c.rnd.IntN(5000)
}

func pick[V any](rnd *rand.Rand, m map[string]V) string {
	if len(m) == 0 {
		return ""
	}
	keys := slices.Sorted(maps.Keys(m))
	return keys[rnd.IntN(len(keys))]
}

// work takes random steps.
func (c *client) work(ctx context.Context, p *proc, steps int) error {
	for range steps {
		if err := c.one(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) one(ctx context.Context, p *proc) error {
	if c.known == nil {
		return c.plain(ctx, p, "create vault", request{method: http.MethodPut, path: c.base()}, func(*state) *state { return newState() })
	}
	switch n := c.rnd.IntN(100); {
	case n < 25:
		return c.upload(ctx, p)
	case n < 38:
		return c.deleteArchive(ctx, p)
	case n < 62:
		return c.multipart(ctx, p)
	case n < 72:
		return c.retrieve(ctx, p)
	case n < 75 && len(c.known.Archives) == 0:
		return c.plain(ctx, p, "delete vault", request{method: http.MethodDelete, path: c.base()}, func(*state) *state { return nil })
	}
	return c.document(ctx, p)
}

// plain is a step that makes no id.
func (c *client) plain(ctx context.Context, p *proc, name string, r request, apply func(s *state) *state) error {
	_, err := c.change(ctx, p, &step{name: name, apply: func(s *state, _ string) *state { return apply(s) }}, r)
	return err
}

func (c *client) upload(ctx context.Context, p *proc) error {
	data, linear, tree := c.data(c.size())
	desc := fmt.Sprintf("no. %d", c.steps)
	_, err := c.change(ctx, p, &step{name: "upload", makes: "archive", apply: func(s *state, id string) *state {
		s.Archives[id] = archive{desc, int64(len(data)), tree}
		return s
	}}, request{method: http.MethodPost, path: c.base() + "/archives", body: data, header: map[string]string{
		"X-Amz-Archive-Description": desc, "X-Amz-Content-Sha256": linear, "X-Amz-Sha256-Tree-Hash": tree,
	}})
	return err
}

func (c *client) deleteArchive(ctx context.Context, p *proc) error {
	id := pick(c.rnd, c.known.Archives)
	if id == "" {
		return nil
	}
	return c.plain(ctx, p, "delete archive", request{method: http.MethodDelete, path: c.base() + "/archives/" + id}, func(s *state) *state {
		delete(s.Archives, id)
		return s
	})
}

// partsMost is how many parts an upload gets here.
const partsMost = 3

func (c *client) multipart(ctx context.Context, p *proc) error {
	id := pick(c.rnd, c.known.Uploads)
	if id == "" || len(c.known.Uploads) < 2 && c.rnd.IntN(4) == 0 {
		desc := fmt.Sprintf("parts %d", c.steps)
		_, err := c.change(ctx, p, &step{name: "initiate upload", makes: "upload", apply: func(s *state, id string) *state {
			s.Uploads[id] = upload{desc, partSize, map[string]string{}}
			return s
		}}, request{method: http.MethodPost, path: c.base() + "/multipart-uploads", header: map[string]string{
			"X-Amz-Archive-Description": desc, "X-Amz-Part-Size": fmt.Sprint(partSize),
		}})
		return err
	}
	path, u := c.base()+"/multipart-uploads/"+id, c.known.Uploads[id]
	switch n := c.rnd.IntN(10); {
	case n == 0:
		return c.plain(ctx, p, "abort upload", request{method: http.MethodDelete, path: path}, func(s *state) *state {
			delete(s.Uploads, id)
			return s
		})
	case n < 4 && len(u.Parts) > 0:
		return c.complete(ctx, p, path, id, u)
	}
	first := int64(c.rnd.IntN(partsMost)) * partSize
	size := int(partSize)
	if first == (partsMost-1)*partSize {
		size = 1 + c.rnd.IntN(5000)
	}
	data, linear, tree := c.data(size)
	span := fmt.Sprintf("%d-%d", first, first+int64(size)-1)
	return c.plain(ctx, p, "upload part", request{method: http.MethodPut, path: path, body: data, header: map[string]string{
		"Content-Range": "bytes " + span + "/*", "X-Amz-Content-Sha256": linear, "X-Amz-Sha256-Tree-Hash": tree,
	}}, func(s *state) *state {
		for was := range s.Uploads[id].Parts {
			if strings.HasPrefix(was, fmt.Sprintf("%d-", first)) {
				delete(s.Uploads[id].Parts, was)
			}
		}
		s.Uploads[id].Parts[span] = tree
		return s
	})
}

// complete ends an upload. One with gaps is refused.
func (c *client) complete(ctx context.Context, p *proc, path, id string, u upload) error {
	var whole []byte
	for n := range int64(partsMost) {
		for span, tree := range u.Parts {
			if strings.HasPrefix(span, fmt.Sprintf("%d-", n*partSize)) {
				whole = append(whole, c.bytes[tree]...)
			}
		}
	}
	tree := treehash.Root(treehash.AppendLeaves(nil, whole)).String()
	c.mu.Lock()
	c.bytes[tree] = whole
	c.mu.Unlock()
	_, err := c.change(ctx, p, &step{name: "complete upload", makes: "archive", apply: func(s *state, made string) *state {
		delete(s.Uploads, id)
		s.Archives[made] = archive{u.Desc, int64(len(whole)), tree}
		return s
	}}, request{method: http.MethodPost, path: path, header: map[string]string{
		"X-Amz-Archive-Size": fmt.Sprint(len(whole)), "X-Amz-Sha256-Tree-Hash": tree,
	}})
	return err
}

// retrieve makes a job, awaits it and compares its output.
func (c *client) retrieve(ctx context.Context, p *proc) error {
	id := pick(c.rnd, c.known.Archives)
	what := `{"Type":"inventory-retrieval"}`
	if id != "" && c.rnd.IntN(3) > 0 {
		what = fmt.Sprintf(`{"Type":"archive-retrieval","ArchiveId":%q}`, id)
	} else {
		id = ""
	}
	rep, err := c.change(ctx, p, &step{name: "initiate job", makes: "job", apply: func(s *state, made string) *state {
		s.Jobs[made] = order{Archive: id}
		return s
	}}, request{method: http.MethodPost, path: c.base() + "/jobs", body: []byte(what)})
	if err != nil || !rep.ok() {
		return err
	}
	made := rep.header.Get("X-Amz-Job-Id")
	path := c.base() + "/jobs/" + made
	ended, err := p.await(ctx, path)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.known = c.known.clone()
	c.known.Jobs[made] = order{Archive: id, Done: true}
	c.mu.Unlock()
	rep, err = p.do(ctx, request{method: http.MethodGet, path: path + "/output"})
	if err != nil || ended != "Succeeded" || !rep.ok() {
		return errors.Join(err, fmt.Errorf("job: %s, %d %s", ended, rep.status, rep.body))
	}
	if id != "" && sum(rep.body) != sum(c.bytes[c.known.Archives[id].Tree]) {
		return fmt.Errorf("archive %s has other bytes", id)
	}
	return nil
}

// policy is a policy that denies something to strangers, and the body that
// brings it.
func (c *client) policy() (text string, body []byte) {
	text = fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Sid":"n%d","Effect":"Deny","Principal":{"AWS":"arn:aws:iam::210987654321:root"},`+
		`"Action":"glacier:DeleteArchive","Resource":"arn:aws:glacier:us-east-1:%s:vaults/%s"}]}`, c.steps, owner, c.vault)
	body, err := json.Marshal(map[string]string{"policy": text})
	if err != nil {
		panic(err)
	}
	return text, body
}

// document changes tags, policy, notifications or lock.
func (c *client) document(ctx context.Context, p *proc) error {
	n := c.steps
	switch c.rnd.IntN(8) {
	case 0, 1:
		key, value := fmt.Sprintf("k%d", c.rnd.IntN(5)), fmt.Sprint(n)
		return c.plain(ctx, p, "add tag", request{method: http.MethodPost, path: c.base() + "/tags?operation=add",
			body: fmt.Appendf(nil, `{"Tags":{%q:%q}}`, key, value)}, func(s *state) *state { s.Tags[key] = value; return s })
	case 2:
		key := pick(c.rnd, c.known.Tags)
		return c.plain(ctx, p, "remove tag", request{method: http.MethodPost, path: c.base() + "/tags?operation=remove",
			body: fmt.Appendf(nil, `{"TagKeys":[%q]}`, key)}, func(s *state) *state { delete(s.Tags, key); return s })
	case 3:
		text, body := c.policy()
		return c.plain(ctx, p, "set policy", request{method: http.MethodPut, path: c.base() + "/access-policy", body: body},
			func(s *state) *state { s.Policy = text; return s })
	case 4:
		return c.plain(ctx, p, "delete policy", request{method: http.MethodDelete, path: c.base() + "/access-policy"},
			func(s *state) *state { s.Policy = ""; return s })
	case 5:
		topic := fmt.Sprintf("arn:aws:sns:us-east-1:123456789012:t%d", n)
		return c.plain(ctx, p, "set notifications", request{method: http.MethodPut, path: c.base() + "/notification-configuration",
			body: fmt.Appendf(nil, `{"SNSTopic":%q,"Events":["ArchiveRetrievalCompleted"]}`, topic)},
			func(s *state) *state { s.Topic = topic; return s })
	case 6:
		return c.plain(ctx, p, "delete notifications", request{method: http.MethodDelete, path: c.base() + "/notification-configuration"},
			func(s *state) *state { s.Topic = ""; return s })
	}
	return c.lock(ctx, p)
}

func (c *client) lock(ctx context.Context, p *proc) error {
	path := c.base() + "/lock-policy"
	switch c.known.Lock {
	case "":
		_, body := c.policy()
		c.lockID = ""
		rep, err := c.change(ctx, p, &step{name: "initiate lock", apply: func(s *state, _ string) *state {
			s.Lock = "InProgress"
			return s
		}}, request{method: http.MethodPost, path: path, body: body})
		c.lockID = rep.header.Get("X-Amz-Lock-Id")
		return err
	case "InProgress":
		if c.rnd.IntN(3) == 0 {
			return c.plain(ctx, p, "complete lock", request{method: http.MethodPost, path: path + "/" + c.lockID},
				func(s *state) *state { s.Lock = "Locked"; return s })
		}
		return c.plain(ctx, p, "abort lock", request{method: http.MethodDelete, path: path},
			func(s *state) *state { s.Lock = ""; return s })
	}
	return nil
}
