package access_test

import (
	"testing"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta"
	"moraine/internal/policy"
)

// TestExplain checks that suppositions change what conditions see, and nothing
// else.
func TestExplain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	text := `{"Version":"2012-10-17","Statement":[` +
		`{"Sid":"young","Effect":"Deny","Principal":"*","Action":"glacier:DeleteArchive","Resource":"` + prefix + `vaults/v","Condition":{"NumericLessThan":{"glacier:ArchiveAgeInDays":"365"}}},` +
		`{"Sid":"hold","Effect":"Deny","Principal":"*","Action":"glacier:DeleteArchive","Resource":"` + prefix + `vaults/v","Condition":{"StringEquals":{"glacier:ResourceTag/hold":"yes"}}}]}`
	h.update(func(tx meta.Tx) error {
		v, err := tx.Vaults().Get(account, region, "v")
		if err != nil {
			return err
		}
		doc, err := policy.Parse([]byte(text))
		if err != nil {
			return err
		}
		p, err := access.Bind(tx, doc, text)
		if err != nil {
			return err
		}
		if err := tx.Documents().Locks().Save(moraine.Lock{
			Vault: v.ID, Policy: p, State: moraine.LockInProgress, Created: noon, Expires: noon.Add(moraine.LockWindow),
		}); err != nil {
			return err
		}
		v.Revision = 77
		return tx.Vaults().Save(v)
	})
	root := access.Principal{Account: account, ARN: "arn:aws:iam::111111111111:root", Root: true}
	hold := []moraine.Tag{{Key: "hold", Value: "yes"}}
	for _, row := range []struct {
		name    string
		archive moraine.ArchiveID
		suppose access.Supposition
		account string
		at      time.Time
		want    string
		sids    int
	}{
		{"an old archive", "old", access.Supposition{}, "-", noon.Add(time.Second), "root", 0},
		{"a young one", "young", access.Supposition{}, "-", noon, "lock-policy-explicit", 1},
		{"an age", "", access.Supposition{HasAge: true, AgeDays: 364}, "-", noon, "lock-policy-explicit", 1},
		{"a greater age", "", access.Supposition{HasAge: true, AgeDays: 365}, "-", noon, "root", 0},
		{"a tag", "old", access.Supposition{Tags: hold}, "-", noon, "lock-policy-explicit", 1},
		{"a tag and an age", "", access.Supposition{HasAge: true, Tags: hold}, "-", noon, "lock-policy-explicit", 2},
		{"after the window of the lock", "young", access.Supposition{Tags: hold}, "-", noon.Add(moraine.LockWindow), "root", 0},
		{"an account that is not here", "old", access.Supposition{}, "222222222222", noon, "none", 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := access.New(access.Config{Now: func() time.Time { return row.at }})
			err := h.rows.View(t.Context(), func(tx meta.Tx) error {
				x, err := a.Explain(tx, access.Call{Principal: root, Region: region, Account: row.account},
					access.Act{Action: "DeleteArchive", Vault: "v", Archive: row.archive}, row.suppose)
				if x.Reason.String() != row.want || len(x.Statements) != row.sids || x.Allowed != (x.Denial == "") {
					t.Errorf("got %+v, want %s with %d statements", x, row.want, row.sids)
				}
				if x.Foreign != (row.account != "-") {
					t.Errorf("foreign: %v", x.Foreign)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
