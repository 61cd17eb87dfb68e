package sqlmeta

import (
	"strings"
	"time"

	"moraine"
)

// heldVaults are the vault rows that the Updates of one batch have read, with
// what they saved. Uploads to one vault all read its row and count themselves in
// it; the row is read once and written once per batch, before the commit or
// before a statement that looks at the table by itself.
//
// Only the session of the writer holds any, and only between the begin and the
// end of a batch that is not replayed: what is held cannot be undone for one
// Update alone.
type heldVaults struct {
	on    bool
	rows  map[vaultKey]*heldVault
	dirty int // of rows
}

// vaultKey is what vaults are asked for by.
type vaultKey struct {
	account moraine.AccountID
	region  moraine.Region
	name    moraine.VaultName
}

type heldVault struct {
	moraine.Vault
	dirty bool
}

// heldMax bounds how many rows are held; a batch is rarely about more than a
// few vaults.
const heldMax = 64

func keyOf(v *moraine.Vault) vaultKey { return vaultKey{v.Account, v.Region, v.Name} }

// begin starts holding rows, if a batch wants that, and forgets all there are.
func (h *heldVaults) begin(on bool) {
	h.on = on
	h.forget()
}

func (h *heldVaults) forget() {
	clear(h.rows)
	h.dirty = 0
}

// get returns a row that is held.
func (h *heldVaults) get(k vaultKey) (moraine.Vault, bool) {
	if held := h.rows[k]; held != nil {
		return held.Vault, true
	}
	return moraine.Vault{}, false
}

// add holds a row as it was read.
func (h *heldVaults) add(v moraine.Vault) {
	if !h.on || len(h.rows) >= heldMax {
		return
	}
	if h.rows == nil {
		h.rows = make(map[vaultKey]*heldVault)
	}
	h.rows[keyOf(&v)] = &heldVault{Vault: v}
}

// save takes v in place of the row that is held, and reports whether it could:
// if only figures differ, and the table will not refuse them.
func (h *heldVaults) save(v moraine.Vault) bool {
	held := h.rows[keyOf(&v)]
	if held == nil || held.ID != v.ID || !sameMillis(held.Created, v.Created) ||
		!sameMillis(inventoryDue(held.Vault), inventoryDue(v)) ||
		min(v.Live.Archives, v.Live.Bytes, v.Inventory.Archives, v.Inventory.Bytes) < 0 {
		return false
	}
	// As they would be read again.
	v.Created = held.Created
	v.FirstWrite, v.LastWrite, v.Inventoried = stored(v.FirstWrite), stored(v.LastWrite), stored(v.Inventoried)
	held.Vault = v
	if !held.dirty {
		held.dirty = true
		h.dirty++
	}
	return true
}

// stored is an instant as the database keeps it.
func stored(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

func sameMillis(a, b time.Time) bool {
	return a.IsZero() == b.IsZero() && (a.IsZero() || a.UnixMilli() == b.UnixMilli())
}

// asksVaults says of every statement whether it looks at the table of vaults
// by itself, so that rows that are held must be written before it runs.
var asksVaults = func() map[string]bool {
	asks := make(map[string]bool, len(queries))
	for _, q := range queries {
		asks[q] = strings.Contains(q, " vaults") && q != vaultGet
	}
	return asks
}()

// writes says of every statement whether it changes anything.
var writes = func() map[string]bool {
	changes := make(map[string]bool, len(queries))
	for _, q := range queries {
		changes[q] = !strings.HasPrefix(q, "SELECT")
	}
	return changes
}()
