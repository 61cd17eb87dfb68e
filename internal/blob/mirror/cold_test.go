package mirror_test

import (
	"context"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/mem"
	"moraine/internal/blob/mirror"
	"moraine/internal/treehash"
)

// coldStore is a store of which nothing can be read before it was restored.
type coldStore struct{ *mem.Store }

var errColdCopy = moraine.Wrap(blob.ErrCold, moraine.Unavailable, "the object was not restored")

// there is the error of a read: that of the store, or that it is cold.
func (c coldStore) there(ctx context.Context, ref moraine.BlobRef) error {
	if _, err := c.Store.Stat(ctx, ref); err != nil {
		return err
	}
	return errColdCopy
}

func (c coldStore) Stat(ctx context.Context, ref moraine.BlobRef) (blob.Info, error) {
	return blob.Info{}, c.there(ctx, ref)
}

func (c coldStore) Open(ctx context.Context, ref moraine.BlobRef, _, _ int64) (io.ReadCloser, error) {
	return nil, c.there(ctx, ref)
}

func (c coldStore) Leaves(ctx context.Context, ref moraine.BlobRef, _, _ int64) ([]treehash.Digest, error) {
	return nil, c.there(ctx, ref)
}

func (c coldStore) Check(ctx context.Context, i blob.Info, _ []byte, _ func(int) error) ([]blob.Copy, error) {
	return []blob.Copy{{Place: "cold", Err: c.there(ctx, i.Ref)}}, nil
}

// TestMendLeavesCold has a second copy in a cold class: that it cannot be read is no
// reason to make it anew. One that is gone is made, once.
func TestMendLeavesCold(t *testing.T) {
	t.Parallel()
	second := coldStore{mem.New()}
	s := mirror.New(mirror.Config{Primary: mem.New(), Second: second, Rebuilding: []string{mirror.Second}})
	defer s.Close()
	p := &pair{t: t, store: s}
	i := p.put([]byte("seldom read"))
	wantMissing := func(want []string) {
		t.Helper()
		if missing, err := s.Missing(t.Context(), i.Ref); err != nil || !cmp.Equal(missing, want) {
			t.Errorf("%v are missing, %v; want %v", missing, err, want)
		}
	}
	for range 2 {
		wantMissing(nil)
		if m, err := s.Mend(t.Context(), i); err != nil || m.Ref != i.Ref || len(m.Made)+len(m.Drop) != 0 {
			t.Errorf("a cold copy was mended: %+v, %v", m, err)
		}
		if err := second.Delete(t.Context(), half(t, i.Ref, 1)); err != nil {
			t.Fatal(err)
		}
		wantMissing([]string{mirror.Second})
		m, err := s.Mend(t.Context(), i)
		if err != nil || len(m.Made) != 1 {
			t.Fatalf("a copy that is gone: %+v, %v", m, err)
		}
		i.Ref = m.Ref
	}
}
