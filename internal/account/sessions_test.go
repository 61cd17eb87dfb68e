package account_test

import (
	"errors"
	"testing"
	"time"

	"moraine"
	"moraine/internal/account"
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
	o.Service = account.New(account.Config{Meta: o.rows, Keyring: o.keyring, Root: next, Now: o.now})
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
