package vault

import (
	"context"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta"
)

// Description is what clients are told of a vault (§3.2).
type Description struct {
	Vault moraine.Vault
	// LastInventory is when the last inventory run finished; zero before the
	// first. Figures are those of that inventory.
	LastInventory time.Time
	Figures       moraine.Figures
}

// describe chooses the figures to show: those of the last snapshot, or with a
// zero interval those of this instant.
func (s *Service) describe(v moraine.Vault) Description {
	if s.cfg.InventoryInterval == 0 {
		last := v.LastWrite
		if v.Inventoried.After(last) {
			last = v.Inventoried
		}
		return Description{Vault: v, LastInventory: last, Figures: v.Live}
	}
	return Description{Vault: v, LastInventory: v.Inventoried, Figures: v.Inventory}
}

// CreateVault makes a vault, or does nothing if it exists (§3.1).
func (s *Service) CreateVault(ctx context.Context, call access.Call, name string) (moraine.Vault, error) {
	now := s.now()
	var v moraine.Vault
	err := s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		grant, err := s.cfg.Access.Admit(tx, call, access.Act{Action: "CreateVault", Vault: name})
		if err != nil {
			return err
		}
		if !moraine.ValidVaultName(name) {
			return moraine.Errorf(moraine.Invalid, "Invalid vault name: %s", name)
		}
		var exists bool
		if v, exists = grant.Lookup(); exists {
			return nil
		}
		account := grant.Account
		n, err := tx.Vaults().Count(account, call.Region)
		if err != nil {
			return err
		}
		if n >= moraine.VaultsMax {
			return moraine.Errorf(moraine.Limit, "Vault limit exceeded for account: %s", account)
		}
		v = moraine.Vault{
			ID: moraine.NewVaultID(now), Account: account, Region: call.Region,
			Name: moraine.VaultName(name), Created: now,
		}
		return tx.Vaults().Save(v)
	})
	return v, err
}

// DescribeVault returns a vault and its figures (§3.2).
func (s *Service) DescribeVault(ctx context.Context, call access.Call, name string) (Description, error) {
	var d Description
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		v, err := s.enter(tx, call, "DescribeVault", name, nil)
		d = s.describe(v)
		return err
	})
	return d, err
}

// ListVaults returns a page of vaults in order of name, and the ARN of the
// first vault of the next page, or "" (§3.3). limit and marker are as the
// client sent them, "" if absent.
func (s *Service) ListVaults(ctx context.Context, call access.Call, limit, marker string) ([]Description, string, error) {
	var page []Description
	var next string
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		page, next = nil, ""
		grant, err := s.cfg.Access.Admit(tx, call, access.Act{Action: "ListVaults"})
		if err != nil {
			return err
		}
		account := grant.Account
		n, err := moraine.PageLimit(limit, moraine.VaultsPageMax)
		if err != nil {
			return err
		}
		from, err := vaultMarker(marker, account, call.Region)
		if err != nil {
			return err
		}
		vaults, err := tx.Vaults().List(account, call.Region, from, n+1)
		if err != nil {
			return err
		}
		if len(vaults) > n {
			next = vaults[n].ARN()
			vaults = vaults[:n]
		}
		for _, v := range vaults {
			page = append(page, s.describe(v))
		}
		return nil
	})
	return page, next, err
}

// vaultMarker reads the name out of a ListVaults marker, the ARN of a vault of
// this account and region.
func vaultMarker(marker string, account moraine.AccountID, region moraine.Region) (moraine.VaultName, error) {
	if marker == "" {
		return "", nil
	}
	prefix := moraine.VaultARN(region, account, "")
	if len(marker) <= len(prefix) || marker[:len(prefix)] != prefix || !moraine.ValidVaultName(marker[len(prefix):]) {
		return "", moraine.Errorf(moraine.Invalid, "Invalid marker: %s", marker)
	}
	return moraine.VaultName(marker[len(prefix):]), nil
}

// DeleteVault removes an empty vault; one that does not exist is no error
// (§3.4). Open uploads go with it, and its tags, policies and lock.
func (s *Service) DeleteVault(ctx context.Context, call access.Call, name string) error {
	err := s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		grant, err := s.cfg.Access.Admit(tx, call, access.Act{Action: "DeleteVault", Vault: name})
		if err != nil {
			return err
		}
		v, exists := grant.Lookup()
		if !exists && moraine.ValidVaultName(name) {
			return nil
		}
		if v, err = grant.Vault(); err != nil {
			return err
		}
		if !s.deletable(&v) {
			return moraine.Errorf(moraine.Invalid, "Vault not empty or recently written to: %s", v.ARN())
		}
		return tx.Vaults().Delete(v.ID)
	})
	if err == nil {
		s.Wake()
	}
	return err
}

// deletable applies the precise test of §3.4. With a zero interval the
// inventory is of this instant, so that an empty vault is deletable at once.
func (s *Service) deletable(v *moraine.Vault) bool {
	switch {
	case v.Live.Archives > 0:
		return false
	case v.LastWrite.IsZero(), s.cfg.InventoryInterval == 0:
		return true
	}
	return v.Inventory.Archives == 0 && !v.LastWrite.After(v.Inventoried)
}

// enter is the common beginning of an operation on a vault: authorise, then
// check the parameters, then find the vault (§1.12 steps 5 to 8). check may be
// nil.
func (s *Service) enter(tx meta.Tx, call access.Call, action, name string, check func() error) (moraine.Vault, error) {
	return s.enterFor(tx, call, access.Act{Action: action, Vault: name}, check)
}

// enterFor is enter for an act of which conditions may ask more.
func (s *Service) enterFor(tx meta.Tx, call access.Call, act access.Act, check func() error) (moraine.Vault, error) {
	grant, err := s.cfg.Access.Admit(tx, call, act)
	if err != nil {
		return moraine.Vault{}, err
	}
	if check != nil {
		if err := check(); err != nil {
			return moraine.Vault{}, err
		}
	}
	return grant.Vault()
}
