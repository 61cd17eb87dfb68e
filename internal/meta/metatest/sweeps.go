package metatest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"moraine"
	"moraine/internal/meta"
)

var sweepTests = []test{
	{"idle uploads", in(testIdleUploads)},
	{"drop ended uploads", in(testDropEndedUploads)},
	{"expired jobs", in(testExpiredJobs)},
	{"drop job", in(testDropJob)},
	{"release waits for jobs", in(testReleaseWaits)},
	{"release in steps", in(testReleaseSteps)},
	{"condemn is idempotent", in(testCondemnTwice)},
	{"garbage", in(testGarbage)},
	{"discard", in(testDiscard)},
	{"bury in steps", in(testBury)},
	{"bury leaves other vaults", in(testBuryOthers)},
	{"due inventories", in(testDueInventories)},
}

// steps repeats a step of at most limit rows until there is nothing to do and
// returns how many rows it touched.
func steps(t testing.TB, s meta.Store, limit int, step func(tx meta.Tx, limit int) (int, error)) int {
	t.Helper()
	total := 0
	for {
		n := 0
		update(t, s, func(tx meta.Tx) (err error) {
			n, err = step(tx, limit)
			return err
		})
		if n > limit {
			t.Fatalf("a step touched %d rows, limit %d", n, limit)
		}
		if n == 0 {
			return total
		}
		total += n
	}
}

func release(t testing.TB, s meta.Store, now time.Time) int {
	t.Helper()
	return steps(t, s, 3, func(tx meta.Tx, limit int) (int, error) { return tx.Sweeps().Release(now, limit) })
}

func bury(t testing.TB, s meta.Store, now time.Time) int {
	t.Helper()
	return steps(t, s, 2, func(tx meta.Tx, limit int) (int, error) { return tx.Sweeps().Bury(now, limit) })
}

func testIdleUploads(t *testing.T, s meta.Store) {
	var list []moraine.Upload
	for n := range 5 {
		u := upload("v", 10-n) // made later, idle longer
		u.Active = at(n)
		list = append(list, u)
	}
	update(t, s, saveUploads(append(list, ended(upload("v", 20), moraine.UploadAborted, at(0)))...))
	idle := func(when time.Time, limit int) func(tx meta.Tx) ([]moraine.Upload, error) {
		return func(tx meta.Tx) ([]moraine.Upload, error) { return tx.Sweeps().IdleUploads(when, limit) }
	}
	want(t, s, list[:3], idle(at(2), 10))
	want(t, s, list[:2], idle(at(2), 2))
	want(t, s, nil, idle(at(-1), 10))
}

func testDropEndedUploads(t *testing.T, s meta.Store) {
	gone := []moraine.Upload{
		ended(upload("v", 1), moraine.UploadAborted, at(1)), ended(upload("v", 2), moraine.UploadCompleted, at(2)),
		ended(upload("v", 3), moraine.UploadCompleted, at(3)),
	}
	kept := []moraine.Upload{ended(upload("v", 4), moraine.UploadAborted, at(4)), upload("v", 0)}
	update(t, s, saveUploads(append(gone, kept...)...))
	n := steps(t, s, 2, func(tx meta.Tx, limit int) (int, error) { return tx.Sweeps().DropEndedUploads(at(3), limit) })
	if n != len(gone) {
		t.Errorf("dropped %d, want %d", n, len(gone))
	}
	for _, u := range gone {
		wantNone(t, s, getUpload(u.ID))
	}
	for _, u := range kept {
		want(t, s, u, getUpload(u.ID))
	}
}

func testExpiredJobs(t *testing.T, s meta.Store) {
	var list []moraine.Job
	for n := range 4 {
		list = append(list, finish(inventory("v", 10-n), []moraine.JobState{moraine.Failed, moraine.Succeeded}[n%2], at(n)))
	}
	update(t, s, saveJobs(append(list, inventory("v", 20))...))
	now := at(100)
	expired := func(when time.Time, limit int) func(tx meta.Tx) ([]moraine.Job, error) {
		return func(tx meta.Tx) ([]moraine.Job, error) { return tx.Sweeps().ExpiredJobs(when, now, limit) }
	}
	want(t, s, list[:3], expired(at(2), 10))
	want(t, s, list[:2], expired(at(2), 2))
	want(t, s, nil, expired(at(-1), 10))

	hold := func(id moraine.JobID, until int) func(tx meta.Tx) error {
		return func(tx meta.Tx) error { return tx.Jobs().Hold(id, at(until)) }
	}
	update(t, s, hold(list[0].ID, 200))
	update(t, s, hold(list[0].ID, 150)) // held for longer
	update(t, s, hold(list[1].ID, 100))
	update(t, s, saveJobs(list[0])) // a save does not end it
	want(t, s, list[1:3], expired(at(2), 10))
	now = at(199)
	want(t, s, list[1:3], expired(at(2), 10))
	now = at(200)
	want(t, s, list[:3], expired(at(2), 10))
	want(t, s, list[0], getJob(list[0].ID))
	if err := s.Update(t.Context(), hold("nothing", 200)); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("Hold of a job that is gone: %v, want ErrNotFound", err)
	}
}

func testDropJob(t *testing.T, s meta.Store) {
	a := archive("v", 1)
	list, bring, bodyless := inventory("v", 1), retrieval("v", 2, a), inventory("v", 3)
	bodyless.Body = ""
	update(t, s, func(tx meta.Tx) error {
		return errors.Join(saveJobs(list, bring, bodyless)(tx), put(a.Body, extent(0, 1, 1))(tx), put(list.Body, extent(0, 1, 2))(tx))
	})
	for _, j := range []moraine.Job{list, bring, bodyless} {
		update(t, s, func(tx meta.Tx) error { return tx.Sweeps().DropJob(j.ID, at(30)) })
		wantNone(t, s, getJob(j.ID))
	}
	if err := s.Update(t.Context(), func(tx meta.Tx) error { return tx.Sweeps().DropJob(list.ID, at(30)) }); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("DropJob of a job that is gone: %v, want ErrNotFound", err)
	}
	release(t, s, at(40))
	// Only the inventory was the job's own.
	want(t, s, []moraine.Garbage{{Blob: blob(2), Ref: "ref-2", Size: 1, Since: at(40)}}, garbage(10))
	want(t, s, []moraine.Extent{extent(0, 1, 1)}, extents(a.Body, 0, 10))
}

func testReleaseWaits(t *testing.T, s meta.Store) {
	a := archive("v", 1)
	j := retrieval("v", 1, a)
	second := retrieval("v", 2, a)
	update(t, s, func(tx meta.Tx) error {
		return errors.Join(insert(a)(tx), put(a.Body, extent(0, 1, 1))(tx), saveJobs(j, second)(tx), tx.Archives().MarkDeleted(a.ID, at(5)))
	})
	held := func(when string) {
		t.Helper()
		if n := release(t, s, at(6)); n != 0 {
			t.Errorf("%s: released %d rows of a body that a job holds", when, n)
		}
		want(t, s, []moraine.Extent{extent(0, 1, 1)}, extents(a.Body, 0, 10))
	}
	held("both in progress")
	update(t, s, saveJobs(finish(j, moraine.Succeeded, at(50))))
	held("one succeeded, one in progress")
	update(t, s, saveJobs(finish(second, moraine.Failed, at(50))))
	held("one succeeded, one failed")
	update(t, s, func(tx meta.Tx) error { return tx.Sweeps().DropJob(j.ID, at(7)) })
	if n := release(t, s, at(8)); n == 0 {
		t.Error("a failed job holds a body")
	}
	want(t, s, nil, extents(a.Body, 0, 10))
	want(t, s, []moraine.Garbage{{Blob: blob(1), Ref: "ref-1", Size: 1, Since: at(8)}}, garbage(10))
}

func testReleaseSteps(t *testing.T, s meta.Store) {
	sizes := map[moraine.BodyID]int{"none": 0, "one": 1, "three": 3, "many": 20}
	n := 0
	var all []moraine.BlobID
	update(t, s, func(tx meta.Tx) error {
		for b, extents := range sizes {
			for i := range extents {
				if err := put(b, extent(int64(i)*10, 10, n))(tx); err != nil {
					return err
				}
				all = append(all, blob(n))
				n++
			}
			if err := tx.Bodies().Condemn(b, at(1)); err != nil {
				return err
			}
		}
		return put("free", extent(0, 1, 1000))(tx)
	})
	release(t, s, at(2))
	got, err := read(t, s, garbage(100))
	if err != nil || len(got) != len(all) {
		t.Fatalf("%d blobs are garbage, error %v; want %d", len(got), err, len(all))
	}
	for b := range sizes {
		want(t, s, nil, extents(b, 0, 100))
	}
	want(t, s, []moraine.Extent{extent(0, 1, 1000)}, extents("free", 0, 10))
}

func testCondemnTwice(t *testing.T, s meta.Store) {
	update(t, s, func(tx meta.Tx) error {
		return errors.Join(put("b", extent(0, 1, 1))(tx), tx.Bodies().Condemn("b", at(1)), tx.Bodies().Condemn("b", at(2)))
	})
	update(t, s, func(tx meta.Tx) error { return tx.Bodies().Condemn("b", at(3)) })
	release(t, s, at(4))
	update(t, s, func(tx meta.Tx) error { return tx.Bodies().Condemn("b", at(5)) }) // after its end, too
	release(t, s, at(6))
	want(t, s, []moraine.Garbage{{Blob: blob(1), Ref: "ref-1", Size: 1, Since: at(4)}}, garbage(10))
}

func testGarbage(t *testing.T, s meta.Store) {
	var list []moraine.Garbage
	for n := range 5 {
		update(t, s, func(tx meta.Tx) error { // blob n is replaced at instant n
			return errors.Join(tx.Bodies().Put(body(9-n), extent(0, 7, n), at(0)), tx.Bodies().Put(body(9-n), extent(0, 7, 100+n), at(n)))
		})
		list = append(list, moraine.Garbage{Blob: blob(n), Ref: extent(0, 7, n).Ref, Size: 7, Since: at(n)})
	}
	want(t, s, list, garbage(10))
	want(t, s, list[:2], garbage(2))
	for n, waits := range map[int]bool{1: true, 101: false, 555: false} {
		want(t, s, waits, func(tx meta.Tx) (bool, error) { return tx.Sweeps().IsGarbage(blob(n)) })
	}
	update(t, s, func(tx meta.Tx) error {
		return tx.Sweeps().DropGarbage([]moraine.BlobID{blob(1), blob(3), blob(100), blob(555)})
	})
	want(t, s, []moraine.Garbage{list[0], list[2], list[4]}, garbage(10))
	want(t, s, false, func(tx meta.Tx) (bool, error) { return tx.Sweeps().IsGarbage(blob(1)) })
	want(t, s, []moraine.Extent{extent(0, 7, 100)}, extents(body(9), 0, 10))
}

// testDiscard enters places that no extent names, to be deleted now or later.
func testDiscard(t *testing.T, s meta.Store) {
	later := moraine.Garbage{Blob: blob(1), Ref: "copy-1", Size: 10, Since: at(100)}
	now := moraine.Garbage{Blob: blob(2), Ref: "copy-2", Size: 20, Since: at(1)}
	update(t, s, func(tx meta.Tx) error {
		return errors.Join(put("b", extent(0, 5, 3))(tx), tx.Sweeps().Discard(later), tx.Sweeps().Discard(now), put("b", extent(0, 5, 4))(tx))
	})
	replaced := moraine.Garbage{Blob: blob(3), Ref: "ref-3", Size: 5, Since: at(50)}
	want(t, s, []moraine.Garbage{now, replaced, later}, garbage(10))
	// A blob that moves does not take what was discarded along.
	update(t, s, func(tx meta.Tx) error { return tx.Bodies().Move(blob(3), "elsewhere") })
	replaced.Ref = "elsewhere"
	want(t, s, []moraine.Garbage{now, replaced, later}, garbage(10))
	update(t, s, func(tx meta.Tx) error { return tx.Sweeps().DropGarbage([]moraine.BlobID{now.Blob, later.Blob}) })
	want(t, s, []moraine.Garbage{replaced}, garbage(10))
}

// populate fills a vault with rows of every sort and returns the blobs that
// belong to it.
func populate(t testing.TB, s meta.Store, v moraine.Vault, base int) []moraine.BlobID {
	t.Helper()
	update(t, s, func(tx meta.Tx) error {
		errs := []error{tx.Vaults().Save(v)}
		for n := base; n < base+5; n++ {
			a, u, j := archive(v.ID, n), upload(v.ID, n), inventory(v.ID, n)
			errs = append(errs, insert(a)(tx), saveUploads(u)(tx), saveJobs(j, retrieval(v.ID, n, a))(tx),
				put(a.Body, extent(0, 1, 10*n))(tx), put(u.Body, extent(0, 1, 10*n+1))(tx), put(j.Body, extent(0, 1, 10*n+2))(tx))
		}
		// One archive is deleted and gone already, one upload has become an archive.
		errs = append(errs, tx.Archives().MarkDeleted(archive(v.ID, base).ID, at(1)),
			tx.Sweeps().DropJob(retrieval(v.ID, base, archive(v.ID, base)).ID, at(1)))
		done := ended(upload(v.ID, base+1), moraine.UploadCompleted, at(2))
		made := archive(v.ID, base+5)
		made.Body = done.Body
		return errors.Join(append(errs, saveUploads(done)(tx), insert(made)(tx))...)
	})
	release(t, s, at(3))
	var blobs []moraine.BlobID
	for n := base; n < base+5; n++ {
		blobs = append(blobs, blob(10*n), blob(10*n+1), blob(10*n+2))
	}
	return blobs
}

func testBury(t *testing.T, s meta.Store) {
	if n := bury(t, s, at(1)); n != 0 {
		t.Errorf("buried %d rows where nothing was dead", n)
	}
	v := vault(1)
	blobs := populate(t, s, v, 10)
	if n := bury(t, s, at(20)); n != 0 {
		t.Errorf("buried %d rows of a vault that exists", n)
	}
	update(t, s, func(tx meta.Tx) error { return tx.Vaults().Delete(v.ID) })
	bury(t, s, at(20))
	for n := 10; n < 15; n++ {
		wantNone(t, s, getArchive(archive(v.ID, n).ID))
		wantNone(t, s, getUpload(upload(v.ID, n).ID))
		wantNone(t, s, getJob(inventory(v.ID, n).ID))
		wantNone(t, s, getJob(retrieval(v.ID, n, archive(v.ID, n)).ID))
	}
	release(t, s, at(30))
	wantGarbage(t, s, blobs)
}

// wantGarbage fails the test unless exactly these blobs are garbage.
func wantGarbage(t testing.TB, s meta.Store, blobs []moraine.BlobID) {
	t.Helper()
	list, err := read(t, s, garbage(1_000_000))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range list {
		got = append(got, string(g.Blob[:]))
	}
	var wanted []string
	for _, b := range blobs {
		wanted = append(wanted, string(b[:]))
	}
	slices.Sort(got)
	slices.Sort(wanted)
	if diff := diff(wanted, got); diff != "" {
		t.Fatalf("garbage: want (-), got (+):\n%s", diff)
	}
}

func testBuryOthers(t *testing.T, s meta.Store) {
	dead, alive := vault(1), vault(2)
	blobs := populate(t, s, dead, 10)
	populate(t, s, alive, 20)
	update(t, s, func(tx meta.Tx) error { return tx.Vaults().Delete(dead.ID) })
	bury(t, s, at(20))
	release(t, s, at(30))
	wantGarbage(t, s, append(blobs, blob(200))) // 200: deleted in the other vault
	want(t, s, alive, getVault(alive.ID))
	for n := 21; n < 25; n++ {
		want(t, s, archive(alive.ID, n), getArchive(archive(alive.ID, n).ID))
		want(t, s, []moraine.Extent{extent(0, 1, 10*n)}, extents(body(n), 0, 10))
		want(t, s, inventory(alive.ID, n), getJob(inventory(alive.ID, n).ID))
	}
}

func testDueInventories(t *testing.T, s meta.Store) {
	make := func(n int, first, last, inventoried int) moraine.Vault {
		v := vault(n)
		for _, f := range []struct {
			to *time.Time
			ms int
		}{{&v.FirstWrite, first}, {&v.LastWrite, last}, {&v.Inventoried, inventoried}} {
			if f.ms > 0 {
				*f.to = at(f.ms)
			}
		}
		return v
	}
	untouched := make(1, 0, 0, 0)
	never := make(2, 30, 60, 0)    // due since its first write
	stale := make(3, 10, 60, 20)   // due since its snapshot
	current := make(4, 10, 20, 20) // a write at the instant of the snapshot is in it
	older := make(5, 10, 15, 20)
	late := make(6, 10, 90, 80)
	update(t, s, func(tx meta.Tx) error {
		var errs []error
		for _, v := range []moraine.Vault{untouched, never, stale, current, older, late} {
			errs = append(errs, tx.Vaults().Save(v))
		}
		return errors.Join(errs...)
	})
	due := func(when, limit int) func(tx meta.Tx) ([]moraine.Vault, error) {
		return func(tx meta.Tx) (list []moraine.Vault, err error) {
			list, err = tx.Sweeps().DueInventories(at(when), limit)
			slices.SortFunc(list, func(a, b moraine.Vault) int { return a.Created.Compare(b.Created) })
			return list, err
		}
	}
	want(t, s, nil, due(19, 10))
	want(t, s, []moraine.Vault{stale}, due(20, 10))
	want(t, s, []moraine.Vault{never, stale}, due(30, 10))
	want(t, s, []moraine.Vault{never, stale, late}, due(80, 10))
	if list, err := read(t, s, due(80, 2)); err != nil || len(list) != 2 {
		t.Errorf("limit 2 gave %v, %v", list, err)
	}
	stale.Inventoried = at(60)
	update(t, s, saveVault(stale))
	want(t, s, []moraine.Vault{never, late}, due(80, 10))
}
