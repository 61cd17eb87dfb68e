package crash_test

import (
	"context"
	"fmt"
	"strings"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/vaultclient"
	"moraine/test/internal/wire"
)

// Provisioned capacity is bought for a region and cannot be given back, so the
// server under test has many regions.
const (
	capacityRegions = 80
	unitsPerRegion  = 2 // the server's quota
	unitsPerKill    = 3
)

// capacity is the units of one region.
type capacity struct {
	region string
	units  map[string]bool // by id: acknowledged, or found after a kill
	buying bool            // a purchase is in flight: there may be one more
}

func newCapacities() []*capacity {
	var all []*capacity
	for i := range capacityRegions {
		all = append(all, &capacity{region: fmt.Sprintf("crash-%d", i), units: map[string]bool{}})
	}
	return all
}

// regionFlag names the regions of the server under test.
func (l *ledger) regionFlag() string {
	names := []string{moraineproc.Region}
	for _, c := range l.capacities {
		names = append(names, c.region)
	}
	return "--regions=" + strings.Join(names, ",")
}

// rootIn signs for another region.
func rootIn(region string) *wire.Credentials {
	return &wire.Credentials{KeyID: moraineproc.KeyID, Secret: moraineproc.Secret, Region: region}
}

// buy purchases a unit where there is room for one.
func (w *worker) buy(ctx context.Context) error {
	var c *capacity
	w.l.do(func() {
		if w.l.unitsLeft == 0 {
			return
		}
		for _, candidate := range w.l.capacities {
			if !candidate.buying && len(candidate.units) < unitsPerRegion {
				c, candidate.buying = candidate, true
				w.l.unitsLeft--
				break
			}
		}
	})
	if c == nil {
		return nil
	}
	there := &vaultclient.Client{Addr: w.c.Addr, Observe: w.c.Observe, Credentials: rootIn(c.region)}
	defer there.Close()
	id, err := there.PurchaseCapacity(ctx)
	if err == nil {
		w.l.do(func() { c.units[id], c.buying = true, false })
	}
	return w.settle("purchase capacity", err)
}

// readCapacity lists the units of every region.
func (v *verifier) readCapacity(ctx context.Context, c *vaultclient.Client) {
	there := &vaultclient.Client{Addr: c.Addr}
	defer there.Close()
	for _, region := range v.l.capacities {
		there.Credentials = rootIn(region.region)
		if err := v.readRegion(ctx, there, region); err != nil {
			v.l.fault("capacity of %s: %v", region.region, err)
		}
	}
}

func (v *verifier) readRegion(ctx context.Context, c *vaultclient.Client, region *capacity) error {
	listed, err := c.Capacity(ctx)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, unit := range listed {
		seen[unit.CapacityId] = true
		if region.units[unit.CapacityId] {
			continue
		}
		if !region.buying {
			v.l.fault("capacity unit %s of %s was never bought", unit.CapacityId, region.region)
		}
		region.buying = false
	}
	for id := range region.units {
		if !seen[id] {
			v.l.fault("%s: capacity unit %s of %s was bought and is not listed", lost, id, region.region)
		}
	}
	region.units, region.buying = seen, false
	return nil
}
