package job

import (
	"context"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta"
)

// Scarcity makes Expedited retrievals scarce for accounts without provisioned
// capacity.
type Scarcity struct {
	On bool
	// InFlight is how many Expedited retrievals of an account in a region may
	// be in progress. Zero: none is accepted.
	InFlight int64
}

// PurchaseProvisionedCapacity adds a capacity unit for a month, and forgets
// those whose month is over (§10.2).
func (s *Service) PurchaseProvisionedCapacity(ctx context.Context, call access.Call) (moraine.CapacityUnit, error) {
	var u moraine.CapacityUnit
	err := s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		grant, err := s.cfg.Access.Admit(tx, call, access.Act{Action: "PurchaseProvisionedCapacity"})
		if err != nil {
			return err
		}
		now := s.now()
		if err := tx.Settings().DropCapacity(grant.Account, call.Region, now); err != nil {
			return err
		}
		units, err := tx.Settings().Capacity(grant.Account, call.Region, now)
		if err != nil {
			return err
		}
		if len(units) >= moraine.CapacityUnitsMax {
			return moraine.Errorf(moraine.Limit, "Provisioned capacity limit exceeded for account: %s", grant.Account)
		}
		u = moraine.CapacityUnit{
			ID: moraine.NewCapacityID(now), Account: grant.Account, Region: call.Region, Start: now, Expires: nextMonth(now),
		}
		return tx.Settings().AddCapacity(u)
	})
	return u, err
}

// ListProvisionedCapacity returns the capacity units whose month is not over,
// oldest first (§10.2).
func (s *Service) ListProvisionedCapacity(ctx context.Context, call access.Call) ([]moraine.CapacityUnit, error) {
	var units []moraine.CapacityUnit
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		grant, err := s.cfg.Access.Admit(tx, call, access.Act{Action: "ListProvisionedCapacity"})
		if err != nil {
			return err
		}
		units, err = tx.Settings().Capacity(grant.Account, call.Region, s.now())
		return err
	})
	return units, err
}

// nextMonth is the same day and time of the next month, to the second, or its
// last day if it has no such day (§10.2). t is UTC.
func nextMonth(t time.Time) time.Time {
	t = t.Truncate(time.Second)
	last := time.Date(t.Year(), t.Month()+2, 0, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
	if t.Day() >= last.Day() {
		return last
	}
	return t.AddDate(0, 1, 0)
}

// supply refuses an Expedited retrieval when there is no capacity for it.
func (s *Service) supply(tx meta.Tx, v *moraine.Vault, j *moraine.Job, now time.Time) error {
	scarcity := s.scarcity()
	if j.Tier != moraine.Expedited || !scarcity.On {
		return nil
	}
	units, err := tx.Settings().Capacity(v.Account, v.Region, now)
	if err != nil || len(units) > 0 {
		return err
	}
	load, err := tx.Settings().Load(meta.Load{Account: v.Account, Region: v.Region, Tier: moraine.Expedited})
	if err != nil {
		return err
	}
	if load.Jobs >= scarcity.InFlight {
		return moraine.Errorf(moraine.Capacity, "There is insufficient capacity to process this expedited request.")
	}
	return nil
}
