package crash_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestVerifierSeesLoss proves the proof: a ledger that disagrees with the
// server in one way must give exactly that fault.
func TestVerifierSeesLoss(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		lie  func(l *ledger, a *archive, u *upload)
		want string
	}{
		{"the truth", func(*ledger, *archive, *upload) {}, ""},
		{"an archive that is not there", func(l *ledger, a *archive, _ *upload) {
			l.archives["none"] = &archive{id: "none", vault: a.vault, description: "none", payload: a.payload}
		}, "LOST: archive none"},
		{"an archive with other bytes", func(l *ledger, a *archive, _ *upload) {
			a.payload.Linear = strings.Repeat("0", 64)
		}, "LOST: archive "},
		{"an archive with another tree hash", func(l *ledger, a *archive, _ *upload) {
			a.payload.Tree = strings.Repeat("0", 64)
		}, "is listed as"},
		{"an archive that should be gone", func(l *ledger, a *archive, _ *upload) {
			a.fate = deleted
		}, "came back"},
		{"an archive nobody sent", func(l *ledger, a *archive, _ *upload) {
			delete(l.archives, a.id)
		}, "was never sent"},
		{"a part that is not there", func(l *ledger, a *archive, u *upload) {
			u.parts[1].acked = &a.payload
		}, "LOST: part 1048576-"},
		{"a part with other bytes", func(l *ledger, a *archive, u *upload) {
			u.parts[0].acked = &a.payload
		}, "never sent"},
		{"an upload that is not there", func(l *ledger, a *archive, u *upload) {
			l.uploads["none"] = &upload{id: "none", vault: u.vault, sizes: u.sizes, parts: make([]part, 2)}
		}, "LOST: upload none"},
		{"a job that is not there", func(l *ledger, a *archive, _ *upload) {
			l.jobs = append(l.jobs, job{"none", a.vault, a.id})
		}, "job none"},
		{"a lock that does not retain", func(l *ledger, _ *archive, _ *upload) {
			l.locks[1].archives = l.locks[2].archives
		}, "LOST: deletion of"},
		{"an archive that is retained without a lock", func(l *ledger, a *archive, _ *upload) {
			l.locks[2].archives[0] = a
		}, "HALF: deletion of"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			m := newSmall(t)
			row.lie(m.l, m.archive, m.upload)
			m.v.run(t)
			m.wantFault(t, row.want)
		})
	}
}

// TestVerifierSeesEachNoun is TestVerifierSeesLoss for what is not archives.
func TestVerifierSeesEachNoun(t *testing.T) {
	t.Parallel()
	m := newSmall(t)
	for _, row := range []struct {
		name string
		lie  func(l *ledger)
		want string
	}{
		{"an access policy with another byte", func(l *ledger) {
			l.documentOf(accessPolicy{}, "crash-a").acked += " "
		}, "access policy crash-a"},
		{"a write that came to neither", func(l *ledger) {
			l.documentOf(accessPolicy{}, "crash-a").register = register{maybe: []string{"new"}}
		}, "HALF: it reads"},
		{"a tag that is not there", func(l *ledger) {
			l.documentOf(tagSet{}, "crash-b").acked = `{"k":"v"}`
		}, "tags crash-b"},
		{"a notification configuration that is not there", func(l *ledger) {
			l.documentOf(notificationConfig{}, restless).acked = `{"SNSTopic":"t","Events":[]}`
		}, "notification configuration crash-c"},
		{"another data retrieval policy", func(l *ledger) {
			l.documentOf(retrievalPolicy{}, "").acked = `{"Strategy":"FreeTier"}`
		}, "data retrieval policy"},
		{"a capacity unit that is not there", func(l *ledger) {
			l.capacities[1].units["none"] = true
		}, "LOST: capacity unit none"},
		{"a capacity unit nobody bought", func(l *ledger) {
			clear(l.capacities[0].units)
		}, "was never bought"},
		{"a lock that is not there", func(l *ledger) {
			l.locks[2].acked = l.locks[0].acked
		}, "LOST: it reads \"\""},
		{"a final lock with another byte", func(l *ledger) {
			l.locks[0].acked += " "
		}, "LOST: it reads \"Locked"},
		{"a lock that should be final", func(l *ledger) {
			_, policy := l.locks[1].state()
			l.locks[1].acked = lockText(locked, policy)
		}, "LOST: it reads \"InProgress"},
		{"another final lock", func(l *ledger) {
			l.locks[0].created = "earlier"
		}, "was of earlier"},
		{"a user who is not there", func(l *ledger) {
			l.users[1].exists.acked = present
		}, "user crash-user-1"},
		{"a user policy with another byte", func(l *ledger) {
			l.users[0].policy.acked += " "
		}, "policy of crash-user-0"},
		{"a key that should be inactive", func(l *ledger) {
			l.users[0].keys[0].acked = inactive
		}, "LOST: it reads \"Active\""},
		{"a key that should work", func(l *ledger) {
			l.users[0].keys[1].acked = active
		}, "LOST: it reads \"Inactive\""},
		{"a deleted key that works", func(l *ledger) {
			again := *l.auditor
			again.acked = ""
			l.revoked = append(l.revoked, &again)
		}, "of crash-auditor is \"\", and its use gives <nil>"},
		{"a key nobody made", func(l *ledger) {
			l.users[0].keys = l.users[0].keys[:1]
		}, "was never made"},
	} {
		// Not parallel: reading back corrects the ledger for the next row.
		t.Run(row.name, func(t *testing.T) {
			row.lie(m.l)
			m.v.run(t)
			m.wantFault(t, row.want)
		})
	}
}

// TestVerifierSeesPolicyNotInForce lets the ledger believe in another policy than
// the one that decides.
func TestVerifierSeesPolicyNotInForce(t *testing.T) {
	t.Parallel()
	m := newSmall(t)
	c := m.v.client()
	defer c.Close()
	m.v.inForce(t.Context(), c)
	m.wantFault(t, "")
	d := m.l.documentOf(accessPolicy{}, "crash-b")
	if d.acked = `"shut"`; shuts("", `{"LegalHold":"true"}`) || !shuts(`"hold"`, `{"LegalHold":"true"}`) || shuts(`"hold"`, `{"LegalHold":"no"}`) {
		t.Error("a policy is taken for one of another effect")
	}
	m.v.inForce(t.Context(), c)
	m.wantFault(t, "HALF: the access policy and tags of crash-b")
}

// TestVerifierSeesMessages is TestVerifierSeesLoss for messages.
func TestVerifierSeesMessages(t *testing.T) {
	t.Parallel()
	m := newSmall(t)
	m.v.messages(t.Context(), m.p) // all have come
	m.v.patience = time.Millisecond
	for _, row := range []struct {
		name string
		lie  func()
		want string
	}{
		{"the truth", func() {}, ""},
		{"a message that does not come", func() {
			n := m.l.notices[m.done]
			n.topics = append(slices.Clone(n.topics), topicOfB)
		}, "LOST: job "},
		{"a job that is not there", func() {
			m.l.notices["none"] = &notice{vault: "crash-a"}
		}, "LOST: job none"},
		{"a message about a job that goes on", func() {
			m.invent(letter{id: "new", topic: topicOfA, job: m.waiting, source: arn("crash-a"), data: "{}"})
		}, "HALF: message new"},
		{"a message about no job", func() {
			m.invent(letter{id: "new", topic: topicOfA, job: "none", source: arn("crash-a"), data: "{}"})
		}, "message new about job none"},
		{"a second message", func() {
			again := m.letter(topicOfA)
			again.id = "again"
			m.invent(again)
		}, "has two messages to"},
		{"a message with other words", func() {
			m.change(topicOfA, func(l *letter) { l.data += " " })
		}, "HALF: message"},
		{"a message of another vault", func() {
			m.change(topicOfA, func(l *letter) { l.source = arn("crash-b") })
		}, "is of " + arn("crash-b")},
		{"a message nobody asked for", func() {
			m.l.notices[m.done].topics = nil
		}, "want []"},
	} {
		// Not parallel: each row has the one server to itself.
		t.Run(row.name, func(t *testing.T) {
			defer m.copyMessages()()
			row.lie()
			owed, delivered := m.v.messages(t.Context(), m.p)
			m.wantFault(t, row.want)
			if row.want == "" && (owed == 0 || owed != delivered) {
				t.Errorf("%d messages owed, %d delivered", owed, delivered)
			}
		})
	}
}

// TestAuditCheckSeesLoss is TestVerifierSeesLoss for the audit log.
func TestAuditCheckSeesLoss(t *testing.T) {
	t.Parallel()
	m := newSmall(t)
	if err := m.s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		lie  func(t *testing.T)
		want string
	}{
		{"the truth", func(*testing.T) {}, ""},
		{"a write without a record", func(*testing.T) {
			m.l.acknowledged["none"] = "PUT"
		}, "LOST: PUT (request none) was acknowledged and has 0 audit records"},
		{"a record of a write nobody made", func(*testing.T) {
			for id := range m.l.acknowledged {
				delete(m.l.acknowledged, id)
				break
			}
		}, "that nobody was told of"},
		{"a record that says something else", func(t *testing.T) {
			m.edit(t, `"readOnly":false`, `"readOnly":true`)
		}, "HALF: "},
		{"a chain that is broken", func(t *testing.T) {
			m.edit(t, `"readOnly":false`, `"readOnly":true`)
		}, "audit verify: exit 1"},
	} {
		// Not parallel: each row has the one log to itself.
		t.Run(row.name, func(t *testing.T) {
			defer func(acknowledged map[string]string) { m.l.acknowledged = acknowledged }(maps.Clone(m.l.acknowledged))
			row.lie(t)
			checkAudit(t, m.l, m.data)
			m.wantFault(t, row.want)
		})
	}
}
