package metatest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"moraine"
	"moraine/internal/meta"
)

var documentTests = []test{
	{"tags", in(testTags)},
	{"access policy", in(testAccessPolicy)},
	{"locks", in(testLocks)},
	{"locks that are over", in(testLocksOver)},
	{"notifications", in(testNotifications)},
	{"go with their vault", in(testDocumentsEnd)},
}

func setTags(v moraine.VaultID, tags ...moraine.Tag) func(tx meta.Tx) error {
	return func(tx meta.Tx) error { return tx.Documents().SetTags(v, tags) }
}

func getTags(v moraine.VaultID) func(tx meta.Tx) ([]moraine.Tag, error) {
	return func(tx meta.Tx) ([]moraine.Tag, error) { return tx.Documents().Tags(v) }
}

func setAccessPolicy(v moraine.VaultID, p *moraine.VaultPolicy) func(tx meta.Tx) error {
	return func(tx meta.Tx) error { return tx.Documents().SetAccessPolicy(v, p) }
}

func getAccessPolicy(v moraine.VaultID) func(tx meta.Tx) (moraine.VaultPolicy, error) {
	return func(tx meta.Tx) (moraine.VaultPolicy, error) { return tx.Documents().AccessPolicy(v) }
}

func saveLocks(list ...moraine.Lock) func(tx meta.Tx) error {
	return func(tx meta.Tx) error {
		for _, l := range list {
			if err := tx.Documents().Locks().Save(l); err != nil {
				return err
			}
		}
		return nil
	}
}

func getLock(v moraine.VaultID) func(tx meta.Tx) (moraine.Lock, error) {
	return func(tx meta.Tx) (moraine.Lock, error) { return tx.Documents().Locks().Get(v) }
}

func lock(v moraine.VaultID, n int) moraine.Lock {
	return moraine.Lock{
		Vault: v, Policy: moraine.VaultPolicy{Text: "{}", Principals: `{"a":"b"}`}, State: moraine.LockInProgress,
		Proof: hash(n), Created: at(n), Expires: at(n + 10),
	}
}

func locked(l moraine.Lock) moraine.Lock {
	l.State, l.Expires = moraine.LockLocked, time.Time{}
	return l
}

func testTags(t *testing.T, s meta.Store) {
	want(t, s, nil, getTags("v"))
	tags := []moraine.Tag{{Key: "", Value: "x"}, {Key: "A", Value: ""}, {Key: "a", Value: "ß"}, {Key: "é", Value: "a"}} // in byte order
	update(t, s, setTags("v", tags[3], tags[1], tags[0], tags[2]))
	update(t, s, setTags("w", tags[1]))
	want(t, s, tags, getTags("v"))
	changed := moraine.Tag{Key: "A", Value: "other"}
	update(t, s, setTags("v", changed))
	want(t, s, []moraine.Tag{changed}, getTags("v"))
	want(t, s, tags[1:2], getTags("w"))
	if err := s.Update(t.Context(), setTags("v", tags[0], tags[0])); err == nil {
		t.Error("a vault has two tags with one key")
	}
	update(t, s, setTags("v"))
	want(t, s, nil, getTags("v"))
}

func testAccessPolicy(t *testing.T, s meta.Store) {
	update(t, s, setAccessPolicy("v", nil))
	wantNone(t, s, getAccessPolicy("v"))
	other := moraine.VaultPolicy{Text: "other"}
	update(t, s, setAccessPolicy("w", &other))
	for _, p := range []moraine.VaultPolicy{{Text: " {\"a\":\t\"<é>\"}\n", Principals: "{}"}, {Text: "", Principals: ""}} {
		update(t, s, setAccessPolicy("v", &p))
		want(t, s, p, getAccessPolicy("v"))
	}
	update(t, s, setAccessPolicy("v", nil))
	wantNone(t, s, getAccessPolicy("v"))
	want(t, s, other, getAccessPolicy("w"))
}

func testLocks(t *testing.T, s meta.Store) {
	l := lock("v", 1)
	wantNone(t, s, getLock("v"))
	update(t, s, saveLocks(lock("w", 2)))
	for _, next := range []moraine.Lock{l, locked(l), lock("v", 7), l} {
		update(t, s, saveLocks(next))
		want(t, s, next, getLock("v"))
	}
	for name, odd := range map[string]moraine.Lock{
		"state":      {Vault: "v", State: "Open", Created: at(1), Expires: at(2)},
		"no expiry":  {Vault: "v", State: moraine.LockInProgress, Created: at(1)},
		"two states": {Vault: "v", State: moraine.LockLocked, Created: at(1), Expires: at(2)},
	} {
		if err := s.Update(t.Context(), saveLocks(odd)); err == nil {
			t.Errorf("%s: a lock that cannot be was saved", name)
		}
	}
	for range 2 {
		update(t, s, func(tx meta.Tx) error { return tx.Documents().Locks().Drop("v") })
		wantNone(t, s, getLock("v"))
	}
	want(t, s, lock("w", 2), getLock("w"))
}

func testLocksOver(t *testing.T, s meta.Store) {
	list := []moraine.Lock{lock("d", 1), lock("c", 2), lock("b", 3), lock("a", 4)}
	update(t, s, saveLocks(append(list, locked(lock("z", 0)))...))
	over := func(when, limit int) func(tx meta.Tx) ([]moraine.Lock, error) {
		return func(tx meta.Tx) ([]moraine.Lock, error) { return tx.Documents().Locks().Over(at(when), limit) }
	}
	want(t, s, nil, over(10, 10))
	want(t, s, list[:3], over(13, 10))
	want(t, s, list[:2], over(13, 2))
	want(t, s, list, over(1000, 10))
}

func saveNotifications(v moraine.VaultID, n moraine.Notifications) func(tx meta.Tx) error {
	return func(tx meta.Tx) error { return tx.Documents().Notifications().Save(v, n) }
}

func getNotifications(v moraine.VaultID) func(tx meta.Tx) (moraine.Notifications, error) {
	return func(tx meta.Tx) (moraine.Notifications, error) { return tx.Documents().Notifications().Get(v) }
}

func notifications(n int) moraine.Notifications {
	return moraine.Notifications{
		Topic:  fmt.Sprintf("arn:aws:sns:r:a:%d", n),
		Events: []moraine.Event{moraine.InventoryRetrievalCompleted, moraine.ArchiveRetrievalCompleted},
	}
}

func testNotifications(t *testing.T, s meta.Store) {
	wantNone(t, s, getNotifications("v"))
	other := moraine.Notifications{Topic: "other", Events: []moraine.Event{moraine.ArchiveRetrievalCompleted}}
	update(t, s, saveNotifications("w", other))
	for _, n := range []moraine.Notifications{notifications(1), other, notifications(2)} {
		update(t, s, saveNotifications("v", n))
		want(t, s, n, getNotifications("v"))
	}
	for range 2 {
		update(t, s, func(tx meta.Tx) error { return tx.Documents().Notifications().Drop("v") })
		wantNone(t, s, getNotifications("v"))
	}
	want(t, s, other, getNotifications("w"))
}

// attach gives a vault documents of every sort.
func attach(v moraine.VaultID, n int) func(tx meta.Tx) error {
	return func(tx meta.Tx) error {
		return errors.Join(setTags(v, moraine.Tag{Key: "k", Value: "v"})(tx),
			setAccessPolicy(v, &moraine.VaultPolicy{Text: "{}"})(tx), saveLocks(lock(v, n))(tx),
			saveNotifications(v, notifications(n))(tx))
	}
}

func testDocumentsEnd(t *testing.T, s meta.Store) {
	dead, alive := vault(1), vault(2)
	alive.Revision = 1<<63 - 1
	update(t, s, func(tx meta.Tx) error {
		return errors.Join(saveVault(dead)(tx), saveVault(alive)(tx), attach(dead.ID, 1)(tx), attach(alive.ID, 2)(tx))
	})
	update(t, s, func(tx meta.Tx) error { return tx.Vaults().Delete(dead.ID) })
	want(t, s, nil, getTags(dead.ID))
	wantNone(t, s, getAccessPolicy(dead.ID))
	wantNone(t, s, getLock(dead.ID))
	wantNone(t, s, getNotifications(dead.ID))
	bury(t, s, at(9))
	want(t, s, alive, getVault(alive.ID))
	want(t, s, []moraine.Tag{{Key: "k", Value: "v"}}, getTags(alive.ID))
	want(t, s, moraine.VaultPolicy{Text: "{}"}, getAccessPolicy(alive.ID))
	want(t, s, lock(alive.ID, 2), getLock(alive.ID))
	want(t, s, notifications(2), getNotifications(alive.ID))
}
