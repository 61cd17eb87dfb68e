package sqlmeta

import (
	"time"

	"moraine"
	"moraine/internal/meta"
)

const vaultColumns = `vault_id, account, region, name, created_ms, archives, bytes, first_write_ms, last_write_ms,
inventoried_ms, inventory_archives, inventory_bytes, revision`

const (
	vaultGet   = `SELECT ` + vaultColumns + ` FROM vaults WHERE account = $1 AND region = $2 AND name = $3`
	vaultByID  = `SELECT ` + vaultColumns + ` FROM vaults WHERE vault_id = $1`
	vaultList  = `SELECT ` + vaultColumns + ` FROM vaults WHERE account = $1 AND region = $2 AND name >= $3 ORDER BY name LIMIT $4`
	vaultCount = `SELECT count(*) FROM vaults WHERE account = $1 AND region = $2`

	// vaultFigures is what almost every Save comes to. It names no indexed
	// column in its SET, so that an upload dirties no index page of this table.
	vaultFigures = `UPDATE vaults SET archives = $6, bytes = $7, first_write_ms = $8, last_write_ms = $9,
inventoried_ms = $10, inventory_archives = $11, inventory_bytes = $12, revision = $13
WHERE vault_id = $1 AND account = $2 AND region = $3 AND name = $4
AND created_ms IS NOT DISTINCT FROM $5 AND inventory_due_ms IS NOT DISTINCT FROM $14`

	vaultSave = `INSERT INTO vaults (` + vaultColumns + `, inventory_due_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (vault_id) DO UPDATE SET account = excluded.account, region = excluded.region, name = excluded.name,
created_ms = excluded.created_ms, archives = excluded.archives, bytes = excluded.bytes,
first_write_ms = excluded.first_write_ms, last_write_ms = excluded.last_write_ms,
inventoried_ms = excluded.inventoried_ms, inventory_archives = excluded.inventory_archives,
inventory_bytes = excluded.inventory_bytes, revision = excluded.revision, inventory_due_ms = excluded.inventory_due_ms`

	vaultDelete = `DELETE FROM vaults WHERE vault_id = $1`
	vaultBury   = `INSERT INTO dead_vaults (vault_id) VALUES ($1) ON CONFLICT (vault_id) DO NOTHING`
)

// vaults is meta.Vaults.
type vaults struct{ t *tx }

func readVault(row scanner, v *moraine.Vault) error {
	return row.Scan((*string)(&v.ID), (*string)(&v.Account), (*string)(&v.Region), (*string)(&v.Name), (*instant)(&v.Created),
		&v.Live.Archives, &v.Live.Bytes, (*instant)(&v.FirstWrite), (*instant)(&v.LastWrite),
		(*instant)(&v.Inventoried), &v.Inventory.Archives, &v.Inventory.Bytes, &v.Revision)
}

func (s vaults) Get(a moraine.AccountID, r moraine.Region, name moraine.VaultName) (moraine.Vault, error) {
	if err := s.t.usable(); err != nil {
		return moraine.Vault{}, err
	}
	if v, ok := s.t.ses.vaults.get(vaultKey{a, r, name}); ok {
		return v, nil
	}
	v, err := one(s.t, readVault, vaultGet, string(a), string(r), string(name))
	if err == nil {
		s.t.ses.vaults.add(v)
	}
	return v, err
}

func (s vaults) ByID(id moraine.VaultID) (moraine.Vault, error) {
	return one(s.t, readVault, vaultByID, string(id))
}

func (s vaults) List(a moraine.AccountID, r moraine.Region, from moraine.VaultName, limit int) ([]moraine.Vault, error) {
	return many(s.t, readVault, vaultList, string(a), string(r), string(from), bound(limit))
}

func (s vaults) Count(a moraine.AccountID, r moraine.Region) (int, error) {
	n, err := one(s.t, number, vaultCount, string(a), string(r))
	return int(n), err
}

func (s vaults) Save(v moraine.Vault) error {
	if err := s.t.usable(); err != nil {
		return err
	}
	if s.t.ses.vaults.save(v) {
		s.t.wrote = true
		return nil
	}
	args := vaultArgs(v)
	n, err := s.t.exec(vaultFigures, args...)
	if err == nil && n == 0 {
		_, err = s.t.exec(vaultSave, args...)
	}
	return err
}

// vaultArgs are what vaultFigures and vaultSave take.
func vaultArgs(v moraine.Vault) []any {
	return []any{
		string(v.ID), string(v.Account), string(v.Region), string(v.Name), millis(v.Created),
		v.Live.Archives, v.Live.Bytes, millis(v.FirstWrite), millis(v.LastWrite),
		millis(v.Inventoried), v.Inventory.Archives, v.Inventory.Bytes, v.Revision, millis(inventoryDue(v)),
	}
}

func (s vaults) Delete(id moraine.VaultID) error {
	if err := s.t.execOne(vaultDelete, string(id)); err != nil {
		return err
	}
	for _, query := range [...]string{tagClear, policyDrop, lockDrop, notificationsDrop, vaultBury} {
		if _, err := s.t.exec(query, string(id)); err != nil {
			return err
		}
	}
	return nil
}

// inventoryDue is the instant from which the age of the oldest write that no
// snapshot holds is counted, zero if there is none. It is a column of its own
// so that DueInventories is a look at an index.
func inventoryDue(v moraine.Vault) time.Time {
	switch {
	case v.LastWrite.IsZero():
		return time.Time{}
	case v.Inventoried.IsZero():
		return v.FirstWrite
	case v.LastWrite.After(v.Inventoried):
		return v.Inventoried
	}
	return time.Time{}
}

// bound makes a limit fit for a query: none below zero.
func bound(limit int) int64 { return int64(max(limit, 0)) }

var _ meta.Vaults = vaults{}
