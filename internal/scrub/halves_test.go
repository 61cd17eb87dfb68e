package scrub_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/meta"
	"moraine/internal/treehash"
)

// TestHalves damages both copies of a blob, each in another place: what one lacks
// the other has, so a check makes both anew, and nobody is refused the bytes. Where
// both lack the same, it is quarantined.
func TestHalves(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	for name, tt := range map[string]struct {
		flips [2]int64 // where in the data of each copy
		whole bool
	}{
		"in different places": {[2]int64{100, 2<<20 + 7}, true},
		"in the same place":   {[2]int64{100, 101}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCrowd(t)
			defer func() {
				if err := c.blobs.Close(); err != nil {
					t.Error(err)
				}
			}()
			data := blobtest.Bytes(size)
			id := moraine.NewBlobID(time.Now())
			ref, err := c.blobs.Put(t.Context(), id, bytes.NewReader(data), size)
			if err != nil {
				t.Fatal(err)
			}
			h := treehash.NewLeafHasher()
			_, _ = h.Write(data)
			e := moraine.Extent{Size: size, Blob: id, Ref: ref, TreeHash: h.Tree()}
			if err := c.rows.Update(t.Context(), func(tx meta.Tx) error { return tx.Bodies().Put("body", e, time.Now()) }); err != nil {
				t.Fatal(err)
			}
			for n, disk := range c.disks {
				for _, file := range disk.Names() {
					if at := bytes.Index(disk.ReadFile(file), data[:64]); at >= 0 && strings.HasSuffix(file, ".blob") {
						disk.Flip(file, int64(at)+tt.flips[n], 1)
					}
				}
			}
			if err := c.scrub.CheckBlob(t.Context(), id, make([]byte, treehash.LeafSize)); err != nil {
				t.Fatal(err)
			}
			err = c.rows.View(t.Context(), func(tx meta.Tx) error {
				_, e, err = tx.Bodies().ByBlob(id)
				return err
			})
			if err != nil || (e.Fault == "") != tt.whole {
				t.Fatalf("after a check the row is %+v, %v; whole: %v is wanted", e, err, tt.whole)
			}
			if !tt.whole {
				return
			}
			copies, err := c.blobs.Check(t.Context(), blob.Info{ID: id, Ref: e.Ref, Size: size}, make([]byte, treehash.LeafSize), func(int) error { return nil })
			if err != nil || len(copies) != 2 || copies[0].Err != nil || copies[1].Err != nil {
				t.Errorf("the copies are %v, %v", copies, err)
			}
			r, err := c.blobs.Open(t.Context(), e.Ref, 0, size)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
