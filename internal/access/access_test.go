package access_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/policy"
)

const (
	account moraine.AccountID = "111111111111"
	region  moraine.Region    = "us-east-1"
	prefix                    = "arn:aws:glacier:us-east-1:111111111111:"
)

var noon = time.Date(2024, 3, 15, 12, 0, 0, 0, time.UTC)

// house is an Authority on real rows, with a vault "v" that holds an archive
// 400 days old.
type house struct {
	*access.Authority
	t    *testing.T
	rows meta.Store
	now  time.Time
}

func newHouse(t *testing.T) *house {
	t.Helper()
	rows, err := sqlmeta.Open(t.Context(), sqlmeta.Config{Path: filepath.Join(t.TempDir(), "meta.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	})
	h := &house{t: t, rows: rows, now: noon}
	h.Authority = access.New(access.Config{Now: func() time.Time { return h.now }})
	h.update(func(tx meta.Tx) error {
		return errors.Join(
			tx.Vaults().Save(moraine.Vault{ID: "id", Account: account, Region: region, Name: "v", Created: noon}),
			tx.Vaults().Save(moraine.Vault{ID: "other", Account: account, Region: region, Name: "w", Created: noon}),
			tx.Archives().Insert(moraine.Archive{ID: "old", Vault: "id", Size: 1, Created: noon.Add(-400*24*time.Hour + time.Second)}),
			tx.Archives().Insert(moraine.Archive{ID: "young", Vault: "id", Size: 1, Created: noon.Add(time.Second)}),
			tx.Archives().Insert(moraine.Archive{ID: "elsewhere", Vault: "other", Size: 1, Created: noon}))
	})
	return h
}

func (h *house) update(fn func(tx meta.Tx) error) {
	h.t.Helper()
	if err := h.rows.Update(h.t.Context(), fn); err != nil {
		h.t.Fatal(err)
	}
}

// attach changes documents of the vault and gives it the revision.
func (h *house) attach(revision int64, fn func(d meta.Documents) error) {
	h.t.Helper()
	h.update(func(tx meta.Tx) error {
		v, err := tx.Vaults().ByID("id")
		v.Revision = revision
		return errors.Join(err, fn(tx.Documents()), tx.Vaults().Save(v))
	})
}

func (h *house) setPolicy(revision int64, text string) {
	h.t.Helper()
	h.attach(revision, func(d meta.Documents) error {
		return d.SetAccessPolicy("id", &moraine.VaultPolicy{Text: text, Principals: "{}"})
	})
}

func (h *house) admit(c access.Call, act access.Act) (g access.Grant, err error) {
	err = h.rows.View(h.t.Context(), func(tx meta.Tx) error {
		g, err = h.Admit(tx, c, act)
		return err
	})
	return g, err
}

func parse(t *testing.T, text string) *policy.Document {
	t.Helper()
	doc, err := policy.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// user is a call of a user with one identity statement.
func user(t *testing.T, statement string) access.Call {
	t.Helper()
	doc := parse(t, `{"Version":"2012-10-17","Statement":`+statement+`}`)
	return access.Call{
		Principal: access.Principal{
			Account: account, ARN: "arn:aws:iam::111111111111:user/bob", ID: "AIDAAAAAAAAAAAAAAAAAA",
			Identity: []policy.Policy{{Name: "inline", Document: doc}},
		},
		Region: region, Account: "-", Secure: true, Source: "198.51.100.7", UserAgent: "aws-cli/2", Referer: "https://example.org/",
	}
}

func root() access.Call {
	return access.Call{
		Principal: access.Principal{Account: account, ARN: "arn:aws:iam::111111111111:root", Root: true},
		Region:    region, Account: "-", Secure: true,
	}
}

const denyAll = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"glacier:*","Resource":"*"}}`

// TestConditionKeys allows an act under one condition and looks whether it
// holds.
func TestConditionKeys(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.attach(1, func(d meta.Documents) error { return d.SetTags("id", []moraine.Tag{{Key: "Team", Value: "ledger"}}) })
	remove := access.Act{Action: "DeleteArchive", Vault: "v", Archive: "old"}
	tagged := access.Act{
		Action: "AddTagsToVault", Vault: "v", Tags: []moraine.Tag{{Key: "env", Value: "prod"}}, TagKeys: []string{"env"},
	}
	of := func(id moraine.ArchiveID) access.Act {
		return access.Act{Action: "DeleteArchive", Vault: "v", Archive: id}
	}
	for condition, c := range map[string]struct {
		act  access.Act
		want bool
	}{
		`"NumericEquals":{"glacier:ArchiveAgeInDays":"399"}`:                    {remove, true},
		`"NumericEquals":{"glacier:ArchiveAgeInDays":"400"}`:                    {remove, false},
		`"NumericEquals":{"glacier:ArchiveAgeInDays":"0"}`:                      {of("young"), true},
		`"Null":{"glacier:ArchiveAgeInDays":"true"}`:                            {of("unknown"), true},
		`"Null":{"glacier:archiveageindays":"true"}`:                            {of("elsewhere"), true},
		`"StringEquals":{"glacier:ResourceTag/Team":"ledger"}`:                  {remove, true},
		`"StringEquals":{"aws:ResourceTag/team":"ledger"}`:                      {remove, true},
		`"StringEquals":{"glacier:ResourceTag/Team":"Ledger"}`:                  {remove, false},
		`"Null":{"glacier:ResourceTag/Team":"true"}`:                            {access.Act{Action: "DescribeVault", Vault: "w"}, true},
		`"StringEquals":{"aws:RequestTag/env":"prod"}`:                          {tagged, true},
		`"ForAllValues:StringEquals":{"aws:TagKeys":["env","x"]}`:               {tagged, true},
		`"ForAnyValue:StringEquals":{"aws:TagKeys":["x"]}`:                      {tagged, false},
		`"IpAddress":{"aws:SourceIp":"198.51.100.0/24"}`:                        {remove, true},
		`"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}`:                         {remove, false},
		`"Bool":{"aws:SecureTransport":"true"}`:                                 {remove, true},
		`"StringLike":{"aws:UserAgent":"aws-cli/*"}`:                            {remove, true},
		`"StringEquals":{"aws:Referer":"https://example.org/"}`:                 {remove, true},
		`"StringEquals":{"aws:RequestedRegion":"us-east-1"}`:                    {remove, true},
		`"StringEquals":{"aws:ResourceAccount":"111111111111"}`:                 {remove, true},
		`"DateEquals":{"aws:CurrentTime":"2024-03-15T12:00:00Z"}`:               {remove, true},
		`"Bool":{"aws:ViaAWSService":"false"}`:                                  {remove, true},
		`"Bool":{"aws:PrincipalIsAWSService":"false"}`:                          {remove, true},
		`"Null":{"aws:MultiFactorAuthPresent":"true"}`:                          {remove, true},
		`"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111111111111:user/bob"}`: {remove, true},
	} {
		call := user(t, `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{`+condition+`}}`)
		if _, err := h.admit(call, c.act); (err == nil) != c.want {
			t.Errorf("%s: %v, want admitted: %v", condition, err, c.want)
		}
	}
}

func TestResources(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for action, want := range map[string]string{
		"ListVaults": prefix + "vaults/", "DescribeVault": prefix + "vaults/v", "CreateVault": prefix + "vaults/v",
		"GetDataRetrievalPolicy": prefix + "policies/retrieval-limit-policy", "SetDataRetrievalPolicy": prefix + "policies/retrieval-limit-policy",
		"ListProvisionedCapacity": prefix + "provisioned-capacity", "PurchaseProvisionedCapacity": prefix + "provisioned-capacity",
	} {
		act := access.Act{Action: action}
		if strings.HasSuffix(want, "/v") {
			act.Vault = "v"
		}
		call := user(t, `{"Effect":"Allow","Action":"glacier:`+action+`","Resource":"`+want+`"}`)
		if _, err := h.admit(call, act); err != nil {
			t.Errorf("%s on %s: %v", action, want, err)
		}
		call = user(t, `{"Effect":"Allow","Action":"*","Resource":"arn:aws:glacier:*:*:none"}`)
		_, err := h.admit(call, act)
		text := "User: arn:aws:iam::111111111111:user/bob is not authorized to perform: glacier:" + action + " on resource: " + want +
			" because no identity-based policy allows the glacier:" + action + " action"
		var e *moraine.Error
		if !moraine.IsKind(err, moraine.Denied) || !errors.As(err, &e) || e.Message != text {
			t.Errorf("%s: %v, want %q", action, err, text)
		}
	}
}

// TestOwnAccount checks the table of access-control §4.1: which operations
// reach another account at all.
func TestOwnAccount(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	own := map[string]bool{}
	for _, action := range strings.Fields(`AbortVaultLock AddTagsToVault CompleteVaultLock CreateVault GetDataRetrievalPolicy
InitiateVaultLock ListProvisionedCapacity ListTagsForVault ListVaults PurchaseProvisionedCapacity RemoveTagsFromVault SetDataRetrievalPolicy`) {
		own[action] = true
	}
	h.setPolicy(1, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"glacier:*","Resource":"*"}}`)
	for _, action := range append(strings.Fields(`AbortMultipartUpload CompleteMultipartUpload DeleteArchive DeleteVault DeleteVaultAccessPolicy
DeleteVaultNotifications DescribeJob DescribeVault GetJobOutput GetVaultAccessPolicy GetVaultLock GetVaultNotifications InitiateJob
InitiateMultipartUpload ListJobs ListMultipartUploads ListParts SetVaultAccessPolicy SetVaultNotifications UploadArchive UploadMultipartPart`),
		strings.Fields(`AbortVaultLock AddTagsToVault CompleteVaultLock CreateVault GetDataRetrievalPolicy InitiateVaultLock
ListProvisionedCapacity ListTagsForVault ListVaults PurchaseProvisionedCapacity RemoveTagsFromVault SetDataRetrievalPolicy`)...) {
		call := access.Call{
			Principal: access.Principal{Account: "222222222222", ARN: "arn:aws:iam::222222222222:root", Root: true},
			Region:    region, Account: string(account),
		}
		g, err := h.admit(call, access.Act{Action: action, Vault: "v"})
		switch {
		case own[action] && (err == nil || err.Error() != "Access denied for account ID: 111111111111"):
			t.Errorf("%s abroad: %v", action, err)
		case !own[action] && (err != nil || g.Account != account):
			t.Errorf("%s abroad, allowed by the vault: %+v, %v", action, g, err)
		}
	}
}

// TestRevision checks that a decision follows the documents of the vault's
// revision, and no others.
func TestRevision(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	describe := access.Act{Action: "DescribeVault", Vault: "v"}
	want := func(admitted bool, when string) {
		t.Helper()
		if _, err := h.admit(root(), describe); (err == nil) != admitted {
			t.Errorf("%s: %v, want admitted: %v", when, err, admitted)
		}
	}
	want(true, "bare")
	h.setPolicy(7, denyAll)
	want(false, "denied")
	want(false, "denied, from memory")
	h.attach(8, func(d meta.Documents) error { return d.SetAccessPolicy("id", nil) })
	want(true, "policy removed, other documents left")
	h.setPolicy(9, denyAll)
	want(false, "denied again")
	h.attach(0, func(d meta.Documents) error { return d.SetAccessPolicy("id", nil) })
	want(true, "bare again")
}

// TestUndoneDocuments looks at documents that are never committed: nothing of
// them stays.
func TestUndoneDocuments(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	describe := access.Act{Action: "DescribeVault", Vault: "v"}
	undo := errors.New("undo")
	err := h.rows.Update(t.Context(), func(tx meta.Tx) error {
		v, err := tx.Vaults().ByID("id")
		v.Revision = moraine.NewRevision()
		p := moraine.VaultPolicy{Text: denyAll, Principals: "{}"}
		if err := errors.Join(err, tx.Documents().SetAccessPolicy("id", &p), tx.Vaults().Save(v)); err != nil {
			return err
		}
		if _, err := h.Admit(tx, root(), describe); !moraine.IsKind(err, moraine.Denied) {
			t.Errorf("inside: %v", err)
		}
		return undo
	})
	if !errors.Is(err, undo) {
		t.Fatal(err)
	}
	if _, err := h.admit(root(), describe); err != nil {
		t.Errorf("after the undoing: %v", err)
	}
}

// TestUnreadable checks that a stored policy that does not parse denies, to
// root also, and is never taken for none.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]moraine.VaultPolicy{
		"text":       {Text: "{", Principals: "{}"},
		"principals": {Text: denyAll, Principals: "{"},
		"empty":      {},
	} {
		for _, kind := range []string{"access", "lock"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				h := newHouse(t)
				var told []string
				h.Authority = access.New(access.Config{Now: func() time.Time { return h.now }, Unreadable: func(resource string, d policy.Decision) {
					told = append(told, resource+" "+d.Statements[0].Policy)
				}})
				h.attach(1, func(d meta.Documents) error {
					if kind == "access" {
						return d.SetAccessPolicy("id", &p)
					}
					return d.Locks().Save(moraine.Lock{Vault: "id", Policy: p, State: moraine.LockLocked, Created: noon})
				})
				_, err := h.admit(root(), access.Act{Action: "DeleteArchive", Vault: "v", Archive: "old"})
				var r *access.Refusal
				if !errors.As(err, &r) || r.Decision.Reason != policy.ReasonUnreadable {
					t.Errorf("admitted by a policy that cannot be read: %v", err)
				}
				if want := moraine.VaultARN(region, account, "v") + " " + kind + "-policy"; len(told) != 1 || told[0] != want {
					t.Errorf("told of %q, want %q", told, want)
				}
			})
		}
	}
}

// TestLockEnds checks that a lock in progress is in force until the instant it
// expires, also for an Authority that has it in memory.
func TestLockEnds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.attach(1, func(d meta.Documents) error {
		return d.Locks().Save(moraine.Lock{
			Vault: "id", Policy: moraine.VaultPolicy{Text: denyAll, Principals: "{}"}, State: moraine.LockInProgress,
			Created: noon, Expires: noon.Add(24 * time.Hour),
		})
	})
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {24*time.Hour - time.Millisecond, false}, {24 * time.Hour, true}, {48 * time.Hour, true}} {
		h.now = noon.Add(c.after)
		if _, err := h.admit(root(), access.Act{Action: "UploadArchive", Vault: "v"}); (err == nil) != c.want {
			t.Errorf("after %v: %v, want admitted: %v", c.after, err, c.want)
		}
	}
}

// TestCompiledBound gives many vaults long policies: what is kept in memory
// stays bounded and decisions stay right.
func TestCompiledBound(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	text := denyAll + strings.Repeat(" ", 20_000)
	const vaults = 400 // 8 MB of text
	h.update(func(tx meta.Tx) error {
		var errs []error
		for i := range vaults {
			id := moraine.VaultID(fmt.Sprintf("many-%d", i))
			v := moraine.Vault{ID: id, Account: account, Region: region, Name: moraine.VaultName(id), Created: noon, Revision: int64(i + 1)}
			errs = append(errs, tx.Vaults().Save(v),
				tx.Documents().SetAccessPolicy(id, &moraine.VaultPolicy{Text: text, Principals: "{}"}))
		}
		return errors.Join(errs...)
	})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := range vaults {
				act := access.Act{Action: "DescribeVault", Vault: fmt.Sprintf("many-%d", i)}
				if _, err := h.admit(root(), act); !moraine.IsKind(err, moraine.Denied) {
					t.Errorf("%s: %v", act.Vault, err)
				}
			}
		})
	}
	wg.Wait()
	if got := access.CompiledBytes(h.Authority); got > 4<<20 || got < 3<<20 {
		t.Errorf("%d bytes of policies are kept", got)
	}
}

// TestBind checks the ids behind principals: a user that is deleted and made
// again gains nothing (H10), one that never was is refused.
func TestBind(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	alice := moraine.Identity{
		ID: "AIDAAAAAAAAAAAAAAAAAB", Account: account, Kind: moraine.UserIdentity, Name: "alice",
		ARN: "arn:aws:iam::111111111111:user/Alice", Document: []byte("{}"),
	}
	h.update(func(tx meta.Tx) error {
		return errors.Join(tx.Accounts().Insert(moraine.Account{ID: account, Created: noon}), tx.Identities().Save(alice))
	})
	allow := func(principal string) string {
		return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"glacier:*","Resource":"*"}}`
	}
	bind := func(principal string) (p moraine.VaultPolicy, err error) {
		text := allow(principal)
		err = h.rows.View(t.Context(), func(tx meta.Tx) error {
			p, err = access.Bind(tx, parse(t, text), text)
			return err
		})
		return p, err
	}
	for principal, ok := range map[string]bool{
		alice.ARN: true, alice.ID: true, "111111111111": true, "*": true, "arn:aws:iam::999999999999:user/x": true,
		"arn:aws:iam::111111111111:user/bob": false, "arn:aws:iam::111111111111:user/path/Alice": false, "AIDAAAAAAAAAAAAAAAAAZ": false,
	} {
		var fault *policy.Error
		if _, err := bind(principal); (err == nil) != ok || err != nil && !errors.As(err, &fault) {
			t.Errorf("principal %s: %v, want accepted: %v", principal, err, ok)
		}
	}
	p, err := bind(alice.ARN)
	if err != nil {
		t.Fatal(err)
	}
	h.attach(1, func(d meta.Documents) error { return d.SetAccessPolicy("id", &p) })
	call := user(t, `{"Effect":"Allow","Action":"none:x","Resource":"*"}`)
	call.Principal.ARN, call.Principal.ID = alice.ARN, alice.ID
	if _, err := h.admit(call, access.Act{Action: "DescribeVault", Vault: "v"}); err != nil {
		t.Errorf("alice: %v", err)
	}
	call.Principal.ID = "AIDAAAAAAAAAAAAAAAAAC"
	if _, err := h.admit(call, access.Act{Action: "DescribeVault", Vault: "v"}); !moraine.IsKind(err, moraine.Denied) {
		t.Errorf("another alice: %v", err)
	}
}

// TestZeroAuthority checks that the zero value decides as well.
func TestZeroAuthority(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.Authority = new(access.Authority)
	h.setPolicy(1, denyAll)
	if _, err := h.admit(root(), access.Act{Action: "DescribeVault", Vault: "v"}); !moraine.IsKind(err, moraine.Denied) {
		t.Errorf("denied vault: %v", err)
	}
	h.setPolicy(2, "{")
	if _, err := h.admit(root(), access.Act{Action: "DescribeVault", Vault: "v"}); !moraine.IsKind(err, moraine.Denied) {
		t.Errorf("unreadable policy: %v", err)
	}
	if _, err := h.admit(root(), access.Act{Action: "DescribeVault", Vault: "w"}); err != nil {
		t.Errorf("bare vault: %v", err)
	}
}
