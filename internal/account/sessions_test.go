package account_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/account"
	"moraine/internal/housetest"
	"moraine/internal/meta"
	"moraine/internal/sigv4"
)

// dead wants a session to be refused, by the next lookup and by a request that
// began before the session died.
func (o *office) dead(why string, c account.Credentials, before account.Call) {
	o.t.Helper()
	if _, err := o.Lookup(o.t.Context(), c.KeyID, string(c.Token)); !errors.Is(err, sigv4.ErrUnknownKey) {
		o.t.Errorf("%s: the session is found, %v", why, err)
	}
	var refusal *sigv4.Error
	if err := o.fresh(before); !errors.As(err, &refusal) || refusal.Row != "A14" {
		o.t.Errorf("%s: a request of the session that is under way: %v", why, err)
	}
}

// alive wants a session to work.
func (o *office) alive(why string, c account.Credentials, before account.Call) {
	o.t.Helper()
	if _, err := o.Lookup(o.t.Context(), c.KeyID, string(c.Token)); err != nil {
		o.t.Errorf("%s: the session is not found: %v", why, err)
	}
	if err := o.fresh(before); err != nil {
		o.t.Errorf("%s: a request of the session that is under way: %v", why, err)
	}
}

// fresh asks, as the transactions of requests do, whether the principal of a
// call may still act.
func (o *office) fresh(c account.Call) error {
	return o.rows.View(o.t.Context(), func(tx meta.Tx) error {
		_, err := c.Principal.Fresh(tx)
		return err
	})
}

// TestSessionDiesWithKey ends sessions of GetSessionToken with the key that
// made them, and no others.
func TestSessionDiesWithKey(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	o.create(user, "bob")
	first, second := o.key("bob"), o.key("bob")
	begin := func(c account.Call) (account.Credentials, account.Call) {
		t.Helper()
		s, err := o.SessionToken(ctx, c, 0)
		o.ok(err)
		return s, o.in(s)
	}
	s, held := begin(o.as(first))
	other, otherHeld := begin(o.as(second))
	o.ok(o.SetKeyActive(ctx, o.root, "bob", first.ID, false))
	o.dead("the key is inactive", s, held)
	o.ok(o.SetKeyActive(ctx, o.root, "bob", first.ID, true))
	o.alive("the key is active again", s, held)
	o.ok(o.DeleteKey(ctx, o.root, "bob", first.ID))
	o.dead("the key is deleted", s, held)
	o.alive("another key was deleted", other, otherHeld)

	// A key that is gone by the time of the request makes no session.
	late := o.as(second)
	o.ok(o.DeleteKey(ctx, o.root, "bob", second.ID))
	o.dead("the key is deleted", other, otherHeld)
	if _, err := o.SessionToken(ctx, late, 0); err == nil {
		t.Error("a key that is deleted makes a session")
	}
	o.ok(o.Delete(ctx, o.root, user, "bob"))
	o.dead("the user is deleted", other, otherHeld)
}

// TestRootSessionDiesWithKey does the same with keys of a root: those with a
// row and the one without.
func TestRootSessionDiesWithKey(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	bootstrapped, err := o.SessionToken(ctx, o.root, 0)
	o.ok(err)
	held := o.in(bootstrapped)
	extra, err := o.CreateKey(ctx, o.root, "")
	o.ok(err)
	s, err := o.SessionToken(ctx, o.as(extra), 0)
	o.ok(err)
	sHeld := o.in(s)
	o.ok(o.DeleteKey(ctx, o.root, "", extra.ID))
	o.dead("the second key of root is deleted", s, sHeld)
	o.alive("the bootstrap key is there", bootstrapped, held)

	// The operator starts the server with another bootstrap key.
	next := bootstrap()
	next.KeyID = "AKIAMORAINETEST00002"
	o.Service = account.New(account.Config{Meta: o.rows, Keyring: o.keyring, Root: next, Now: o.clock.Now})
	if _, err := o.Lookup(ctx, bootstrapped.KeyID, string(bootstrapped.Token)); !errors.Is(err, sigv4.ErrUnknownKey) {
		t.Errorf("the session outlives the bootstrap key: %v", err)
	}
}

// TestSessionOfUserDies ends a session with its user, also when another user
// gets the name.
func TestSessionOfUserDies(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	o.create(user, "bob")
	k := o.key("bob")
	s, err := o.SessionToken(ctx, o.as(k), time.Hour)
	o.ok(err)
	held := o.in(s)
	o.ok(o.DeleteKey(ctx, o.root, "bob", k.ID))
	o.ok(o.Delete(ctx, o.root, moraine.UserIdentity, "bob"))
	o.create(user, "bob")
	o.key("bob")
	o.dead("another bob", s, held)
}

// assume begins a session of the role, which must be allowed.
func (o *office) assume(c account.Call, role *account.Entity) (account.Credentials, account.Call) {
	o.t.Helper()
	out, err := o.AssumeRole(o.t.Context(), c, account.AssumeRole{RoleARN: role.ARN, SessionName: "s1"})
	o.ok(err)
	return out.Credentials, o.in(out.Credentials)
}

// TestRevokeSessions ends the sessions of a role that have begun, at once, and
// lets the next ones begin.
func TestRevokeSessions(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	bob := o.create(user, "bob")
	caller := o.as(o.key("bob"))
	newRole := func(name string) *account.Entity {
		t.Helper()
		e, err := o.Create(ctx, o.root, account.NewEntity{Kind: role, Name: name, Trust: trust(bob.ARN)})
		o.ok(err)
		return e
	}
	ops, other := newRole("ops"), newRole("other")
	old, oldHeld := o.assume(caller, ops)
	kept, keptHeld := o.assume(caller, other)

	_, err := o.RevokeSessions(ctx, caller, "ops")
	wantCode(t, err, account.AccessDeniedCode, "User: "+bob.ARN+" is not authorized to perform: iam:RevokeRoleSessions on resource: "+ops.ARN)
	o.alive("a refused revocation", old, oldHeld)
	_, err = o.RevokeSessions(ctx, o.root, "none")
	wantCode(t, err, account.NoSuchEntity, "The role with name none cannot be found.")

	at, err := o.RevokeSessions(ctx, o.root, "ops")
	o.ok(err)
	if at.Before(o.clock.Now()) || at.After(o.clock.Now().Add(time.Second)) {
		t.Errorf("revoked before %v, it is %v", at, o.clock.Now())
	}
	o.dead("revoked", old, oldHeld)
	o.alive("sessions of another role were revoked", kept, keptHeld)

	// The dates of sessions have whole seconds: one that begins within the
	// second of the revocation is none of those before it.
	next, nextHeld := o.assume(caller, ops)
	o.alive("begun after the revocation", next, nextHeld)
	if p := nextHeld.Principal; p.Issued.Before(at) {
		t.Errorf("begun %v, before the revocation at %v", p.Issued, at)
	}
	o.dead("the old one", old, oldHeld)
	o.clock.Advance(time.Minute)
	_, err = o.RevokeSessions(ctx, o.root, "ops")
	o.ok(err)
	o.dead("revoked again", next, nextHeld)

	// A clock that was set back undoes no revocation and blocks no session.
	o.clock.Advance(-time.Hour)
	o.dead("the clock was set back", next, nextHeld)
	o.ok(o.UpdateRole(ctx, o.root, "ops", new(string), nil))
	back, backHeld := o.assume(caller, ops)
	o.alive("begun while the clock is behind", back, backHeld)

	o.ok(o.Delete(ctx, o.root, role, "ops"))
	o.dead("the role is deleted", back, backHeld)
	again := newRole("ops")
	o.dead("another role of the name", back, backHeld)
	o.assume(caller, again)
}

// TestRevokeElsewhere revokes at one server what began at another whose clock is
// ahead, and once more what began right after that.
func TestRevokeElsewhere(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	bob := o.create(user, "bob")
	caller := o.as(o.key("bob"))
	ops, err := o.Create(t.Context(), o.root, account.NewEntity{Kind: role, Name: "ops", Trust: trust(bob.ARN)})
	o.ok(err)
	ahead, right := *o, *o
	ahead.clock = housetest.NewClock(o.clock.Now().Add(5 * time.Minute))
	ahead.Service, right.Service = ahead.service(), right.service()
	for _, round := range []string{"first", "in the same second"} {
		begun, held := ahead.assume(caller, ops)
		right.alive(round, begun, held)
		_, err := right.RevokeSessions(t.Context(), right.root, "ops")
		o.ok(err)
		right.dead(round+", at the server that revoked it", begun, held)
		ahead.dead(round+", at the server that began it", begun, held)
	}
}

// TestRevokeOlderSessions takes the other way, which the console of the real
// service goes: a policy that denies sessions issued before an instant.
func TestRevokeOlderSessions(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	bob := o.create(user, "bob")
	o.ok(o.PutInline(ctx, o.root, user, "bob", "all", allow("*")))
	caller := o.as(o.key("bob"))
	ops, err := o.Create(ctx, o.root, account.NewEntity{Kind: role, Name: "ops", Trust: trust(bob.ARN)})
	o.ok(err)
	o.ok(o.PutInline(ctx, o.root, role, "ops", "all", allow("*")))
	old, _ := o.assume(caller, ops)
	const action = "glacier:ListVaults"
	if !allowed(o.in(old).Principal, action) {
		t.Fatal("the session may do nothing")
	}
	o.clock.Advance(time.Minute)
	deny := `{
  "Version": "2012-10-17",
  "Statement": [{
    "Effect": "Deny", "Action": ["*"], "Resource": ["*"],
    "Condition": {"DateLessThan": {"aws:TokenIssueTime": "` + o.clock.Now().UTC().Format("2006-01-02T15:04:05.000Z") + `"}}
  }]
}`
	for kind, name := range map[moraine.IdentityKind]string{role: "ops", user: "bob"} {
		o.ok(o.PutInline(ctx, o.root, kind, name, "AWSRevokeOlderSessions", deny))
	}
	if allowed(o.in(old).Principal, action) {
		t.Error("a session older than the policy is allowed")
	}
	if !allowed(o.as(o.key("bob")).Principal, action) {
		t.Error("a long-term key, which has no time of issue, is denied")
	}
	o.clock.Advance(time.Second)
	next, _ := o.assume(caller, ops)
	if !allowed(o.in(next).Principal, action) {
		t.Error("a session younger than the policy is denied")
	}
}

// TestChaining begins sessions from sessions: what goes on to the next one, and
// what it may not change.
func TestChaining(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	bob := o.create(user, "bob")
	open := func(principal string) string { return strings.Replace(trust(principal), "sts:AssumeRole", "sts:*", 1) }
	create := func(name, text string) *account.Entity {
		t.Helper()
		e, err := o.Create(ctx, o.root, account.NewEntity{Kind: role, Name: name, Trust: text, SessionMax: 12 * time.Hour})
		o.ok(err)
		o.ok(o.PutInline(ctx, o.root, role, name, "all", allow("*")))
		return e
	}
	first := create("first", open(bob.ARN))
	second := create("second", open(first.ARN))
	plain := create("plain", trust(first.ARN)) // AssumeRole alone
	third := create("third", open(second.ARN))
	when := func(condition string) string {
		return strings.Replace(open(first.ARN), `"Action"`, `"Condition":{`+condition+`},"Action"`, 1)
	}
	asked := create("asked", when(`"StringEquals":{"sts:SourceIdentity":"bob"}`))
	named := create("named", when(`"StringEquals":{"aws:SourceIdentity":"bob"}`))
	tagged := create("tagged", when(`"StringEquals":{"aws:RequestTag/team":"red"},"ForAllValues:StringEquals":{"sts:TransitiveTagKeys":["team"],"aws:TagKeys":["team"]}`))
	assume := func(c account.Call, in account.AssumeRole) (account.Assumed, account.Call, error) {
		t.Helper()
		in.SessionName = "s1"
		out, err := o.AssumeRole(ctx, c, in)
		if err != nil {
			return out, account.Call{}, err
		}
		return out, o.in(out.Credentials), nil
	}
	must := func(c account.Call, in account.AssumeRole) (account.Assumed, account.Call) {
		t.Helper()
		out, next, err := assume(c, in)
		o.ok(err)
		return out, next
	}
	caller := o.as(o.key("bob"))
	team, shift := moraine.Tag{Key: "team", Value: "red"}, moraine.Tag{Key: "shift", Value: "night"}
	_, bare := must(caller, account.AssumeRole{RoleARN: first.ARN})
	_, known := must(caller, account.AssumeRole{RoleARN: first.ARN, SourceIdentity: "bob"})
	_, marked := must(caller, account.AssumeRole{RoleARN: first.ARN, Tags: []moraine.Tag{team, shift}, Transitive: []string{"Team"}})

	for _, row := range []struct {
		name    string
		from    account.Call
		in      account.AssumeRole
		code    account.Code
		message string
	}{
		{"an hour", bare, account.AssumeRole{RoleARN: second.ARN, Duration: time.Hour}, "", ""},
		{"more than an hour", bare, account.AssumeRole{RoleARN: second.ARN, Duration: time.Hour + time.Second}, account.ValidationError, "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."},
		{"more than an hour without a chain", caller, account.AssumeRole{RoleARN: first.ARN, Duration: 12 * time.Hour}, "", ""},
		{"a source identity begins in the chain", bare, account.AssumeRole{RoleARN: second.ARN, SourceIdentity: "eve"}, "", ""},
		{"the same source identity", known, account.AssumeRole{RoleARN: second.ARN, SourceIdentity: "bob"}, "", ""},
		{"another source identity", known, account.AssumeRole{RoleARN: second.ARN, SourceIdentity: "eve"}, account.AccessDeniedCode, "User: " + known.Principal.ARN},
		{"a role that lets nobody bring one", known, account.AssumeRole{RoleARN: plain.ARN}, account.AccessDeniedCode, "User: " + known.Principal.ARN},
		{"without one", bare, account.AssumeRole{RoleARN: plain.ARN}, "", ""},
		{"a condition on what is set", known, account.AssumeRole{RoleARN: asked.ARN}, "", ""},
		{"a condition on what was set", known, account.AssumeRole{RoleARN: named.ARN}, "", ""},
		{"a condition on what nobody set", bare, account.AssumeRole{RoleARN: named.ARN}, account.AccessDeniedCode, "User: "},
		{"a role that lets nobody bring tags", marked, account.AssumeRole{RoleARN: plain.ARN}, account.AccessDeniedCode, "User: " + marked.Principal.ARN},
		{"an inherited tag set again", marked, account.AssumeRole{RoleARN: second.ARN, Tags: []moraine.Tag{{Key: "TEAM", Value: "blue"}}}, account.InvalidParameterValue, "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session."},
		{"a tag that is not inherited", marked, account.AssumeRole{RoleARN: second.ARN, Tags: []moraine.Tag{{Key: "shift", Value: "day"}}}, "", ""},
		{"a condition on inherited tags", marked, account.AssumeRole{RoleARN: tagged.ARN}, "", ""},
		{"a condition on tags nobody set", bare, account.AssumeRole{RoleARN: tagged.ARN}, account.AccessDeniedCode, "User: "},
		{"a transitive key without its tag", caller, account.AssumeRole{RoleARN: first.ARN, Transitive: []string{"team"}}, account.InvalidParameterValue, "The specified transitive tag key must be included in the requested tags."},
		{"too many transitive keys", caller, account.AssumeRole{RoleARN: first.ARN, Transitive: make([]string, 51)}, account.LimitExceeded, "Cannot exceed quota for TransitiveTagKeys: 50"},
	} {
		t.Run(row.name, func(t *testing.T) {
			_, _, err := assume(row.from, row.in)
			wantCode(t, err, row.code, row.message)
		})
	}

	out, next := must(known, account.AssumeRole{RoleARN: second.ARN})
	if out.SourceIdentity != "bob" || next.Principal.SourceIdentity != "bob" {
		t.Errorf("the source identity becomes %q, %q", out.SourceIdentity, next.Principal.SourceIdentity)
	}
	if _, last := must(next, account.AssumeRole{RoleARN: third.ARN}); last.Principal.SourceIdentity != "bob" {
		t.Errorf("at the end of the chain it is %q", last.Principal.SourceIdentity)
	}
	if diff := cmp.Diff([]moraine.Tag{team, shift}, marked.Principal.Tags); diff != "" {
		t.Errorf("tags of the first session (-want +got):\n%s", diff)
	}
	// On the way a tag is added that goes no further.
	_, next = must(marked, account.AssumeRole{RoleARN: second.ARN, Tags: []moraine.Tag{{Key: "leg", Value: "2"}}})
	if diff := cmp.Diff([]moraine.Tag{team, {Key: "leg", Value: "2"}}, next.Principal.Tags); diff != "" {
		t.Errorf("tags of the second session (-want +got):\n%s", diff)
	}
	_, next = must(next, account.AssumeRole{RoleARN: third.ARN})
	if diff := cmp.Diff([]moraine.Tag{team}, next.Principal.Tags); diff != "" {
		t.Errorf("tags of the third session (-want +got):\n%s", diff)
	}
	// A session of a user chains nothing.
	s, err := o.SessionToken(ctx, caller, 0)
	o.ok(err)
	must(o.in(s), account.AssumeRole{RoleARN: first.ARN, Duration: 2 * time.Hour})
}
