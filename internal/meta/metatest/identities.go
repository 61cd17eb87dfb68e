package metatest

import (
	"cmp"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"moraine"
	"moraine/internal/meta"
)

var accountTests = []test{
	{"round trip", in(testAccountRoundTrip)},
	{"list pages by id", in(testAccountList)},
	{"id is unique", in(testAccountUnique)},
}

var identityTests = []test{
	{"round trip", in(testIdentityRoundTrip)},
	{"absent", in(testIdentityAbsent)},
	{"save replaces", in(testIdentitySave)},
	{"list pages by name", in(testIdentityList)},
	{"name is unique per kind", in(testIdentityUnique)},
	{"changes raise the revision", in(testIdentityRevision)},
}

var keyTests = []test{
	{"round trip", in(testKeyRoundTrip)},
	{"save replaces but the last use", in(testKeySave)},
	{"list by owner", in(testKeyList)},
	{"touch keeps the latest use", in(testKeyTouch)},
	{"changes raise the revision", in(testKeyRevision)},
}

func identity(n int) moraine.Identity {
	return moraine.Identity{
		ID: fmt.Sprintf("AIDA%04d", n), Account: account, Kind: moraine.UserIdentity, Name: fmt.Sprintf("user-%04d", n),
		ARN: fmt.Sprintf("arn:aws:iam::%s:user/User-%04d", account, n), Document: fmt.Appendf(nil, `{"n":%d}`, n),
	}
}

func key(n int) moraine.AccessKey {
	return moraine.AccessKey{
		ID: fmt.Sprintf("AKIA%04d", n), Account: account, Owner: "AIDA0001", Active: n%2 == 0, Created: at(n),
		Sealed: fmt.Appendf(nil, "sealed %d", n),
	}
}

func addAccount(tx meta.Tx) error {
	return tx.Accounts().Insert(moraine.Account{ID: account, Created: epoch})
}

func getAccount(tx meta.Tx) (moraine.Account, error) { return tx.Accounts().Get(account) }

func saveIdentity(i moraine.Identity) func(meta.Tx) error {
	return func(tx meta.Tx) error { return tx.Identities().Save(i) }
}

func getIdentity(id string) func(meta.Tx) (moraine.Identity, error) {
	return func(tx meta.Tx) (moraine.Identity, error) { return tx.Identities().ByID(id) }
}

func saveKey(k moraine.AccessKey) func(meta.Tx) error {
	return func(tx meta.Tx) error { return tx.AccessKeys().Save(k) }
}

func getKey(id string) func(meta.Tx) (moraine.AccessKey, error) {
	return func(tx meta.Tx) (moraine.AccessKey, error) { return tx.AccessKeys().Get(id) }
}

func testAccountRoundTrip(t *testing.T, s meta.Store) {
	wantNone(t, s, getAccount)
	update(t, s, func(tx meta.Tx) error {
		return tx.Accounts().Insert(moraine.Account{ID: account, Created: at(3), Revision: 9})
	})
	want(t, s, moraine.Account{ID: account, Created: at(3)}, getAccount)
}

func testAccountList(t *testing.T, s meta.Store) {
	var all []moraine.Account
	for i := range 5 {
		all = append(all, moraine.Account{ID: moraine.AccountID(fmt.Sprintf("%012d", i)), Created: at(i)})
		update(t, s, func(tx meta.Tx) error { return tx.Accounts().Insert(all[i]) })
	}
	for _, c := range []struct {
		after    moraine.AccountID
		limit    int
		lo, next int
	}{{"", 9, 0, 5}, {"", 2, 0, 2}, {all[1].ID, 2, 2, 4}, {all[4].ID, 2, 5, 5}, {"", 0, 0, 0}} {
		want(t, s, all[c.lo:c.next], func(tx meta.Tx) ([]moraine.Account, error) { return tx.Accounts().List(c.after, c.limit) })
	}
}

func testAccountUnique(t *testing.T, s meta.Store) {
	update(t, s, addAccount)
	if err := s.Update(t.Context(), addAccount); err == nil {
		t.Error("two accounts have one id")
	}
}

func testIdentityRoundTrip(t *testing.T, s meta.Store) {
	update(t, s, addAccount)
	for n, kind := range []moraine.IdentityKind{moraine.UserIdentity, moraine.GroupIdentity, moraine.RoleIdentity, moraine.PolicyIdentity} {
		i := identity(n)
		i.Kind = kind
		update(t, s, saveIdentity(i))
		want(t, s, i, getIdentity(i.ID))
		want(t, s, i, func(tx meta.Tx) (moraine.Identity, error) { return tx.Identities().Get(account, kind, i.Name) })
	}
}

func testIdentityAbsent(t *testing.T, s meta.Store) {
	update(t, s, addAccount)
	i := identity(1)
	update(t, s, saveIdentity(i))
	for _, get := range []func(tx meta.Tx) (moraine.Identity, error){
		getIdentity("other"),
		func(tx meta.Tx) (moraine.Identity, error) { return tx.Identities().Get("other", i.Kind, i.Name) },
		func(tx meta.Tx) (moraine.Identity, error) {
			return tx.Identities().Get(account, moraine.RoleIdentity, i.Name)
		},
		func(tx meta.Tx) (moraine.Identity, error) { return tx.Identities().Get(account, i.Kind, "USER-0001") },
	} {
		wantNone(t, s, get)
	}
	if err := s.Update(t.Context(), func(tx meta.Tx) error { return tx.Identities().Delete("other") }); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("Delete of nobody: %v, want ErrNotFound", err)
	}
}

func testIdentitySave(t *testing.T, s meta.Store) {
	update(t, s, addAccount)
	i := identity(1)
	renamed := i
	renamed.Name, renamed.ARN, renamed.Document = "renamed", "arn:renamed", []byte("{}")
	for _, next := range []moraine.Identity{i, renamed, i} {
		update(t, s, saveIdentity(next))
		want(t, s, next, getIdentity(i.ID))
		want(t, s, 1, func(tx meta.Tx) (int, error) { return tx.Identities().Count(account, i.Kind) })
	}
	update(t, s, func(tx meta.Tx) error { return tx.Identities().Delete(i.ID) })
	wantNone(t, s, getIdentity(i.ID))
}

func testIdentityList(t *testing.T, s meta.Store) {
	update(t, s, addAccount)
	var all []moraine.Identity
	for n := range 5 {
		all = append(all, identity(n))
	}
	group := identity(9)
	group.Kind = moraine.GroupIdentity
	update(t, s, func(tx meta.Tx) error {
		return errors.Join(tx.Identities().Save(all[3]), tx.Identities().Save(all[0]), tx.Identities().Save(all[4]),
			tx.Identities().Save(group), tx.Identities().Save(all[2]), tx.Identities().Save(all[1]))
	})
	for _, c := range []struct {
		after    string
		limit    int
		lo, next int
	}{{"", 9, 0, 5}, {"", 2, 0, 2}, {all[1].Name, 2, 2, 4}, {"user-00015", 1, 2, 3}, {all[4].Name, 2, 5, 5}, {"", 0, 0, 0}} {
		want(t, s, all[c.lo:c.next], func(tx meta.Tx) ([]moraine.Identity, error) {
			return tx.Identities().List(account, moraine.UserIdentity, c.after, c.limit)
		})
	}
}

func testIdentityUnique(t *testing.T, s meta.Store) {
	update(t, s, addAccount)
	update(t, s, saveIdentity(identity(1)))
	twin := identity(2)
	twin.Name = identity(1).Name
	if err := s.Update(t.Context(), saveIdentity(twin)); err == nil {
		t.Error("two users have one name")
	}
	twin.Kind = moraine.RoleIdentity
	update(t, s, saveIdentity(twin))
}

// revisions fails the test unless each change raises the revision by one and
// one that is undone does not.
func revisions(t *testing.T, s meta.Store, changes ...func(meta.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), changes[0]); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("change in an account that does not exist: %v, want ErrNotFound", err)
	}
	update(t, s, addAccount)
	for n, change := range changes {
		undo := errors.New("undo")
		err := s.Update(t.Context(), func(tx meta.Tx) error { return errors.Join(change(tx), undo) })
		if !errors.Is(err, undo) {
			t.Errorf("change %d: %v, want it undone", n, err)
		}
		update(t, s, change)
		want(t, s, moraine.Account{ID: account, Created: epoch, Revision: int64(n) + 1}, getAccount)
	}
}

func testIdentityRevision(t *testing.T, s meta.Store) {
	i := identity(1)
	revisions(t, s, saveIdentity(i), saveIdentity(i), func(tx meta.Tx) error { return tx.Identities().Delete(i.ID) })
}

func testKeyRoundTrip(t *testing.T, s meta.Store) {
	update(t, s, addAccount)
	used := key(2)
	used.Used = moraine.KeyUse{At: at(7), Service: "glacier", Region: string(region)}
	for _, k := range []moraine.AccessKey{key(1), used} {
		update(t, s, saveKey(k))
		want(t, s, k, getKey(k.ID))
	}
	wantNone(t, s, getKey("other"))
}

func testKeySave(t *testing.T, s meta.Store) {
	update(t, s, addAccount)
	k := key(1)
	k.Used = moraine.KeyUse{At: at(7), Service: "iam", Region: string(region)}
	update(t, s, saveKey(k))
	changed := k
	changed.Active, changed.Sealed, changed.Used = !k.Active, []byte("other"), moraine.KeyUse{}
	update(t, s, saveKey(changed))
	changed.Used = k.Used
	want(t, s, changed, getKey(k.ID))
	update(t, s, func(tx meta.Tx) error { return tx.AccessKeys().Delete(k.ID) })
	wantNone(t, s, getKey(k.ID))
	if err := s.Update(t.Context(), func(tx meta.Tx) error { return tx.AccessKeys().Delete(k.ID) }); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("Delete of a key that is gone: %v, want ErrNotFound", err)
	}
}

func testKeyList(t *testing.T, s meta.Store) {
	update(t, s, addAccount)
	other := key(3)
	other.Owner = "AIDA0002"
	older := key(4)
	older.Created = at(0)
	update(t, s, func(tx meta.Tx) error {
		keys := tx.AccessKeys()
		return errors.Join(keys.Save(key(2)), keys.Save(key(1)), keys.Save(other), keys.Save(older))
	})
	list := func(limit int) func(tx meta.Tx) ([]moraine.AccessKey, error) {
		return func(tx meta.Tx) ([]moraine.AccessKey, error) { return tx.AccessKeys().List(account, "AIDA0001", limit) }
	}
	want(t, s, []moraine.AccessKey{older, key(1), key(2)}, list(9))
	want(t, s, []moraine.AccessKey{older}, list(1))
	want(t, s, nil, func(tx meta.Tx) ([]moraine.AccessKey, error) { return tx.AccessKeys().List("other", "AIDA0001", 9) })
}

func testKeyTouch(t *testing.T, s meta.Store) {
	update(t, s, addAccount)
	k := key(1)
	update(t, s, saveKey(k))
	for _, use := range []moraine.KeyUse{{At: at(5), Service: "iam", Region: "a"}, {At: at(9), Service: "sts", Region: "b"}, {At: at(7), Service: "iam", Region: "c"}} {
		update(t, s, func(tx meta.Tx) error { return tx.AccessKeys().Touch(k.ID, use) })
		if use.At.After(k.Used.At) {
			k.Used = use
		}
		want(t, s, k, getKey(k.ID))
	}
	update(t, s, func(tx meta.Tx) error { return tx.AccessKeys().Touch("other", moraine.KeyUse{At: at(1)}) })
	want(t, s, moraine.Account{ID: account, Created: epoch, Revision: 1}, getAccount)
}

func testKeyRevision(t *testing.T, s meta.Store) {
	k := key(1)
	revisions(t, s, saveKey(k), saveKey(k), func(tx meta.Tx) error { return tx.AccessKeys().Delete(k.ID) })
}

// Steps of histories. The account is made on the way.

func (h *history) inAccount(m *model, do step) step {
	if _, ok := m.accounts[account]; ok {
		return do
	}
	return func(tx meta.Tx) (any, error) {
		if _, err := tx.Accounts().Get(account); errors.Is(err, meta.ErrNotFound) {
			if err := addAccount(tx); err != nil {
				return nil, err
			}
		}
		return do(tx)
	}
}

func (h *history) saveIdentity(m *model) step {
	i := identity(h.tick())
	i.Name = rapid.SampledFrom([]string{"a", "b", "c"}).Draw(h.T, "name")
	if old, ok := some(h, m.identities); ok && rapid.Bool().Draw(h.T, "again") {
		i.ID = old.ID
	}
	return h.inAccount(m, func(tx meta.Tx) (any, error) {
		if twin, err := tx.Identities().Get(account, i.Kind, i.Name); err == nil && twin.ID != i.ID {
			return twin, nil
		}
		return done(tx.Identities().Save(i))
	})
}

func (h *history) deleteIdentity(m *model) step {
	i, ok := some(h, m.identities)
	if !ok {
		return nil
	}
	return func(tx meta.Tx) (any, error) { return done(tx.Identities().Delete(i.ID)) }
}

func (h *history) saveKey(m *model) step {
	k := key(h.tick())
	if old, ok := some(h, m.keys); ok && rapid.Bool().Draw(h.T, "again") {
		k.ID, k.Created = old.ID, old.Created
	}
	return h.inAccount(m, func(tx meta.Tx) (any, error) {
		err := errors.Join(tx.AccessKeys().Save(k), tx.AccessKeys().Touch(k.ID, moraine.KeyUse{At: k.Created.Add(time.Second)}))
		if err != nil {
			return nil, err
		}
		return tx.AccessKeys().List(account, k.Owner, 2)
	})
}

func (h *history) deleteKey(m *model) step {
	k, ok := some(h, m.keys)
	if !ok {
		return nil
	}
	return func(tx meta.Tx) (any, error) { return done(tx.AccessKeys().Delete(k.ID)) }
}

// clearIdentities removes what a history made. The account stays.
func clearIdentities(tx meta.Tx) error {
	list, err := tx.Identities().List(account, moraine.UserIdentity, "", 100)
	for _, i := range list {
		err = errors.Join(err, tx.Identities().Delete(i.ID))
	}
	keys, err2 := tx.AccessKeys().List(account, key(0).Owner, 1000)
	for _, k := range keys {
		err2 = errors.Join(err2, tx.AccessKeys().Delete(k.ID))
	}
	return errors.Join(err, err2)
}

// The model of the tables.

type modelAccounts struct{ *model }

func (m modelAccounts) Get(id moraine.AccountID) (moraine.Account, error) { return get(m.accounts, id) }

func (m modelAccounts) List(after moraine.AccountID, limit int) ([]moraine.Account, error) {
	return pick(m.accounts, limit, func(a moraine.Account) bool { return a.ID > after },
		func(a, b moraine.Account) int { return cmp.Compare(a.ID, b.ID) }), nil
}

func (m modelAccounts) Insert(a moraine.Account) error {
	if _, ok := m.accounts[a.ID]; ok {
		return errTwice
	}
	a.Revision = 0
	m.accounts[a.ID] = a
	return nil
}

func (m *model) bump(id moraine.AccountID) error {
	a, err := get(m.accounts, id)
	if err == nil {
		a.Revision++
		m.accounts[id] = a
	}
	return err
}

type modelIdentities struct{ *model }

func (m modelIdentities) Get(a moraine.AccountID, kind moraine.IdentityKind, name string) (moraine.Identity, error) {
	for _, i := range m.identities {
		if i.Account == a && i.Kind == kind && i.Name == name {
			return i, nil
		}
	}
	return moraine.Identity{}, meta.ErrNotFound
}

func (m modelIdentities) ByID(id string) (moraine.Identity, error) { return get(m.identities, id) }

func (m modelIdentities) List(a moraine.AccountID, kind moraine.IdentityKind, after string, limit int) ([]moraine.Identity, error) {
	return pick(m.identities, limit,
		func(i moraine.Identity) bool { return i.Account == a && i.Kind == kind && i.Name > after },
		func(a, b moraine.Identity) int { return cmp.Compare(a.Name, b.Name) }), nil
}

func (m modelIdentities) Count(a moraine.AccountID, kind moraine.IdentityKind) (int, error) {
	list, err := m.List(a, kind, "", len(m.identities))
	return len(list), err
}

func (m modelIdentities) Save(i moraine.Identity) error {
	if twin, err := m.Get(i.Account, i.Kind, i.Name); err == nil && twin.ID != i.ID {
		return errTwice
	}
	if err := m.bump(i.Account); err != nil {
		return err
	}
	m.identities[i.ID] = i
	return nil
}

func (m modelIdentities) Delete(id string) error {
	i, err := get(m.identities, id)
	if err != nil {
		return err
	}
	delete(m.identities, id)
	return m.bump(i.Account)
}

type modelKeys struct{ *model }

func (m modelKeys) Get(id string) (moraine.AccessKey, error) { return get(m.keys, id) }

func (m modelKeys) List(a moraine.AccountID, owner string, limit int) ([]moraine.AccessKey, error) {
	return pick(m.keys, limit,
		func(k moraine.AccessKey) bool { return k.Account == a && k.Owner == owner },
		func(a, b moraine.AccessKey) int { return position(a.Created, a.ID, b.Created, b.ID) }), nil
}

func (m modelKeys) Save(k moraine.AccessKey) error {
	if err := m.bump(k.Account); err != nil {
		return err
	}
	if old, ok := m.keys[k.ID]; ok {
		k.Used = old.Used
	}
	m.keys[k.ID] = k
	return nil
}

func (m modelKeys) Delete(id string) error {
	k, err := get(m.keys, id)
	if err != nil {
		return err
	}
	delete(m.keys, id)
	return m.bump(k.Account)
}

func (m modelKeys) Touch(id string, use moraine.KeyUse) error {
	if k, ok := m.keys[id]; ok && use.At.After(k.Used.At) {
		k.Used = use
		m.keys[id] = k
	}
	return nil
}
