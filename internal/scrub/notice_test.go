package scrub_test

import (
	"encoding/json"
	"testing"
	"time"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/meta/metatest"
	"moraine/internal/scrub"
)

const (
	topic  = "arn:aws:sns:eu-north-1:210987654321:damage"
	source = "arn:aws:glacier:eu-north-1:210987654321:vaults/*"
)

func telling(c *scrub.Config) { c.Topic, c.Source = topic, source }

// messages are those in the outbox.
func (h *house) messages() (list []moraine.Message) {
	h.Helper()
	h.update(func(tx meta.Tx) (err error) {
		list, err = tx.Outbox().List(moraine.MessagePending, "", 1000)
		return err
	})
	return list
}

// TestNotices sends a message about each blob that is found damaged or was made
// anew, once, and none about one that is whole again or that was damaged before.
func TestNotices(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 5)
	bad := h.blobs[2]
	h.store.bad[bad.Blob] = corrupt("leaf 0")
	s := h.service(telling)
	h.pass(s)
	list := h.messages()
	if len(list) != 1 {
		t.Fatalf("%d messages, want one", len(list))
	}
	m := list[0]
	if m.Topic != topic || m.Source != source || m.Event != moraine.ScrubFailure || m.Job != "" || !m.Created.Equal(noon) || !m.Next.Equal(noon) {
		t.Errorf("the message is %+v", m)
	}
	var body struct {
		Event, Blob, Body, Fault string
		First, Size              int64
		Checked                  time.Time
	}
	if err := json.Unmarshal([]byte(m.Body), &body); err != nil || body.Event != "ScrubFailure" || body.Blob != bad.Blob.String() ||
		body.Body != "body 2" || body.Size != bad.Size || body.Fault != "primary: leaf 0" || !body.Checked.Equal(noon) {
		t.Errorf("it says %s, %v", m.Body, err)
	}
	h.now = h.now.Add(2 * time.Hour)
	h.pass(s) // no news
	clear(h.store.bad)
	h.now = h.now.Add(2 * time.Hour)
	h.pass(s) // good news
	if n := len(h.messages()); n != 1 {
		t.Errorf("%d messages, want still one", n)
	}
	h.store.mended = true
	h.store.bad[h.blobs[1].Blob] = corrupt("leaf 0")
	h.now = h.now.Add(2 * time.Hour)
	h.pass(s)
	list = h.messages()
	if n := len(list); n != 2 || list[1].Event != moraine.ScrubRepaired {
		t.Errorf("of a copy made anew: %+v", list)
	}
}

// TestNoticesEnd lets a disk die: a pass has a hundred messages, and the next may
// have more.
func TestNoticesEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 300)
	for _, e := range h.blobs {
		h.store.bad[e.Blob] = corrupt("gone")
	}
	s := h.service(telling)
	h.pass(s)
	if n := len(h.messages()); n != 100 {
		t.Errorf("%d messages, want 100", n)
	}
	for _, e := range h.blobs[:7] {
		h.store.bad[e.Blob] = corrupt("gone, and worse")
	}
	h.now = h.now.Add(2 * time.Hour)
	h.pass(s)
	if n := len(h.messages()); n != 107 {
		t.Errorf("%d messages after another pass, want 107", n)
	}
}

// TestNoticeCommits lets the commit that records a finding fail, lost or kept: a
// finding that is on record has its message, and only one.
func TestNoticeCommits(t *testing.T) {
	t.Parallel()
	for _, fault := range []metatest.Fault{metatest.Lost, metatest.Kept} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, 3)
			bad := h.blobs[1]
			h.store.bad[bad.Blob] = corrupt("leaf 0")
			rows := &metatest.Faults{Store: h.rows}
			s := h.service(func(c *scrub.Config) { telling(c); c.Meta = rows })
			buf := make([]byte, 1<<20)
			rows.Fail(fault, 0)
			if err := s.CheckBlob(t.Context(), bad.Blob, buf); err == nil {
				t.Error("the failure of the commit is kept quiet")
			}
			want := map[metatest.Fault]int{metatest.Lost: 0, metatest.Kept: 1}[fault]
			if f, m := len(h.faulty()), len(h.messages()); f != want || m != want {
				t.Errorf("after the fault %d findings and %d messages, want %d", f, m, want)
			}
			if err := s.CheckBlob(t.Context(), bad.Blob, buf); err != nil {
				t.Error(err)
			}
			if f, m := len(h.faulty()), len(h.messages()); f != 1 || m != 1 {
				t.Errorf("in the end %d findings and %d messages, want one", f, m)
			}
		})
	}
}
