package crash_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"moraine/test/internal/iamclient"
	"moraine/test/internal/moraineproc"
	"moraine/test/internal/vaultclient"
	"moraine/test/internal/wire"
)

const (
	userCount     = 6
	keysPerUser   = 2  // the server's quota
	revokedSample = 60 // deleted keys tried after a kill
	inlineName    = "inline"
)

// Codes of refusals.
const (
	denied     = "AccessDeniedException"
	unknownKey = "UnrecognizedClientException"
)

// user is a user with what belongs to it. Whoever has claimed it works on it
// alone.
type user struct {
	name    string
	busy    bool     // claimed by a worker, or left in flight by one
	exists  register // present or ""
	policy  register // text of the inline policy
	keys    []*accessKey
	keyMade bool // the creation of a key is in flight: there may be one more
}

const present = "present"

// accessKey is a key and its status, "" once it is deleted.
type accessKey struct {
	register
	id, secret, user string
}

// The statuses of a key, as IAM names them.
const (
	active   = "Active"
	inactive = "Inactive"
)

func newUsers() []*user {
	var all []*user
	for i := range userCount {
		all = append(all, &user{name: fmt.Sprintf("crash-user-%d", i)})
	}
	return all
}

// may and mayNot are inline policies: one lets its user describe vaults, the
// other does not.
const may, mayNot = "may", "mayNot"

// identity changes a user nobody else is changing, or uses a key.
func (w *worker) identity(ctx context.Context) error {
	chosen := w.r.IntN(len(w.l.users))
	u := w.l.claimUser(func(u *user) bool { return u == w.l.users[chosen] })
	if u == nil {
		return nil
	}
	return w.leave(u, w.changeUser(ctx, u))
}

// claimUser claims the first user that nobody works on and that fits.
func (l *ledger) claimUser(fits func(u *user) bool) *user {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.users {
		if !u.busy && fits(u) {
			u.busy = true
			return u
		}
	}
	return nil
}

// leave lets others claim the user, unless an operation was cut off.
func (w *worker) leave(u *user, err error) error {
	if err == nil {
		w.l.do(func() { u.busy = false })
	}
	return err
}

// revoke takes a key or a policy away from a user nobody else is changing, or the
// access policy from a vault.
func (w *worker) revoke(ctx context.Context) error {
	u := w.l.claimUser(func(u *user) bool { return len(u.keys) > 0 })
	if u == nil {
		return w.document(ctx)
	}
	k := u.keys[w.r.IntN(len(u.keys))]
	var err error
	switch {
	case k.acked == active && w.r.IntN(2) == 0:
		err = w.switchKey(ctx, k)
	case u.policy.acked != "" && w.r.IntN(3) == 0:
		err = w.deletePolicy(ctx, u)
	default:
		err = w.deleteKey(ctx, u, k)
	}
	return w.leave(u, err)
}

func (w *worker) changeUser(ctx context.Context, u *user) error {
	if u.exists.acked == "" {
		return w.write(ctx, "create user", &u.exists, change{present, func(ctx context.Context) error { return w.iam.CreateUser(ctx, u.name) }})
	}
	var k *accessKey
	if len(u.keys) > 0 {
		k = u.keys[w.r.IntN(len(u.keys))]
	}
	switch dice := w.r.IntN(100); {
	case dice < 20, dice < 60 && u.policy.acked == "":
		return w.putPolicy(ctx, u)
	case dice < 40 && len(u.keys) < keysPerUser, k == nil && dice < 95:
		return w.createKey(ctx, u)
	case dice < 45 && u.policy.acked != "":
		return w.deletePolicy(ctx, u)
	case dice < 60 && k != nil:
		return w.switchKey(ctx, k)
	case dice < 65 && k != nil:
		return w.deleteKey(ctx, u, k)
	case dice < 70:
		return w.removeUser(ctx, u, k)
	}
	return w.useKey(ctx, u, k)
}

func (w *worker) putPolicy(ctx context.Context, u *user) error {
	sid, action := may, "DescribeVault"
	if w.r.IntN(3) == 0 {
		sid, action = mayNot, "ListVaults"
	}
	text := policyText(w.r, statement(w.l.number(), sid, "Allow", "", action, "*", ""))
	return w.write(ctx, "put user policy", &u.policy, change{text, func(ctx context.Context) error {
		return w.iam.PutUserPolicy(ctx, u.name, inlineName, text)
	}})
}

func (w *worker) deletePolicy(ctx context.Context, u *user) error {
	return w.write(ctx, "delete user policy", &u.policy, change{"", func(ctx context.Context) error {
		return w.iam.DeleteUserPolicy(ctx, u.name, inlineName)
	}})
}

func (w *worker) createKey(ctx context.Context, u *user) error {
	w.l.do(func() { u.keyMade = true })
	made, err := w.iam.CreateAccessKey(ctx, u.name)
	if err == nil {
		w.l.do(func() {
			u.keyMade = false
			u.keys = append(u.keys, &accessKey{register: register{acked: active}, id: made.AccessKeyId, secret: made.SecretAccessKey, user: u.name})
		})
	}
	return w.settle("create access key", err)
}

// switchKey deactivates a key or activates it again.
func (w *worker) switchKey(ctx context.Context, k *accessKey) error {
	next, op := inactive, "deactivate access key"
	if k.acked == inactive {
		next, op = active, "activate access key"
	}
	return w.write(ctx, op, &k.register, change{next, func(ctx context.Context) error {
		return w.iam.UpdateAccessKey(ctx, k.user, k.id, next)
	}})
}

func (w *worker) deleteKey(ctx context.Context, u *user, k *accessKey) error {
	err := w.write(ctx, "delete access key", &k.register, change{"", func(ctx context.Context) error {
		return w.iam.DeleteAccessKey(ctx, u.name, k.id)
	}})
	if err == nil {
		w.l.do(func() { w.l.forget(u, k) })
	}
	return err
}

// forget moves a key from its user to the deleted ones; the lock of the ledger is
// held.
func (l *ledger) forget(u *user, gone *accessKey) {
	u.keys = slices.DeleteFunc(u.keys, func(k *accessKey) bool { return k == gone })
	l.revoked = append(l.revoked, gone)
}

// removeUser takes away what a user still has, one thing at a time, and then the
// user.
func (w *worker) removeUser(ctx context.Context, u *user, k *accessKey) error {
	switch {
	case k != nil:
		return w.deleteKey(ctx, u, k)
	case u.policy.acked != "":
		return w.deletePolicy(ctx, u)
	}
	return w.write(ctx, "delete user", &u.exists, change{"", func(ctx context.Context) error { return w.iam.DeleteUser(ctx, u.name) }})
}

// useKey makes a request with a key of the user, or with one that is deleted.
func (w *worker) useKey(ctx context.Context, u *user, k *accessKey) error {
	want := ""
	w.l.do(func() {
		if n := len(w.l.revoked); n > 0 && (k == nil || w.r.IntN(3) == 0) {
			k = w.l.revoked[w.r.IntN(n)]
		}
		if k != nil {
			want = outcome(k.acked, u.policy.acked)
		}
	})
	if k == nil {
		return nil
	}
	c := as(w.c, k)
	defer c.Close()
	_, err := c.DescribeVault(ctx, vaults[0])
	op := "use key"
	if want == unknownKey {
		op = "use revoked key"
	}
	if want != "" {
		return w.refused(op, err, want)
	}
	return w.settle(op, err)
}

// outcome is what a request to describe a vault comes to: "" for success, else the
// code of the refusal.
func outcome(status, policy string) string {
	switch {
	case status != active:
		return unknownKey
	case !strings.Contains(policy, `"`+may+`"`):
		return denied
	}
	return ""
}

// as is a connection that signs with a key of a user.
func as(c *vaultclient.Client, k *accessKey) *vaultclient.Client {
	return &vaultclient.Client{
		Addr: c.Addr, Observe: c.Observe,
		Credentials: &wire.Credentials{KeyID: k.id, Secret: k.secret, Region: moraineproc.Region},
	}
}

// readIdentities reads users, policies and keys back, and tries every key.
func (v *verifier) readIdentities(ctx context.Context, c *vaultclient.Client, iam *iamclient.Client) {
	for _, u := range v.l.users {
		if err := v.readUser(ctx, c, iam, u); err != nil {
			v.l.fault("user %s: %v", u.name, err)
		}
		u.busy, u.keyMade = false, false
	}
	gone := v.l.revoked
	v.r.Shuffle(len(gone), func(i, k int) { gone[i], gone[k] = gone[k], gone[i] })
	if !v.all {
		gone = gone[:min(len(gone), revokedSample)]
	}
	for _, k := range gone {
		v.tryKey(ctx, c, k, "")
	}
}

func (v *verifier) readUser(ctx context.Context, c *vaultclient.Client, iam *iamclient.Client, u *user) error {
	exists, err := absent(present, iam.GetUser(ctx, u.name))
	if err != nil {
		return err
	}
	v.check(&u.exists, exists, "user "+u.name)
	policy, err := absent(iam.UserPolicy(ctx, u.name, inlineName))
	if err != nil {
		return err
	}
	v.check(&u.policy, policy, "policy of "+u.name)
	listed, err := iam.AccessKeys(ctx, u.name)
	if err != nil && !vaultclient.IsRefused(err, "NoSuchEntity") {
		return err
	}
	status := map[string]string{}
	for _, k := range listed {
		status[k.AccessKeyId] = k.Status
	}
	for _, k := range slices.Clone(u.keys) {
		v.check(&k.register, status[k.id], "key "+k.id+" of "+u.name)
		delete(status, k.id)
		v.tryKey(ctx, c, k, policy)
		if k.acked == "" {
			v.l.do(func() { v.l.forget(u, k) })
		}
	}
	return v.strangeKeys(ctx, iam, u, status)
}

// strangeKeys judges keys nobody was told of: one, if its creation was in flight.
// Its secret is lost, so it goes.
func (v *verifier) strangeKeys(ctx context.Context, iam *iamclient.Client, u *user, status map[string]string) error {
	for id := range status {
		if !u.keyMade {
			v.l.fault("key %s of %s was never made", id, u.name)
		}
		u.keyMade = false
		if err := iam.DeleteAccessKey(ctx, u.name, id); err != nil {
			return err
		}
	}
	return nil
}

// check settles a register.
func (v *verifier) check(g *register, found, what string) {
	if fault := g.settle(found); fault != "" {
		v.l.fault("%s %s", fault, what)
	}
}

// tryKey makes a request with a key, whose user has a policy.
func (v *verifier) tryKey(ctx context.Context, c *vaultclient.Client, k *accessKey, policy string) {
	user := as(c, k)
	defer user.Close()
	_, err := user.DescribeVault(ctx, vaults[0])
	want := outcome(k.acked, policy)
	if want == "" && err != nil || want != "" && !vaultclient.IsRefused(err, want) {
		v.l.fault("%s: key %s of %s is %q, and its use gives %v, want %q", lost, k.id, k.user, k.acked, err, want)
	}
}

// newAuditor makes a user who may do everything with vaults.
func newAuditor(ctx context.Context, iam *iamclient.Client, r *rand.Rand, n uint64) (*accessKey, error) {
	const name = "crash-auditor"
	if err := iam.CreateUser(ctx, name); err != nil {
		return nil, err
	}
	if err := iam.PutUserPolicy(ctx, name, inlineName, policyText(r, statement(n, "all", "Allow", "", "*", "*", ""))); err != nil {
		return nil, err
	}
	k, err := iam.CreateAccessKey(ctx, name)
	return &accessKey{register: register{acked: active}, id: k.AccessKeyId, secret: k.SecretAccessKey, user: name}, err
}
