package metatest

import (
	"slices"
	"testing"
	"time"

	"moraine"
	"moraine/internal/meta"
)

var jobTests = []test{
	{"round trip and save", in(testJobSave)},
	{"list", in(testJobList)},
	{"claim", in(testClaim)},
	{"claim prefers the oldest due", in(testClaimOrder)},
	{"hasten", in(testHasten)},
	{"count by state", in(testCountByState)},
}

func saveJobs(list ...moraine.Job) func(tx meta.Tx) error {
	return func(tx meta.Tx) error {
		for _, j := range list {
			if err := tx.Jobs().Save(j); err != nil {
				return err
			}
		}
		return nil
	}
}

func getJob(id moraine.JobID) func(tx meta.Tx) (moraine.Job, error) {
	return func(tx meta.Tx) (moraine.Job, error) { return tx.Jobs().Get(id) }
}

func testJobSave(t *testing.T, s meta.Store) {
	plain := retrieval("v", 1, archive("v", 1))
	unaligned := retrieval("v", 2, archive("v", 2))
	unaligned.Retrieval.First, unaligned.Retrieval.Last, unaligned.Retrieval.TreeHash = 1<<40, 1<<41, nil
	unaligned.Tier, unaligned.Description, unaligned.SNSTopic = moraine.Bulk, "", ""
	list := inventory("v", 3)
	full := inventory("v", 4)
	full.Tier = moraine.Expedited
	full.Inventory = &moraine.Inventory{
		Format: moraine.JSON, Start: at(-1000), End: at(1000), Limit: 10, Marker: "m", Snapshot: at(5), Next: "n",
	}
	full.LeaseOwner, full.LeaseUntil = "node", at(99)
	for _, j := range []moraine.Job{plain, unaligned, list, full} {
		wantNone(t, s, getJob(j.ID))
		for _, next := range []moraine.Job{j, finish(j, moraine.Failed, at(77)), finish(j, moraine.Succeeded, at(88)), j} {
			update(t, s, saveJobs(next))
			want(t, s, next, getJob(j.ID))
		}
	}
	odd := plain
	odd.State = "Lost"
	if err := s.Update(t.Context(), saveJobs(odd)); err == nil {
		t.Error("a state that does not exist was saved")
	}
}

func testJobList(t *testing.T, s meta.Store) {
	var list []moraine.Job // newest first
	for n := 8; n >= 0; n-- {
		j := inventory("v", n)
		j.Created = at(n / 2)
		switch n % 3 {
		case 1:
			j = finish(j, moraine.Succeeded, at(100+n))
		case 2:
			j = finish(j, moraine.Failed, at(100+n))
		}
		list = append(list, j)
	}
	update(t, s, func(tx meta.Tx) error {
		mixed := append(slices.Clone(list[4:]), list[:4]...)
		return saveJobs(append(mixed, inventory("other", 1))...)(tx)
	})
	pick := func(keep func(j moraine.Job) bool) (kept []moraine.Job) {
		for _, j := range list {
			if keep(j) {
				kept = append(kept, j)
			}
		}
		return kept
	}
	in := func(states ...moraine.JobState) func(moraine.Job) bool {
		return func(j moraine.Job) bool { return slices.Contains(states, j.State) }
	}
	for _, c := range []struct {
		name string
		q    meta.JobList
		want []moraine.Job
	}{
		{"all", meta.JobList{Limit: 20}, list},
		{"limit", meta.JobList{Limit: 4}, list[:4]},
		{"none wanted", meta.JobList{}, nil},
		{"before a position", meta.JobList{BeforeCreated: list[3].Created, BeforeID: list[3].ID, Limit: 3}, list[4:7]},
		{"before a shared instant", meta.JobList{BeforeCreated: at(2), BeforeID: "", Limit: 20}, list[5:]},
		{"in progress", meta.JobList{States: []moraine.JobState{moraine.InProgress}, Limit: 20}, pick(in(moraine.InProgress))},
		{"succeeded", meta.JobList{States: []moraine.JobState{moraine.Succeeded}, Limit: 20}, pick(in(moraine.Succeeded))},
		{"finished", meta.JobList{States: []moraine.JobState{moraine.Failed, moraine.Succeeded}, Limit: 20}, pick(in(moraine.Failed, moraine.Succeeded))},
		{"hides the expired", meta.JobList{Now: at(104), Limit: 20}, pick(func(j moraine.Job) bool {
			return j.State == moraine.InProgress || j.Expires.After(at(104))
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.q.Vault = "v"
			want(t, s, c.want, func(tx meta.Tx) ([]moraine.Job, error) { return tx.Jobs().List(c.q) })
		})
	}
}

func claim(t *testing.T, s meta.Store, owner string, now, until time.Time, limit int) []moraine.Job {
	t.Helper()
	var list []moraine.Job
	update(t, s, func(tx meta.Tx) (err error) {
		list, err = tx.Jobs().Claim(owner, now, until, limit)
		return err
	})
	return list
}

func wantNextDue(t *testing.T, s meta.Store, wanted time.Time) {
	t.Helper()
	view(t, s, func(tx meta.Tx) error {
		got, ok, err := tx.Jobs().NextDue()
		if err == nil && (ok == wanted.IsZero() || !got.Equal(wanted)) {
			t.Errorf("NextDue is %v, %v; want %v", got, ok, wanted)
		}
		return err
	})
}

func testClaim(t *testing.T, s meta.Store) {
	wantNextDue(t, s, time.Time{})
	j := inventory("v", 10)
	done := finish(inventory("v", 1), moraine.Succeeded, at(1000))
	update(t, s, saveJobs(j, done))
	wantNextDue(t, s, at(10))

	if got := claim(t, s, "a", at(9), at(50), 10); len(got) != 0 {
		t.Fatalf("claimed before it is due: %v", got)
	}
	held := j
	held.LeaseOwner, held.LeaseUntil = "a", at(50)
	if diff := diff([]moraine.Job{held}, claim(t, s, "a", at(10), at(50), 10)); diff != "" {
		t.Fatalf("claimed: want (-), got (+):\n%s", diff)
	}
	want(t, s, held, getJob(j.ID)) // returned as saved
	wantNextDue(t, s, at(50))
	if got := claim(t, s, "b", at(49), at(90), 10); len(got) != 0 {
		t.Fatalf("claimed under the lease of another: %v", got)
	}
	held.LeaseOwner, held.LeaseUntil = "b", at(90)
	if diff := diff([]moraine.Job{held}, claim(t, s, "b", at(50), at(90), 10)); diff != "" {
		t.Fatalf("claimed when the lease was over: want (-), got (+):\n%s", diff)
	}
	update(t, s, saveJobs(finish(held, moraine.Succeeded, at(1000))))
	wantNextDue(t, s, time.Time{})
	if got := claim(t, s, "c", at(5000), at(6000), 10); len(got) != 0 {
		t.Fatalf("claimed a finished job: %v", got)
	}
	update(t, s, saveJobs(j)) // without a lease again
	wantNextDue(t, s, at(10))
}

func testHasten(t *testing.T, s meta.Store) {
	late, soon, other := inventory("v", 10), inventory("v", 3), inventory("v", 20)
	soon.Body = late.Body
	late.Due, soon.Due, other.Due = at(500), at(5), at(500)
	done := finish(inventory("v", 1), moraine.Succeeded, at(1000))
	done.Body, done.Due = late.Body, at(500)
	update(t, s, saveJobs(late, soon, other, done))
	hasten := func(tx meta.Tx) error { return tx.Jobs().Hasten(late.Body, at(50)) }
	update(t, s, hasten)
	late.Due = at(50)
	for _, j := range []moraine.Job{late, soon, other, done} {
		want(t, s, j, getJob(j.ID))
	}
	wantNextDue(t, s, at(5))
	claim(t, s, "a", at(5), at(100), 1)
	wantNextDue(t, s, at(50))
	// A job that is held stays held until its lease is over.
	late.Due, late.LeaseOwner, late.LeaseUntil = at(500), "a", at(90)
	update(t, s, saveJobs(late))
	update(t, s, hasten)
	wantNextDue(t, s, at(90))
	update(t, s, func(tx meta.Tx) error { return tx.Jobs().Hasten("nothing", at(50)) })
}

func testClaimOrder(t *testing.T, s meta.Store) {
	var jobs []moraine.Job
	for n := range 6 {
		j := inventory("v", 10-n) // made later, due earlier
		j.Due = at(n)
		jobs = append(jobs, j)
	}
	update(t, s, saveJobs(jobs...))
	for _, pair := range [][]moraine.Job{jobs[0:2], jobs[2:4], jobs[4:6], nil} {
		var ids, wanted []moraine.JobID
		for _, j := range claim(t, s, "a", at(100), at(200), 2) {
			ids = append(ids, j.ID)
		}
		for _, j := range pair {
			wanted = append(wanted, j.ID)
		}
		if !slices.Equal(ids, wanted) {
			t.Errorf("claimed %v, want %v", ids, wanted)
		}
	}
}

func testCountByState(t *testing.T, s meta.Store) {
	counts := func(tx meta.Tx) (map[moraine.JobState]int64, error) { return tx.Jobs().CountByState() }
	want(t, s, nil, counts)
	update(t, s, saveJobs(inventory("v", 1), inventory("v", 2), finish(inventory("v", 3), moraine.Failed, at(9))))
	want(t, s, map[moraine.JobState]int64{moraine.InProgress: 2, moraine.Failed: 1}, counts)
}
