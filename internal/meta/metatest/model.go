package metatest

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"moraine"
	"moraine/internal/meta"
)

// model is a meta.Tx on maps, as plain as can be: what a store must answer.
type model struct {
	vaults    map[moraine.VaultID]moraine.Vault
	dead      map[moraine.VaultID]bool
	archives  map[moraine.ArchiveID]moraine.Archive
	extents   map[moraine.BodyID]map[int64]moraine.Extent
	condemned map[moraine.BodyID]time.Time
	garbage   map[moraine.BlobID]moraine.Garbage
	uploads   map[moraine.UploadID]moraine.Upload
	jobs      map[moraine.JobID]moraine.Job

	accounts   map[moraine.AccountID]moraine.Account
	identities map[string]moraine.Identity
	keys       map[string]moraine.AccessKey

	*attached
}

func newModel() *model {
	return &model{
		vaults: map[moraine.VaultID]moraine.Vault{}, dead: map[moraine.VaultID]bool{},
		archives: map[moraine.ArchiveID]moraine.Archive{}, extents: map[moraine.BodyID]map[int64]moraine.Extent{},
		condemned: map[moraine.BodyID]time.Time{}, garbage: map[moraine.BlobID]moraine.Garbage{},
		uploads: map[moraine.UploadID]moraine.Upload{}, jobs: map[moraine.JobID]moraine.Job{},
		accounts: map[moraine.AccountID]moraine.Account{}, identities: map[string]moraine.Identity{},
		keys: map[string]moraine.AccessKey{}, attached: newAttached(),
	}
}

// clone copies m, so that a transaction that fails can be forgotten.
func (m *model) clone() *model {
	extents := map[moraine.BodyID]map[int64]moraine.Extent{}
	for b, list := range m.extents {
		extents[b] = maps.Clone(list)
	}
	return &model{
		maps.Clone(m.vaults), maps.Clone(m.dead), maps.Clone(m.archives), extents, maps.Clone(m.condemned),
		maps.Clone(m.garbage), maps.Clone(m.uploads), maps.Clone(m.jobs),
		maps.Clone(m.accounts), maps.Clone(m.identities), maps.Clone(m.keys), m.attached.clone(),
	}
}

func (m *model) Vaults() meta.Vaults     { return modelVaults{m} }
func (m *model) Archives() meta.Archives { return modelArchives{m} }
func (m *model) Bodies() meta.Bodies     { return modelBodies{m} }
func (m *model) Uploads() meta.Uploads   { return modelUploads{m} }
func (m *model) Jobs() meta.Jobs         { return modelJobs{m} }
func (m *model) Sweeps() meta.Sweeps     { return modelSweeps{m} }

func (m *model) Accounts() meta.Accounts     { return modelAccounts{m} }
func (m *model) Identities() meta.Identities { return modelIdentities{m} }
func (m *model) AccessKeys() meta.AccessKeys { return modelKeys{m} }

var errTwice = errors.New("there is such a row already")

func get[K comparable, V any](table map[K]V, id K) (V, error) {
	v, ok := table[id]
	if !ok {
		return v, meta.ErrNotFound
	}
	return v, nil
}

// pick returns the first limit of the rows that keep selects, in order.
func pick[K comparable, V any](table map[K]V, limit int, keep func(V) bool, order func(a, b V) int) []V {
	var list []V
	for _, v := range table {
		if keep(v) {
			list = append(list, v)
		}
	}
	slices.SortFunc(list, order)
	return list[:min(limit, len(list))]
}

// position compares (time, id) pairs.
func position[ID cmp.Ordered](at time.Time, id ID, otherAt time.Time, otherID ID) int {
	return cmp.Or(at.Compare(otherAt), cmp.Compare(id, otherID))
}

type modelVaults struct{ *model }

func (m modelVaults) Get(a moraine.AccountID, r moraine.Region, name moraine.VaultName) (moraine.Vault, error) {
	for _, v := range m.vaults {
		if v.Account == a && v.Region == r && v.Name == name {
			return v, nil
		}
	}
	return moraine.Vault{}, meta.ErrNotFound
}

func (m modelVaults) ByID(id moraine.VaultID) (moraine.Vault, error) { return get(m.vaults, id) }

func (m modelVaults) List(a moraine.AccountID, r moraine.Region, from moraine.VaultName, limit int) ([]moraine.Vault, error) {
	return pick(m.vaults, limit,
		func(v moraine.Vault) bool { return v.Account == a && v.Region == r && v.Name >= from },
		func(a, b moraine.Vault) int { return cmp.Compare(a.Name, b.Name) }), nil
}

func (m modelVaults) Count(a moraine.AccountID, r moraine.Region) (int, error) {
	list, err := m.List(a, r, "", len(m.vaults))
	return len(list), err
}

func (m modelVaults) Save(v moraine.Vault) error {
	if twin, err := m.Get(v.Account, v.Region, v.Name); err == nil && twin.ID != v.ID {
		return errTwice
	}
	m.vaults[v.ID] = v
	return nil
}

func (m modelVaults) Delete(id moraine.VaultID) error {
	if _, err := m.ByID(id); err != nil {
		return err
	}
	delete(m.vaults, id)
	m.detach(id)
	m.dead[id] = true
	return nil
}

type modelArchives struct{ *model }

func (m modelArchives) Get(id moraine.ArchiveID) (moraine.Archive, error) { return get(m.archives, id) }

func (m modelArchives) Insert(a moraine.Archive) error {
	if _, ok := m.archives[a.ID]; ok {
		return errTwice
	}
	m.archives[a.ID] = a
	return nil
}

func (m modelArchives) MarkDeleted(id moraine.ArchiveID, when time.Time) error {
	a, ok := m.archives[id]
	if !ok || !a.Deleted.IsZero() {
		return meta.ErrNotFound
	}
	a.Deleted = when
	m.archives[id] = a
	return m.Bodies().Condemn(a.Body, when)
}

func (m modelArchives) Faulty(fn func(moraine.Archive) error) error {
	for _, a := range m.archives {
		if !(modelSweeps{m.model}).faulty(a.Body) {
			continue
		}
		if err := fn(a); err != nil {
			return err
		}
	}
	return nil
}

func (m modelArchives) Scan(q meta.Scan, fn func(moraine.Archive) error) error {
	limit := int(q.Limit)
	if limit == 0 {
		limit = len(m.archives)
	}
	for _, a := range pick(m.archives, limit, func(a moraine.Archive) bool {
		return a.Vault == q.Vault && !a.Created.After(q.At) && (a.Deleted.IsZero() || a.Deleted.After(q.At)) &&
			!a.Created.Before(q.Start) && (q.End.IsZero() || a.Created.Before(q.End)) &&
			position(a.Created, string(a.ID), q.AfterCreated, q.AfterID) > 0
	}, func(a, b moraine.Archive) int { return position(a.Created, a.ID, b.Created, b.ID) }) {
		if err := fn(a); err != nil {
			return err
		}
	}
	return nil
}

type modelBodies struct{ *model }

func byFirst(a, b moraine.Extent) int { return cmp.Compare(a.First, b.First) }

func (m modelBodies) Extents(b moraine.BodyID, from int64, limit int) ([]moraine.Extent, error) {
	return pick(m.extents[b], limit, func(e moraine.Extent) bool { return e.First+e.Size > from }, byFirst), nil
}

func (m modelBodies) At(b moraine.BodyID, first int64) (moraine.Extent, error) {
	return get(m.extents[b], first)
}

func (m modelBodies) Put(b moraine.BodyID, e moraine.Extent, now time.Time) error {
	if m.extents[b] == nil {
		m.extents[b] = map[int64]moraine.Extent{}
	}
	e.Verified, e.Fault = time.Time{}, ""
	old, ok := m.extents[b][e.First]
	if ok && old.Blob != e.Blob {
		m.garbage[old.Blob] = moraine.Garbage{Blob: old.Blob, Ref: old.Ref, Size: old.Size, Since: now}
	}
	m.extents[b][e.First] = e
	return nil
}

func (m modelBodies) ByBlob(id moraine.BlobID) (moraine.BodyID, moraine.Extent, error) {
	for b, list := range m.extents {
		for _, e := range list {
			if e.Blob == id {
				return b, e, nil
			}
		}
	}
	return "", moraine.Extent{}, meta.ErrNotFound
}

func (m modelBodies) Judge(id moraine.BlobID, ref moraine.BlobRef, at time.Time, fault string) error {
	b, e, err := m.ByBlob(id)
	if err != nil || e.Ref != ref {
		return meta.ErrNotFound
	}
	e.Verified, e.Fault = at, fault
	m.extents[b][e.First] = e
	return nil
}

func (m modelBodies) Faulty(after moraine.BlobID, limit int) ([]meta.Placed, error) {
	all := map[moraine.BlobID]meta.Placed{}
	for b, list := range m.extents {
		for _, e := range list {
			all[e.Blob] = meta.Placed{Body: b, Extent: e}
		}
	}
	return pick(all, limit, func(p meta.Placed) bool { return p.Fault != "" && bytes.Compare(p.Blob[:], after[:]) > 0 },
		func(a, b meta.Placed) int { return bytes.Compare(a.Blob[:], b.Blob[:]) }), nil
}

func (m modelBodies) Blobs(after moraine.BlobID, limit int) ([]moraine.Extent, error) {
	all := map[moraine.BlobID]moraine.Extent{}
	for _, list := range m.extents {
		for _, e := range list {
			all[e.Blob] = e
		}
	}
	order := func(a, b moraine.BlobID) int { return slices.Compare(a[:], b[:]) }
	return pick(all, limit, func(e moraine.Extent) bool { return order(e.Blob, after) > 0 },
		func(a, b moraine.Extent) int { return order(a.Blob, b.Blob) }), nil
}

func (m modelBodies) Move(id moraine.BlobID, to moraine.BlobRef) error {
	if b, e, err := m.ByBlob(id); err == nil {
		e.Ref = to
		m.extents[b][e.First] = e
		return nil
	}
	g, err := get(m.garbage, id)
	if err == nil {
		g.Ref = to
		m.garbage[id] = g
	}
	return err
}

func (m modelBodies) Condemn(b moraine.BodyID, since time.Time) error {
	if _, ok := m.condemned[b]; !ok {
		m.condemned[b] = since
	}
	return nil
}

type modelUploads struct{ *model }

func (m modelUploads) Get(id moraine.UploadID) (moraine.Upload, error) { return get(m.uploads, id) }

func (m modelUploads) Save(u moraine.Upload) error {
	m.uploads[u.ID] = u
	return nil
}

func (m modelUploads) List(v moraine.VaultID, afterCreated time.Time, afterID moraine.UploadID, limit int) ([]moraine.Upload, error) {
	return pick(m.uploads, limit, func(u moraine.Upload) bool {
		return u.Vault == v && u.State == moraine.UploadOpen && position(u.Created, u.ID, afterCreated, afterID) > 0
	}, func(a, b moraine.Upload) int { return position(a.Created, a.ID, b.Created, b.ID) }), nil
}

func (m modelUploads) CountOpen() (n int64, err error) {
	for _, u := range m.uploads {
		if u.State == moraine.UploadOpen {
			n++
		}
	}
	return n, nil
}

type modelJobs struct{ *model }

func (m modelJobs) Get(id moraine.JobID) (moraine.Job, error) { return get(m.jobs, id) }

func (m modelJobs) Save(j moraine.Job) error {
	m.jobs[j.ID] = j
	return nil
}

func (m modelJobs) List(q meta.JobList) ([]moraine.Job, error) {
	return pick(m.jobs, q.Limit, func(j moraine.Job) bool {
		return j.Vault == q.Vault && (len(q.States) == 0 || slices.Contains(q.States, j.State)) &&
			(j.State == moraine.InProgress || j.Expires.After(q.Now)) &&
			(q.BeforeCreated.IsZero() || position(j.Created, j.ID, q.BeforeCreated, q.BeforeID) < 0)
	}, func(a, b moraine.Job) int { return position(b.Created, b.ID, a.Created, a.ID) }), nil
}

func (m modelJobs) Claim(owner string, now, until time.Time, limit int) ([]moraine.Job, error) {
	list := pick(m.jobs, limit, func(j moraine.Job) bool {
		return j.State == moraine.InProgress && !j.Due.After(now) && !j.LeaseUntil.After(now)
	}, func(a, b moraine.Job) int { return a.Due.Compare(b.Due) })
	for i := range list {
		list[i].LeaseOwner, list[i].LeaseUntil = owner, until
		m.jobs[list[i].ID] = list[i]
	}
	return list, nil
}

func (m modelJobs) Hasten(b moraine.BodyID, at time.Time) error {
	for id, j := range m.jobs {
		if j.Body == b && j.State == moraine.InProgress && j.Due.After(at) {
			j.Due = at
			m.jobs[id] = j
		}
	}
	return nil
}

func (m modelJobs) NextDue() (first time.Time, ok bool, err error) {
	for _, j := range m.jobs {
		if j.State != moraine.InProgress {
			continue
		}
		ready := j.Due
		if j.LeaseUntil.After(ready) {
			ready = j.LeaseUntil
		}
		if !ok || ready.Before(first) {
			first, ok = ready, true
		}
	}
	return first, ok, nil
}

func (m modelJobs) CountByState() (map[moraine.JobState]int64, error) {
	counts := map[moraine.JobState]int64{}
	for _, j := range m.jobs {
		counts[j.State]++
	}
	return counts, nil
}

func (m modelJobs) Hold(id moraine.JobID, until time.Time) error {
	if _, err := get(m.jobs, id); err != nil {
		return err
	}
	if until.After(m.holds[id]) {
		m.holds[id] = until
	}
	return nil
}

type modelSweeps struct{ *model }

func (m modelSweeps) IdleUploads(t time.Time, limit int) ([]moraine.Upload, error) {
	return pick(m.uploads, limit,
		func(u moraine.Upload) bool { return u.State == moraine.UploadOpen && !u.Active.After(t) },
		func(a, b moraine.Upload) int { return a.Active.Compare(b.Active) }), nil
}

func (m modelSweeps) DropEndedUploads(t time.Time, limit int) (n int, err error) {
	for id, u := range m.uploads {
		if u.State != moraine.UploadOpen && !u.Active.After(t) && n < limit {
			delete(m.uploads, id)
			n++
		}
	}
	return n, nil
}

func (m modelSweeps) ExpiredJobs(t, now time.Time, limit int) ([]moraine.Job, error) {
	return pick(m.jobs, limit,
		func(j moraine.Job) bool {
			return j.State != moraine.InProgress && !j.Expires.After(t) && !m.holds[j.ID].After(now)
		},
		func(a, b moraine.Job) int { return a.Expires.Compare(b.Expires) }), nil
}

func (m modelSweeps) DropJob(id moraine.JobID, now time.Time) error {
	j, err := get(m.jobs, id)
	if err != nil {
		return err
	}
	delete(m.jobs, id)
	if j.Action == moraine.InventoryRetrieval {
		return m.Bodies().Condemn(j.Body, now)
	}
	return nil
}

// held reports whether a job that is not failed names b.
func (m modelSweeps) held(b moraine.BodyID) bool {
	for _, j := range m.jobs {
		if j.Body == b && j.State != moraine.Failed {
			return true
		}
	}
	return false
}

func (m modelSweeps) Release(now time.Time, limit int) (n int, err error) {
	for b := range m.condemned {
		if m.held(b) || m.faulty(b) {
			continue
		}
		for first, e := range m.extents[b] {
			if n == limit {
				return n, nil
			}
			delete(m.extents[b], first)
			m.garbage[e.Blob] = moraine.Garbage{Blob: e.Blob, Ref: e.Ref, Size: e.Size, Since: now}
			n++
		}
		if n == limit {
			return n, nil
		}
		delete(m.condemned, b)
		n++
	}
	return n, nil
}

func (m modelSweeps) GiveUp(b moraine.BodyID, now time.Time) (n int, err error) {
	if _, ok := m.condemned[b]; !ok || m.held(b) {
		return 0, meta.ErrNotFound
	}
	for first, e := range m.extents[b] {
		delete(m.extents[b], first)
		m.garbage[e.Blob] = moraine.Garbage{Blob: e.Blob, Ref: e.Ref, Size: e.Size, Since: now}
		n++
	}
	delete(m.condemned, b)
	return n, nil
}

func (m modelSweeps) faulty(b moraine.BodyID) bool {
	for _, e := range m.extents[b] {
		if e.Fault != "" {
			return true
		}
	}
	return false
}

func (m modelSweeps) Garbage(limit int) ([]moraine.Garbage, error) {
	return pick(m.garbage, limit, func(moraine.Garbage) bool { return true },
		func(a, b moraine.Garbage) int {
			return cmp.Or(a.Since.Compare(b.Since), slices.Compare(a.Blob[:], b.Blob[:]))
		}), nil
}

func (m modelSweeps) IsGarbage(id moraine.BlobID) (bool, error) {
	_, waits := m.garbage[id]
	return waits, nil
}

func (m modelSweeps) Discard(g moraine.Garbage) error {
	m.garbage[g.Blob] = g
	return nil
}

func (m modelSweeps) DropGarbage(ids []moraine.BlobID) error {
	for _, id := range ids {
		delete(m.garbage, id)
	}
	return nil
}

func (m modelSweeps) Bury(now time.Time, limit int) (n int, err error) {
	for v := range m.dead {
		for id, j := range m.jobs {
			if j.Vault == v && n < limit {
				n++
				if err := m.DropJob(id, now); err != nil {
					return 0, err
				}
			}
		}
		for id, u := range m.uploads {
			if u.Vault == v && n < limit {
				n++
				delete(m.uploads, id)
				m.Bodies().Condemn(u.Body, now)
			}
		}
		for id, a := range m.archives {
			if a.Vault == v && n < limit {
				n++
				delete(m.archives, id)
				if a.Deleted.IsZero() {
					m.Bodies().Condemn(a.Body, now)
				}
			}
		}
		if n < limit {
			n++
			delete(m.dead, v)
		}
	}
	return n, nil
}

func (m modelSweeps) DueInventories(t time.Time, limit int) ([]moraine.Vault, error) {
	since := func(v moraine.Vault) time.Time {
		if v.Inventoried.IsZero() {
			return v.FirstWrite
		}
		return v.Inventoried
	}
	return pick(m.vaults, limit, func(v moraine.Vault) bool {
		return v.LastWrite.After(v.Inventoried) && !since(v).After(t)
	}, func(a, b moraine.Vault) int { return position(since(a), a.ID, since(b), b.ID) }), nil
}

var _ meta.Tx = (*model)(nil)
