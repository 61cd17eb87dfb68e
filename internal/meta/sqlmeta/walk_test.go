package sqlmeta_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"moraine"
	"moraine/internal/meta"
)

func TestWalkExtents(t *testing.T) {
	t.Parallel()
	s := openFor(t, filepath.Join(t.TempDir(), "meta.db"))
	var want []string
	err := s.Update(t.Context(), func(tx meta.Tx) error {
		want = want[:0]
		for _, body := range []moraine.BodyID{"a", "b"} {
			for first := int64(0); first < 3; first++ {
				e := moraine.Extent{First: first * 10, Size: 10, Blob: moraine.NewBlobID(benchTime), Ref: "x"}
				if err := tx.Bodies().Put(body, e, benchTime); err != nil {
					return err
				}
				want = append(want, fmt.Sprint(body, e.First, e.Blob))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	err = s.WalkExtents(t.Context(), func(b moraine.BodyID, e moraine.Extent) error {
		got = append(got, fmt.Sprint(b, e.First, e.Blob))
		return nil
	})
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("WalkExtents shows %v, %v; want %v", got, err, want)
	}
	stop := errors.New("stop")
	n := 0
	err = s.WalkExtents(t.Context(), func(moraine.BodyID, moraine.Extent) error { n++; return stop })
	if !errors.Is(err, stop) || n != 1 {
		t.Errorf("WalkExtents went on after an error: %d calls, %v", n, err)
	}
}
