package s3_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/s3"
	"moraine/internal/housetest"
	"moraine/internal/meta"
	"moraine/internal/treehash"
	"moraine/internal/vault"
)

// heldRows are rows whose next change waits for a signal.
type heldRows struct {
	meta.Store
	reached, goOn chan struct{} // nil: nothing waits
}

func (h *heldRows) Update(ctx context.Context, fn func(meta.Tx) error) error {
	if h.reached != nil {
		close(h.reached)
		<-h.goOn
		h.reached = nil
	}
	return h.Store.Update(ctx, fn)
}

// TestNodes has one server store an upload and stand still before its row is
// committed, while another searches for orphans in the same bucket and rows. The
// blob is not deleted before the grace; what is deleted at its end has no row, and
// a server that wakes up too late names nothing.
func TestNodes(t *testing.T) {
	t.Parallel()
	const grace = 24 * time.Hour
	for name, tt := range map[string]struct {
		still time.Duration // how long the first server stands still
		saved bool
	}{
		"a moment":           {time.Second, true},
		"half the grace":     {grace / 2, true},
		"more than half":     {grace/2 + time.Second, false},
		"just not the grace": {grace - time.Second, false},
		"past the grace":     {grace + time.Hour, false},
	} {
		for _, size := range []int64{1000, 3 << 20} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := newFake(t, nil)
				clock := housetest.NewClock(time.Now())
				rows := housetest.RowsAt(t, clock.Now)
				call := access.Call{
					Principal: access.Principal{Account: "210987654321", ARN: "arn:aws:iam::210987654321:root", Root: true},
					Region:    "eu-north-1", Account: "-",
				}
				held := &heldRows{Store: rows}
				node := func(rows meta.Store) (*vault.Service, *s3.Store) {
					s := open(t, f.config())
					t.Cleanup(func() { _ = s.Close() })
					return vault.New(vault.Config{
						Meta: rows, Blobs: s, Pending: new(blob.Pending), Access: access.New(access.Config{Now: clock.Now}), Now: clock.Now,
						OrphanGrace: grace,
					}), s
				}
				slow, _ := node(held)
				other, store := node(rows)
				if _, err := slow.CreateVault(t.Context(), call, "v"); err != nil {
					t.Fatal(err)
				}
				upload := func(s *vault.Service, data []byte) error {
					h := treehash.NewHasher()
					h.Write(data)
					_, _, err := s.UploadArchive(t.Context(), call, "v", vault.UploadRequest{
						ContentLength: int64(len(data)), TreeHash: h.Tree().String(), CheckSHA256: func([32]byte) error { return nil },
					}, bytes.NewReader(data))
					return err
				}
				if err := upload(other, blobtest.Bytes(10)); err != nil { // a row, or nothing is believed of orphans
					t.Fatal(err)
				}
				held.reached, held.goOn = make(chan struct{}), make(chan struct{})
				reached := held.reached
				done := make(chan error, 1)
				go func() { done <- upload(slow, blobtest.Bytes(size)) }()
				<-reached
				// Searches find the blob at once, and go on to the moment at which the
				// server wakes.
				deleted := 0
				search := func() {
					t.Helper()
					n, err := other.SweepOrphans(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					deleted += n
				}
				search()
				clock.Advance(tt.still)
				search()
				if want := tt.still >= grace; (deleted > 0) != want {
					t.Fatalf("%d blobs deleted after %v", deleted, tt.still)
				}
				close(held.goOn)
				if err := <-done; (err == nil) != tt.saved || err != nil && !moraine.IsKind(err, moraine.Unavailable) {
					t.Fatalf("the upload that stood still for %v ends with %v", tt.still, err)
				}
				clock.Advance(grace + time.Hour)
				search()
				// Every row leads to its bytes, and nothing else is left.
				blobs, extents := 0, 0
				err := store.Walk(t.Context(), func(i blob.Info) error {
					blobs++
					return rows.View(t.Context(), func(tx meta.Tx) error {
						_, _, err := tx.Bodies().ByBlob(i.ID)
						return err
					})
				}, nil)
				if err != nil {
					t.Error(err)
				}
				err = rows.View(t.Context(), func(tx meta.Tx) error {
					all, err := tx.Bodies().Blobs(moraine.BlobID{}, 100)
					extents = len(all)
					for _, e := range all {
						if _, err := store.Stat(t.Context(), e.Ref); err != nil {
							t.Errorf("a row leads to nothing: %v", err)
						}
					}
					return err
				})
				if want := map[bool]int{true: 2, false: 1}[tt.saved]; err != nil || blobs != want || extents != want {
					t.Errorf("%d blobs, %d rows, %v; want %d of each", blobs, extents, err, want)
				}
			})
		}
	}
}
