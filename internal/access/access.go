// Package access decides who may do what to which vault, and finds the vault
// or archive a request names.
//
// It knows principals, actions, resources and the sentences of a refusal. It
// must not know HTTP, signatures (they are verified before a Principal
// exists), SQL or files. Every service asks it inside the transaction that
// acts, so that no surface can differ from another.
package access

import (
	"errors"

	"moraine"
	"moraine/internal/meta"
)

// Principal is an authenticated identity.
type Principal struct {
	Account moraine.AccountID
	ARN     string // as policies and refusals name it
	Root    bool   // the account itself
}

// Call is who asks, and the place the request names.
type Call struct {
	Principal Principal
	Region    moraine.Region // from the credential scope
	Account   string         // account segment of the path as received: "-" or digits
}

// Authority takes the decisions. Today the root of an account may do
// everything in its account and there are no other principals; policies are
// evaluated here when there are.
type Authority struct{}

// Admit resolves the account segment of c and decides whether the caller may
// perform the action, in the form "CreateVault", on the vault of that name, or
// on the account's vaults if name is "". It returns the account that is meant.
// A refusal is an error of kind Denied (glacier-api §1.3, access-control §4.2).
func (a *Authority) Admit(_ meta.Tx, c Call, action, name string) (moraine.AccountID, error) {
	account := c.Principal.Account
	if c.Account != "-" && c.Account != string(account) {
		return "", moraine.Errorf(moraine.Denied, "Access denied for account ID: %s", c.Account)
	}
	if !c.Principal.Root {
		return "", moraine.Errorf(moraine.Denied,
			"User: %s is not authorized to perform: glacier:%s on resource: %s",
			c.Principal.ARN, action, moraine.VaultARN(c.Region, account, name))
	}
	return account, nil
}

// Vault returns the vault of that name, or the NotFound error a client sees.
func (a *Authority) Vault(tx meta.Tx, account moraine.AccountID, region moraine.Region, name string) (moraine.Vault, error) {
	if !moraine.ValidVaultName(name) {
		return moraine.Vault{}, moraine.Errorf(moraine.NotFound, "Vault not found for ARN: %s", name)
	}
	v, err := tx.Vaults().Get(account, region, moraine.VaultName(name))
	if errors.Is(err, meta.ErrNotFound) {
		return v, moraine.Errorf(moraine.NotFound, "Vault not found for ARN: %s", moraine.VaultARN(region, account, name))
	}
	return v, err
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
