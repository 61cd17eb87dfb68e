package vault_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/audit"
	"moraine/internal/job"
	"moraine/internal/meta"
	"moraine/internal/meta/metatest"
	"moraine/internal/policy"
	"moraine/internal/vault"
)

// The vault of the examples (access-control §6.4).
const (
	accountA = "111111111111"
	v1       = "arn:aws:glacier:us-east-1:111111111111:vaults/v1"
)

// deny makes a statement against everybody on v1.
func deny(actions, condition string) string {
	if condition != "" {
		condition = `,"Condition":` + condition
	}
	return `{"Effect":"Deny","Principal":"*","Action":` + actions + `,"Resource":"` + v1 + `"` + condition + `}`
}

func document(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

var (
	oneYear = deny(`"glacier:DeleteArchive"`, `{"NumericLessThan":{"glacier:ArchiveAgeInDays":"365"}}`)
	onHold  = deny(`"glacier:DeleteArchive"`, `{"StringEqualsIgnoreCase":{"glacier:ResourceTag/LegalHold":["true","yes",""]}}`)
	w1      = document(oneYear)
	w2      = document(onHold)
	w3      = document(oneYear, onHold,
		deny(`["glacier:AddTagsToVault","glacier:RemoveTagsFromVault"]`,
			`{"ArnNotEquals":{"aws:PrincipalArn":"arn:aws:iam::111111111111:role/compliance"}}`),
		deny(`"glacier:DeleteVault"`, ""),
		deny(`"glacier:*"`, `{"Bool":{"aws:SecureTransport":"false"}}`))
	denyAll = document(deny(`"glacier:*"`, ""))
)

func identityPolicy(t *testing.T, text string) []policy.Policy {
	t.Helper()
	doc, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return []policy.Policy{{Name: "inline", Document: doc}}
}

// callers are the principals of the fixtures (access-control §5.3).
func callers(t *testing.T) map[string]access.Principal {
	t.Helper()
	all := identityPolicy(t, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"glacier:*","Resource":"*"}}`)
	user := func(account, name string, p []policy.Policy) access.Principal {
		return access.Principal{
			Account: moraine.AccountID(account), ARN: "arn:aws:iam::" + account + ":user/" + name,
			ID: "AIDA" + strings.Repeat("A", 17-len(name)) + strings.ToUpper(name), Identity: p,
		}
	}
	return map[string]access.Principal{
		"rootA": {Account: accountA, ARN: "arn:aws:iam::111111111111:root", Root: true},
		"alice": user(accountA, "alice", nil),
		"bob":   user(accountA, "bob", all),
		"erin":  user("222222222222", "erin", all),
		"frank": user("222222222222", "frank", nil),
		"comp": {
			Account: accountA, ARN: "arn:aws:sts::111111111111:assumed-role/compliance/s1",
			ID: "AROAAAAAAAAAAAAAAAAAA:s1", RoleID: "AROAAAAAAAAAAAAAAAAAA",
			RoleARN: "arn:aws:iam::111111111111:role/compliance", Identity: all,
		},
	}
}

// newV1 is a house whose calls are those of rootA over TLS, with the vault v1.
func newV1(t *testing.T) *house {
	t.Helper()
	h := newHouse(t, nil)
	h.call = access.Call{Principal: callers(t)["rootA"], Region: "us-east-1", Account: "-", Secure: true, Source: "198.51.100.7"}
	h.must(h.rows.Update(t.Context(), func(tx meta.Tx) error {
		return tx.Accounts().Insert(moraine.Account{ID: accountA, Created: h.now()})
	}))
	h.create("v1")
	return h
}

// as is the call of one of the callers.
func (h *house) as(name string) access.Call {
	c := h.call
	c.Principal = callers(h.t)[name]
	return c
}

func text(s string) vault.PolicyText { return func() (*string, error) { return &s, nil } }

func (h *house) initiate(p string) (string, error) {
	return h.InitiateVaultLock(h.t.Context(), h.call, "v1", text(p))
}

func (h *house) mustInitiate(p string) string {
	h.t.Helper()
	id, err := h.initiate(p)
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

func (h *house) completeLock(id string) error {
	return h.CompleteVaultLock(h.t.Context(), h.call, "v1", id)
}

func (h *house) mustLock(p string) string {
	h.t.Helper()
	id := h.mustInitiate(p)
	h.must(h.completeLock(id))
	return id
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) tag(c access.Call, key, value string) error {
	return h.AddTagsToVault(h.t.Context(), c, "v1", func() ([]moraine.Tag, error) { return []moraine.Tag{{Key: key, Value: value}}, nil })
}

// perform does an action of §6.4 on v1 and returns its error.
func (h *house) perform(c access.Call, action string, id moraine.ArchiveID) error {
	ctx := h.t.Context()
	switch action {
	case "DeleteArchive":
		return h.DeleteArchive(ctx, c, "v1", id)
	case "UploadArchive":
		_, _, err := h.UploadArchive(ctx, c, "v1", request([]byte("more")), strings.NewReader("more"))
		return err
	case "InitiateJob":
		jobs := job.New(job.Config{
			Meta: h.rows, Blobs: h.blobs, Pending: h.config.Pending, Access: h.config.Access, Now: h.now, Owner: "one",
		})
		_, _, err := jobs.InitiateJob(ctx, c, "v1", func() (job.Parameters, error) {
			return job.Parameters{Type: "archive-retrieval", ArchiveID: string(id)}, nil
		})
		return err
	case "DeleteVault":
		return h.DeleteVault(ctx, c, "v1")
	case "RemoveTagsFromVault":
		return h.RemoveTagsFromVault(ctx, c, "v1", func() ([]string, error) { return []string{"LegalHold"}, nil })
	case "GetVaultLock":
		_, err := h.GetVaultLock(ctx, c, "v1")
		return err
	case "SetVaultAccessPolicy":
		return h.SetVaultAccessPolicy(ctx, c, "v1", text(w1))
	}
	h.t.Fatalf("action %s", action)
	return nil
}

// outcome is "A", or "D" and the reason of the refusal.
func outcome(err error) string {
	var r *access.Refusal
	switch {
	case errors.As(err, &r):
		return "D " + r.Decision.Reason.String()
	case moraine.IsKind(err, moraine.Denied):
		return "D " + err.Error()
	}
	return "A"
}

// TestLockPolicies is the table of access-control §6.4, in progress and locked.
func TestLockPolicies(t *testing.T) {
	t.Parallel()
	const none = "-" // no tag; age -1: no archive
	const lock, implicit = "D lock-policy-explicit", "D identity-implicit"
	rows := []struct {
		policy, caller, action string
		age                    int
		hold                   string
		want                   string
	}{
		{w1, "bob", "DeleteArchive", 0, none, lock},
		{w1, "bob", "DeleteArchive", 364, none, lock},
		{w1, "bob", "DeleteArchive", 365, none, "A"},
		{w1, "rootA", "DeleteArchive", 364, none, lock},
		{w1, "rootA", "DeleteArchive", 365, none, "A"},
		{w1, "alice", "DeleteArchive", 400, none, implicit},
		{w1, "bob", "DeleteArchive", -1, none, "A"},
		{w1, "bob", "UploadArchive", -1, none, "A"},
		{w1, "bob", "InitiateJob", 10, none, "A"},
		{w1, "rootA", "DeleteVault", -1, none, "A"},
		{w2, "bob", "DeleteArchive", 400, "true", lock},
		{w2, "bob", "DeleteArchive", 400, "TRUE", lock},
		{w2, "bob", "DeleteArchive", 400, "", lock},
		{w2, "bob", "DeleteArchive", 400, "no", "A"},
		{w2, "bob", "DeleteArchive", 400, none, "A"},
		{w2, "rootA", "DeleteArchive", 400, "yes", lock},
		{w2, "bob", "RemoveTagsFromVault", -1, "true", "A"},
		{w3, "bob", "DeleteArchive", 400, none, "A"},
		{w3, "bob", "DeleteArchive", 10, none, lock},
		{w3, "bob", "DeleteArchive", 400, "true", lock},
		{w3, "bob", "RemoveTagsFromVault", -1, "true", lock},
		{w3, "rootA", "RemoveTagsFromVault", -1, "true", lock},
		{w3, "comp", "RemoveTagsFromVault", -1, "true", "A"},
		{w3, "comp", "DeleteArchive", 10, none, lock},
		{w3, "rootA", "DeleteVault", -1, none, lock},
		{w3, "bob", "GetVaultLock", -1, none, "A"},
		{w3, "bob", "GetVaultLock", -1, "plain", lock},
		{w3, "bob", "SetVaultAccessPolicy", -1, none, "A"},
	}
	for i, row := range rows {
		for _, state := range []moraine.LockState{moraine.LockInProgress, moraine.LockLocked} {
			t.Run(fmt.Sprintf("%d %s %s %s", i+1, row.caller, row.action, state), func(t *testing.T) {
				t.Parallel()
				h := newV1(t)
				archive := moraine.Archive{ID: "unknown"}
				if row.age >= 0 {
					archive = h.mustUpload("v1", []byte("a"))
					h.advance(time.Duration(row.age) * 24 * time.Hour)
				}
				plain := row.hold == "plain"
				if row.hold != none && !plain {
					h.must(h.tag(h.call, "LegalHold", row.hold))
				}
				id := h.mustInitiate(row.policy)
				if state == moraine.LockLocked {
					h.must(h.completeLock(id))
				}
				c := h.as(row.caller)
				c.Secure = !plain
				err := h.perform(c, row.action, archive.ID)
				if got := outcome(err); got != row.want {
					t.Errorf("outcome is %q (%v), want %q", got, err, row.want)
				}
				if row.action == "DeleteArchive" && row.age >= 0 {
					if gone := !h.exists(archive.ID); gone != (row.want == "A") {
						t.Errorf("the archive is deleted: %v, after %q", gone, row.want)
					}
				}
			})
		}
	}
}

// exists reports whether an archive is there and not deleted.
func (h *house) exists(id moraine.ArchiveID) bool {
	h.t.Helper()
	var a moraine.Archive
	h.must(h.rows.View(h.t.Context(), func(tx meta.Tx) (err error) {
		a, err = tx.Archives().Get(id)
		return err
	}))
	return a.Deleted.IsZero()
}

func (h *house) wantLock(state moraine.LockState) {
	h.t.Helper()
	l, err := h.GetVaultLock(h.t.Context(), h.call, "v1")
	if state == "" {
		h.wantError(err, moraine.NotFound, "No vault lock policy is set for: v1")
		return
	}
	if err != nil || l.State != state {
		h.t.Errorf("lock is %+v, %v; want %s", l, err, state)
	}
}

// TestLockStates are the cases of access-control §6.5 by number.
func TestLockStates(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(t *testing.T, h *house){
		"L1": func(_ *testing.T, h *house) {
			a := h.mustUpload("v1", []byte("a"))
			h.mustInitiate(w1)
			h.wantError(h.DeleteArchive(h.t.Context(), h.call, "v1", a.ID), moraine.Denied,
				"User: arn:aws:iam::111111111111:root is not authorized to perform: glacier:DeleteArchive on resource: "+v1+
					" with an explicit deny in a resource-based policy")
		},
		"L2": func(_ *testing.T, h *house) {
			a := h.mustUpload("v1", []byte("a"))
			h.mustInitiate(w1)
			h.must(h.AbortVaultLock(h.t.Context(), h.call, "v1"))
			h.must(h.DeleteArchive(h.t.Context(), h.call, "v1", a.ID))
			h.wantLock("")
		},
		"L3": func(_ *testing.T, h *house) {
			id := h.mustInitiate(w1)
			h.advance(24*time.Hour - time.Second)
			h.must(h.completeLock(id))
			h.advance(48 * time.Hour)
			h.sweep()
			h.wantLock(moraine.LockLocked)
		},
		"L4": func(t *testing.T, h *house) {
			a := h.mustUpload("v1", []byte("a"))
			id := h.mustInitiate(w1)
			h.advance(24*time.Hour + time.Second)
			h.wantError(h.completeLock(id), moraine.NotFound, "No vault lock in progress for: "+v1)
			h.wantLock("")
			h.must(h.DeleteArchive(t.Context(), h.call, "v1", a.ID))
			h.sweep()
			h.wantLock("")
			if got := h.revision(); got != 0 {
				t.Errorf("a vault whose lock is gone has revision %d", got)
			}
			h.mustInitiate(w1)
		},
		"L5": func(_ *testing.T, h *house) {
			h.mustInitiate(w1)
			_, err := h.initiate(w1)
			h.wantError(err, moraine.Locked, "Vault lock is already in progress for: "+v1)
		},
		"L6": func(_ *testing.T, h *house) {
			id := h.mustInitiate(w1)
			h.must(h.AbortVaultLock(h.t.Context(), h.call, "v1"))
			h.wantError(h.completeLock(id), moraine.NotFound, "No vault lock in progress for: "+v1)
		},
		"L7": func(_ *testing.T, h *house) {
			id := h.mustInitiate(w1)
			h.must(h.AbortVaultLock(h.t.Context(), h.call, "v1"))
			h.mustInitiate(w1)
			h.wantError(h.completeLock(id), moraine.Invalid, "Invalid lock ID: "+id)
			h.wantLock(moraine.LockInProgress)
		},
		"L8": func(_ *testing.T, h *house) {
			id := h.mustLock(w1)
			h.must(h.completeLock(id))
			h.wantError(h.completeLock("x"), moraine.Locked, "Vault is already locked: "+v1)
		},
		"L9": func(_ *testing.T, h *house) {
			h.mustLock(w1)
			h.wantError(h.AbortVaultLock(h.t.Context(), h.call, "v1"), moraine.Locked, "Vault is already locked: "+v1)
			_, err := h.initiate(w1)
			h.wantError(err, moraine.Locked, "Vault is already locked: "+v1)
			h.wantLock(moraine.LockLocked)
		},
		"L10": func(_ *testing.T, h *house) {
			a := h.mustUpload("v1", []byte("a"))
			h.mustLock(w1)
			allow := document(`{"Effect":"Allow","Principal":"*","Action":"glacier:DeleteArchive","Resource":"` + v1 + `"}`)
			h.must(h.SetVaultAccessPolicy(h.t.Context(), h.call, "v1", text(allow)))
			h.advance(24 * time.Hour)
			for _, name := range []string{"rootA", "bob", "alice"} {
				if err := h.DeleteArchive(h.t.Context(), h.as(name), "v1", a.ID); outcome(err) != "D lock-policy-explicit" {
					h.t.Errorf("DeleteArchive by %s: %v", name, err)
				}
			}
		},
		"L14": func(_ *testing.T, h *house) {
			id := h.mustInitiate(denyAll)
			h.wantError(h.completeLock(id), moraine.Denied, "User: ")
			h.wantError(h.AbortVaultLock(h.t.Context(), h.as("alice"), "v1"), moraine.Denied, "User: ")
			h.must(h.AbortVaultLock(h.t.Context(), h.call, "v1"))
		},
		"L15": func(_ *testing.T, h *house) {
			h.mustLock(w1)
			h.must(h.DeleteVault(h.t.Context(), h.as("bob"), "v1"))
			h.create("v1")
			h.wantLock("")
			if _, err := h.GetVaultAccessPolicy(h.t.Context(), h.call, "v1"); !moraine.IsKind(err, moraine.NotFound) {
				h.t.Errorf("the new vault has a policy: %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, newV1(t))
		})
	}
}

func (h *house) revision() int64 {
	h.t.Helper()
	d, err := h.DescribeVault(h.t.Context(), h.call, "v1")
	h.must(err)
	return d.Vault.Revision
}

func TestLockIDs(t *testing.T) {
	t.Parallel()
	h := newV1(t)
	id := h.mustInitiate(w1)
	if !regexp.MustCompile(`^[A-Za-z0-9]{24}$`).MatchString(id) {
		t.Errorf("lock id %q is not 24 letters and digits", id)
	}
	l, err := h.GetVaultLock(t.Context(), h.call, "v1")
	if err != nil || l.Policy.Text != w1 || !l.Expires.Equal(l.Created.Add(24*time.Hour)) {
		t.Errorf("lock is %+v, %v", l, err)
	}
	if strings.Contains(fmt.Sprintf("%s", l.Proof), id) {
		t.Error("the lock id is stored")
	}
	h.must(h.AbortVaultLock(t.Context(), h.call, "v1"))
	if again := h.mustInitiate(w1); again == id {
		t.Error("two locks have one id")
	}
}

// TestLockNotices checks what goes on record when a lock was not completed in
// time: whoever finds it says so, once.
func TestLockNotices(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		find func(h *house)
		want string
	}{
		"the sweep":        {func(h *house) { h.sweep() }, "LockExpired LockSwept"},
		"the next lock":    {func(h *house) { h.mustInitiate(w1) }, "LockExpired"},
		"an abort":         {func(h *house) { h.must(h.AbortVaultLock(h.t.Context(), h.call, "v1")) }, "LockExpired"},
		"nobody who looks": {func(h *house) { h.wantLock("") }, ""},
		"a sweep that fails": {func(h *house) {
			h.rows.Fail(metatest.Lost, 0)
			if err := h.Sweep(h.t.Context()); err == nil {
				h.t.Error("the sweep does not fail")
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newV1(t)
			var events []string
			h.config.Notice = func(event string, details map[string]any) {
				events = append(events, event)
				if details["vault"] != v1 || details["expired"] != audit.Stamp(time.UnixMilli(1_700_000_000_000).Add(24*time.Hour)) {
					t.Errorf("%s: %v", event, details)
				}
			}
			h.Service = vault.New(h.config)
			h.mustInitiate(w1)
			h.advance(24*time.Hour + time.Second)
			tt.find(h)
			if got := strings.Join(events, " "); got != tt.want {
				t.Errorf("events %q, want %q", got, tt.want)
			}
			h.sweep()
			h.sweep()
			if tt.want == "" {
				tt.want = "LockExpired LockSwept"
			}
			if got := strings.Join(events, " "); got != tt.want {
				t.Errorf("in the end %q, want %q", got, tt.want)
			}
		})
	}
	// A lock that was completed or withdrawn does not expire.
	h := newV1(t)
	h.config.Notice = func(event string, _ map[string]any) { t.Errorf("%s is told", event) }
	h.Service = vault.New(h.config)
	h.mustInitiate(w1)
	h.must(h.AbortVaultLock(t.Context(), h.call, "v1"))
	h.mustLock(w1)
	h.advance(48 * time.Hour)
	h.sweep()
}
