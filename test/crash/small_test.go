package crash_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/vaultclient"
)

// small is a server with one of each thing, and the ledger that describes it.
type small struct {
	l       *ledger
	v       *verifier
	p       *post
	s       *moraineproc.Server
	data    string
	archive *archive
	upload  *upload

	done, waiting string // jobs about the archive
}

// newSmall makes three vaults with an archive, an upload and documents; locks
// that are final, in progress and withdrawn; a user with a policy, an active, an
// inactive and a deleted key; a capacity unit; a job that has ended and one that
// has not.
func newSmall(t *testing.T) *small {
	t.Helper()
	m := &small{l: newLedger(1), p: newPost(t, 1), data: filepath.Join(t.TempDir(), "data")}
	c := config(m.data)
	c.Args = append(c.Args, m.l.regionFlag())
	m.p.settings(&c)
	m.s = launch(t, c)
	r := rand.New(rand.NewPCG(1, 1))
	m.l.setUp(t, m.s, r)
	m.v = m.l.verifier(m.s, r, true)
	w := &worker{l: m.l, c: m.l.connect(m.s), iam: m.l.connectIAM(m.s), r: r, kill: new(kill)}
	defer w.c.Close()
	defer w.iam.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err, m.l.faults)
		}
	}
	m.fillVault(t, w, must)
	for _, d := range m.l.documents {
		_, c := d.kind.next(w, d.vault, "")
		must(w.write(t.Context(), "write", &d.register, c))
	}
	for range 3 {
		must(w.newLockVault(t.Context()))
	}
	must(w.initiateLock(t.Context(), m.l.locks[0]))
	must(w.completeLock(t.Context(), m.l.locks[0]))
	must(w.initiateLock(t.Context(), m.l.locks[1]))
	m.l.unitsLeft = 1
	must(w.buy(t.Context()))

	u := m.l.users[0]
	must(w.changeUser(t.Context(), u))
	must(w.putPolicy(t.Context(), u))
	must(w.createKey(t.Context(), u))
	must(w.createKey(t.Context(), u))
	must(w.deleteKey(t.Context(), u, u.keys[1]))
	must(w.createKey(t.Context(), u))
	must(w.switchKey(t.Context(), u.keys[1]))
	return m
}

// fillVault makes the archive, the upload and the jobs.
func (m *small) fillVault(t *testing.T, w *worker, must func(error)) {
	t.Helper()
	a := &archive{vault: vaults[0], description: "one", payload: m.l.payload(w.r, 5000)}
	u := &upload{vault: vaults[0], description: "two", sizes: []int64{partSize, 10}, parts: make([]part, 2)}
	var err error
	a.id, err = w.c.UploadArchive(t.Context(), a.vault, a.description, a.payload)
	must(err)
	u.id, err = w.c.InitiateUpload(t.Context(), u.vault, u.description, partSize)
	must(err)
	p := m.l.payload(w.r, partSize)
	must(w.c.UploadPart(t.Context(), u.vault, u.id, 0, p))
	u.parts[0].acked = &p
	m.l.archives[a.id], m.l.uploads[u.id] = a, u
	m.archive, m.upload = a, u
	request := vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: a.id, SNSTopic: topicOfJob}
	m.done, err = w.c.InitiateJob(t.Context(), a.vault, request)
	must(err)
	request.Tier = "Bulk"
	m.waiting, err = w.c.InitiateJob(t.Context(), a.vault, request)
	must(err)
}

// wantFault wants a fault with a text, or none if it is "", and forgets what
// there is.
func (m *small) wantFault(t *testing.T, want string) {
	t.Helper()
	got := strings.Join(m.l.faults, "\n")
	m.l.faults = nil
	if want == "" && got != "" || !strings.Contains(got, want) {
		t.Errorf("faults: got %q, want %q among them", got, want)
	}
}

// invent adds a message that never came.
func (m *small) invent(l letter) {
	m.p.mu.Lock()
	defer m.p.mu.Unlock()
	m.p.letters[l.id] = &l
}

// change changes the message about the job that has ended to a topic.
func (m *small) change(topic string, fn func(l *letter)) {
	m.p.mu.Lock()
	defer m.p.mu.Unlock()
	for _, l := range m.p.letters {
		if l.job == m.done && l.topic == topic {
			fn(l)
		}
	}
}

func (m *small) letter(topic string) (found letter) {
	m.change(topic, func(l *letter) { found = *l })
	return found
}

// copies are the things of a map, each a copy.
func copies[T any](from map[string]*T) map[string]*T {
	to := make(map[string]*T, len(from))
	for key, v := range from {
		c := *v
		to[key] = &c
	}
	return to
}

// copyMessages lets a test change messages and what they are owed for; the
// function it returns undoes that.
func (m *small) copyMessages() (undo func()) {
	m.p.mu.Lock()
	defer m.p.mu.Unlock()
	letters, notices := m.p.letters, m.l.notices
	m.p.letters, m.l.notices = copies(letters), copies(notices)
	return func() {
		m.p.mu.Lock()
		defer m.p.mu.Unlock()
		m.p.letters, m.l.notices = letters, notices
	}
}

// edit replaces the last place of a text in the audit log, until the end of the
// test.
func (m *small) edit(t *testing.T, old, text string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(m.data, "audit", "audit-*.jsonl"))
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	content, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.LastIndex(content, []byte(old))
	if at < 0 {
		t.Fatalf("there is no %s in the audit log", old)
	}
	edited := slices.Concat(content[:at], []byte(text), content[at+len(old):])
	if err := os.WriteFile(names[0], edited, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(names[0], content, 0o600); err != nil {
			t.Error(err)
		}
	})
}
