package job_test

import (
	"testing"
	"time"

	"moraine"
	"moraine/internal/job"
)

// What a test sets applies to the jobs that come after it, and to no other.
func TestRehearsal(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *job.Config) { c.Delays.Standard = time.Hour })
	a := h.upload(pattern(10), "")
	retrieval := job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID)}
	before := h.mustInitiate(retrieval)
	h.SetDelays(job.Delays{Standard: 2 * time.Hour})
	after := h.mustInitiate(retrieval)
	if got := h.describe(after).Due.Sub(h.describe(before).Due); got != time.Hour {
		t.Errorf("the second job is due %v after the first, want an hour", got)
	}
	h.SetDelays(job.Delays{})

	h.FailNext()
	h.FailNext()
	for i, want := range []moraine.JobState{moraine.Failed, moraine.Failed, moraine.Succeeded} {
		if j := h.until(h.Service, h.mustInitiate(retrieval)); j.State != want {
			t.Errorf("job %d: %s, want %s", i, j.State, want)
		}
	}

	retrieval.Tier = "Expedited"
	h.SetScarcity(job.Scarcity{On: true})
	_, err := h.initiate(retrieval)
	h.wantRefused(err, moraine.Capacity, "There is insufficient capacity to process this expedited request.")
	h.SetScarcity(job.Scarcity{})
	h.mustInitiate(retrieval)
}
