package server

import (
	"strings"
	"testing"
	"time"

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
			space := func() *room {
				return &room{
					space:   func() (int64, int64, error) { return tt.free, tt.total, nil },
					elapsed: func() time.Duration { return 0 },
				}
			}
			_, below := reservingPacks{store, space()}.Put(t.Context(), moraine.BlobID{1}, strings.NewReader("12345"), 5)
			if (below == nil) != tt.ok {
				t.Errorf("a copy made anew: %v", below)
			}
			// A byte of its own does not count there: the reserve does.
			away := reserving{mirror.New(mirror.Config{Primary: store}), space(), true, nil}
			if _, err := away.Put(t.Context(), moraine.BlobID{2}, strings.NewReader("12345"), 5); (err == nil) != (tt.ok || strings.HasPrefix(tt.name, "one byte short")) {
				t.Errorf("a blob that goes elsewhere: %v", err)
			}
			s := reserving{mirror.New(mirror.Config{Primary: store}), space(), false, nil}
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

// TestRoomLooks checks when the space is looked at: again after a moment, after a
// share of the surplus was taken, and for every blob when there is none.
func TestRoomLooks(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	looks, free, now := 0, int64(reserveMost+6400), time.Duration(0)
	r := &room{
		space:   func() (int64, int64, error) { looks++; return free, 100 * gib, nil },
		elapsed: func() time.Duration { return now },
	}
	for i, step := range []struct {
		free  int64
		now   time.Duration
		size  int64
		looks int
		ok    bool
	}{
		{reserveMost + 6400, 0, 0, 1, true},
		{0, roomFor - 1, 60, 1, true},               // of a credit of 100
		{0, roomFor - 1, 41, 2, false},              // more than what is left of it
		{0, roomFor - 1, 1, 3, false},               // a refusal gives no credit
		{reserveMost + 6400, roomFor, 0, 4, true},   // there is space again
		{reserveMost, 2 * roomFor, 1, 5, false},     // and a moment later none
		{reserveMost + 64, 2 * roomFor, 0, 6, true}, // a credit of one byte
		{reserveMost + 64, 2 * roomFor, 1, 6, true},
		{reserveMost + 64, 2 * roomFor, 1, 7, true},
	} {
		free, now = step.free, step.now
		if err := r.check(step.size); (err == nil) != step.ok || looks != step.looks {
			t.Errorf("step %d: %v after %d looks, want %d", i, err, looks, step.looks)
		}
	}
}
