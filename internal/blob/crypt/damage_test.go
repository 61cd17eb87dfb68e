package crypt_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/crypt"
	"moraine/internal/blob/mem"
	"moraine/internal/treehash"
)

// lying is a store whose bytes the test changes.
type lying struct {
	blob.Store
	change func(p []byte, off int64) // nil to be honest
	swap   map[moraine.BlobRef]moraine.BlobRef
}

func (l *lying) Open(ctx context.Context, ref moraine.BlobRef, off, n int64) (io.ReadCloser, error) {
	if other, ok := l.swap[ref]; ok {
		ref = other
	}
	r, err := l.Store.Open(ctx, ref, off, n)
	if err != nil || l.change == nil {
		return r, err
	}
	data, err := io.ReadAll(r)
	l.change(data, off)
	return io.NopCloser(bytes.NewReader(data)), errors.Join(err, r.Close())
}

func put(t *testing.T, s blob.Store, data []byte) moraine.BlobRef {
	t.Helper()
	ref, err := s.Put(t.Context(), moraine.NewBlobID(time.Now()), bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func get(t *testing.T, s blob.Store, ref moraine.BlobRef, size int) ([]byte, error) {
	t.Helper()
	r, err := s.Open(t.Context(), ref, 0, int64(size))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	return data, errors.Join(err, r.Close())
}

// TestFlips changes one bit at a time, in every part of the stored blob:
// reading it all, or its digests, never ends well, and never gives wrong bytes.
func TestFlips(t *testing.T) {
	t.Parallel()
	inner := &lying{Store: mem.New()}
	s := crypt.New(inner, newRing(t))
	data := blobtest.Bytes(2<<20 + 70_000)
	ref := put(t, s, data)
	stored := int64(0)
	err := inner.Store.(blob.Walker).Walk(t.Context(), func(i blob.Info) error { stored = i.Size; return nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	var places []int64
	for off := int64(0); off < 300; off++ {
		places = append(places, off)
	}
	for off := int64(300); off < stored; off += 65_551 {
		places = append(places, off)
	}
	for off := stored - 120; off < stored; off++ {
		places = append(places, off)
	}
	for _, place := range places {
		inner.change = func(p []byte, off int64) {
			if i := place - off; i >= 0 && i < int64(len(p)) {
				p[i] ^= 1
			}
		}
		got, err := get(t, s, ref, len(data))
		leaves, errLeaves := s.Leaves(t.Context(), ref, 0, 3)
		if err == nil && errLeaves == nil {
			t.Fatalf("byte %d of %d changed and nobody noticed: %d bytes, %d leaves", place, stored, len(got), len(leaves))
		}
		for _, err := range []error{err, errLeaves} {
			if err != nil && !moraine.IsKind(err, moraine.Corrupt) {
				t.Fatalf("byte %d changed: %v", place, err)
			}
		}
		if !bytes.HasPrefix(data, got) {
			t.Fatalf("byte %d changed: wrong bytes were delivered", place)
		}
	}
}

// TestSwapped puts one blob in the place of another of the same length.
func TestSwapped(t *testing.T) {
	t.Parallel()
	inner := &lying{Store: mem.New(), swap: map[moraine.BlobRef]moraine.BlobRef{}}
	s := crypt.New(inner, newRing(t))
	a, b := put(t, s, blobtest.Bytes(5000)), put(t, s, blobtest.Bytes(5000))
	tail := func(r moraine.BlobRef) moraine.BlobRef { return r[strings.LastIndex(string(r), ":")+1:] }
	inner.swap[tail(a)] = tail(b)
	if _, err := get(t, s, a, 5000); !moraine.IsKind(err, moraine.Corrupt) {
		t.Errorf("a blob in the place of another: %v", err)
	}
	if _, err := s.Leaves(t.Context(), a, 0, 1); !moraine.IsKind(err, moraine.Corrupt) {
		t.Errorf("its digests: %v", err)
	}
}

// TestRings reads blobs with rings that have their key and rings that lack it.
func TestRings(t *testing.T) {
	t.Parallel()
	keys := []crypt.Key{crypt.GenerateKey(), crypt.GenerateKey(), crypt.GenerateKey()}
	inner := mem.New()
	data := blobtest.Bytes(70_000)
	plain := put(t, crypt.New(inner, nil), data)
	s := crypt.New(inner, ringOf(t, keys[0]))
	first := put(t, s, data)
	s.SetRing(ringOf(t, keys[0], keys[1])) // rotated
	second := put(t, s, data)
	s.SetRing(ringOf(t, keys[0], keys[1]).ReadOnly()) // turned off
	third := put(t, s, data)
	for name, ref := range map[string]moraine.BlobRef{"plain": plain, "first key": first, "second key": second, "off": third} {
		if got, err := get(t, s, ref, len(data)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.SetRing(ringOf(t, keys[0]))
	if _, err := get(t, s, second, len(data)); !moraine.IsKind(err, moraine.Unavailable) || !strings.Contains(err.Error(), keys[1].ID().String()) {
		t.Errorf("made with the second key, read with the first: %v", err)
	}
	if _, err := get(t, crypt.New(inner, nil), third, len(data)); err != nil {
		t.Errorf("put with a read-only ring, it is encrypted: %v", err)
	}
	s.SetRing(ringOf(t, keys[2]))
	if _, err := get(t, s, first, len(data)); !moraine.IsKind(err, moraine.Unavailable) || !strings.Contains(err.Error(), keys[0].ID().String()) {
		t.Errorf("key not there: %v", err)
	}
	s.SetRing(nil)
	if _, err := get(t, s, second, len(data)); !moraine.IsKind(err, moraine.Unavailable) {
		t.Errorf("no ring: %v", err)
	}
	// Without any key everything can still be deleted.
	for _, ref := range []moraine.BlobRef{plain, first, second, third} {
		if err := s.Delete(t.Context(), ref); err != nil {
			t.Error(err)
		}
	}
	if err := s.Walk(t.Context(), func(i blob.Info) error { t.Errorf("%s is left", i.Ref); return nil }, nil); err != nil {
		t.Error(err)
	}
}

// TestSecrecy looks for a plaintext, its digests and its tree hash in what is
// stored.
func TestSecrecy(t *testing.T) {
	t.Parallel()
	inner := mem.New()
	s := crypt.New(inner, newRing(t))
	data := bytes.Repeat([]byte("last will and testament "), 100_000)
	put(t, s, data)
	var stored []byte
	err := inner.Walk(t.Context(), func(i blob.Info) error {
		var err error
		stored, err = get(t, inner, i.Ref, int(i.Size))
		return err
	}, nil)
	leaf := treehash.Leaf(data[:treehash.LeafSize])
	if err != nil || len(stored) < len(data) || bytes.Contains(stored, []byte("testament")) || bytes.Contains(stored, leaf[:8]) {
		t.Errorf("%v: %d bytes are stored, some of them readable", err, len(stored))
	}
}

// TestReferences gives references that Put never returned: such as nothing
// could have, and such as lead to another blob or to none.
func TestReferences(t *testing.T) {
	t.Parallel()
	s := crypt.New(mem.New(), newRing(t))
	good := string(put(t, s, []byte("x")))
	for _, row := range []struct {
		kind moraine.Kind
		refs []string
	}{
		{moraine.Invalid, []string{
			"", "x", strings.ToUpper(good), "k1:", "k1:1", "k1:1:", "k1:1:0011223344556677", "k1:0:0011223344556677:m.1",
			"k1:-1:0011223344556677:m.1", "k1:+1:0011223344556677:m.1", "k1:01:0011223344556677:m.1", "k1:1:00112233445566:m.1",
			"k1:1:001122334455667788:m.1", "k1:1:001122334455667X:m.1", "k1:1:001122334455667A:m.1", "k1:1:0011223344556677:",
			"k1:1:0011223344556677:m.9", "k1:4000000000001" + good[len("k1:1"):], "k1:7fffffffffffffff" + good[len("k1:1"):],
		}},
		{moraine.Corrupt, []string{"k1:1:0011223344556677:m.1", "k1:2" + good[len("k1:1"):]}},
	} {
		for _, bad := range row.refs {
			if row.kind == moraine.Invalid && !strings.HasPrefix(bad, "k1:1:0011223344556677:") {
				if err := s.Delete(t.Context(), moraine.BlobRef(bad)); !moraine.IsKind(err, moraine.Invalid) {
					t.Errorf("delete of %q: %v", bad, err)
				}
			}
			if _, err := get(t, s, moraine.BlobRef(bad), 1); !moraine.IsKind(err, row.kind) && !moraine.IsKind(err, moraine.Invalid) {
				t.Errorf("%q: %v, want %v", bad, err, row.kind)
			}
			if _, err := s.Leaves(t.Context(), moraine.BlobRef(bad), 0, 1); !moraine.IsKind(err, row.kind) && !moraine.IsKind(err, moraine.Invalid) {
				t.Errorf("leaves of %q: %v, want %v", bad, err, row.kind)
			}
		}
	}
	if _, err := get(t, s, moraine.BlobRef(good), 1); err != nil {
		t.Errorf("the blob itself: %v", err)
	}
}
