package server

import (
	"strings"
	"testing"

	"moraine"
	"moraine/internal/blob/mirror"
	"moraine/internal/blob/pack"
)

func TestReserve(t *testing.T) {
	t.Parallel()
	store, err := pack.Open(pack.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	const gib = 1 << 30
	for _, tt := range []struct {
		name        string
		free, total int64
		ok          bool
	}{
		{"plenty", 50 * gib, 100 * gib, true},
		{"just enough of a large disk", reserveMost + 5, 100 * gib, true},
		{"one byte short of it", reserveMost + 4, 100 * gib, false},
		{"just enough of a small disk", reserveLeast + 5, 64 << 20, true},
		{"one byte short of it, small", reserveLeast + 4, 64 << 20, false},
		{"nothing", 0, gib, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			space := room{func() (int64, int64, error) { return tt.free, tt.total, nil }}
			_, below := reservingPacks{store, space}.Put(t.Context(), moraine.BlobID{1}, strings.NewReader("12345"), 5)
			if (below == nil) != tt.ok {
				t.Errorf("a copy made anew: %v", below)
			}
			s := reserving{mirror.New(mirror.Config{Primary: store}), space, nil}
			ref, err := s.Put(t.Context(), moraine.BlobID{1}, strings.NewReader("12345"), 5)
			if tt.ok {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if ref != "" || !moraine.IsKind(err, moraine.Unavailable) || err.Error() != "storage is full" {
				t.Errorf("Put = %q, %v", ref, err)
			}
		})
	}
}
