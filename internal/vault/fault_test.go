package vault_test

import (
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta/metatest"
	"moraine/internal/vault"
)

// restart puts a service without any memory in the place of h's, on the same
// rows.
func (h *house) restart() {
	h.config.Access = access.New(access.Config{Now: h.now})
	h.Service = vault.New(h.config)
}

// TestLockCommitFaults is L11: after a commit of unknown outcome the lock is in
// its old state or in its new one, policy and state together, in this process
// and in the next. The step done again ends in the new state either way.
func TestLockCommitFaults(t *testing.T) {
	t.Parallel()
	initiate := func(h *house, _ string) error { _, err := h.initiate(w1); return err }
	complete := func(h *house, id string) error { return h.completeLock(id) }
	abort := func(h *house, _ string) error { return h.AbortVaultLock(h.t.Context(), h.call, "v1") }
	for _, c := range []struct {
		name     string
		step     func(h *house, id string) error
		from, to moraine.LockState
		again    moraine.Kind // of the refusal when the step that was kept is repeated, 0 for none
	}{
		{"initiate", initiate, "", moraine.LockInProgress, moraine.Locked},
		{"complete", complete, moraine.LockInProgress, moraine.LockLocked, 0},
		{"abort", abort, moraine.LockInProgress, "", 0},
	} {
		for _, fault := range []metatest.Fault{metatest.Lost, metatest.Kept} {
			t.Run(c.name+" "+string(fault), func(t *testing.T) {
				t.Parallel()
				h := newV1(t)
				a := h.mustUpload("v1", []byte("a"))
				id := ""
				if c.from != "" {
					id = h.mustInitiate(w1)
				}
				h.rows.Fail(fault, 0)
				h.wantError(c.step(h, id), moraine.Unavailable, "the commit failed")
				now := c.from
				if fault == metatest.Kept {
					now = c.to
				}
				h.wantRetained(a.ID, now)
				h.restart()
				h.wantRetained(a.ID, now)
				if fault == metatest.Kept && c.again != 0 {
					h.wantError(c.step(h, id), c.again, "")
				} else {
					h.must(c.step(h, id))
				}
				h.wantRetained(a.ID, c.to)
				if c.to == moraine.LockLocked {
					h.wantError(abort(h, id), moraine.Locked, "Vault is already locked: "+v1)
					h.advance(25 * time.Hour) // the window of the lock that was in progress is over
					h.sweep()
					h.restart()
					h.wantRetained(a.ID, c.to)
				}
			})
		}
	}
}

// wantRetained wants the lock w1 in a state, "" for none, and the archive, which
// it retains, deletable or not accordingly, by root.
func (h *house) wantRetained(id moraine.ArchiveID, state moraine.LockState) {
	h.t.Helper()
	h.wantLock(state)
	if state == "" {
		return
	}
	l, err := h.GetVaultLock(h.t.Context(), h.call, "v1")
	if err != nil || l.Policy.Text != w1 || (state == moraine.LockLocked) != l.Expires.IsZero() {
		h.t.Errorf("lock %+v, %v; want it %s, with its policy", l, err, state)
	}
	if got := outcome(h.DeleteArchive(h.t.Context(), h.call, "v1", id)); got != "D lock-policy-explicit" || !h.exists(id) {
		h.t.Errorf("DeleteArchive with the lock %s: %s; the archive exists: %v", state, got, h.exists(id))
	}
}

// TestDocumentCommitFaults fails the commit of each change of an access policy
// or of tags: text and effect are both the old ones or both the new ones, in
// this process and in the next.
func TestDocumentCommitFaults(t *testing.T) {
	t.Parallel()
	open := document(`{"Effect":"Allow","Principal":"*","Action":"glacier:DescribeVault","Resource":"` + v1 + `"}`)
	shut := document(deny(`"glacier:DescribeVault"`, ""))
	held := document(deny(`"glacier:DescribeVault"`, `{"StringEquals":{"glacier:ResourceTag/LegalHold":"true"}}`))
	set := func(p string) func(*house) error {
		return func(h *house) error { return h.SetVaultAccessPolicy(h.t.Context(), h.call, "v1", text(p)) }
	}
	unset := func(h *house) error { return h.DeleteVaultAccessPolicy(h.t.Context(), h.call, "v1") }
	hold := func(h *house) error { return h.tag(h.call, "LegalHold", "true") }
	free := func(h *house) error { return h.remove([]string{"LegalHold"}) }
	const admitted, refused = "A", "D access-policy-explicit"
	for _, c := range []struct {
		name          string
		before        []func(*house) error
		change        func(*house) error
		from, to      string // documents, as texts prints them
		admits, after string // outcome of DescribeVault
	}{
		{"set", nil, set(shut), "", shut, admitted, refused},
		{"replace", []func(*house) error{set(open)}, set(shut), open, shut, admitted, refused},
		{"replace back", []func(*house) error{set(shut)}, set(open), shut, open, refused, admitted},
		{"delete", []func(*house) error{set(shut)}, unset, shut, "", refused, admitted},
		{"add tag", []func(*house) error{set(held)}, hold, held, held + " LegalHold", admitted, refused},
		{"remove tag", []func(*house) error{set(held), hold}, free, held + " LegalHold", held, refused, admitted},
	} {
		for _, fault := range []metatest.Fault{metatest.Lost, metatest.Kept} {
			t.Run(c.name+" "+string(fault), func(t *testing.T) {
				t.Parallel()
				h := newV1(t)
				for _, step := range c.before {
					h.must(step(h))
				}
				h.wantDocuments(c.from, c.admits)
				h.rows.Fail(fault, 0)
				h.wantError(c.change(h), moraine.Unavailable, "the commit failed")
				text, outcome := c.from, c.admits
				if fault == metatest.Kept {
					text, outcome = c.to, c.after
				}
				h.wantDocuments(text, outcome)
				h.restart()
				h.wantDocuments(text, outcome)
				h.must(c.change(h))
				h.wantDocuments(c.to, c.after)
			})
		}
	}
}

// wantDocuments wants an access policy, "" for none, followed by keys of tags,
// and the outcome of bob's DescribeVault.
func (h *house) wantDocuments(want, admits string) {
	h.t.Helper()
	got, err := h.GetVaultAccessPolicy(h.t.Context(), h.call, "v1")
	if err != nil && !moraine.IsKind(err, moraine.NotFound) {
		h.t.Error(err)
	}
	tags, err := h.ListTagsForVault(h.t.Context(), h.call, "v1")
	h.must(err)
	all := []string{got}
	for _, tag := range tags {
		all = append(all, tag.Key)
	}
	_, err = h.DescribeVault(h.t.Context(), h.as("bob"), "v1")
	if got := strings.Join(all, " "); got != want || outcome(err) != admits {
		h.t.Errorf("documents %q and %s, want %q and %s", got, outcome(err), want, admits)
	}
}
