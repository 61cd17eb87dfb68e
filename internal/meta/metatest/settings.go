package metatest

import (
	"errors"
	"fmt"
	"testing"

	"moraine"
	"moraine/internal/meta"
)

var settingTests = []test{
	{"retrieval policy", in(testRetrievalPolicy)},
	{"load", in(testLoad)},
	{"capacity", in(testCapacity)},
}

func testRetrievalPolicy(t *testing.T, s meta.Store) {
	get := func(tx meta.Tx) (moraine.RetrievalPolicy, error) {
		return tx.Settings().RetrievalPolicy(account, region)
	}
	wantNone(t, s, get)
	other := moraine.RetrievalPolicy{Strategy: moraine.FreeTier}
	for _, p := range []moraine.RetrievalPolicy{
		{Strategy: moraine.BytesPerHour, BytesPerHour: 1<<63 - 1}, other, {Strategy: moraine.NoLimit},
	} {
		update(t, s, func(tx meta.Tx) error {
			return errors.Join(tx.Settings().SetRetrievalPolicy(account, region, p),
				tx.Settings().SetRetrievalPolicy(account, "elsewhere", other), tx.Settings().SetRetrievalPolicy("other", region, other))
		})
		want(t, s, p, get)
	}
	err := s.Update(t.Context(), func(tx meta.Tx) error {
		return tx.Settings().SetRetrievalPolicy(account, region, moraine.RetrievalPolicy{Strategy: "Free"})
	})
	if err == nil {
		t.Error("a strategy that does not exist was saved")
	}
}

func load(q meta.Load) func(tx meta.Tx) (meta.Retrievals, error) {
	return func(tx meta.Tx) (meta.Retrievals, error) { return tx.Settings().Load(q) }
}

func testLoad(t *testing.T, s meta.Store) {
	here, also, elsewhere, foreign := vault(1), vault(2), vault(3), vault(4)
	elsewhere.Region, foreign.Account = "us-east-1", "other"
	bring := func(v moraine.Vault, n int, tier moraine.Tier) moraine.Job {
		j := retrieval(v.ID, n, archive(v.ID, n))
		j.Tier, j.Output = tier, 1<<n
		return j
	}
	list := inventory(here.ID, 1)
	list.Tier, list.Output = moraine.Standard, 1<<40
	update(t, s, func(tx meta.Tx) error {
		return errors.Join(saveVault(here)(tx), saveVault(also)(tx), saveVault(elsewhere)(tx), saveVault(foreign)(tx),
			saveJobs(bring(here, 1, moraine.Standard), bring(also, 2, moraine.Standard), bring(here, 3, moraine.Expedited),
				bring(elsewhere, 4, moraine.Standard), bring(foreign, 5, moraine.Standard), list,
				finish(bring(here, 6, moraine.Standard), moraine.Succeeded, at(99)),
				finish(bring(also, 7, moraine.Standard), moraine.Failed, at(99)),
				bring(moraine.Vault{ID: "dead"}, 8, moraine.Standard))(tx))
	})
	q := meta.Load{Account: account, Region: region, Tier: moraine.Standard}
	want(t, s, meta.Retrievals{Jobs: 2, Bytes: 2 + 4}, load(q))
	q.Since = at(2)
	want(t, s, meta.Retrievals{Jobs: 3, Bytes: 4 + 64 + 128}, load(q))
	q.Since = at(8)
	want(t, s, meta.Retrievals{}, load(q))
	want(t, s, meta.Retrievals{Jobs: 1, Bytes: 8}, load(meta.Load{Account: account, Region: region, Tier: moraine.Expedited}))
	want(t, s, meta.Retrievals{}, load(meta.Load{Account: account, Region: region, Tier: moraine.Bulk}))
}

func testCapacity(t *testing.T, s meta.Store) {
	unit := func(n, start, expires int) moraine.CapacityUnit {
		return moraine.CapacityUnit{
			ID: moraine.CapacityID(fmt.Sprintf("unit-%d", n)), Account: account, Region: region, Start: at(start), Expires: at(expires),
		}
	}
	a, b, c := unit(2, 1, 30), unit(1, 1, 20), unit(0, 5, 25)
	far := unit(9, 1, 30)
	far.Region = "us-east-1"
	update(t, s, func(tx meta.Tx) error {
		var errs []error
		for _, u := range []moraine.CapacityUnit{c, a, far, b} {
			errs = append(errs, tx.Settings().AddCapacity(u))
		}
		return errors.Join(errs...)
	})
	units := func(n int) func(tx meta.Tx) ([]moraine.CapacityUnit, error) {
		return func(tx meta.Tx) ([]moraine.CapacityUnit, error) {
			return tx.Settings().Capacity(account, region, at(n))
		}
	}
	want(t, s, []moraine.CapacityUnit{b, a, c}, units(19))
	want(t, s, []moraine.CapacityUnit{a, c}, units(20))
	want(t, s, nil, units(30))
	update(t, s, func(tx meta.Tx) error { return tx.Settings().DropCapacity(account, region, at(25)) })
	want(t, s, []moraine.CapacityUnit{a}, units(0))
	want(t, s, []moraine.CapacityUnit{far}, func(tx meta.Tx) ([]moraine.CapacityUnit, error) {
		return tx.Settings().Capacity(account, far.Region, at(0))
	})
}
