package sqlmeta

import (
	"time"

	"moraine"
	"moraine/internal/meta"
)

const lockColumns = `vault_id, policy, principals, state, proof, created_ms, expires_ms`

const (
	tagList   = `SELECT tag_key, tag_value FROM vault_tags WHERE vault_id = $1 ORDER BY tag_key`
	tagInsert = `INSERT INTO vault_tags (vault_id, tag_key, tag_value) VALUES ($1, $2, $3)`
	tagClear  = `DELETE FROM vault_tags WHERE vault_id = $1`

	policyGet  = `SELECT policy, principals FROM access_policies WHERE vault_id = $1`
	policySave = `INSERT INTO access_policies (vault_id, policy, principals) VALUES ($1, $2, $3)
ON CONFLICT (vault_id) DO UPDATE SET policy = excluded.policy, principals = excluded.principals`
	policyDrop = `DELETE FROM access_policies WHERE vault_id = $1`

	lockGet  = `SELECT ` + lockColumns + ` FROM vault_locks WHERE vault_id = $1`
	lockSave = `INSERT INTO vault_locks (` + lockColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (vault_id) DO UPDATE SET policy = excluded.policy, principals = excluded.principals, state = excluded.state,
proof = excluded.proof, created_ms = excluded.created_ms, expires_ms = excluded.expires_ms`
	lockDrop = `DELETE FROM vault_locks WHERE vault_id = $1`
	lockOver = `SELECT ` + lockColumns + ` FROM vault_locks WHERE expires_ms <= $1 ORDER BY expires_ms, vault_id LIMIT $2`
)

// documents is meta.Documents.
type documents struct{ t *tx }

func (s documents) Tags(v moraine.VaultID) ([]moraine.Tag, error) {
	return many(s.t, func(row scanner, g *moraine.Tag) error { return row.Scan(&g.Key, &g.Value) }, tagList, string(v))
}

func (s documents) SetTags(v moraine.VaultID, tags []moraine.Tag) error {
	if _, err := s.t.exec(tagClear, string(v)); err != nil {
		return err
	}
	for _, g := range tags {
		if _, err := s.t.exec(tagInsert, string(v), g.Key, g.Value); err != nil {
			return err
		}
	}
	return nil
}

func (s documents) AccessPolicy(v moraine.VaultID) (moraine.VaultPolicy, error) {
	return one(s.t, func(row scanner, p *moraine.VaultPolicy) error { return row.Scan(&p.Text, &p.Principals) },
		policyGet, string(v))
}

func (s documents) SetAccessPolicy(v moraine.VaultID, p *moraine.VaultPolicy) (err error) {
	if p == nil {
		_, err = s.t.exec(policyDrop, string(v))
	} else {
		_, err = s.t.exec(policySave, string(v), p.Text, p.Principals)
	}
	return err
}

func (s documents) Locks() meta.Locks { return locks(s) }

func (s documents) Notifications() meta.Notifications { return notifications(s) }

// locks is meta.Locks.
type locks struct{ t *tx }

func readLock(row scanner, l *moraine.Lock) error {
	return row.Scan((*string)(&l.Vault), &l.Policy.Text, &l.Policy.Principals, (*string)(&l.State),
		(*digest)(&l.Proof), (*instant)(&l.Created), (*instant)(&l.Expires))
}

func (s locks) Get(v moraine.VaultID) (moraine.Lock, error) {
	return one(s.t, readLock, lockGet, string(v))
}

func (s locks) Save(l moraine.Lock) error {
	_, err := s.t.exec(lockSave, string(l.Vault), l.Policy.Text, l.Policy.Principals, string(l.State),
		l.Proof[:], millis(l.Created), millis(l.Expires))
	return err
}

func (s locks) Drop(v moraine.VaultID) error {
	_, err := s.t.exec(lockDrop, string(v))
	return err
}

func (s locks) Over(t time.Time, limit int) ([]moraine.Lock, error) {
	return many(s.t, readLock, lockOver, millis(t), bound(limit))
}

var (
	_ meta.Documents = documents{}
	_ meta.Locks     = locks{}
)
