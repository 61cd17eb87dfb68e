package vault_test

import (
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob/crypt"
	"moraine/internal/vault"
)

// TestSweepWithoutKeys removes encrypted orphans and deleted archives, and keeps
// the rest, without any key.
func TestSweepWithoutKeys(t *testing.T) {
	t.Parallel()
	ring, err := crypt.NewRing(crypt.GenerateKey())
	if err != nil {
		t.Fatal(err)
	}
	var blobs *crypt.Store
	h := newHouse(t, func(c *vault.Config) {
		blobs = crypt.New(c.Blobs, ring)
		c.Blobs = blobs
	})
	h.create("v")
	h.mustUpload("v", []byte("kept"))
	gone := h.mustUpload("v", []byte("deleted"))
	if _, err := blobs.Put(t.Context(), moraine.NewBlobID(h.now()), strings.NewReader("orphan"), 6); err != nil {
		t.Fatal(err)
	}
	blobs.SetRing(nil)
	h.must(h.DeleteArchive(t.Context(), h.call, "v", gone.ID))
	h.sweep()
	for range 2 { // the first search finds, the second one deletes
		if _, err := h.SweepOrphans(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.advance(25 * time.Hour)
	}
	if got := h.blobCount(); got != 1 {
		t.Errorf("%d blobs remain, want the one that an archive has", got)
	}
}
