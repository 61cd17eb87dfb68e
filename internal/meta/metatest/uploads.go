package metatest

import (
	"fmt"
	"testing"
	"time"

	"moraine"
	"moraine/internal/meta"
)

var uploadTests = []test{
	{"round trip and save", in(testUploadSave)},
	{"list pages open ones", in(testUploadList)},
}

func saveUploads(list ...moraine.Upload) func(tx meta.Tx) error {
	return func(tx meta.Tx) error {
		for _, u := range list {
			if err := tx.Uploads().Save(u); err != nil {
				return err
			}
		}
		return nil
	}
}

func getUpload(id moraine.UploadID) func(tx meta.Tx) (moraine.Upload, error) {
	return func(tx meta.Tx) (moraine.Upload, error) { return tx.Uploads().Get(id) }
}

func countOpen(tx meta.Tx) (int64, error) { return tx.Uploads().CountOpen() }

func ended(u moraine.Upload, state moraine.UploadState, when time.Time) moraine.Upload {
	u.State, u.Active = state, when
	if state == moraine.UploadCompleted {
		u.Archive, u.Size, u.TreeHash = "archive", 5<<40, hash(7)
	}
	return u
}

func testUploadSave(t *testing.T, s meta.Store) {
	u, other := upload("v", 1), upload("v", 2)
	other.Description = ""
	update(t, s, saveUploads(other))
	wantNone(t, s, getUpload(u.ID))
	for _, next := range []moraine.Upload{
		u, ended(u, moraine.UploadCompleted, at(9)), ended(u, moraine.UploadAborted, at(10)), u,
	} {
		update(t, s, saveUploads(next))
		want(t, s, next, getUpload(u.ID))
	}
	want(t, s, other, getUpload(other.ID))
	want(t, s, 2, countOpen)
	update(t, s, saveUploads(ended(u, moraine.UploadAborted, at(10))))
	want(t, s, 1, countOpen)
	odd := u
	odd.State = "lost"
	if err := s.Update(t.Context(), saveUploads(odd)); err == nil {
		t.Error("a state that does not exist was saved")
	}
}

func testUploadList(t *testing.T, s meta.Store) {
	var open []moraine.Upload
	for n := range 7 {
		u := upload("v", n)
		u.Created = at(n / 2) // pairs share an instant
		open = append(open, u)
	}
	update(t, s, saveUploads(open[6], open[1], open[0], open[2], open[5], open[4], open[3],
		ended(upload("v", 10), moraine.UploadCompleted, at(1)), ended(upload("v", 11), moraine.UploadAborted, at(1)), upload("other", 1)))
	for limit := 1; limit <= 8; limit++ {
		t.Run(fmt.Sprintf("limit %d", limit), func(t *testing.T) {
			var got []moraine.Upload
			var after moraine.Upload
			for {
				page, err := read(t, s, func(tx meta.Tx) ([]moraine.Upload, error) {
					return tx.Uploads().List("v", after.Created, after.ID, limit)
				})
				if err != nil || len(page) > limit {
					t.Fatalf("page of %d rows, error %v", len(page), err)
				}
				got = append(got, page...)
				if len(page) < limit {
					break
				}
				after = page[len(page)-1]
			}
			if diff := diff(open, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}
