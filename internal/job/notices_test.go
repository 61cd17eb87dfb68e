package job_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/job"
	"moraine/internal/meta"
	"moraine/internal/vault"
)

const (
	vaultTopic = "arn:aws:sns:eu-north-1:210987654321:vault"
	jobTopic   = "arn:aws:sns:eu-north-1:210987654321:job"
)

// outbox returns the topics of the messages about a job, which must be those of
// its final state.
func (h *house) outbox(id moraine.JobID) (topics []string) {
	h.t.Helper()
	v, j, err := h.DescribeJob(h.t.Context(), h.call, "v", id)
	if err != nil {
		h.t.Fatal(err)
	}
	want, err := json.Marshal(job.Describe(&v, &j)) // the tests have nothing to escape
	if err != nil {
		h.t.Fatal(err)
	}
	err = h.rows.View(h.t.Context(), func(tx meta.Tx) error {
		list, err := tx.Outbox().List(moraine.MessagePending, "", 100)
		for _, m := range list {
			if m.Job != id {
				continue
			}
			topics = append(topics, m.Topic)
			if m.Body != string(want) || !m.Next.Equal(j.Completed) || m.Source != v.ARN() || m.Event != j.Action.Completed() {
				h.t.Errorf("message %+v\nis not about %s", m, want)
			}
		}
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return topics
}

func (h *house) configure(topic string, events ...string) {
	h.t.Helper()
	err := h.vaults.SetVaultNotifications(h.t.Context(), h.call, "v", func() (vault.NotificationParameters, error) {
		return vault.NotificationParameters{SNSTopic: topic, Events: events}, nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// TestMessages ends jobs of both actions and both ways and looks into the
// outbox.
func TestMessages(t *testing.T) {
	t.Parallel()
	const archives, inventories = "ArchiveRetrievalCompleted", "InventoryRetrievalCompleted"
	for name, c := range map[string]struct {
		events []string // of the vault's configuration, none if empty
		topic  string   // of the job
		kind   string
		fail   bool
		want   []string
	}{
		"nobody asked":          {nil, "", "archive-retrieval", false, nil},
		"vault":                 {[]string{archives}, "", "archive-retrieval", false, []string{vaultTopic}},
		"vault, other event":    {[]string{inventories}, "", "archive-retrieval", false, nil},
		"job":                   {nil, jobTopic, "archive-retrieval", false, []string{jobTopic}},
		"both":                  {[]string{inventories, archives}, jobTopic, "archive-retrieval", false, []string{vaultTopic, jobTopic}},
		"both the same":         {[]string{archives}, vaultTopic, "archive-retrieval", false, []string{vaultTopic, vaultTopic}},
		"failed":                {[]string{archives}, jobTopic, "archive-retrieval", true, []string{vaultTopic, jobTopic}},
		"inventory":             {[]string{inventories}, "", "inventory-retrieval", false, []string{vaultTopic}},
		"inventory, of the job": {[]string{archives}, jobTopic, "inventory-retrieval", false, []string{jobTopic}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			finished := make(chan struct{}, 10)
			h := newHouse(t, func(c *job.Config) { c.Finished = func() { finished <- struct{}{} } })
			a := h.upload(pattern(100), "ledger")
			if len(c.events) > 0 {
				h.configure(vaultTopic, c.events...)
			}
			p := job.Parameters{Type: c.kind, SNSTopic: c.topic}
			if c.kind == "archive-retrieval" {
				p.ArchiveID = string(a.ID)
			}
			id := h.mustInitiate(p)
			if got := len(h.outbox(id)); got != 0 {
				t.Errorf("%d messages before the end of the job", got)
			}
			h.blobs.damage(c.fail)
			want := moraine.Succeeded
			if c.fail {
				want = moraine.Failed
			}
			if j := h.until(h.Service, id); j.State != want {
				t.Fatalf("job is %s", j.State)
			}
			got := h.outbox(id)
			if diff := cmp.Diff(c.want, sortedBy(c.want, got)); diff != "" {
				t.Errorf("topics: want (-), got (+):\n%s", diff)
			}
			if len(finished) != 1 {
				t.Errorf("Finished was told %d times", len(finished))
			}
		})
	}
}

// sortedBy puts the two topics of got in the order of want: messages of one
// instant come in any.
func sortedBy(want, got []string) []string {
	if len(want) == 2 && len(got) == 2 && want[0] != got[0] {
		got[0], got[1] = got[1], got[0]
	}
	return got
}

// TestMessagesWithoutVault ends a job whose vault is gone.
func TestMessagesWithoutVault(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.configure(vaultTopic, "InventoryRetrievalCompleted")
	id := h.mustInitiate(job.Parameters{Type: "inventory-retrieval", SNSTopic: jobTopic})
	err := h.rows.Update(t.Context(), func(tx meta.Tx) error {
		v, err := tx.Vaults().Get("210987654321", "eu-north-1", "v")
		return errors.Join(err, tx.Vaults().Delete(v.ID), job.Notify(tx, &moraine.Job{ID: id, Vault: v.ID, SNSTopic: jobTopic}))
	})
	if err != nil {
		t.Fatal(err)
	}
	err = h.rows.View(t.Context(), func(tx meta.Tx) error {
		counts, err := tx.Outbox().CountByState()
		if len(counts) != 0 {
			t.Errorf("messages about a vault that is gone: %v", counts)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
