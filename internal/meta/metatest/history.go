package metatest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"moraine"
	"moraine/internal/meta"
)

// testHistory runs random histories on the store and on the model and compares
// every answer. Each history ends with the end of all vaults: nothing may
// remain, and every blob ever put must have been garbage exactly once.
func testHistory(t *testing.T, open Open) {
	s := open(t)
	clock := 0
	rapid.Check(t, func(rt *rapid.T) {
		h := &history{T: rt, store: s, test: t, model: newModel(), began: clock, now: clock}
		defer func() {
			clock = h.now
			h.clear() // also after a failure, for the next history
			h.drain()
		}()
		for range rapid.IntRange(1, historyLong).Draw(rt, "transactions") {
			h.transaction()
		}
		h.end()
	})
}

// history is one run. Names of rows are numbers drawn from a clock that never
// stands still, so that no two rows, and no two histories, share one.
type history struct {
	*rapid.T
	test  *testing.T
	store meta.Store
	model *model
	began int
	now   int
	put   []moraine.BlobID // every blob ever put and committed
	fresh []moraine.BlobID // those of this transaction
}

// step does the same to the store and to the model and returns what it learnt.
type step func(tx meta.Tx) (any, error)

func (h *history) tick() int {
	h.now++
	return h.now
}

func (h *history) transaction() {
	ops := h.ops()
	h.fresh = nil
	var steps []step
	next := h.model.clone()
	var wanted []string
	for range rapid.IntRange(1, 6).Draw(h.T, "steps") {
		// A step is drawn from the rows there are when it runs.
		step := rapid.SampledFrom(ops).Draw(h.T, "step")(next)
		if step == nil {
			continue
		}
		steps = append(steps, step)
		wanted = append(wanted, answer(step(next)))
	}
	undo := rapid.IntRange(0, 4).Draw(h.T, "undo") == 0
	mine := errors.New("undo")
	err := h.store.Update(h.test.Context(), func(tx meta.Tx) error {
		for i, step := range steps {
			if got := answer(step(tx)); got != wanted[i] {
				h.Errorf("step %d answered\n%s\nwant\n%s", i, got, wanted[i])
			}
		}
		if undo {
			return mine
		}
		return nil
	})
	switch {
	case undo && err != mine, !undo && err != nil:
		h.Fatalf("Update: %v", err)
	case !undo:
		h.model = next
		h.put = append(h.put, h.fresh...)
	}
	if rapid.IntRange(0, 2).Draw(h.T, "look") == 0 {
		h.look()
	}
}

// answer prints what a step learnt, so that answers can be compared.
func answer(v any, err error) string {
	switch {
	case errors.Is(err, meta.ErrNotFound):
		return "no such row"
	case err != nil:
		return "error: " + err.Error()
	}
	return fmt.Sprint(v)
}

// some draws one row of a table, in an order that does not depend on maps.
func some[K ~string, V any](h *history, table map[K]V) (v V, ok bool) {
	if len(table) == 0 {
		return v, false
	}
	return table[rapid.SampledFrom(slices.Sorted(maps.Keys(table))).Draw(h.T, "row")], true
}

// ops are the ways to draw a step. Each sees the rows as they are then and
// returns nil if there is nothing to do it to.
func (h *history) ops() []func(m *model) step {
	return []func(m *model) step{
		h.newVault, h.saveVault, h.deleteVault,
		h.newArchive, h.newArchive, h.deleteArchive,
		h.newUpload, h.putPart, h.putPart, h.endUpload,
		h.newJob, h.newJob, h.finishJob, h.claim, h.holdJob, h.dropJob,
		h.move, h.discard, h.sweep, h.sweep,
		h.attach, h.dropLocks, h.lease,
		h.saveIdentity, h.deleteIdentity, h.saveKey, h.deleteKey,
	}
}

func done(err error) (any, error) { return nil, err }

func (h *history) newVault(*model) step {
	n := h.tick()
	v := vault(n)
	v.Name = moraine.VaultName(rapid.SampledFrom([]string{"a", "B", "c"}).Draw(h.T, "name"))
	return func(tx meta.Tx) (any, error) {
		if old, err := tx.Vaults().Get(account, region, v.Name); err == nil {
			return old, nil
		}
		return done(tx.Vaults().Save(v))
	}
}

func (h *history) saveVault(m *model) step {
	v, ok := some(h, m.vaults)
	if !ok {
		return nil
	}
	n := h.tick()
	v.Live.Archives++
	if v.FirstWrite.IsZero() {
		v.FirstWrite = at(n)
	}
	v.LastWrite = at(n)
	if rapid.Bool().Draw(h.T, "snapshot") {
		v.Inventoried, v.Inventory = at(h.now+rapid.IntRange(-1, 1).Draw(h.T, "lag")), v.Live
	}
	return func(tx meta.Tx) (any, error) { return done(tx.Vaults().Save(v)) }
}

func (h *history) deleteVault(m *model) step {
	v, ok := some(h, m.vaults)
	if !ok || rapid.IntRange(0, 2).Draw(h.T, "rarely") > 0 {
		return nil
	}
	return func(tx meta.Tx) (any, error) { return done(tx.Vaults().Delete(v.ID)) }
}

// extent makes an extent with a blob that no other names.
func (h *history) extent(first, size int64) moraine.Extent {
	e := extent(first, size, h.tick())
	h.fresh = append(h.fresh, e.Blob)
	return e
}

func (h *history) newArchive(m *model) step {
	v, ok := some(h, m.vaults)
	if !ok {
		return nil
	}
	a := archive(v.ID, h.tick())
	var list []moraine.Extent
	for i := range rapid.IntRange(0, 3).Draw(h.T, "extents") {
		list = append(list, h.extent(int64(i)*10, 10))
	}
	return func(tx meta.Tx) (any, error) {
		err := tx.Archives().Insert(a)
		for _, e := range list {
			err = errors.Join(err, tx.Bodies().Put(a.Body, e, a.Created))
		}
		return done(err)
	}
}

func (h *history) deleteArchive(m *model) step {
	a, ok := some(h, m.archives)
	if !ok {
		return nil
	}
	when := at(h.tick())
	return func(tx meta.Tx) (any, error) { return done(tx.Archives().MarkDeleted(a.ID, when)) }
}

func (h *history) newUpload(m *model) step {
	v, ok := some(h, m.vaults)
	if !ok {
		return nil
	}
	u := upload(v.ID, h.tick())
	return func(tx meta.Tx) (any, error) { return done(tx.Uploads().Save(u)) }
}

func (h *history) putPart(m *model) step {
	u, ok := some(h, m.uploads)
	if !ok || u.State != moraine.UploadOpen {
		return nil
	}
	e := h.extent(int64(rapid.IntRange(0, 3).Draw(h.T, "part"))*10, 10)
	u.Active = at(h.now)
	return func(tx meta.Tx) (any, error) {
		return done(errors.Join(tx.Bodies().Put(u.Body, e, u.Active), tx.Uploads().Save(u)))
	}
}

func (h *history) endUpload(m *model) step {
	u, ok := some(h, m.uploads)
	if !ok || u.State != moraine.UploadOpen {
		return nil
	}
	n := h.tick()
	if rapid.Bool().Draw(h.T, "complete") {
		a := archive(u.Vault, n)
		a.Body = u.Body
		u = ended(u, moraine.UploadCompleted, at(n))
		return func(tx meta.Tx) (any, error) {
			return done(errors.Join(tx.Archives().Insert(a), tx.Uploads().Save(u)))
		}
	}
	u = ended(u, moraine.UploadAborted, at(n))
	return func(tx meta.Tx) (any, error) {
		return done(errors.Join(tx.Bodies().Condemn(u.Body, at(n)), tx.Uploads().Save(u)))
	}
}

func (h *history) newJob(m *model) step {
	a, ok := some(h, m.archives)
	if !ok || m.dead[a.Vault] || m.vaults[a.Vault].ID == "" || !a.Deleted.IsZero() {
		return nil
	}
	j := retrieval(a.Vault, h.tick(), a)
	var list []moraine.Extent
	if rapid.Bool().Draw(h.T, "inventory") {
		j = inventory(a.Vault, h.now)
		list = append(list, h.extent(0, 10))
	}
	return func(tx meta.Tx) (any, error) {
		err := tx.Jobs().Save(j)
		for _, e := range list {
			err = errors.Join(err, tx.Bodies().Put(j.Body, e, j.Created))
		}
		return done(err)
	}
}

func (h *history) finishJob(m *model) step {
	j, ok := some(h, m.jobs)
	if !ok || j.State != moraine.InProgress {
		return nil
	}
	state := rapid.SampledFrom([]moraine.JobState{moraine.Succeeded, moraine.Failed}).Draw(h.T, "state")
	j = finish(j, state, at(h.tick()+rapid.IntRange(0, 20).Draw(h.T, "life")*1000))
	return func(tx meta.Tx) (any, error) { return done(tx.Jobs().Save(j)) }
}

func (h *history) claim(*model) step {
	now := at(h.tick() - rapid.IntRange(0, 20).Draw(h.T, "ago"))
	until := now.Add(time.Duration(rapid.IntRange(1, 20).Draw(h.T, "lease")) * time.Millisecond)
	limit := rapid.IntRange(0, 3).Draw(h.T, "limit")
	return func(tx meta.Tx) (any, error) {
		list, err := tx.Jobs().Claim("node", now, until, limit)
		return jobText(list), err
	}
}

func (h *history) holdJob(m *model) step {
	j, ok := some(h, m.jobs)
	if !ok {
		return nil
	}
	until := at(h.tick() + rapid.IntRange(-5, 5).Draw(h.T, "hold"))
	return func(tx meta.Tx) (any, error) { return done(tx.Jobs().Hold(j.ID, until)) }
}

func (h *history) dropJob(m *model) step {
	j, ok := some(h, m.jobs)
	if !ok {
		return nil
	}
	now := at(h.tick())
	return func(tx meta.Tx) (any, error) { return done(tx.Sweeps().DropJob(j.ID, now)) }
}

func (h *history) move(m *model) step {
	if len(h.put) == 0 {
		return nil
	}
	id := rapid.SampledFrom(h.put).Draw(h.T, "blob")
	ref := moraine.BlobRef(fmt.Sprintf("moved-%d", h.tick()))
	return func(tx meta.Tx) (any, error) { return done(tx.Bodies().Move(id, ref)) }
}

// discard moves a blob and leaves the place where it was to the sweep.
func (h *history) discard(m *model) step {
	if len(h.put) == 0 {
		return nil
	}
	id := rapid.SampledFrom(h.put).Draw(h.T, "blob")
	n := h.tick()
	h.fresh = append(h.fresh, blob(n))
	left := moraine.Garbage{Blob: blob(n), Size: 10, Since: at(n + rapid.IntRange(0, 5).Draw(h.T, "delay"))}
	return func(tx meta.Tx) (any, error) {
		_, e, err := tx.Bodies().ByBlob(id)
		left.Ref = e.Ref
		return e.Ref, errors.Join(tx.Sweeps().Discard(left), err)
	}
}

// attach changes what hangs on a vault.
func (h *history) attach(m *model) step {
	v, ok := some(h, m.vaults)
	if !ok {
		return nil
	}
	v.Revision = int64(h.tick())
	var tags []moraine.Tag
	for _, key := range []string{"b", "A"}[:rapid.IntRange(0, 2).Draw(h.T, "tags")] {
		tags = append(tags, moraine.Tag{Key: key, Value: fmt.Sprint(h.now)})
	}
	var policy *moraine.VaultPolicy
	if rapid.Bool().Draw(h.T, "policy") {
		policy = &moraine.VaultPolicy{Text: fmt.Sprint(h.now)}
	}
	l := lock(v.ID, h.now)
	if rapid.Bool().Draw(h.T, "locked") {
		l = locked(l)
	}
	return func(tx meta.Tx) (any, error) {
		return done(errors.Join(tx.Vaults().Save(v), setTags(v.ID, tags...)(tx), setAccessPolicy(v.ID, policy)(tx), saveLocks(l)(tx), saveNotifications(v.ID, notifications(int(v.Revision)))(tx)))
	}
}

// dropLocks removes the locks that are over.
func (h *history) dropLocks(*model) step {
	now := at(h.tick())
	return func(tx meta.Tx) (any, error) {
		list, err := tx.Documents().Locks().Over(now, 3)
		for _, l := range list {
			err = errors.Join(err, tx.Documents().Locks().Drop(l.Vault))
		}
		return list, err
	}
}

// lease takes, renews or releases a lease. Leases outlive a history, so each has
// names of its own.
func (h *history) lease(m *model) step {
	if l, ok := some(h, m.leases); ok && rapid.IntRange(0, 3).Draw(h.T, "release") == 0 {
		return func(tx meta.Tx) (any, error) { return done(tx.Leases().Release(l)) }
	}
	name := fmt.Sprintf("%s from %d", rapid.SampledFrom([]string{"x", "y"}).Draw(h.T, "name"), h.began)
	who := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(h.T, "owner")
	now := at(h.tick())
	until := now.Add(time.Duration(rapid.IntRange(1, 10).Draw(h.T, "lease")) * time.Millisecond)
	return func(tx meta.Tx) (any, error) { return tx.Leases().Acquire(name, who, now, until) }
}

// sweep does all there is to do of one chore, in steps.
func (h *history) sweep(*model) step {
	limit := rapid.IntRange(1, 10).Draw(h.T, "limit")
	chore := rapid.IntRange(0, 2).Draw(h.T, "chore")
	now := at(h.tick())
	return func(tx meta.Tx) (any, error) {
		for {
			var n int
			var err error
			switch chore {
			case 0:
				n, err = tx.Sweeps().Release(now, limit)
			case 1:
				n, err = tx.Sweeps().Bury(now, limit)
			case 2:
				n, err = tx.Sweeps().DropEndedUploads(now, limit)
			}
			if err != nil || n == 0 {
				return done(err)
			}
			if n > limit {
				return n, nil
			}
		}
	}
}

// look compares what both see in a View.
func (h *history) look() {
	steps := h.questions()
	err := h.store.View(h.test.Context(), func(tx meta.Tx) error {
		for i, step := range steps {
			if wanted, got := answer(step(h.model)), answer(step(tx)); got != wanted {
				h.Errorf("question %d answered\n%s\nwant\n%s", i, got, wanted)
			}
		}
		return nil
	})
	if err != nil {
		h.Fatalf("View: %v", err)
	}
}

// questions draws bounds and asks for everything.
func (h *history) questions() []step {
	limit := rapid.IntRange(0, 8).Draw(h.T, "limit")
	now := at(h.now)
	when := at(h.now - rapid.IntRange(-1, 20).Draw(h.T, "ago"))
	from := int64(rapid.IntRange(0, 40).Draw(h.T, "from"))
	after := blob(h.now - rapid.IntRange(0, 20).Draw(h.T, "back"))
	steps := []step{
		func(tx meta.Tx) (any, error) { return tx.Vaults().List(account, region, "B", limit) },
		func(tx meta.Tx) (any, error) { return tx.Vaults().Count(account, region) },
		func(tx meta.Tx) (any, error) { return tx.Uploads().CountOpen() },
		func(tx meta.Tx) (any, error) { return tx.Identities().List(account, moraine.UserIdentity, "a", limit) },
		func(tx meta.Tx) (any, error) { return tx.Identities().Count(account, moraine.UserIdentity) },
		func(tx meta.Tx) (any, error) { return tx.AccessKeys().List(account, key(0).Owner, limit) },
		func(tx meta.Tx) (any, error) { return tx.Jobs().CountByState() },
		func(tx meta.Tx) (any, error) {
			next, ok, err := tx.Jobs().NextDue()
			return fmt.Sprint(next, ok), err
		},
		func(tx meta.Tx) (any, error) { return tx.Sweeps().DueInventories(when, limit) },
		func(tx meta.Tx) (any, error) { return tx.Sweeps().IdleUploads(when, limit) },
		func(tx meta.Tx) (any, error) { return tx.Documents().Locks().Over(when, limit) },
		func(tx meta.Tx) (any, error) {
			return load(meta.Load{Account: account, Region: region, Tier: moraine.Standard})(tx)
		},
		func(tx meta.Tx) (any, error) {
			return load(meta.Load{Account: account, Region: region, Tier: moraine.Standard, Since: when})(tx)
		},
		func(tx meta.Tx) (any, error) { return tx.Sweeps().Garbage(limit) },
		func(tx meta.Tx) (any, error) { return tx.Bodies().Blobs(after, limit) },
		func(tx meta.Tx) (any, error) {
			list, err := tx.Sweeps().ExpiredJobs(when, now, 1000) // those that expire together come in any order
			slices.SortFunc(list, func(a, b moraine.Job) int { return position(a.Expires, a.ID, b.Expires, b.ID) })
			return jobText(list), err
		},
	}
	if v, ok := some(h, h.model.vaults); ok {
		q := meta.Scan{Vault: v.ID, At: when, Limit: int64(limit)}
		if rapid.Bool().Draw(h.T, "bounded") {
			q.Start, q.AfterCreated, q.AfterID = when.Add(-10*time.Millisecond), when.Add(-12*time.Millisecond), "archive"
			q.End = when.Add(-2 * time.Millisecond)
		}
		steps = append(steps,
			func(tx meta.Tx) (any, error) { return tx.Vaults().Get(account, region, v.Name) },
			func(tx meta.Tx) (any, error) { return scan(q)(tx) },
			func(tx meta.Tx) (any, error) { return tx.Uploads().List(v.ID, when, "", limit) },
			func(tx meta.Tx) (any, error) { return getTags(v.ID)(tx) },
			func(tx meta.Tx) (any, error) { return getAccessPolicy(v.ID)(tx) },
			func(tx meta.Tx) (any, error) { return getLock(v.ID)(tx) },
			func(tx meta.Tx) (any, error) { return getNotifications(v.ID)(tx) },
			func(tx meta.Tx) (any, error) {
				list, err := tx.Jobs().List(meta.JobList{Vault: v.ID, Now: when, BeforeCreated: now, Limit: limit})
				return jobText(list), err
			})
	}
	if a, ok := some(h, h.model.archives); ok {
		steps = append(steps,
			func(tx meta.Tx) (any, error) { return tx.Archives().Get(a.ID) },
			func(tx meta.Tx) (any, error) { return tx.Bodies().Extents(a.Body, from, limit) })
	}
	if u, ok := some(h, h.model.uploads); ok {
		steps = append(steps,
			func(tx meta.Tx) (any, error) { return tx.Uploads().Get(u.ID) },
			func(tx meta.Tx) (any, error) { return tx.Bodies().Extents(u.Body, from, limit) },
			func(tx meta.Tx) (any, error) { return tx.Bodies().At(u.Body, 10) })
	}
	if l, ok := some(h, h.model.leases); ok {
		steps = append(steps, func(tx meta.Tx) (any, error) { return tx.Leases().Get(l.Name) })
	}
	if len(h.put) > 0 {
		id := rapid.SampledFrom(h.put).Draw(h.T, "blob")
		steps = append(steps, func(tx meta.Tx) (any, error) {
			b, e, err := tx.Bodies().ByBlob(id)
			return placed{b, e}, err
		})
	}
	return steps
}

// jobText prints jobs without the addresses of their details.
func jobText(list []moraine.Job) string {
	text := ""
	for _, j := range list {
		retrieval, inventory := j.Retrieval, j.Inventory
		j.Retrieval, j.Inventory = nil, nil
		text += fmt.Sprint(j)
		if retrieval != nil {
			hash := retrieval.TreeHash
			plain := *retrieval
			plain.TreeHash = nil
			text += fmt.Sprint(plain, hash)
		}
		if inventory != nil {
			text += fmt.Sprint(*inventory)
		}
		text += "\n"
	}
	return text
}

// end deletes all vaults and checks that nothing of them is left but garbage.
func (h *history) end() {
	h.look()
	h.clear()
	seen := map[moraine.BlobID]int{}
	for _, g := range h.drain() {
		seen[g.Blob]++
	}
	for _, b := range h.put {
		seen[b]--
	}
	for b, n := range seen {
		if n != 0 {
			h.Errorf("blob %q was garbage %+d times too often", b[:], n)
		}
	}
}

// clear deletes all vaults and buries them.
func (h *history) clear() {
	update(h.test, h.store, func(tx meta.Tx) error {
		list, err := tx.Vaults().List(account, region, "", 100)
		for _, v := range list {
			err = errors.Join(err, tx.Vaults().Delete(v.ID))
		}
		return errors.Join(err, clearIdentities(tx))
	})
	bury(h.test, h.store, at(h.now))
	release(h.test, h.store, at(h.now))
}

// drain returns all garbage and forgets it.
func (h *history) drain() (all []moraine.Garbage) {
	update(h.test, h.store, func(tx meta.Tx) (err error) {
		if all, err = tx.Sweeps().Garbage(1_000_000); err != nil {
			return err
		}
		var ids []moraine.BlobID
		for _, g := range all {
			ids = append(ids, g.Blob)
		}
		return tx.Sweeps().DropGarbage(ids)
	})
	return all
}

// Fill runs one random history on an empty store and leaves its rows there.
func Fill(t *testing.T, s meta.Store, seed int) {
	t.Helper()
	rapid.Custom(func(rt *rapid.T) bool {
		h := &history{T: rt, store: s, test: t, model: newModel()}
		for range 150 {
			h.transaction()
		}
		return true
	}).Example(seed)
}
