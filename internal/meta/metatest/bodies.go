package metatest

import (
	"errors"
	"testing"

	"moraine"
	"moraine/internal/meta"
)

var bodyTests = []test{
	{"extents by offset", in(testExtents)},
	{"put replaces", in(testPutReplaces)},
	{"put of the same blob again", in(testPutAgain)},
	{"a blob is in one body", in(testBlobUnique)},
	{"by blob and move", in(testByBlob)},
	{"blobs in order", in(testBlobs)},
}

func put(b moraine.BodyID, list ...moraine.Extent) func(tx meta.Tx) error {
	return func(tx meta.Tx) error {
		for _, e := range list {
			if err := tx.Bodies().Put(b, e, at(50)); err != nil {
				return err
			}
		}
		return nil
	}
}

func extents(b moraine.BodyID, from int64, limit int) func(tx meta.Tx) ([]moraine.Extent, error) {
	return func(tx meta.Tx) ([]moraine.Extent, error) { return tx.Bodies().Extents(b, from, limit) }
}

func garbage(limit int) func(tx meta.Tx) ([]moraine.Garbage, error) {
	return func(tx meta.Tx) ([]moraine.Garbage, error) { return tx.Sweeps().Garbage(limit) }
}

func testExtents(t *testing.T, s meta.Store) {
	list := []moraine.Extent{extent(0, 10, 1), extent(10, 10, 2), extent(30, 10, 3), extent(40, 1, 4)} // with a gap
	update(t, s, put("b", list[2], list[0], list[3], list[1]))
	update(t, s, put("c", extent(0, 100, 9)))
	for _, c := range []struct {
		name     string
		from     int64
		limit    int
		lo, next int
	}{
		{"all", 0, 10, 0, 4},
		{"inside the first", 9, 10, 0, 4},
		{"at a boundary", 10, 10, 1, 4},
		{"at the end of one before a gap", 20, 10, 2, 4},
		{"in the gap", 25, 10, 2, 4},
		{"after the gap", 30, 10, 2, 4},
		{"the last byte", 40, 10, 3, 4},
		{"past the end", 41, 10, 4, 4},
		{"limit", 5, 2, 0, 2},
		{"none wanted", 0, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) { want(t, s, list[c.lo:c.next], extents("b", c.from, c.limit)) })
	}
	want(t, s, list[2], func(tx meta.Tx) (moraine.Extent, error) { return tx.Bodies().At("b", 30) })
	wantNone(t, s, func(tx meta.Tx) (moraine.Extent, error) { return tx.Bodies().At("b", 31) })
	want(t, s, nil, extents("none", 0, 10))
}

func testPutReplaces(t *testing.T, s meta.Store) {
	update(t, s, put("b", extent(0, 10, 1), extent(10, 10, 2), extent(0, 5, 3)))
	want(t, s, []moraine.Extent{extent(0, 5, 3), extent(10, 10, 2)}, extents("b", 0, 10))
	want(t, s, []moraine.Garbage{{Blob: blob(1), Ref: "ref-1", Size: 10, Since: at(50)}}, garbage(10))
}

// testPutAgain repeats a Put, as an Update that runs twice may: the bytes are
// still wanted.
func testPutAgain(t *testing.T, s meta.Store) {
	update(t, s, put("b", extent(0, 10, 1)))
	moved := extent(0, 10, 1)
	moved.Ref = "elsewhere"
	update(t, s, put("b", moved))
	want(t, s, []moraine.Extent{moved}, extents("b", 0, 10))
	want(t, s, nil, garbage(10))
}

func testBlobUnique(t *testing.T, s meta.Store) {
	update(t, s, put("b", extent(0, 10, 1)))
	for name, fn := range map[string]func(tx meta.Tx) error{
		"other body": put("c", extent(0, 10, 1)),
		"same body":  put("b", extent(10, 10, 1)),
	} {
		if err := s.Update(t.Context(), fn); err == nil {
			t.Errorf("%s: a blob is named twice", name)
		}
	}
}

func testByBlob(t *testing.T, s meta.Store) {
	update(t, s, put("b", extent(0, 10, 1), extent(10, 10, 2)))
	find := func(n int) func(tx meta.Tx) (placed, error) {
		return func(tx meta.Tx) (p placed, err error) {
			p.Body, p.Extent, err = tx.Bodies().ByBlob(blob(n))
			return p, err
		}
	}
	move := func(n int) error {
		return s.Update(t.Context(), func(tx meta.Tx) error { return tx.Bodies().Move(blob(n), "elsewhere") })
	}
	want(t, s, placed{"b", extent(10, 10, 2)}, find(2))
	wantNone(t, s, find(3))
	if err := move(2); err != nil {
		t.Fatal(err)
	}
	moved := extent(10, 10, 2)
	moved.Ref = "elsewhere"
	want(t, s, placed{"b", moved}, find(2))
	want(t, s, []moraine.Extent{extent(0, 10, 1), moved}, extents("b", 0, 10))
	if err := move(3); !errors.Is(err, meta.ErrNotFound) {
		t.Errorf("Move of an unknown blob: %v, want ErrNotFound", err)
	}
	// A blob in the garbage is deleted where it is then.
	update(t, s, put("b", extent(0, 10, 4)))
	if err := move(1); err != nil {
		t.Fatal(err)
	}
	want(t, s, []moraine.Garbage{{Blob: blob(1), Ref: "elsewhere", Size: 10, Since: at(50)}}, garbage(10))
	wantNone(t, s, find(1))
}

func testBlobs(t *testing.T, s meta.Store) {
	var list []moraine.Extent
	for n := range 7 {
		list = append(list, extent(0, 10, n))
	}
	for _, n := range []int{3, 0, 6, 1, 5, 2, 4} { // bodies and blobs in different orders
		update(t, s, put(body(100-n*7%10), list[n]))
	}
	blobs := func(after moraine.BlobID, limit int) func(tx meta.Tx) ([]moraine.Extent, error) {
		return func(tx meta.Tx) ([]moraine.Extent, error) { return tx.Bodies().Blobs(after, limit) }
	}
	want(t, s, list, blobs(moraine.BlobID{}, 10))
	want(t, s, list[:3], blobs(moraine.BlobID{}, 3))
	want(t, s, list[3:5], blobs(list[2].Blob, 2))
	want(t, s, nil, blobs(list[6].Blob, 2))
	want(t, s, nil, blobs(moraine.BlobID{}, 0))
	// What is garbage is not shown.
	update(t, s, put(body(100), extent(0, 10, 50)))
	want(t, s, append(list[1:7:7], extent(0, 10, 50)), blobs(moraine.BlobID{}, 10))
}

// placed is what ByBlob returns.
type placed struct {
	Body   moraine.BodyID
	Extent moraine.Extent
}
