package job_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moraine"
	"moraine/internal/job"
)

func (h *house) setRule(strategy, bytesPerHour string) error {
	return h.SetDataRetrievalPolicy(h.t.Context(), h.call, func() (job.RetrievalRules, error) {
		return job.RetrievalRules{
			HasPolicy: true, HasRules: true, Rules: []job.RetrievalRule{{Strategy: strategy, BytesPerHour: bytesPerHour}},
		}, nil
	})
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) wantRefused(err error, kind moraine.Kind, text string) {
	h.t.Helper()
	if !moraine.IsKind(err, kind) || err.Error() != text {
		h.t.Errorf("error is %v (%v), want %q (%v)", err, moraine.KindOf(err), text, kind)
	}
}

const overPolicy = "InitiateJob request denied by current data retrieval policy."

// retrieve asks for the first n MiB of an archive.
func (h *house) retrieve(a moraine.Archive, mib int, tier string) error {
	_, err := h.initiate(job.Parameters{
		Type: "archive-retrieval", ArchiveID: string(a.ID), Tier: tier,
		RetrievalByteRange: fmt.Sprintf("0-%d", mib*moraine.MiB-1),
	})
	return err
}

func TestRetrievalPolicyFields(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	rule := func(strategy, rate string) job.RetrievalRule {
		return job.RetrievalRule{Strategy: strategy, BytesPerHour: rate}
	}
	for name, c := range map[string]struct {
		rules job.RetrievalRules
		kind  moraine.Kind
		text  string
	}{
		"no policy":     {job.RetrievalRules{}, moraine.Missing, "Required parameter missing: policy"},
		"no rules":      {job.RetrievalRules{HasPolicy: true}, moraine.Missing, "Required parameter missing: rules"},
		"empty rules":   {job.RetrievalRules{HasPolicy: true, HasRules: true}, moraine.Invalid, "Invalid Rules: 0 rules where exactly one is allowed"},
		"two rules":     {rules(rule("None", ""), rule("None", "")), moraine.Invalid, "Invalid Rules: 2 rules where exactly one is allowed"},
		"no strategy":   {rules(rule("", "")), moraine.Missing, "Required parameter missing: strategy"},
		"bad strategy":  {rules(rule("none", "")), moraine.Invalid, "Invalid Strategy: none"},
		"no rate":       {rules(rule("BytesPerHour", "")), moraine.Missing, "Required parameter missing: bytesPerHour"},
		"zero":          {rules(rule("BytesPerHour", "0")), moraine.Invalid, "Invalid BytesPerHour: 0"},
		"fraction":      {rules(rule("BytesPerHour", "1.5")), moraine.Invalid, "Invalid BytesPerHour: 1.5"},
		"too large":     {rules(rule("BytesPerHour", "9223372036854775808")), moraine.Invalid, "Invalid BytesPerHour: 9223372036854775808"},
		"rate and none": {rules(rule("None", "1")), moraine.Invalid, "Invalid BytesPerHour: 1"},
		"rate and free": {rules(rule("FreeTier", "1")), moraine.Invalid, "Invalid BytesPerHour: 1"},
	} {
		err := h.SetDataRetrievalPolicy(t.Context(), h.call, func() (job.RetrievalRules, error) { return c.rules, nil })
		h.wantRefused(err, c.kind, c.text)
		if p, err := h.GetDataRetrievalPolicy(t.Context(), h.call); err != nil || p != (moraine.RetrievalPolicy{Strategy: moraine.NoLimit}) {
			t.Errorf("%s: the policy is %+v, %v; want none", name, p, err)
		}
	}
}

func rules(list ...job.RetrievalRule) job.RetrievalRules {
	return job.RetrievalRules{HasPolicy: true, HasRules: true, Rules: list}
}

func TestRetrievalPolicyRoundTrip(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	for _, p := range []moraine.RetrievalPolicy{
		{Strategy: moraine.BytesPerHour, BytesPerHour: 1<<63 - 1}, {Strategy: moraine.FreeTier}, {Strategy: moraine.NoLimit},
	} {
		rate := ""
		if p.BytesPerHour > 0 {
			rate = fmt.Sprint(p.BytesPerHour)
		}
		h.must(h.setRule(string(p.Strategy), rate))
		if got, err := h.GetDataRetrievalPolicy(t.Context(), h.call); err != nil || got != p {
			t.Errorf("set %+v, got %+v, %v", p, got, err)
		}
		elsewhere := h.call
		elsewhere.Region = "us-east-1"
		if got, err := h.GetDataRetrievalPolicy(t.Context(), elsewhere); err != nil || got.Strategy != moraine.NoLimit {
			t.Errorf("in another region: %+v, %v", got, err)
		}
	}
}

func TestBytesPerHour(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *job.Config) { c.Delays = job.Delays{Standard: time.Hour} })
	a := h.upload(make([]byte, 8*moraine.MiB), "")
	h.must(h.retrieve(a, 8, "")) // before there is a policy: not touched, but counted
	h.must(h.setRule("BytesPerHour", fmt.Sprint(3*moraine.MiB)))
	h.must(h.retrieve(a, 4, "Standard")) // 8 + 4 MiB over four hours: exactly the value
	h.wantRefused(h.retrieve(a, 1, "Standard"), moraine.Policy, overPolicy)
	h.wantRefused(h.retrieve(a, 1, ""), moraine.Policy, overPolicy)
	h.must(h.retrieve(a, 8, "Bulk"))
	h.must(h.retrieve(a, 8, "Expedited"))
	if _, err := h.initiate(job.Parameters{Type: "inventory-retrieval"}); err != nil {
		t.Errorf("inventory job: %v", err)
	}
	_, page, _, err := h.ListJobs(t.Context(), h.call, "v", job.ListRequest{})
	if err != nil || len(page) != 5 {
		t.Errorf("%d jobs, %v; want 5: a refused job leaves none", len(page), err)
	}
	h.must(h.setRule("BytesPerHour", fmt.Sprint(3*moraine.MiB+1)))
	h.wantRefused(h.retrieve(a, 1, ""), moraine.Policy, overPolicy)
	h.must(h.setRule("BytesPerHour", "9223372036854775807"))
	h.must(h.retrieve(a, 8, ""))
	h.must(h.setRule("BytesPerHour", "1"))
	h.wantRefused(h.retrieve(a, 1, ""), moraine.Policy, overPolicy)
	h.must(h.setRule("None", ""))
	h.must(h.retrieve(a, 8, ""))
}

func TestBytesPerHourForgetsFinishedJobs(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	a := h.upload(make([]byte, 4*moraine.MiB), "")
	h.must(h.setRule("BytesPerHour", fmt.Sprint(moraine.MiB)))
	j, err := h.initiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID)})
	h.must(err)
	h.wantRefused(h.retrieve(a, 1, ""), moraine.Policy, overPolicy)
	h.until(h.Service, j.ID)
	h.must(h.retrieve(a, 4, ""))
}

// TestBytesPerHourRace lets jobs compete for what the policy allows.
func TestBytesPerHourRace(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	a := h.upload(make([]byte, moraine.MiB), "")
	h.must(h.setRule("BytesPerHour", fmt.Sprint(2*moraine.MiB)))
	var accepted, refused atomic.Int64
	var wg sync.WaitGroup
	for range 24 {
		wg.Go(func() {
			switch err := h.retrieve(a, 1, ""); {
			case err == nil:
				accepted.Add(1)
			case moraine.IsKind(err, moraine.Policy):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if accepted.Load() != 8 || refused.Load() != 16 {
		t.Errorf("%d jobs accepted, %d refused; want 8 and 16", accepted.Load(), refused.Load())
	}
}

func TestFreeTier(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *job.Config) { c.FreeTier = 30 * 6 * moraine.MiB }) // 6 MiB a day
	a := h.upload(make([]byte, 8*moraine.MiB), "")
	h.must(h.retrieve(a, 2, ""))
	h.must(h.setRule("FreeTier", ""))
	h.wantRefused(h.retrieve(a, 5, ""), moraine.Policy, overPolicy)
	h.must(h.retrieve(a, 4, ""))
	h.wantRefused(h.retrieve(a, 1, ""), moraine.Policy, overPolicy)
	h.must(h.retrieve(a, 8, "Bulk"))
	h.advance(15*time.Hour + 59*time.Minute) // 23:59 UTC
	h.wantRefused(h.retrieve(a, 1, ""), moraine.Policy, overPolicy)
	h.advance(time.Minute)
	h.must(h.retrieve(a, 6, ""))
	h.wantRefused(h.retrieve(a, 1, ""), moraine.Policy, overPolicy)
}

func TestFreeTierDefault(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	a := h.upload(make([]byte, moraine.MiB), "")
	h.must(h.setRule("FreeTier", ""))
	for range 341 { // 10 GiB in 30 days are 341.3 MiB a day
		h.must(h.retrieve(a, 1, ""))
	}
	h.wantRefused(h.retrieve(a, 1, ""), moraine.Policy, overPolicy)
}

func TestCapacityMonth(t *testing.T) {
	t.Parallel()
	for start, want := range map[string]string{
		"2024-11-05T08:30:11.275Z": "2024-12-05T08:30:11.000Z",
		"2024-01-31T23:59:59.999Z": "2024-02-29T23:59:59.000Z",
		"2023-01-31T00:00:00.000Z": "2023-02-28T00:00:00.000Z",
		"2024-01-29T12:00:00.000Z": "2024-02-29T12:00:00.000Z",
		"2023-01-29T12:00:00.000Z": "2023-02-28T12:00:00.000Z",
		"2024-08-31T01:02:03.004Z": "2024-09-30T01:02:03.000Z",
		"2024-09-30T01:02:03.004Z": "2024-10-30T01:02:03.000Z",
		"2024-02-29T01:02:03.004Z": "2024-03-29T01:02:03.000Z",
		"2024-12-31T01:02:03.004Z": "2025-01-31T01:02:03.000Z",
		"2024-10-31T01:02:03.004Z": "2024-11-30T01:02:03.000Z",
	} {
		t.Run(start, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, nil)
			begin, err := time.Parse(time.RFC3339Nano, start)
			h.must(err)
			h.advance(begin.Sub(h.now()))
			u, err := h.PurchaseProvisionedCapacity(t.Context(), h.call)
			h.must(err)
			if got := u.Expires.Format("2006-01-02T15:04:05.000Z"); got != want || !u.Start.Equal(begin) || len(u.ID) != 24 {
				t.Errorf("unit %q from %v until %s, want until %s", u.ID, u.Start, got, want)
			}
		})
	}
}

func TestCapacityLimit(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	ctx := t.Context()
	list := func(want ...moraine.CapacityUnit) {
		t.Helper()
		got, err := h.ListProvisionedCapacity(ctx, h.call)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("units are %v, %v; want %v", got, err, want)
		}
	}
	list()
	first, err := h.PurchaseProvisionedCapacity(ctx, h.call)
	h.must(err)
	h.advance(24 * time.Hour)
	second, err := h.PurchaseProvisionedCapacity(ctx, h.call)
	h.must(err)
	list(first, second)
	_, err = h.PurchaseProvisionedCapacity(ctx, h.call)
	h.wantRefused(err, moraine.Limit, "Provisioned capacity limit exceeded for account: 210987654321")
	h.advance(first.Expires.Sub(h.now()))
	list(second)
	third, err := h.PurchaseProvisionedCapacity(ctx, h.call)
	h.must(err)
	list(second, third)
	h.advance(third.Expires.Sub(h.now()))
	list()
}

func TestScarcity(t *testing.T) {
	t.Parallel()
	for _, inFlight := range []int64{0, 2} {
		t.Run(fmt.Sprint(inFlight), func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, func(c *job.Config) { c.Scarcity = job.Scarcity{On: true, InFlight: inFlight} })
			a := h.upload(make([]byte, moraine.MiB), "")
			for range inFlight {
				h.must(h.retrieve(a, 1, "Expedited"))
			}
			h.wantRefused(h.retrieve(a, 1, "Expedited"), moraine.Capacity,
				"There is insufficient capacity to process this expedited request.")
			h.must(h.retrieve(a, 1, "Standard"))
			h.must(h.retrieve(a, 1, "Bulk"))
			u, err := h.PurchaseProvisionedCapacity(t.Context(), h.call)
			h.must(err)
			h.must(h.retrieve(a, 1, "Expedited"))
			h.advance(u.Expires.Sub(h.now()))
			if inFlight == 0 {
				h.wantRefused(h.retrieve(a, 1, "Expedited"), moraine.Capacity,
					"There is insufficient capacity to process this expedited request.")
			}
		})
	}
	h := newHouse(t, nil)
	a := h.upload(make([]byte, moraine.MiB), "")
	for range 10 {
		h.must(h.retrieve(a, 1, "Expedited"))
	}
}
