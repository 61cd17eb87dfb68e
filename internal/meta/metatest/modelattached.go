package metatest

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"moraine"
	"moraine/internal/meta"
)

// attached is the part of the model that hangs on vaults and accounts.
type attached struct {
	tags     map[moraine.VaultID][]moraine.Tag
	policies map[moraine.VaultID]moraine.VaultPolicy
	locks    map[moraine.VaultID]moraine.Lock
	notices  map[moraine.VaultID]moraine.Notifications
	messages map[moraine.MessageID]moraine.Message
	limits   map[owner]moraine.RetrievalPolicy
	units    map[moraine.CapacityID]moraine.CapacityUnit
	scrub    moraine.ScrubState
	leases   map[string]meta.Lease
	holds    map[moraine.JobID]time.Time
	blobKeys map[string]moraine.BlobKey
}

// owner is an account in a region.
type owner struct {
	account moraine.AccountID
	region  moraine.Region
}

func newAttached() *attached {
	return &attached{
		map[moraine.VaultID][]moraine.Tag{}, map[moraine.VaultID]moraine.VaultPolicy{}, map[moraine.VaultID]moraine.Lock{},
		map[moraine.VaultID]moraine.Notifications{}, map[moraine.MessageID]moraine.Message{},
		map[owner]moraine.RetrievalPolicy{}, map[moraine.CapacityID]moraine.CapacityUnit{}, moraine.ScrubState{}, map[string]meta.Lease{}, map[moraine.JobID]time.Time{}, map[string]moraine.BlobKey{},
	}
}

func (m *attached) clone() *attached {
	return &attached{
		maps.Clone(m.tags), maps.Clone(m.policies), maps.Clone(m.locks), maps.Clone(m.notices), maps.Clone(m.messages),
		maps.Clone(m.limits), maps.Clone(m.units), m.scrub, maps.Clone(m.leases), maps.Clone(m.holds), maps.Clone(m.blobKeys),
	}
}

// detach removes what hangs on a vault.
func (m *attached) detach(v moraine.VaultID) {
	delete(m.tags, v)
	delete(m.policies, v)
	delete(m.locks, v)
	delete(m.notices, v)
}

func (m *model) Documents() meta.Documents { return modelDocuments{m} }
func (m *model) Settings() meta.Settings   { return modelSettings{m} }

type modelDocuments struct{ *model }

func (m modelDocuments) Tags(v moraine.VaultID) ([]moraine.Tag, error) { return m.tags[v], nil }

func (m modelDocuments) SetTags(v moraine.VaultID, tags []moraine.Tag) error {
	sorted := slices.SortedFunc(slices.Values(tags), func(a, b moraine.Tag) int { return cmp.Compare(a.Key, b.Key) })
	for i := range sorted[:max(len(sorted)-1, 0)] {
		if sorted[i].Key == sorted[i+1].Key {
			return errTwice
		}
	}
	m.tags[v] = sorted
	return nil
}

func (m modelDocuments) AccessPolicy(v moraine.VaultID) (moraine.VaultPolicy, error) {
	return get(m.policies, v)
}

func (m modelDocuments) SetAccessPolicy(v moraine.VaultID, p *moraine.VaultPolicy) error {
	if p == nil {
		delete(m.policies, v)
		return nil
	}
	m.policies[v] = *p
	return nil
}

func (m modelDocuments) Locks() meta.Locks { return modelLocks(m) }

type modelLocks struct{ *model }

func (m modelLocks) Get(v moraine.VaultID) (moraine.Lock, error) { return get(m.locks, v) }

func (m modelLocks) Save(l moraine.Lock) error {
	if l.Expires.IsZero() != (l.State == moraine.LockLocked) {
		return errors.New("a lock in progress, and no other, expires")
	}
	m.locks[l.Vault] = l
	return nil
}

func (m modelLocks) Drop(v moraine.VaultID) error {
	delete(m.locks, v)
	return nil
}

func (m modelLocks) Over(t time.Time, limit int) ([]moraine.Lock, error) {
	return pick(m.locks, limit, func(l moraine.Lock) bool { return l.Over(t) },
		func(a, b moraine.Lock) int { return position(a.Expires, a.Vault, b.Expires, b.Vault) }), nil
}

func (m modelDocuments) Notifications() meta.Notifications { return modelNotifications(m) }

type modelNotifications struct{ *model }

func (m modelNotifications) Get(v moraine.VaultID) (moraine.Notifications, error) {
	return get(m.notices, v)
}

func (m modelNotifications) Save(v moraine.VaultID, n moraine.Notifications) error {
	m.notices[v] = n
	return nil
}

func (m modelNotifications) Drop(v moraine.VaultID) error {
	delete(m.notices, v)
	return nil
}

type modelSettings struct{ *model }

func (m modelSettings) RetrievalPolicy(a moraine.AccountID, r moraine.Region) (moraine.RetrievalPolicy, error) {
	return get(m.limits, owner{a, r})
}

func (m modelSettings) SetRetrievalPolicy(a moraine.AccountID, r moraine.Region, p moraine.RetrievalPolicy) error {
	m.limits[owner{a, r}] = p
	return nil
}

func (m modelSettings) Load(q meta.Load) (sum meta.Retrievals, err error) {
	for _, j := range m.jobs {
		v, ok := m.vaults[j.Vault]
		wanted := j.State == moraine.InProgress
		if !q.Since.IsZero() {
			wanted = !j.Created.Before(q.Since)
		}
		if ok && v.Account == q.Account && v.Region == q.Region && j.Retrieval != nil && j.Tier == q.Tier && wanted {
			sum.Jobs++
			sum.Bytes += j.Output
		}
	}
	return sum, nil
}

func (m modelSettings) Capacity(a moraine.AccountID, r moraine.Region, t time.Time) ([]moraine.CapacityUnit, error) {
	return pick(m.units, len(m.units), func(u moraine.CapacityUnit) bool {
		return u.Account == a && u.Region == r && u.Expires.After(t)
	}, func(x, y moraine.CapacityUnit) int { return position(x.Start, x.ID, y.Start, y.ID) }), nil
}

func (m modelSettings) AddCapacity(u moraine.CapacityUnit) error {
	if _, ok := m.units[u.ID]; ok {
		return errTwice
	}
	m.units[u.ID] = u
	return nil
}

func (m modelSettings) DropCapacity(a moraine.AccountID, r moraine.Region, t time.Time) error {
	maps.DeleteFunc(m.units, func(_ moraine.CapacityID, u moraine.CapacityUnit) bool {
		return u.Account == a && u.Region == r && !u.Expires.After(t)
	})
	return nil
}
