// Package access decides who may do what to which vault, and finds the vault
// or archive a request names.
//
// It knows principals, actions, resources, what a request says that a policy
// may ask for, and the sentences of a refusal. It must not know HTTP,
// signatures (they are verified before a Principal exists), SQL or files. Every
// service asks it inside the transaction that acts, so that no surface can
// differ from another and no change of a policy, a lock or a tag can slip in
// between the decision and the deed.
package access

import (
	"errors"
	"log/slog"
	"time"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// Call is who asks, the place the request names, and how it came.
type Call struct {
	Principal Principal
	Region    moraine.Region // from the credential scope
	Account   string         // account segment of the path as received: "-" or digits

	// What conditions may ask of the connection and its headers; "" if absent.
	Source    string // address of the client, without port
	Secure    bool   // TLS ended here
	UserAgent string
	Referer   string
}

// Config is what an Authority is made of.
type Config struct {
	Now func() time.Time // zero: time.Now
	// Doubt has decisions on what destroys go by the time of the store where that
	// is behind Now: one of several processes may have a clock that makes archives
	// old. Zero: Now is believed.
	Doubt bool
	Log   *slog.Logger // zero: discard; hears of stored policies that do not parse
	// Unreadable is told of each decision that such a policy made. Zero: nobody.
	Unreadable func(resource string, d policy.Decision)
}

// Authority takes the decisions. Its methods may be called at the same time.
type Authority struct {
	cfg      Config
	compiled Shelf[int64, *documents] // by Vault.Revision
}

// New assembles an Authority and touches nothing.
func New(cfg Config) *Authority {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Authority{cfg: cfg}
}

// Act is what somebody wants to do.
type Act struct {
	Action string // in the form "DeleteArchive"
	Vault  string // name as received, "" if the action is on no vault

	// Archive is the one to delete or to retrieve, "" if none.
	Archive moraine.ArchiveID
	// Tags are those to add, TagKeys those to add or remove.
	Tags    []moraine.Tag
	TagKeys []string
}

// Refusal is the private cause of a Denied error: logs show which rule and
// which statement decided, clients do not see it.
type Refusal struct{ Decision policy.Decision }

func (r *Refusal) Error() string {
	text := r.Decision.Reason.String()
	for _, m := range r.Decision.Statements {
		if m.Sid != "" {
			text += " " + m.Sid
		}
	}
	return text
}

// Grant is the answer to an act that is admitted.
type Grant struct {
	Account moraine.AccountID // the owner of what the act is on
	region  moraine.Region
	name    string
	vault   moraine.Vault
	found   bool
}

// Vault returns the vault of the act, or the NotFound error a client sees.
func (g *Grant) Vault() (moraine.Vault, error) {
	switch {
	case g.found:
		return g.vault, nil
	case !moraine.ValidVaultName(g.name):
		return g.vault, moraine.Errorf(moraine.NotFound, "Vault not found for ARN: %s", g.name)
	}
	return g.vault, moraine.Errorf(moraine.NotFound, "Vault not found for ARN: %s", moraine.VaultARN(g.region, g.Account, g.name))
}

// Lookup returns the vault of the act, and whether there is one.
func (g *Grant) Lookup() (moraine.Vault, bool) { return g.vault, g.found }

// Admit resolves the account segment of c and decides whether the caller may
// do act. It reads everything the decision depends on through tx. A refusal is
// an error of kind Denied (glacier-api §1.3, access-control §4.2, §5.4);
// whether the vault exists is for those to know who are admitted.
func (a *Authority) Admit(tx meta.Tx, c Call, act Act) (Grant, error) {
	principal, err := c.Principal.Fresh(tx)
	if err != nil {
		return Grant{}, err
	}
	c.Principal = principal
	g, docs, err := a.resolve(tx, &c, &act)
	if err != nil {
		return g, err
	}
	if docs == nil && c.Principal.Root && g.Account == c.Principal.Account {
		return g, nil // there is no Deny to look for
	}
	err = a.decide(tx, &c, &act, &g, docs)
	if g.Account != c.Principal.Account && moraine.IsKind(err, moraine.Denied) {
		// A stranger hears the same whether or not the account, the vault or a
		// policy exists.
		err = moraine.Wrap(err, moraine.Denied, "Access denied for account ID: %s", c.Account)
	}
	return g, err
}

// resolve finds the owner of what an act is on, the vault and its documents.
func (a *Authority) resolve(tx meta.Tx, c *Call, act *Act) (Grant, *documents, error) {
	own := c.Principal.Account
	g := Grant{Account: moraine.AccountID(c.Account), region: c.Region, name: act.Vault}
	switch {
	case c.Account == "-" || c.Account == string(own):
		g.Account = own
	case ownAccount[act.Action] || !isAccount(c.Account):
		return g, nil, foreign(c.Account)
	}
	docs, err := a.find(tx, &g)
	if err != nil {
		return g, nil, err
	}
	if g.Account != own && !g.found {
		if _, err := tx.Accounts().Get(g.Account); errors.Is(err, meta.ErrNotFound) {
			return g, nil, foreign(c.Account)
		} else if err != nil {
			return g, nil, err
		}
	}
	return g, docs, nil
}

// foreign is the refusal of an account segment.
func foreign(segment string) error {
	return moraine.Errorf(moraine.Denied, "Access denied for account ID: %s", segment)
}

// find looks for the vault of a grant and for the documents it has; nil if
// none.
func (a *Authority) find(tx meta.Tx, g *Grant) (*documents, error) {
	if !moraine.ValidVaultName(g.name) {
		return nil, nil
	}
	v, err := tx.Vaults().Get(g.Account, g.region, moraine.VaultName(g.name))
	if errors.Is(err, meta.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	g.vault, g.found = v, true
	return a.documents(tx, &v)
}

// decide refuses an act that the policies do not allow.
func (a *Authority) decide(tx meta.Tx, c *Call, act *Act, g *Grant, docs *documents) error {
	var r policy.Request
	d, err := a.evaluate(tx, &r, c, act, g, docs)
	if err != nil || d.Allowed {
		return err
	}
	return moraine.Wrap(&Refusal{d}, moraine.Denied, "%s", d.Denial(&r))
}

// evaluate fills r, to whose context the caller may have added, and evaluates
// the policies that concern an act.
func (a *Authority) evaluate(tx meta.Tx, r *policy.Request, c *Call, act *Act, g *Grant, docs *documents) (policy.Decision, error) {
	r.Principal, r.Action, r.Resource = c.Principal.Caller(), actionPrefix+act.Action, resource(act, g)
	r.Owner = string(g.Account)
	var err error
	if r.Now, err = a.time(tx, act); err != nil {
		return policy.Decision{}, err
	}
	if err := a.describe(tx, r, c, act, g, docs); err != nil {
		return policy.Decision{}, err
	}
	policies := c.Principal.Policies()
	if docs != nil {
		policies.Access, policies.Lock = docs.access, docs.lockAt(r.Now)
	}
	d := policy.Evaluate(r, &policies)
	if d.Reason == policy.ReasonUnreadable {
		a.log().Error("a stored policy does not parse, so everything it is about is refused", "resource", r.Resource)
		if a.cfg.Unreadable != nil {
			a.cfg.Unreadable(r.Resource, d)
		}
	}
	return d, nil
}

// time is the instant of a decision on an act.
func (a *Authority) time(tx meta.Tx, act *Act) (time.Time, error) {
	now := a.now()
	if !a.cfg.Doubt || act.Action != "DeleteArchive" && act.Action != "DeleteVault" {
		return now, nil
	}
	at, err := tx.Time()
	if err == nil && at.Before(now) {
		now = at
	}
	return now, err
}

// now is the instant of a decision: UTC, whole milliseconds.
func (a *Authority) now() time.Time {
	now := a.cfg.Now
	if now == nil {
		now = time.Now
	}
	return now().UTC().Truncate(time.Millisecond)
}

func (a *Authority) log() *slog.Logger {
	if a.cfg.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return a.cfg.Log
}

// Archive returns an archive of v, deleted or not. An id that is unknown is a
// NotFound error; one that belongs to another vault of the same account and
// region is Invalid; other accounts' archives are not admitted to exist.
func (a *Authority) Archive(tx meta.Tx, v *moraine.Vault, id moraine.ArchiveID) (moraine.Archive, error) {
	archive, err := tx.Archives().Get(id)
	if errors.Is(err, meta.ErrNotFound) {
		return archive, NoArchive(id)
	}
	if err != nil || archive.Vault == v.ID {
		return archive, err
	}
	other, err := tx.Vaults().ByID(archive.Vault)
	switch {
	case errors.Is(err, meta.ErrNotFound):
		return archive, NoArchive(id)
	case err != nil:
		return archive, err
	case other.Account == v.Account && other.Region == v.Region:
		return archive, moraine.Errorf(moraine.Invalid, "Invalid vault name: %s", v.ARN())
	}
	return archive, NoArchive(id)
}

// NoArchive is the error for an archive id that names nothing.
func NoArchive(id moraine.ArchiveID) error {
	return moraine.Errorf(moraine.NotFound, "The archive ID was not found: %s", id)
}
