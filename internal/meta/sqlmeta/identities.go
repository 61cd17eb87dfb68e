package sqlmeta

import (
	"moraine"
	"moraine/internal/meta"
)

const identityColumns = `identity_id, account, kind, name, arn, document`

const (
	identityGet  = `SELECT ` + identityColumns + ` FROM identities WHERE account = $1 AND kind = $2 AND name = $3`
	identityByID = `SELECT ` + identityColumns + ` FROM identities WHERE identity_id = $1`
	identityList = `SELECT ` + identityColumns + ` FROM identities
WHERE account = $1 AND kind = $2 AND name > $3 ORDER BY name LIMIT $4`
	identityCount = `SELECT count(*) FROM identities WHERE account = $1 AND kind = $2`
	identitySave  = `INSERT INTO identities (` + identityColumns + `) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (identity_id) DO UPDATE SET name = excluded.name, arn = excluded.arn, document = excluded.document`
	identityDelete = `DELETE FROM identities WHERE identity_id = $1 RETURNING account`
)

// identities is meta.Identities.
type identities struct{ t *tx }

func readIdentity(row scanner, i *moraine.Identity) error {
	return row.Scan(&i.ID, (*string)(&i.Account), (*string)(&i.Kind), &i.Name, &i.ARN, &i.Document)
}

func (s identities) Get(a moraine.AccountID, kind moraine.IdentityKind, name string) (moraine.Identity, error) {
	return one(s.t, readIdentity, identityGet, string(a), string(kind), name)
}

func (s identities) ByID(id string) (moraine.Identity, error) {
	return one(s.t, readIdentity, identityByID, id)
}

func (s identities) List(a moraine.AccountID, kind moraine.IdentityKind, after string, limit int) ([]moraine.Identity, error) {
	return many(s.t, readIdentity, identityList, string(a), string(kind), after, bound(limit))
}

func (s identities) Count(a moraine.AccountID, kind moraine.IdentityKind) (int, error) {
	n, err := one(s.t, number, identityCount, string(a), string(kind))
	return int(n), err
}

func (s identities) Save(i moraine.Identity) error {
	if err := s.t.bump(i.Account); err != nil {
		return err
	}
	_, err := s.t.exec(identitySave, i.ID, string(i.Account), string(i.Kind), i.Name, i.ARN, i.Document)
	return err
}

func (s identities) Delete(id string) error {
	account, err := one(s.t, readText, identityDelete, id)
	if err != nil {
		return err
	}
	return s.t.bump(moraine.AccountID(account))
}

var _ meta.Identities = identities{}
