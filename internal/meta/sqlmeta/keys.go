package sqlmeta

import (
	"moraine"
	"moraine/internal/meta"
)

const keyColumns = `key_id, account, owner, active, created_ms, sealed, used_ms, used_service, used_region`

const (
	keyGet  = `SELECT ` + keyColumns + ` FROM access_keys WHERE key_id = $1`
	keyList = `SELECT ` + keyColumns + ` FROM access_keys WHERE account = $1 AND owner = $2 ORDER BY created_ms, key_id LIMIT $3`
	keySave = `INSERT INTO access_keys (` + keyColumns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (key_id) DO UPDATE SET active = excluded.active, created_ms = excluded.created_ms, sealed = excluded.sealed`
	keyDelete = `DELETE FROM access_keys WHERE key_id = $1 RETURNING account`
	keyTouch  = `UPDATE access_keys SET used_ms = $2, used_service = $3, used_region = $4
WHERE key_id = $1 AND (used_ms IS NULL OR used_ms < $2)`
)

// accessKeys is meta.AccessKeys.
type accessKeys struct{ t *tx }

func readKey(row scanner, k *moraine.AccessKey) error {
	var active int64
	err := row.Scan(&k.ID, (*string)(&k.Account), &k.Owner, &active, (*instant)(&k.Created), &k.Sealed,
		(*instant)(&k.Used.At), &k.Used.Service, &k.Used.Region)
	k.Active = active == 1
	return err
}

func (s accessKeys) Get(id string) (moraine.AccessKey, error) {
	return one(s.t, readKey, keyGet, id)
}

func (s accessKeys) List(a moraine.AccountID, owner string, limit int) ([]moraine.AccessKey, error) {
	return many(s.t, readKey, keyList, string(a), owner, bound(limit))
}

func (s accessKeys) Save(k moraine.AccessKey) error {
	if err := s.t.bump(k.Account); err != nil {
		return err
	}
	active := 0
	if k.Active {
		active = 1
	}
	_, err := s.t.exec(keySave, k.ID, string(k.Account), k.Owner, active, millis(k.Created), k.Sealed,
		millis(k.Used.At), k.Used.Service, k.Used.Region)
	return err
}

func (s accessKeys) Delete(id string) error {
	account, err := one(s.t, readText, keyDelete, id)
	if err != nil {
		return err
	}
	return s.t.bump(moraine.AccountID(account))
}

func (s accessKeys) Touch(id string, use moraine.KeyUse) error {
	_, err := s.t.exec(keyTouch, id, millis(use.At), use.Service, use.Region)
	return err
}

var _ meta.AccessKeys = accessKeys{}
