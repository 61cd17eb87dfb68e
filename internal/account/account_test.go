package account_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/account"
	"moraine/internal/housetest"
	"moraine/internal/meta"
	"moraine/internal/policy"
	"moraine/internal/seal"
	"moraine/internal/sigv4"
)

const (
	user  = moraine.UserIdentity
	group = moraine.GroupIdentity
	role  = moraine.RoleIdentity
	here  = "210987654321"
)

// office is a service on real rows, with a clock that tests move.
type office struct {
	*account.Service
	t       *testing.T
	rows    meta.Store
	keyring *seal.Keyring
	root    account.Call
	clock   *housetest.Clock
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, rows: housetest.Rows(t), keyring: keyring(t, account.GenerateMaster()), clock: housetest.NewClock(time.Unix(1_700_000_000, 0))}
	o.Service = o.service()
	if err := o.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.root = account.Call{Principal: o.must(o.Lookup(t.Context(), bootstrap().KeyID, "")), KeyID: bootstrap().KeyID, Keys: map[string]string{}}
	return o
}

// service is a service without any memory on the rows, as a process that starts
// has it.
func (o *office) service() *account.Service {
	return account.New(account.Config{Meta: o.rows, Keyring: o.keyring, Root: bootstrap(), Now: o.clock.Now})
}

func bootstrap() account.Root {
	return account.Root{Account: here, KeyID: "AKIAMORAINETEST00001", Secret: sigv4.Secret("moraine/test/secret+key/0123456789abcdef")}
}

func keyring(t *testing.T, text string) *seal.Keyring {
	t.Helper()
	k, err := seal.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// must is the principal of a key that must be found.
func (o *office) must(k sigv4.Key, err error) access.Principal {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
	p, err := o.Principal(&sigv4.Result{KeyID: k.ID, Subject: k.Subject, Service: "glacier", Region: "eu-north-1", Temporary: len(k.Token) > 0})
	if err != nil {
		o.t.Fatal(err)
	}
	return p
}

// as is a call with a key.
func (o *office) as(k account.Key) account.Call {
	o.t.Helper()
	return account.Call{Principal: o.must(o.Lookup(o.t.Context(), k.ID, "")), KeyID: k.ID}
}

// in is a call with a temporary key.
func (o *office) in(c account.Credentials) account.Call {
	o.t.Helper()
	return account.Call{Principal: o.must(o.Lookup(o.t.Context(), c.KeyID, string(c.Token))), KeyID: c.KeyID, Temporary: true}
}

func (o *office) create(kind moraine.IdentityKind, name string) *account.Entity {
	o.t.Helper()
	n := account.NewEntity{Kind: kind, Name: name}
	if kind == role {
		n.Trust = trust(here)
	}
	e, err := o.Create(o.t.Context(), o.root, n)
	if err != nil {
		o.t.Fatal(err)
	}
	return e
}

func (o *office) key(name string) account.Key {
	o.t.Helper()
	k, err := o.CreateKey(o.t.Context(), o.root, name)
	if err != nil {
		o.t.Fatal(err)
	}
	return k
}

func (o *office) ok(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

func trust(principal string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"sts:AssumeRole"}}`
}

func allow(action string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"` + action + `","Resource":"*"}}`
}

// allowed asks the evaluator what the policies of a principal say.
func allowed(p access.Principal, action string) bool {
	r := policy.Request{Principal: p.Caller(), Action: action, Resource: "arn:aws:glacier:eu-north-1:" + here + ":vaults/v", Now: time.Unix(1_700_000_000, 0)}
	p.Describe(&r.Context)
	policies := p.Policies()
	d := policy.Evaluate(&r, &policies)
	return d.Allowed
}

// wantCode fails the test unless err has the code and the message; "" is for
// no error, and AccessDenied for a refusal.
func wantCode(t *testing.T, err error, code account.Code, message string) {
	t.Helper()
	got := fmt.Sprint(err)
	want := string(code) + ": " + message
	switch {
	case code == "":
		want = "<nil>"
	case code == account.AccessDeniedCode:
		want = message
		if !moraine.IsKind(err, moraine.Denied) {
			t.Errorf("got %v, want a refusal", err)
		}
	}
	if !strings.HasPrefix(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestOpenWrongMaster starts on rows that were sealed with other keys.
func TestOpenWrongMaster(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	if sealed, err := account.Sealed(t.Context(), o.rows); err != nil || !sealed {
		t.Errorf("Sealed: %v, %v", sealed, err)
	}
	wrong := account.New(account.Config{Meta: o.rows, Keyring: keyring(t, account.GenerateMaster()), Root: bootstrap()})
	if err := wrong.Open(t.Context()); !moraine.IsKind(err, moraine.Corrupt) {
		t.Errorf("Open with other master keys: %v", err)
	}
}

// TestOpenTogether starts processes on rows they share, with the settings of
// each.
func TestOpenTogether(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	first := account.GenerateMaster()
	newer := account.GenerateMaster()
	other := bootstrap()
	other.Account = "999999999999"
	o.rows = housetest.Rows(t)
	for _, step := range []struct {
		name, keys string
		root       account.Root
		kind       moraine.Kind // 0: it starts
		says       string
	}{
		{"the first", first, bootstrap(), 0, ""},
		{"the same again", first, bootstrap(), 0, ""},
		{"keys of its own", account.GenerateMaster(), bootstrap(), moraine.Corrupt, keyring(t, first).Name()},
		{"an account of its own", first, other, moraine.Invalid, string(bootstrap().Account)},
		{"prepared for a newer key", first + newer, bootstrap(), 0, ""},
		{"not prepared, and needs no newer key yet", first, bootstrap(), 0, ""},
		{"seals with the newer key", newer + first, bootstrap(), 0, ""},
		{"lacks the newer key", first, bootstrap(), moraine.Corrupt, keyring(t, newer).Name()},
		{"has the newer key alone", newer, bootstrap(), 0, ""},
	} {
		err := account.New(account.Config{Meta: o.rows, Keyring: keyring(t, step.keys), Root: step.root}).Open(t.Context())
		if step.kind == 0 && err != nil || step.kind != 0 && (!moraine.IsKind(err, step.kind) || !strings.Contains(err.Error(), step.says)) {
			t.Errorf("%s: %v", step.name, err)
		}
	}
}

// TestOpenTogetherRoot starts processes that share rows with root keys of their
// own.
func TestOpenTogetherRoot(t *testing.T) {
	t.Parallel()
	rows := housetest.Rows(t)
	keys := account.GenerateMaster()
	newer := account.GenerateMaster()
	other, forger := account.Generate(), bootstrap()
	other.Account = bootstrap().Account
	forger.Secret = other.Secret
	for _, step := range []struct {
		name, keys string
		root       account.Root
		alone, new bool
		says       string // "": it starts
	}{
		{"the first", keys, bootstrap(), false, false, ""},
		{"the same again", keys, bootstrap(), false, false, ""},
		{"another key", keys, other, false, false, "theirs has the id " + bootstrap().KeyID},
		{"another secret of that id", keys, forger, false, false, "another root key"},
		{"another key, and nobody shares", keys, other, true, false, ""},
		{"not changed by that", keys, bootstrap(), false, false, ""},
		{"a newer master", newer + keys, bootstrap(), false, false, ""},
		{"without the older master", newer, bootstrap(), false, false, ""},
		{"another key for all", newer, other, false, true, ""},
		{"the same for all again", newer, other, false, true, ""},
		{"the key from before", newer, bootstrap(), false, false, "theirs has the id " + other.KeyID},
		{"the key of all", newer, other, false, false, ""},
	} {
		err := account.New(account.Config{
			Meta: rows, Keyring: keyring(t, step.keys), Root: step.root, Shared: !step.alone, NewRoot: step.new,
		}).Open(t.Context())
		refused := moraine.IsKind(err, moraine.Invalid) && strings.Contains(err.Error(), step.says)
		if step.says == "" && err != nil || step.says != "" && !refused {
			t.Errorf("%s: %v, want %q", step.name, err, step.says)
		}
		for _, secret := range []string{string(bootstrap().Secret), string(other.Secret)} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error shows a secret: %v", step.name, err)
			}
		}
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	o.create(user, "bob")
	active, inactive := o.key("bob"), o.key("bob")
	o.ok(o.SetKeyActive(ctx, o.root, "bob", inactive.ID, false))
	o.create(user, "gone")
	gone := o.key("gone")
	session, err := o.SessionToken(ctx, o.as(active), 15*time.Minute)
	o.ok(err)
	left, err := o.SessionToken(ctx, o.as(gone), 0)
	o.ok(err)
	o.ok(o.DeleteKey(ctx, o.root, "gone", gone.ID))
	o.ok(o.Delete(ctx, o.root, user, "gone"))
	token := string(session.Token)
	for _, row := range []struct {
		name, id, token string
		secret          string // "" if the key is unknown
	}{
		{"root", bootstrap().KeyID, "", string(bootstrap().Secret)},
		{"root with a token", bootstrap().KeyID, token, ""},
		{"a user's", active.ID, "", string(active.Secret)},
		{"a user's with a token", active.ID, token, ""},
		{"inactive", inactive.ID, "", ""},
		{"deleted", gone.ID, "", ""},
		{"nobody's", "AKIAAAAAAAAAAAAAAAAA", "", ""},
		{"the sample", "SAMPLE", "", ""},
		{"the sample of the root", "ROOT", "", ""},
		{"a session", session.KeyID, token, string(session.Secret)},
		{"a session without token", session.KeyID, "", ""},
		{"a session with another's token", left.KeyID, token, ""},
		{"a session of a user who is gone", left.KeyID, string(left.Token), ""},
		{"a forged token", session.KeyID, token[:40] + swap(token[40:41]) + token[41:], ""},
		{"no token at all", session.KeyID, "hello", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			k, err := o.Lookup(ctx, row.id, row.token)
			if row.secret == "" {
				if !errors.Is(err, sigv4.ErrUnknownKey) {
					t.Errorf("got %v, want ErrUnknownKey", err)
				}
				return
			}
			if err != nil || string(k.Secret) != row.secret || string(k.Token) != row.token || k.ID != row.id {
				t.Errorf("got %+v, %v", k, err)
			}
		})
	}
	// A session that is over is found, with its end: whether to say so is for
	// the verifier, after the signature.
	o.clock.Advance(time.Hour)
	if k, err := o.Lookup(ctx, session.KeyID, token); err != nil || !k.Expires.Equal(session.Expires) || k.Expires.After(o.clock.Now()) {
		t.Errorf("a session that is over: %+v, %v", k, err)
	}
}

// swap returns another letter.
func swap(s string) string {
	if s == "A" {
		return "B"
	}
	return "A"
}

// TestNextCall changes what a user may do and looks at the very next lookup.
func TestNextCall(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	o.create(user, "bob")
	o.create(group, "g")
	k := o.key("bob")
	m, err := o.CreatePolicy(ctx, o.root, account.NewPolicy{Name: "m", Text: allow("glacier:ListVaults")})
	o.ok(err)
	const action = "glacier:DescribeVault"
	for _, row := range []struct {
		name   string
		change func() error
		want   bool
	}{
		{"nothing yet", func() error { return nil }, false},
		{"inline", func() error { return o.PutInline(ctx, o.root, user, "bob", "p", allow(action)) }, true},
		{"inline gone", func() error { return o.DeleteInline(ctx, o.root, user, "bob", "p") }, false},
		{"attached", func() error { return o.Attach(ctx, o.root, user, "bob", m.ARN) }, false},
		{"new version", func() error {
			_, _, err := o.AddPolicyVersion(ctx, o.root, m.ARN, allow(action), true)
			return err
		}, true},
		{"old version", func() error { return o.SetDefaultVersion(ctx, o.root, m.ARN, "v1") }, false},
		{"version again", func() error { return o.SetDefaultVersion(ctx, o.root, m.ARN, "v2") }, true},
		{"detached", func() error { return o.Detach(ctx, o.root, user, "bob", m.ARN) }, false},
		{"group", func() error {
			return errors.Join(o.Attach(ctx, o.root, group, "g", m.ARN), o.Join(ctx, o.root, "g", "bob"))
		}, true},
		{"left", func() error { return o.Leave(ctx, o.root, "g", "bob") }, false},
		{"member again", func() error { return o.Join(ctx, o.root, "g", "bob") }, true},
		{"boundary", func() error {
			b, err := o.CreatePolicy(ctx, o.root, account.NewPolicy{Name: "b", Text: allow("iam:*")})
			return errors.Join(err, o.SetBoundary(ctx, o.root, user, "bob", b.ARN))
		}, false},
		{"no boundary", func() error { return o.DropBoundary(ctx, o.root, user, "bob") }, true},
		{"renamed", func() error { return o.Rename(ctx, o.root, user, "bob", "rob", "/x/") }, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := row.change(); err != nil {
				t.Fatal(err)
			}
			if got := allowed(o.as(k).Principal, action); got != row.want {
				t.Errorf("allowed %v, want %v", got, row.want)
			}
		})
	}
}

// TestRevokeUnderLoad disables a key while others use it: no lookup that begins
// after the change finds it.
func TestRevokeUnderLoad(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.create(user, "bob")
	k := o.key("bob")
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if _, err := o.Lookup(t.Context(), k.ID, ""); err != nil && !errors.Is(err, sigv4.ErrUnknownKey) {
						t.Error(err)
					}
				}
			}
		})
	}
	for n := range 50 {
		active := n%2 == 1
		o.ok(o.SetKeyActive(t.Context(), o.root, "bob", k.ID, active))
		if _, err := o.Lookup(t.Context(), k.ID, ""); (err == nil) != active {
			t.Fatalf("key set active %v, then the lookup says %v", active, err)
		}
	}
	close(stop)
	wg.Wait()
}

// TestUnreadable makes sure that a stored policy that does not parse denies.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	e := o.create(user, "bob")
	k := o.key("bob")
	o.ok(o.PutInline(t.Context(), o.root, user, "bob", "p", allow("*")))
	o.ok(o.rows.Update(t.Context(), func(tx meta.Tx) error {
		row, err := tx.Identities().ByID(e.ID)
		row.Document = []byte(strings.ReplaceAll(string(row.Document), "Allow", "Perhaps"))
		return errors.Join(err, tx.Identities().Save(row))
	}))
	if p := o.as(k).Principal; allowed(p, "glacier:ListVaults") {
		t.Error("a policy that does not parse allows")
	}
}

func TestLastUse(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.create(user, "bob")
	k := o.key("bob")
	got, err := o.KeyUse(t.Context(), o.root, k.ID)
	if err != nil || !got.Used.At.IsZero() || got.UserName != "bob" {
		t.Errorf("before: %+v, %v", got, err)
	}
	o.as(k)
	want := moraine.KeyUse{At: o.clock.Now().UTC(), Service: "glacier", Region: "eu-north-1"}
	if got, err := o.KeyUse(t.Context(), o.root, k.ID); err != nil || got.Used != want {
		t.Errorf("after: %+v, %v", got, err)
	}
	o.ok(o.Flush(t.Context()))
	o.ok(o.rows.View(t.Context(), func(tx meta.Tx) error {
		row, err := tx.AccessKeys().Get(k.ID)
		if row.Used != want {
			t.Errorf("stored %+v, want %+v", row.Used, want)
		}
		return err
	}))
}
