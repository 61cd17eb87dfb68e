package metatest

import (
	"errors"
	"testing"
	"time"

	"moraine"
	"moraine/internal/meta"
)

var vaultTests = []test{
	{"round trip", in(testVaultRoundTrip)},
	{"absent", in(testVaultAbsent)},
	{"save replaces", in(testVaultSave)},
	{"list pages by name", in(testVaultList)},
	{"name is unique", in(testVaultUnique)},
	{"delete frees the name", in(testVaultDelete)},
}

func fullVault(n int) moraine.Vault {
	v := vault(n)
	v.Live = moraine.Figures{Archives: 3, Bytes: 1 << 45}
	v.FirstWrite, v.LastWrite = at(5), at(9)
	v.Inventoried, v.Inventory = at(7), moraine.Figures{Archives: 2, Bytes: 1 << 44}
	v.Revision = 1 << 62
	return v
}

func testVaultRoundTrip(t *testing.T, s meta.Store) {
	bare := vault(2)
	bare.Created = time.UnixMilli(0).UTC() // 1970 is an instant, not its absence
	for _, v := range []moraine.Vault{fullVault(1), bare} {
		update(t, s, saveVault(v))
		want(t, s, v, getVault(v.ID))
		want(t, s, v, func(tx meta.Tx) (moraine.Vault, error) { return tx.Vaults().Get(v.Account, v.Region, v.Name) })
	}
	got, err := read(t, s, getVault(bare.ID))
	if err != nil || !got.Inventoried.IsZero() || got.Created.Location() != time.UTC {
		t.Errorf("got %v, %v; want absent instants zero and present ones UTC", got, err)
	}
}

func testVaultAbsent(t *testing.T, s meta.Store) {
	update(t, s, saveVault(vault(1)))
	v := vault(1)
	for _, get := range []func(tx meta.Tx) (moraine.Vault, error){
		getVault("other"),
		func(tx meta.Tx) (moraine.Vault, error) { return tx.Vaults().Get("other", v.Region, v.Name) },
		func(tx meta.Tx) (moraine.Vault, error) { return tx.Vaults().Get(v.Account, "other", v.Name) },
		func(tx meta.Tx) (moraine.Vault, error) { return tx.Vaults().Get(v.Account, v.Region, "other") },
	} {
		wantNone(t, s, get)
	}
}

func testVaultSave(t *testing.T, s meta.Store) {
	v := vault(1)
	renamed := v
	renamed.Name = "renamed"
	for _, next := range []moraine.Vault{v, renamed, fullVault(1), {ID: v.ID, Account: "a", Region: "r", Name: "n"}, v} {
		update(t, s, saveVault(next))
		want(t, s, next, getVault(v.ID))
	}
	want(t, s, 1, func(tx meta.Tx) (int, error) { return tx.Vaults().Count(account, region) })
	want(t, s, 0, func(tx meta.Tx) (int, error) { return tx.Vaults().Count("a", "r") })
}

func testVaultList(t *testing.T, s meta.Store) {
	names := []moraine.VaultName{"-", ".x", "0", "A", "Z", "_", "a", "a.b", "aa", "z"} // in byte order
	byName := func(i int) moraine.Vault {
		v := vault(i)
		v.Name = names[i]
		return v
	}
	update(t, s, func(tx meta.Tx) error {
		other := vault(100)
		other.Region = "us-east-1"
		errs := []error{tx.Vaults().Save(other)}
		for i := range names {
			errs = append(errs, tx.Vaults().Save(byName(len(names)-1-i)))
		}
		return errors.Join(errs...)
	})
	for _, c := range []struct {
		name     string
		from     moraine.VaultName
		limit    int
		lo, next int
	}{
		{"all", "", 100, 0, 10},
		{"first page", "", 3, 0, 3},
		{"from is included", "Z", 2, 4, 6},
		{"from need not exist", "ZZ", 2, 5, 7},
		{"last page", "aa", 5, 8, 10},
		{"past the end", "zz", 5, 10, 10},
		{"none wanted", "", 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var list []moraine.Vault
			for i := c.lo; i < c.next; i++ {
				list = append(list, byName(i))
			}
			want(t, s, list, func(tx meta.Tx) ([]moraine.Vault, error) {
				return tx.Vaults().List(account, region, c.from, c.limit)
			})
		})
	}
	want(t, s, len(names), func(tx meta.Tx) (int, error) { return tx.Vaults().Count(account, region) })
}

func testVaultUnique(t *testing.T, s meta.Store) {
	update(t, s, saveVault(vault(1)))
	twin := vault(2)
	twin.Name = vault(1).Name
	if err := s.Update(t.Context(), saveVault(twin)); err == nil {
		t.Error("two vaults have one name")
	}
	want(t, s, vault(1), getVault(vault(1).ID))
	elsewhere := twin
	elsewhere.Region = "us-east-1"
	update(t, s, saveVault(elsewhere))
}

func testVaultDelete(t *testing.T, s meta.Store) {
	update(t, s, saveVault(vault(1)))
	again := vault(2)
	again.Name = vault(1).Name
	update(t, s, func(tx meta.Tx) error {
		if err := tx.Vaults().Delete(vault(1).ID); err != nil {
			return err
		}
		return tx.Vaults().Save(again) // its name is free at once
	})
	wantNone(t, s, getVault(vault(1).ID))
	want(t, s, again, func(tx meta.Tx) (moraine.Vault, error) { return tx.Vaults().Get(account, region, again.Name) })
	if err := s.Update(t.Context(), func(tx meta.Tx) error { return tx.Vaults().Delete(vault(1).ID) }); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("Delete of a vault that is gone: %v, want ErrNotFound", err)
	}
}
