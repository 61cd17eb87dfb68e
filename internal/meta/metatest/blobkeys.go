package metatest

import (
	"fmt"
	"testing"

	"moraine"
	"moraine/internal/meta"
)

var blobKeyTests = []test{
	{"list and save", in(testBlobKeys)},
}

func blobKey(n, created int) moraine.BlobKey {
	return moraine.BlobKey{
		ID: fmt.Sprintf("%016x", n), Created: at(created), WrappedBy: fmt.Sprintf("master %d", n), Wrapped: []byte{byte(n), 0, 0xff},
	}
}

func testBlobKeys(t *testing.T, s meta.Store) {
	list := func(tx meta.Tx) ([]moraine.BlobKey, error) { return tx.BlobKeys().List() }
	save := func(k moraine.BlobKey) {
		t.Helper()
		update(t, s, func(tx meta.Tx) error { return tx.BlobKeys().Save(k) })
	}
	want(t, s, nil, list)
	a, b, c := blobKey(3, 1), blobKey(1, 2), blobKey(2, 2)
	for _, k := range []moraine.BlobKey{c, a, b} {
		save(k)
	}
	want(t, s, []moraine.BlobKey{a, b, c}, list)
	b.WrappedBy, b.Wrapped = "another master", []byte("rewrapped")
	save(b)
	want(t, s, []moraine.BlobKey{a, b, c}, list)
}

func (m *model) BlobKeys() meta.BlobKeys { return modelBlobKeys{m} }

type modelBlobKeys struct{ *model }

func (m modelBlobKeys) List() ([]moraine.BlobKey, error) {
	return pick(m.blobKeys, len(m.blobKeys), func(moraine.BlobKey) bool { return true },
		func(a, b moraine.BlobKey) int { return position(a.Created, a.ID, b.Created, b.ID) }), nil
}

func (m modelBlobKeys) Save(k moraine.BlobKey) error {
	m.blobKeys[k.ID] = k
	return nil
}
