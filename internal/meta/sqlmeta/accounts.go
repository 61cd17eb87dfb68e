package sqlmeta

import (
	"moraine"
	"moraine/internal/meta"
)

const (
	accountGet    = `SELECT account, created_ms, revision FROM accounts WHERE account = $1`
	accountList   = `SELECT account, created_ms, revision FROM accounts WHERE account > $1 ORDER BY account LIMIT $2`
	accountInsert = `INSERT INTO accounts (account, created_ms, revision) VALUES ($1, $2, 0)`
	accountBump   = `UPDATE accounts SET revision = revision + 1 WHERE account = $1`
)

// accounts is meta.Accounts.
type accounts struct{ t *tx }

func readAccount(row scanner, a *moraine.Account) error {
	return row.Scan((*string)(&a.ID), (*instant)(&a.Created), &a.Revision)
}

func (s accounts) Get(id moraine.AccountID) (moraine.Account, error) {
	return one(s.t, readAccount, accountGet, string(id))
}

func (s accounts) List(after moraine.AccountID, limit int) ([]moraine.Account, error) {
	return many(s.t, readAccount, accountList, string(after), bound(limit))
}

func (s accounts) Insert(a moraine.Account) error {
	_, err := s.t.exec(accountInsert, string(a.ID), millis(a.Created))
	return err
}

// bump raises the revision of an account, which must be there.
func (t *tx) bump(a moraine.AccountID) error { return t.execOne(accountBump, string(a)) }

var _ meta.Accounts = accounts{}
