package crypt_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/crypt"
	"moraine/internal/blob/mem"
	"moraine/internal/treehash"
)

// twofold is a store below the encryption with the powers to check and to mend.
type twofold struct {
	*mem.Store
	asked  []blob.Info
	copies []blob.Copy
	mended blob.Mended
}

func (s *twofold) Check(_ context.Context, i blob.Info, _ []byte, _ func(int) error) ([]blob.Copy, error) {
	s.asked = append(s.asked, i)
	return s.copies, nil
}

func (s *twofold) Missing(context.Context, moraine.BlobRef) ([]string, error) { return nil, nil }

func (s *twofold) Mend(_ context.Context, i blob.Info) (blob.Mended, error) {
	s.asked = append(s.asked, i)
	return s.mended, nil
}

func walk(t *testing.T, s blob.Store) []blob.Info {
	t.Helper()
	var all []blob.Info
	if err := s.(blob.Walker).Walk(t.Context(), func(i blob.Info) error { all = append(all, i); return nil }, nil); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCheckAndMendWithoutKeys asks a store that has lost its keys to check and
// mend an encrypted blob and a plain one, and looks what the store below is
// asked and what becomes of its answer.
func TestCheckAndMendWithoutKeys(t *testing.T) {
	t.Parallel()
	inner := &twofold{Store: mem.New(), copies: []blob.Copy{{Place: "primary"}, {Place: "mirror", Err: moraine.Errorf(moraine.NotFound, "gone")}}}
	s := crypt.New(inner, newRing(t))
	id, data := moraine.NewBlobID(time.Now()), blobtest.Bytes(100_000)
	sealed, err := s.Put(t.Context(), id, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	stored := walk(t, inner)[0]
	s.SetRing(nil)
	plain := blob.Info{ID: id, Ref: "m.7", Size: 5}
	for _, row := range []struct {
		name         string
		asked, below blob.Info
	}{
		{"encrypted", blob.Info{ID: id, Ref: sealed, Size: int64(len(data))}, stored},
		{"plain", plain, plain},
		{"the size is not that of the reference", blob.Info{ID: id, Ref: sealed, Size: 99_999}, blob.Info{ID: id, Ref: stored.Ref, Size: stored.Size - 1}},
		{"no size", blob.Info{ID: id, Ref: sealed}, blob.Info{ID: id, Ref: stored.Ref}},
		{"no reference", blob.Info{ID: id, Ref: "k1:", Size: 5}, blob.Info{ID: id, Ref: "k1:", Size: 5}},
	} {
		inner.asked = nil
		found, err := s.Check(t.Context(), row.asked, nil, nil)
		if err != nil || len(found) != 2 || found[1].Place != "mirror" || !moraine.IsKind(found[1].Err, moraine.NotFound) {
			t.Errorf("%s: Check: %v, %v", row.name, found, err)
		}
		if diff := cmp.Diff([]blob.Info{row.below}, inner.asked); diff != "" {
			t.Errorf("%s: the store below is asked (-want +got):\n%s", row.name, diff)
		}
	}
	inner.mended = blob.Mended{Ref: "m2:a+b", Drop: []moraine.BlobRef{"m2:a+"}}
	prefix := sealed[:len(sealed)-len(stored.Ref)]
	done, err := s.Mend(t.Context(), blob.Info{ID: id, Ref: sealed, Size: int64(len(data))})
	if diff := cmp.Diff(blob.Mended{Ref: prefix + "m2:a+b", Drop: []moraine.BlobRef{prefix + "m2:a+"}}, done); diff != "" || err != nil {
		t.Errorf("mend of an encrypted blob (-want +got): %v\n%s", err, diff)
	}
	if stored.Ref != inner.asked[len(inner.asked)-1].Ref {
		t.Errorf("mend asks for %v", inner.asked[len(inner.asked)-1])
	}
	inner.mended.Drop = []moraine.BlobRef{"m2:a+"}
	done, err = s.Mend(t.Context(), plain)
	if diff := cmp.Diff(blob.Mended{Ref: "m2:a+b", Drop: []moraine.BlobRef{"m2:a+"}}, done); diff != "" || err != nil {
		t.Errorf("mend of a plain blob (-want +got): %v\n%s", err, diff)
	}
}

func (s *twofold) Sparse(_ context.Context, _ blob.Sparsity, fn func(blob.Info) error) error {
	return fn(blob.Info{ID: moraine.BlobID{7}, Ref: "m2:a+", Size: 9})
}

func (s *twofold) Rewrite(_ context.Context, i blob.Info, at moraine.BlobRef, _ func(int) error) (blob.Mended, error) {
	s.asked = append(s.asked, i, blob.Info{Ref: at})
	return s.mended, nil
}

// TestRewriteWithoutKeys asks a store that has lost its keys to move an encrypted
// blob and a plain one.
func TestRewriteWithoutKeys(t *testing.T) {
	t.Parallel()
	inner := &twofold{Store: mem.New()}
	s := crypt.New(inner, newRing(t))
	id, data := moraine.NewBlobID(time.Now()), blobtest.Bytes(100_000)
	sealed, err := s.Put(t.Context(), id, bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	stored := walk(t, inner)[0]
	s.SetRing(nil)
	prefix := sealed[:len(sealed)-len(stored.Ref)]
	for name, test := range map[string]struct {
		asked, below blob.Info
		prefix       moraine.BlobRef
	}{
		"encrypted": {blob.Info{ID: id, Ref: sealed, Size: int64(len(data))}, stored, prefix},
		"plain":     {blob.Info{ID: id, Ref: "m.7", Size: 5}, blob.Info{ID: id, Ref: "m.7", Size: 5}, ""},
	} {
		inner.asked = nil
		inner.mended = blob.Mended{Ref: "m2:c+b", Made: []moraine.BlobRef{"m2:c+"}, Drop: []moraine.BlobRef{"m2:a+"}}
		done, err := s.Rewrite(t.Context(), test.asked, "m2:a+", func(int) error { return nil })
		want := blob.Mended{Ref: test.prefix + "m2:c+b", Made: []moraine.BlobRef{test.prefix + "m2:c+"}, Drop: []moraine.BlobRef{test.prefix + "m2:a+"}}
		if diff := cmp.Diff(want, done); diff != "" || err != nil {
			t.Errorf("%s (-want +got): %v\n%s", name, err, diff)
		}
		if diff := cmp.Diff([]blob.Info{test.below, {Ref: "m2:a+"}}, inner.asked); diff != "" {
			t.Errorf("%s: the store below is asked (-want +got):\n%s", name, diff)
		}
	}
	var shown []blob.Info
	err = s.Sparse(t.Context(), blob.Sparsity{}, func(i blob.Info) error { shown = append(shown, i); return nil })
	if diff := cmp.Diff([]blob.Info{{ID: moraine.BlobID{7}, Ref: "m2:a+", Size: 9}}, shown); diff != "" || err != nil {
		t.Errorf("Sparse (-want +got): %v\n%s", err, diff)
	}
}

// TestWithoutPowers has a store below that cannot be checked and has one copy.
func TestWithoutPowers(t *testing.T) {
	t.Parallel()
	s := crypt.New(struct{ blob.Store }{mem.New()}, newRing(t))
	i := blob.Info{Ref: "m.1", Size: 1}
	if _, err := s.Check(t.Context(), i, nil, nil); !moraine.IsKind(err, moraine.Internal) {
		t.Errorf("Check: %v", err)
	}
	if done, err := s.Mend(t.Context(), i); err != nil || done.Ref != i.Ref {
		t.Errorf("Mend: %+v, %v", done, err)
	}
	if done, err := s.Rewrite(t.Context(), i, i.Ref, nil); err != nil || done.Ref != i.Ref {
		t.Errorf("Rewrite: %+v, %v", done, err)
	}
	if err := s.Sparse(t.Context(), blob.Sparsity{}, nil); err != nil {
		t.Errorf("Sparse: %v", err)
	}
}

// TestResolve makes of what a walk shows what Put returned.
func TestResolve(t *testing.T) {
	t.Parallel()
	inner := mem.New()
	keyed := newRing(t)
	put := func(s blob.Store, size int64) blob.Info {
		t.Helper()
		id := moraine.NewBlobID(time.Now())
		ref, err := s.Put(t.Context(), id, bytes.NewReader(blobtest.Bytes(size)), size)
		if err != nil {
			t.Fatal(err)
		}
		return blob.Info{ID: id, Ref: ref, Size: size}
	}
	s := crypt.New(inner, nil)
	want := map[moraine.BlobID]blob.Info{}
	for _, size := range []int64{1, 213, 214, 262, 263, 5000, 65_536, 1 << 20, 1<<20 + 1} {
		s.SetRing(nil)
		plain := put(s, size)
		s.SetRing(keyed)
		sealed := put(s, size)
		want[plain.ID], want[sealed.ID] = plain, sealed
	}
	// The stored form of one blob put as a plain blob is not encrypted: its key
	// is bound to another id.
	first := walk(t, inner)[0]
	for _, i := range walk(t, inner) {
		if want[i.ID].Ref != i.Ref {
			first = i
		}
	}
	bytesOf, err := get(t, inner, first.Ref, int(first.Size))
	if err != nil {
		t.Fatal(err)
	}
	copied := blob.Info{ID: moraine.NewBlobID(time.Now()), Size: first.Size}
	if copied.Ref, err = inner.Put(t.Context(), copied.ID, bytes.NewReader(bytesOf), copied.Size); err != nil {
		t.Fatal(err)
	}
	want[copied.ID] = copied

	got := map[moraine.BlobID]blob.Info{}
	for _, i := range walk(t, s) {
		if got[i.ID], err = blob.Resolve(t.Context(), s, i); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("resolved (-want +got):\n%s", diff)
	}
	s.SetRing(newRing(t))
	for _, i := range walk(t, s) {
		_, encrypted := crypt.Stored(want[i.ID])
		if _, err := s.Resolve(t.Context(), i); encrypted != moraine.IsKind(err, moraine.Unavailable) {
			t.Errorf("without the key, encrypted %v: %v", encrypted, err)
		}
	}
	// Damage in a header is none of an encrypted blob any more, but never an
	// encrypted blob that looks whole.
	s.SetRing(keyed)
	inner.Corrupt(first.Ref, 100)
	if _, err := s.Resolve(t.Context(), first); !moraine.IsKind(err, moraine.Corrupt) {
		t.Errorf("damaged header: %v", err)
	}
}

// treacherous is a store that returns references of our form.
type treacherous struct{ blob.Store }

func (s treacherous) Put(context.Context, moraine.BlobID, io.Reader, int64) (moraine.BlobRef, error) {
	return "k1:1:0011223344556677:x", nil
}

// TestNested refuses the reference of a plain blob that would be read as one of
// an encrypted blob.
func TestNested(t *testing.T) {
	t.Parallel()
	s := crypt.New(treacherous{mem.New()}, nil)
	if ref, err := s.Put(t.Context(), moraine.BlobID{}, bytes.NewReader([]byte("x")), 1); !moraine.IsKind(err, moraine.Internal) {
		t.Errorf("got %s, %v", ref, err)
	}
}

// TestSizes checks that the length of a stored blob is computed both ways.
func TestSizes(t *testing.T) {
	t.Parallel()
	lengths := map[int64]bool{}
	for _, around := range []int64{1, 65_504, 65_536, 131_008, treehash.LeafSize, 2 * treehash.LeafSize, 4 << 30, crypt.SizeMax} {
		for size := max(1, around-200); size <= min(around+200, crypt.SizeMax); size++ {
			stored := crypt.StoredSize(size)
			back, ok := crypt.PlainSize(stored)
			if !ok || back != size || stored <= size {
				t.Fatalf("%d bytes are stored as %d, which is read as %d, %v", size, stored, back, ok)
			}
			lengths[stored] = true
		}
	}
	for _, stored := range []int64{-1, 0, 1, 214, 230, 231, 262, crypt.StoredSize(crypt.SizeMax) + 1, 1<<63 - 1} {
		if size, ok := crypt.PlainSize(stored); ok {
			t.Errorf("%d bytes are taken for an encrypted blob of %d", stored, size)
		}
	}
}
