package account_test

import (
	"context"
	"testing"
	"time"

	"moraine"
	"moraine/internal/meta"
)

// rewound are rows whose accounts count fewer changes than there were, as after
// a return to an earlier state.
type rewound struct {
	meta.Store
	by int64
}

func (r *rewound) View(ctx context.Context, fn func(meta.Tx) error) error {
	return r.Store.View(ctx, func(tx meta.Tx) error { return fn(rewoundTx{tx, r.by}) })
}

type rewoundTx struct {
	meta.Tx
	by int64
}

func (t rewoundTx) Accounts() meta.Accounts { return rewoundAccounts{t.Tx.Accounts(), t.by} }

type rewoundAccounts struct {
	meta.Accounts
	by int64
}

func (t rewoundAccounts) Get(id moraine.AccountID) (moraine.Account, error) {
	a, err := t.Accounts.Get(id)
	a.Revision -= t.by
	return a, err
}

// TestRevisionAgain has a number of the revision of an account come again with
// other policies behind it, because the database lost its last commits: the old
// ones are believed for a minute at most.
func TestRevisionAgain(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	rows := &rewound{Store: o.rows}
	o.rows = rows
	o.Service = o.service()
	o.create(user, "bob")
	key := o.key("bob")
	o.ok(o.PutInline(t.Context(), o.root, user, "bob", "p", allow("*")))
	if p := o.as(key).Principal; len(p.Identity) != 1 {
		t.Fatalf("bob has %d policies", len(p.Identity))
	}
	o.ok(o.DeleteInline(t.Context(), o.root, user, "bob", "p"))
	rows.by = 1
	o.clock.Advance(time.Minute)
	if p := o.as(key).Principal; len(p.Identity) != 0 {
		t.Errorf("bob has %d policies that nobody gave him, a minute later", len(p.Identity))
	}
}
