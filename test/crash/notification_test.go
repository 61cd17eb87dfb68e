package crash_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"golang.org/x/sync/errgroup"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/vaultclient"
)

const (
	hookSecret = "whsec_Y3Jhc2ggaGFybmVzcyBvZiBtb3JhaW5lLCBub3QgYSBzZWNyZXQ="
	// messagesMax is how long after the last restart messages may take: a killed
	// process holds some for half a minute, and the receiver refuses some.
	messagesMax = 3 * time.Minute
)

// restless is the vault whose configuration of notifications changes all the
// time: its jobs are owed no message, but may have one. The other two are
// configured once.
const restless = "crash-c"

// Topics. Each has the receiver as its target.
var (
	topicOfA       = topic("a")
	topicOfB       = topic("b")
	topicOfJob     = topic("job")
	restlessTopics = []string{topic("c0"), topic("c1"), topic("c2")}

	allEvents = []string{"ArchiveRetrievalCompleted", "InventoryRetrievalCompleted"}
	configs   = map[string]vaultclient.NotificationConfig{
		"crash-a": {SNSTopic: topicOfA, Events: allEvents},
		"crash-b": {SNSTopic: topicOfB, Events: allEvents[:1]},
	}
)

func topic(name string) string {
	return "arn:aws:sns:" + moraineproc.Region + ":" + moraineproc.Account + ":" + name
}

// notice is an acknowledged job and the topics that are to hear of its end.
type notice struct {
	vault  string
	topics []string
	bulk   bool   // does not end by itself
	text   string // the job at the end of the run, as the server describes it
}

// newNotice is what follows from an InitiateJob request.
func newNotice(vault string, job vaultclient.JobRequest) *notice {
	n := &notice{vault: vault, bulk: job.Tier == "Bulk"}
	event := "ArchiveRetrievalCompleted"
	if job.Type == "inventory-retrieval" {
		event = "InventoryRetrievalCompleted"
	}
	if c := configs[vault]; slices.Contains(c.Events, event) {
		n.topics = append(n.topics, c.SNSTopic)
	}
	if job.SNSTopic != "" {
		n.topics = append(n.topics, job.SNSTopic)
	}
	return n
}

// letter is a message as it came, and how often.
type letter struct {
	id, topic, job, source, data string
	accepted, turnedAway         int
}

// post is a webhook that keeps what it gets, refuses some of it, and sometimes
// hangs up before it has said that it has the message.
type post struct {
	server *httptest.Server
	hook   *standardwebhooks.Webhook
	come   chan struct{} // holds a token when something was accepted

	mu      sync.Mutex // guards what follows
	r       *rand.Rand
	letters map[string]*letter // by id
	faults  []string
}

func newPost(t *testing.T, seed uint64) *post {
	t.Helper()
	hook, err := standardwebhooks.NewWebhook(hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	p := &post{hook: hook, come: make(chan struct{}, 1), r: rand.New(rand.NewPCG(seed, 3)), letters: map[string]*letter{}}
	p.server = httptest.NewServer(p)
	t.Cleanup(p.server.Close)
	return p
}

// settings make a server send its messages here.
func (p *post) settings(c *moraineproc.Config) {
	var targets []string
	for _, name := range append([]string{topicOfA, topicOfB, topicOfJob}, restlessTopics...) {
		targets = append(targets, name+"="+p.server.URL)
	}
	c.Args = append(c.Args, "--notify-targets="+strings.Join(targets, ","), "--notify-allow-private")
	c.Env = append(c.Env, "MORAINE_NOTIFY_WEBHOOK_SECRET="+hookSecret)
}

// ServeHTTP takes a message.
func (p *post) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return // the sender was killed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var event struct {
		ID, Subject, Source, Topic string
		Data                       json.RawMessage
	}
	if err := p.hook.Verify(body, r.Header); err != nil {
		p.faults = append(p.faults, fmt.Sprintf("message with a bad signature, %v: %s", err, body))
		return
	}
	if err := json.Unmarshal(body, &event); err != nil || event.ID != r.Header.Get("webhook-id") {
		p.faults = append(p.faults, fmt.Sprintf("message that is no event, %v: %s", err, body))
		return
	}
	l := letter{id: event.ID, topic: event.Topic, job: event.Subject, source: event.Source, data: string(event.Data)}
	known := p.letters[l.id]
	if known == nil {
		known = &l
		p.letters[l.id] = known
	}
	if l.job != known.job || l.topic != known.topic || l.data != known.data {
		p.faults = append(p.faults, fmt.Sprintf("message %s came as %+v and as %+v", l.id, *known, l))
	}
	switch p.r.IntN(16) {
	case 0:
		known.turnedAway++
		w.WriteHeader(http.StatusServiceUnavailable)
	case 1:
		known.turnedAway++
		panic(http.ErrAbortHandler)
	default:
		known.accepted++
		w.WriteHeader(http.StatusNoContent)
		select {
		case p.come <- struct{}{}:
		default:
		}
	}
}

// accepted lists what was accepted, by job and topic.
func (p *post) accepted() map[[2]string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := map[[2]string]bool{}
	for _, l := range p.letters {
		if l.accepted > 0 {
			got[[2]string{l.job, l.topic}] = true
		}
	}
	return got
}

// all lists what came, accepted or not, and what was wrong with it.
func (p *post) all() (letters []letter, faults []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.letters {
		letters = append(letters, *l)
	}
	return letters, p.faults
}

// messages waits until all jobs that can end have ended and all messages owed are
// there, and compares every message with its job. It returns how many messages
// were owed and how many of those were delivered.
func (v *verifier) messages(ctx context.Context, p *post) (owed, delivered int) {
	if err := v.describeJobs(ctx); err != nil {
		v.l.fault("jobs at the end: %v", err)
		return 0, 0
	}
	missing := map[[2]string]bool{}
	for id, n := range v.l.notices {
		for _, topic := range n.topics {
			if ended(n.text) {
				missing[[2]string{id, topic}] = true
			}
		}
	}
	owed = len(missing)
	wait, cancel := context.WithTimeout(ctx, v.patience)
	defer cancel()
	for {
		for key := range p.accepted() {
			delete(missing, key)
		}
		if len(missing) == 0 || wait.Err() != nil {
			break
		}
		select {
		case <-p.come:
		case <-wait.Done():
		}
	}
	for key := range missing {
		v.l.fault("%s: job %s has ended, and no message came to %s", lost, key[0], key[1])
	}
	v.letters(ctx, p)
	return owed, owed - len(missing)
}

// ended reports whether a description is of a job that has ended.
func ended(text string) bool { return strings.Contains(text, `"Completed":true`) }

// describeJobs reads all acknowledged jobs, those in progress until they end.
func (v *verifier) describeJobs(ctx context.Context) error {
	queue := make(chan string)
	g, ctx := errgroup.WithContext(ctx)
	for range readers {
		g.Go(func() error {
			c := v.client()
			defer c.Close()
			for id := range queue {
				n := v.l.notices[id]
				if err := describeJob(ctx, c, id, n); err != nil {
					v.l.fault("%s: job %s of %s: %v", lost, id, n.vault, err)
				}
			}
			return ctx.Err()
		})
	}
	var ids []string
	for id := range v.l.notices {
		ids = append(ids, id)
	}
	g.Go(func() error {
		defer close(queue)
		for _, id := range ids {
			select {
			case queue <- id:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	return g.Wait()
}

func describeJob(ctx context.Context, c *vaultclient.Client, id string, n *notice) (err error) {
	ctx, cancel := context.WithTimeout(ctx, jobMax)
	defer cancel()
	if n.text, err = c.DescribeJobText(ctx, n.vault, id); err != nil || n.bulk || ended(n.text) {
		return err
	}
	if _, err = c.AwaitJob(ctx, n.vault, id); err != nil {
		return err
	}
	n.text, err = c.DescribeJobText(ctx, n.vault, id)
	return err
}

// letters judges every message that came: it tells of a job that has ended, in
// the words of DescribeJob, to a topic that was to hear of it, and a job has one
// for each topic.
func (v *verifier) letters(ctx context.Context, p *post) {
	c := v.client()
	defer c.Close()
	first := map[[2]string]string{}
	letters, faults := p.all()
	for _, fault := range faults {
		v.l.fault("%s", fault)
	}
	for _, l := range letters {
		key := [2]string{l.job, l.topic}
		if other := first[key]; other != "" {
			v.l.fault("job %s has two messages to %s: %s and %s", l.job, l.topic, other, l.id)
		}
		first[key] = l.id
		if err := v.letter(ctx, c, l); err != nil {
			v.l.fault("message %s about job %s of %s, which gives: %v", l.id, l.job, l.source, err)
		}
	}
}

func (v *verifier) letter(ctx context.Context, c *vaultclient.Client, l letter) error {
	n := v.l.notices[l.job]
	if n == nil {
		// The acknowledgement of the job was lost in a kill; that it is there
		// counts.
		n = &notice{vault: l.source[strings.LastIndexByte(l.source, '/')+1:], topics: []string{l.topic}}
	}
	if !ended(n.text) { // perhaps since
		if err := describeJob(ctx, c, l.job, n); err != nil {
			return err
		}
	}
	switch {
	case !ended(n.text) || l.data != n.text:
		v.l.fault("%s: message %s about job %s says %s, the job is %s", half, l.id, l.job, l.data, n.text)
	case l.source != arn(n.vault):
		v.l.fault("message %s about job %s of %s is of %s", l.id, l.job, n.vault, l.source)
	case !slices.Contains(n.topics, l.topic) && (n.vault != restless || !slices.Contains(restlessTopics, l.topic)):
		v.l.fault("message %s about job %s went to %s, want %v", l.id, l.job, l.topic, n.topics)
	}
	return nil
}
