package account

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta"
	"moraine/internal/seal"
	"moraine/internal/sigv4"
)

// Directory answers who a key belongs to. It is safe for concurrent use.
type Directory struct {
	rows    meta.Store
	keyring *seal.Keyring
	root    Root
	now     func() time.Time

	kept    access.Shelf[string, compiled] // by unique id
	compile singleflight.Group             // by unique id and revision

	mu   sync.Mutex                // guards used
	used map[string]moraine.KeyUse // since the last flush, by key id
}

// compiled is the principal behind a unique id, good for one revision of its
// account.
type compiled struct {
	revision  int64
	principal *access.Principal
	at        time.Time // when it was compiled
}

// compiledFor is how long a principal is good at most. Revisions are counted: a
// database that was put back to an earlier state, or lost its last commits with
// its primary, counts the same numbers once more for other policies.
const compiledFor = time.Minute

// good reports whether c is what it was at a revision.
func (d *Directory) good(c compiled, revision int64) bool {
	age := d.now().Sub(c.at)
	return c.revision == revision && age >= 0 && age < compiledFor
}

// usedMax bounds the uses of keys that wait to be written down.
const usedMax = 65_536

// compiledOverhead is what a principal counts on the shelf besides its text.
const compiledOverhead = 512

// subject is what Lookup tells Principal through sigv4.
type subject struct{ principal access.Principal }

// Lookup implements sigv4.Keys. A key without an active row, or without an
// owner, is unknown; so is a token that was not made here for this key.
func (d *Directory) Lookup(ctx context.Context, keyID, token string) (sigv4.Key, error) {
	if keyID == d.root.KeyID && token == "" {
		return sigv4.Key{ID: keyID, Secret: d.root.Secret, Subject: &subject{rootPrincipal(d.root.Account)}}, nil
	}
	temporary := strings.HasPrefix(keyID, temporaryPrefix)
	if temporary != (token != "") {
		return sigv4.Key{}, sigv4.ErrUnknownKey
	}
	if temporary {
		return d.lookupSession(ctx, keyID, token)
	}
	key := sigv4.Key{ID: keyID}
	err := d.rows.View(ctx, func(tx meta.Tx) error {
		row, err := activeKey(tx, keyID)
		if err != nil {
			return err
		}
		plain, err := open(d.keyring, row.Sealed, secretName(keyID))
		if err != nil {
			return err
		}
		p, revision, err := d.principal(tx, row.Account, row.Owner)
		if err != nil {
			return err
		}
		key.Secret, key.Subject = sigv4.Secret(plain), &subject{d.renewed(*p, revision, func(tx meta.Tx) (access.Principal, error) {
			row, err := activeKey(tx, keyID)
			if err != nil {
				return access.Principal{}, err
			}
			return current(tx, row.Account, row.Owner)
		})}
		return nil
	})
	return key, unknown(err)
}

// activeKey returns the row of a key that may be used.
func activeKey(tx meta.Tx, keyID string) (moraine.AccessKey, error) {
	row, err := tx.AccessKeys().Get(keyID)
	if err == nil && !row.Active {
		err = sigv4.ErrUnknownKey
	}
	return row, err
}

// lookupSession finds a temporary key: everything but the principal is in its
// token.
func (d *Directory) lookupSession(ctx context.Context, keyID, token string) (sigv4.Key, error) {
	s, err := openToken(d.keyring, keyID, token)
	if err != nil {
		return sigv4.Key{}, err
	}
	key := sigv4.Key{ID: keyID, Secret: sigv4.Secret(s.Secret), Token: sigv4.Secret(token), Expires: s.expires()}
	err = d.rows.View(ctx, func(tx meta.Tx) error {
		if err := d.stands(tx, s); err != nil {
			return err
		}
		p, revision, err := d.principal(tx, s.Account, s.Subject)
		if err != nil {
			return err
		}
		inSession, err := narrow(tx, *p, s)
		key.Subject = &subject{d.inTime(s, d.renewed(inSession, revision, func(tx meta.Tx) (access.Principal, error) {
			if err := d.stands(tx, s); err != nil {
				return access.Principal{}, err
			}
			p, err := current(tx, s.Account, s.Subject)
			if err != nil {
				return p, err
			}
			return narrow(tx, p, s)
		}))}
		return err
	})
	return key, unknown(err)
}

// stands wants what a session rests on to be there still: the long-term key
// that asked for a session of a user or root. A session of a role rests on the
// role alone.
func (d *Directory) stands(tx meta.Tx, s *session) error {
	if s.Name != "" || s.Key == d.root.KeyID {
		return nil
	}
	_, err := activeKey(tx, s.Key)
	return err
}

// inTime lets p act until its session is over.
func (d *Directory) inTime(s *session, p access.Principal) access.Principal {
	renew := p.Renew
	p.Renew = func(tx meta.Tx) (access.Principal, error) {
		if !d.now().Before(s.expires()) {
			return access.Principal{}, sigv4.Refuse("A16")
		}
		return renew(tx)
	}
	return p
}

// unknown turns the absence of a row into ErrUnknownKey.
func unknown(err error) error {
	if errors.Is(err, meta.ErrNotFound) {
		return sigv4.ErrUnknownKey
	}
	return err
}

// secretName binds a sealed secret to its key.
func secretName(keyID string) string { return "secret:" + keyID }

func rootPrincipal(a moraine.AccountID) access.Principal {
	return access.Principal{Account: a, ARN: rootARN(a), Root: true}
}

// renewed gives p the means to confirm itself later: as long as the account has
// the revision at which p was compiled nothing has changed, else again finds
// out. What again returns is not cached: the transaction that asks may see
// changes that are never committed.
func (d *Directory) renewed(p access.Principal, revision int64, again func(tx meta.Tx) (access.Principal, error)) access.Principal {
	same := p
	p.Renew = func(tx meta.Tx) (access.Principal, error) {
		account, err := tx.Accounts().Get(same.Account)
		switch {
		case errors.Is(err, meta.ErrNotFound):
			return access.Principal{}, sigv4.Refuse("A14")
		case err != nil:
			return access.Principal{}, err
		case account.Revision == revision:
			return same, nil
		}
		changed, err := again(tx)
		if errors.Is(err, meta.ErrNotFound) || errors.Is(err, sigv4.ErrUnknownKey) {
			err = sigv4.Refuse("A14")
		}
		return changed, err
	}
	return p
}

// current compiles a principal as it is in tx.
func current(tx meta.Tx, a moraine.AccountID, id string) (access.Principal, error) {
	if id == string(a) {
		return rootPrincipal(a), nil
	}
	p, err := compile(tx, id)
	if err != nil {
		return access.Principal{}, err
	}
	return *p, nil
}

// principal returns the principal with a unique id, compiled at most once per
// revision of the account, and that revision. The result is shared. tx is a
// view: what is remembered here is committed.
func (d *Directory) principal(tx meta.Tx, a moraine.AccountID, id string) (*access.Principal, int64, error) {
	account, err := tx.Accounts().Get(a)
	if err != nil {
		return nil, 0, err
	}
	if id == string(a) {
		p := rootPrincipal(a)
		return &p, account.Revision, nil
	}
	if known, ok := d.kept.Get(id); ok && d.good(known, account.Revision) {
		return known.principal, known.revision, nil
	}
	// Whoever asks for the same principal meanwhile waits, so that a hundred
	// requests at once do not take the memory of a hundred compilations.
	shared, err, _ := d.compile.Do(id+" "+strconv.FormatInt(account.Revision, 10), func() (any, error) {
		if known, ok := d.kept.Get(id); ok && d.good(known, account.Revision) {
			return known.principal, nil
		}
		now := d.now()
		p, err := compile(tx, id)
		if err != nil {
			return nil, err
		}
		// An older snapshot may overwrite a newer one here; its revision tells.
		d.kept.Put(id, compiled{account.Revision, p, now}, textOf(p)+compiledOverhead)
		return p, nil
	})
	if p, ok := shared.(*access.Principal); ok && err == nil {
		return p, account.Revision, nil
	}
	// It may have failed because whoever compiled it went away.
	p, err := compile(tx, id)
	return p, account.Revision, err
}

// Principal returns whom a verified request speaks for, and notes the use of
// its key.
func (d *Directory) Principal(r *sigv4.Result) (access.Principal, error) {
	s, ok := r.Subject.(*subject)
	if !ok {
		return access.Principal{}, fmt.Errorf("principal: the key %s was not looked up here", r.KeyID)
	}
	if !r.Temporary && r.KeyID != d.root.KeyID {
		d.note(r.KeyID, moraine.KeyUse{At: d.now().UTC().Truncate(time.Second), Service: r.Service, Region: r.Region})
	}
	return s.principal, nil
}

func (d *Directory) note(keyID string, use moraine.KeyUse) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.used) < usedMax {
		d.used[keyID] = use
	}
}

// lastUse returns the later of a noted use and one that is not flushed yet.
func (d *Directory) lastUse(k moraine.AccessKey) moraine.KeyUse {
	d.mu.Lock()
	defer d.mu.Unlock()
	if use, ok := d.used[k.ID]; ok && use.At.After(k.Used.At) {
		return use
	}
	return k.Used
}

// flushEvery is how often uses of keys are written down.
const flushEvery = time.Minute

// Run writes down when keys were used, until ctx is done, and once more then.
// What it loses to a crash is at most a minute of last uses.
func (d *Directory) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return d.flush(context.WithoutCancel(ctx))
		case <-tick.C:
			// Uses that could not be written down are kept for the next time;
			// nothing that clients need depends on them.
			_ = d.flush(ctx)
		}
	}
}

func (d *Directory) flush(ctx context.Context) error {
	d.mu.Lock()
	batch := d.used
	d.used = make(map[string]moraine.KeyUse)
	d.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	err := d.rows.Update(ctx, func(tx meta.Tx) error {
		for id, use := range batch {
			if err := tx.AccessKeys().Touch(id, use); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		for id, use := range batch {
			d.note(id, use)
		}
	}
	return err
}
