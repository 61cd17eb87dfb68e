package metatest

import (
	"errors"
	"testing"

	"moraine"
	"moraine/internal/meta"
)

var scrubTests = []test{
	{"state", in(testScrubState)},
	{"judge", in(testJudge)},
	{"faulty in order", in(testFaulty)},
	{"release leaves faulty bodies", in(testReleaseFaulty)},
	{"archives with a fault", in(testArchivesFaulty)},
	{"give up a faulty body", in(testGiveUp)},
}

func testScrubState(t *testing.T, s meta.Store) {
	state := func(tx meta.Tx) (moraine.ScrubState, error) { return tx.Scrub().State() }
	want(t, s, moraine.ScrubState{}, state)
	for _, st := range []moraine.ScrubState{
		{
			Started: at(1), Cursor: blob(7), Tally: moraine.Tally{Blobs: 1, Bytes: 2, Faulty: 3, Repaired: 4},
			LastStarted: at(4), Finished: at(5), Last: moraine.Tally{Blobs: 5, Bytes: 6, Faulty: 7, Repaired: 8},
		},
		{Finished: at(9)},
	} {
		update(t, s, func(tx meta.Tx) error { return tx.Scrub().Save(st) })
		want(t, s, st, state)
	}
}

func judge(n, when int, fault string) func(tx meta.Tx) error {
	return func(tx meta.Tx) error { return tx.Bodies().Judge(blob(n), extent(0, 1, n).Ref, at(when), fault) }
}

func testJudge(t *testing.T, s meta.Store) {
	update(t, s, put("b", extent(0, 10, 1), extent(10, 10, 2)))
	update(t, s, judge(1, 60, ""))
	update(t, s, judge(2, 61, "leaf 0"))
	good, bad := extent(0, 10, 1), extent(10, 10, 2)
	good.Verified = at(60)
	bad.Verified, bad.Fault = at(61), "leaf 0"
	want(t, s, []moraine.Extent{good, bad}, extents("b", 0, 10))
	want(t, s, []moraine.Extent{good, bad}, func(tx meta.Tx) ([]moraine.Extent, error) { return tx.Bodies().Blobs(moraine.BlobID{}, 10) })
	// Moved bytes keep what was found of them; a check of the old place counts
	// no more.
	update(t, s, func(tx meta.Tx) error { return tx.Bodies().Move(blob(2), "elsewhere") })
	err := s.Update(t.Context(), judge(2, 62, ""))
	if !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("judging a place the blob has left: %v", err)
	}
	bad.Ref = "elsewhere"
	want(t, s, []moraine.Extent{bad}, extents("b", 10, 10))
	update(t, s, func(tx meta.Tx) error { return tx.Bodies().Judge(blob(2), "elsewhere", at(63), "") })
	bad.Verified, bad.Fault = at(63), ""
	want(t, s, []moraine.Extent{bad}, extents("b", 10, 10))
	// What replaces an extent has not been checked, whatever its giver says.
	fresh := extent(0, 10, 3)
	fresh.Verified, fresh.Fault = at(99), "made up"
	update(t, s, put("b", fresh))
	want(t, s, []moraine.Extent{extent(0, 10, 3)}, extents("b", 0, 1))
	if err := s.Update(t.Context(), judge(77, 60, "")); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("judging a blob that is not there: %v", err)
	}
}

func testFaulty(t *testing.T, s meta.Store) {
	update(t, s, put("b", extent(0, 10, 3), extent(10, 10, 1)))
	update(t, s, put("c", extent(0, 10, 2), extent(10, 10, 4)))
	for _, n := range []int{1, 2, 3} {
		update(t, s, judge(n, 60, "leaf 9"))
	}
	update(t, s, judge(4, 60, ""))
	faulty := func(b moraine.BodyID, first int64, n int) meta.Placed {
		p := meta.Placed{Body: b, Extent: extent(first, 10, n)}
		p.Verified, p.Fault = at(60), "leaf 9"
		return p
	}
	all := []meta.Placed{faulty("b", 10, 1), faulty("c", 0, 2), faulty("b", 0, 3)}
	list := func(after moraine.BlobID, limit int) func(tx meta.Tx) ([]meta.Placed, error) {
		return func(tx meta.Tx) ([]meta.Placed, error) { return tx.Bodies().Faulty(after, limit) }
	}
	want(t, s, all, list(moraine.BlobID{}, 10))
	want(t, s, all[:2], list(moraine.BlobID{}, 2))
	want(t, s, all[2:], list(blob(2), 10))
	want(t, s, nil, list(moraine.BlobID{}, 0))
	update(t, s, judge(2, 61, ""))
	want(t, s, []meta.Placed{all[0], all[2]}, list(moraine.BlobID{}, 10))
}

func testReleaseFaulty(t *testing.T, s meta.Store) {
	update(t, s, put("bad", extent(0, 10, 1), extent(10, 10, 2)))
	update(t, s, put("good", extent(0, 10, 3)))
	update(t, s, judge(2, 60, "leaf 0"))
	update(t, s, func(tx meta.Tx) error {
		return errors.Join(tx.Bodies().Condemn("bad", at(70)), tx.Bodies().Condemn("good", at(71)))
	})
	release := func() {
		for left := 1; left > 0; {
			update(t, s, func(tx meta.Tx) (err error) {
				left, err = tx.Sweeps().Release(at(80), 10)
				return err
			})
		}
	}
	release()
	want(t, s, []moraine.Garbage{{Blob: blob(3), Ref: "ref-3", Size: 10, Since: at(80)}}, garbage(10))
	update(t, s, judge(2, 90, ""))
	release()
	list, err := read(t, s, garbage(10))
	if err != nil || len(list) != 3 {
		t.Errorf("after the fault is gone %d blobs are garbage: %v", len(list), err)
	}
}

func testArchivesFaulty(t *testing.T, s meta.Store) {
	whole, bad, deleted := archive("v", 1), archive("v", 2), archive("w", 3)
	update(t, s, insert(whole, bad, deleted))
	update(t, s, put(whole.Body, extent(0, 10, 1)))
	update(t, s, put(bad.Body, extent(0, 10, 2), extent(10, 10, 3), extent(20, 10, 4)))
	update(t, s, put(deleted.Body, extent(0, 10, 5)))
	list := func(tx meta.Tx) (found map[moraine.ArchiveID]moraine.Archive, err error) {
		found = map[moraine.ArchiveID]moraine.Archive{}
		return found, tx.Archives().Faulty(func(a moraine.Archive) error {
			if _, twice := found[a.ID]; twice {
				t.Errorf("%s is listed twice", a.ID)
			}
			found[a.ID] = a
			return nil
		})
	}
	want(t, s, nil, list)
	for _, n := range []int{2, 4, 5} {
		update(t, s, judge(n, 60, "leaf 0"))
	}
	update(t, s, func(tx meta.Tx) error { return tx.Archives().MarkDeleted(deleted.ID, at(70)) })
	deleted.Deleted = at(70)
	want(t, s, map[moraine.ArchiveID]moraine.Archive{bad.ID: bad, deleted.ID: deleted}, list)
}

func testGiveUp(t *testing.T, s meta.Store) {
	update(t, s, put("b", extent(0, 10, 1), extent(10, 10, 2)))
	update(t, s, judge(2, 60, "leaf 0"))
	refused := func(when string) {
		t.Helper()
		err := s.Update(t.Context(), func(tx meta.Tx) error {
			_, err := tx.Sweeps().GiveUp("b", at(80))
			return err
		})
		if !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("giving up a body %s: %v", when, err)
		}
		want(t, s, nil, garbage(10))
	}
	refused("that is not condemned")
	update(t, s, func(tx meta.Tx) error { return tx.Bodies().Condemn("b", at(70)) })
	held := moraine.Job{ID: "j", Vault: "v", Action: moraine.InventoryRetrieval, State: moraine.InProgress, Body: "b", Created: at(71), Due: at(71), Inventory: &moraine.Inventory{}}
	update(t, s, saveJobs(held))
	refused("that a job holds")
	held.State = moraine.Failed
	update(t, s, saveJobs(held))
	update(t, s, func(tx meta.Tx) error {
		if n, err := tx.Sweeps().GiveUp("b", at(80)); n != 2 || err != nil {
			t.Errorf("gave %d extents up: %v", n, err)
		}
		return nil
	})
	want(t, s, nil, extents("b", 0, 10))
	want(t, s, []moraine.Garbage{{Blob: blob(1), Ref: "ref-1", Size: 10, Since: at(80)}, {Blob: blob(2), Ref: "ref-2", Size: 10, Since: at(80)}}, garbage(10))
	err := s.Update(t.Context(), func(tx meta.Tx) error {
		_, err := tx.Sweeps().GiveUp("b", at(80))
		return err
	})
	if !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("giving up twice: %v", err)
	}
}

func (m *model) Scrub() meta.Scrub { return modelScrub{m} }

type modelScrub struct{ *model }

func (m modelScrub) State() (moraine.ScrubState, error) { return m.scrub, nil }

func (m modelScrub) Save(s moraine.ScrubState) error {
	m.scrub = s
	return nil
}
