package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/mem"
	"moraine/internal/blob/mirror"
	"moraine/internal/blob/pack"
)

// tiny opens a pack store in which each blob of 4000 bytes fills a pack, so that
// every second one is in a sealed pack.
func tiny(t *testing.T, dir string) *pack.Store {
	t.Helper()
	s, err := pack.Open(pack.Config{Dir: dir, PackSize: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sparse puts blobs, deletes two of three, and seals.
func sparse(t *testing.T, open func() *mirror.Store) (s *mirror.Store, rows map[moraine.BlobID]moraine.BlobRef, data map[moraine.BlobID][]byte) {
	t.Helper()
	s = open()
	rows, data = map[moraine.BlobID]moraine.BlobRef{}, map[moraine.BlobID][]byte{}
	for n := range 12 {
		id, body := moraine.NewBlobID(time.Now()), blobtest.Bytes(4000)
		ref, err := s.Put(t.Context(), id, bytes.NewReader(body), 4000)
		if err != nil {
			t.Fatal(err)
		}
		if n%3 > 0 {
			if err := s.Delete(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
			continue
		}
		rows[id], data[id] = ref, body
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open(), rows, data
}

// TestRewrite empties the packs of both copies, each by itself.
func TestRewrite(t *testing.T) {
	t.Parallel()
	a, b := t.TempDir(), t.TempDir()
	s, rows, data := sparse(t, func() *mirror.Store { return mirror.New(mirror.Config{Primary: tiny(t, a), Second: tiny(t, b)}) })
	seen := map[string]int{}
	err := s.Sparse(t.Context(), blob.Sparsity{Held: 0.2, Given: 0.2}, func(i blob.Info) error {
		place := "primary"
		if strings.HasPrefix(string(i.Ref), "m2:+") {
			place = "mirror"
		}
		seen[place]++
		row := blob.Info{ID: i.ID, Ref: rows[i.ID], Size: i.Size}
		m, err := s.Rewrite(t.Context(), row, i.Ref, func(int) error { return nil })
		if err != nil || m.Ref == row.Ref || !slices.Equal(m.Drop, []moraine.BlobRef{i.Ref}) || len(m.Made) != 1 {
			t.Fatalf("Rewrite(%v, %s): %+v, %v", row, i.Ref, m, err)
		}
		// The other copy is where it was.
		wasA, wasB, _ := strings.Cut(strings.TrimPrefix(string(row.Ref), "m2:"), "+")
		isA, isB, _ := strings.Cut(strings.TrimPrefix(string(m.Ref), "m2:"), "+")
		if (wasA == isA) == (place == "primary") || (wasB == isB) == (place == "mirror") {
			t.Errorf("a copy in the %s store moves %s to %s", place, row.Ref, m.Ref)
		}
		rows[i.ID] = m.Ref
		if err := s.Delete(t.Context(), m.Drop[0]); err != nil {
			t.Error(err)
		}
		// Of a place that the row does not name any more nothing is made.
		again, err := s.Rewrite(t.Context(), blob.Info{ID: i.ID, Ref: m.Ref, Size: i.Size}, i.Ref, func(int) error { return nil })
		if err != nil || again.Ref != m.Ref || len(again.Made) > 0 {
			t.Errorf("Rewrite of a place that was left: %+v, %v", again, err)
		}
		return nil
	})
	if err != nil || seen["primary"] == 0 || seen["mirror"] == 0 {
		t.Errorf("Sparse: %v, %v", seen, err)
	}
	readRows(t, s, rows, data)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func readRows(t *testing.T, s *mirror.Store, rows map[moraine.BlobID]moraine.BlobRef, data map[moraine.BlobID][]byte) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for id, ref := range rows {
		copies, err := s.Check(t.Context(), blob.Info{ID: id, Ref: ref, Size: int64(len(data[id]))}, buf, func(int) error { return nil })
		for _, c := range copies {
			err = errors.Join(err, c.Err)
		}
		if err != nil {
			t.Errorf("%s: %v", ref, err)
		}
		r, err := s.Open(t.Context(), ref, 0, int64(len(data[id])))
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, data[id]) {
			t.Errorf("reading %s: %d bytes, %v", ref, len(got), err)
		}
	}
}

// TestRewriteAlone empties the packs of a store without a second copy, also for
// rows from when there was one.
func TestRewriteAlone(t *testing.T) {
	t.Parallel()
	for name, asRow := range map[string]func(moraine.BlobRef) moraine.BlobRef{
		"plain":           func(ref moraine.BlobRef) moraine.BlobRef { return ref },
		"formerly of two": func(ref moraine.BlobRef) moraine.BlobRef { return "m2:" + ref + "+" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, rows, data := sparse(t, func() *mirror.Store { return mirror.New(mirror.Config{Primary: tiny(t, dir)}) })
			for id, ref := range rows {
				rows[id] = asRow(ref)
			}
			moved := 0
			err := s.Sparse(t.Context(), blob.Sparsity{Held: 0.2, Given: 0.2}, func(i blob.Info) error {
				m, err := s.Rewrite(t.Context(), blob.Info{ID: i.ID, Ref: rows[i.ID], Size: i.Size}, i.Ref, func(int) error { return nil })
				if err != nil || m.Ref == rows[i.ID] || strings.HasPrefix(string(m.Ref), "m2:") != (name != "plain") {
					t.Errorf("Rewrite: %+v, %v", m, err)
				}
				rows[i.ID] = m.Ref
				for _, ref := range m.Drop {
					if err := s.Delete(t.Context(), ref); err != nil {
						t.Error(err)
					}
				}
				moved++
				return nil
			})
			if err != nil || moved == 0 {
				t.Errorf("%d blobs moved, %v", moved, err)
			}
			readRows(t, s, rows, data)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestRewriteOfStoresWithoutThePower wants a store that keeps no files together to
// be left alone.
func TestRewriteOfStoresWithoutThePower(t *testing.T) {
	t.Parallel()
	s := mirror.New(mirror.Config{Primary: mem.New(), Second: mem.New()})
	i := blob.Info{ID: moraine.NewBlobID(time.Now()), Size: 100}
	var err error
	if i.Ref, err = s.Put(t.Context(), i.ID, bytes.NewReader(blobtest.Bytes(100)), 100); err != nil {
		t.Fatal(err)
	}
	a, _, _ := strings.Cut(string(i.Ref), "+")
	m, err := s.Rewrite(t.Context(), i, moraine.BlobRef(a+"+"), func(int) error { return nil })
	if err != nil || m.Ref != i.Ref || len(m.Made) > 0 {
		t.Errorf("Rewrite: %+v, %v", m, err)
	}
	if err := s.Sparse(context.Background(), blob.Sparsity{}, func(i blob.Info) error { t.Error(i); return nil }); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
