package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/s3/s3test"
	"moraine/internal/housetest"
)

// TestRestore puts small and large blobs into each cold class, and reads them when
// they were asked for and their time has passed, and no sooner.
func TestRestore(t *testing.T) {
	t.Parallel()
	for class, tiers := range map[string]map[moraine.Tier]string{
		"GLACIER":      {moraine.Expedited: "Expedited", moraine.Standard: "Standard", moraine.Bulk: "Bulk"},
		"DEEP_ARCHIVE": {moraine.Expedited: "Standard", moraine.Standard: "Standard", moraine.Bulk: "Bulk"},
	} {
		for tier, inTheirWords := range tiers {
			t.Run(class+" "+string(tier), func(t *testing.T) {
				t.Parallel()
				clock := housetest.NewClock(time.Now())
				cold := &s3test.Cold{Now: clock.Now, Delay: func(string) time.Duration { return 3 * time.Hour }}
				cfg := newFake(t, func(h http.Handler) http.Handler { cold.Next = h; return cold }).config()
				cfg.Class, cfg.Now = class, clock.Now
				s := open(t, cfg)
				if notes, err := s.Probe(t.Context()); err != nil || len(notes) > 0 {
					t.Fatalf("Probe: %v, %v", notes, err)
				}
				defer s.Close()
				for _, size := range []int64{100, 3<<20 + 5, 17 << 20} {
					before := len(cold.Requests())
					data := blobtest.Bytes(size)
					id := moraine.NewBlobID(clock.Now())
					ref, err := s.Put(t.Context(), id, bytes.NewReader(data), size)
					if err != nil {
						t.Fatal(err)
					}
					_, err = s.Open(t.Context(), ref, 0, size)
					if !errors.Is(err, blob.ErrCold) || !moraine.IsKind(err, moraine.Unavailable) {
						t.Fatalf("Open of a cold blob: %v", err)
					}
					for range 3 {
						if ready, err := s.Restore(t.Context(), ref, tier, 2); err != nil || ready {
							t.Fatalf("Restore: %v, %v", ready, err)
						}
					}
					asked := cold.Requests()[before:]
					if len(asked) != 1 || asked[0].Tier != inTheirWords || asked[0].Days != 2 {
						t.Errorf("asked for %v, want one restoration for two days, %s", asked, inTheirWords)
					}
					clock.Advance(3 * time.Hour)
					if ready, err := s.Restore(t.Context(), ref, tier, 2); err != nil || !ready {
						t.Fatalf("Restore when the time has passed: %v, %v", ready, err)
					}
					if got, err := read(t.Context(), s, ref, 0, size); err != nil || !bytes.Equal(got, data) {
						t.Errorf("%d bytes of %d, %v", len(got), size, err)
					}
				}
			})
		}
	}
}

func read(ctx context.Context, s blob.Store, ref moraine.BlobRef, off, n int64) ([]byte, error) {
	r, err := s.Open(ctx, ref, off, n)
	if err != nil {
		return nil, err
	}
	defer r.Close() // only read
	return io.ReadAll(r)
}

// TestColdWalk shows what is in a cold bucket with nothing restored, and cleans
// up after deletions.
func TestColdWalk(t *testing.T) {
	t.Parallel()
	cold := &s3test.Cold{Now: time.Now, Delay: func(string) time.Duration { return time.Hour }}
	f := newFake(t, func(h http.Handler) http.Handler { cold.Next = h; return cold })
	cfg := f.config()
	cfg.Class = "GLACIER"
	cfg.Linger = time.Second // all in one object
	s := open(t, cfg)
	defer s.Close()
	want := map[moraine.BlobID]moraine.BlobRef{}
	type put struct {
		id  moraine.BlobID
		ref moraine.BlobRef
		err error
	}
	puts := make(chan put)
	for range 5 {
		go func() {
			p := put{id: moraine.NewBlobID(time.Now())}
			p.ref, p.err = s.Put(context.Background(), p.id, strings.NewReader("small"), 5)
			puts <- p
		}()
	}
	for range 5 {
		p := <-puts
		if p.err != nil {
			t.Fatal(p.err)
		}
		want[p.id] = p.ref
	}
	if st := s.Stats(); st.Batches != 1 || st.BatchRecords != 5 {
		t.Errorf("%+v, want one shared object", st)
	}
	id := moraine.NewBlobID(time.Now())
	var err error
	if want[id], err = s.Put(t.Context(), id, bytes.NewReader(make([]byte, 2<<20)), 2<<20); err != nil {
		t.Fatal(err)
	}
	got := map[moraine.BlobID]moraine.BlobRef{}
	walk := func() {
		t.Helper()
		clear(got)
		err := s.Walk(t.Context(), func(i blob.Info) error { got[i.ID] = i.Ref; return nil }, func(err error) { t.Errorf("damage: %v", err) })
		if err != nil {
			t.Fatal(err)
		}
	}
	if walk(); len(got) != 6 {
		t.Errorf("Walk shows %d blobs", len(got))
	}
	for id, ref := range want {
		if got[id] != ref {
			t.Errorf("Walk shows %s at %s, not at %s", id, got[id], ref)
		}
		if err := s.Delete(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
	if walk(); len(got) != 0 {
		t.Errorf("Walk shows deleted blobs: %v", got)
	}
	if keys := f.keys(t); len(keys) > 0 {
		t.Errorf("objects are left: %v", keys)
	}
	// What will be read soon is not cold.
	ref, err := s.Put(blob.Warm(t.Context()), id, bytes.NewReader(make([]byte, 2<<20)), 2<<20)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := read(t.Context(), s, ref, 0, 2<<20); err != nil || len(got) != 2<<20 {
		t.Errorf("a warm blob: %d bytes, %v", len(got), err)
	}
	if ready, err := s.Restore(t.Context(), ref, moraine.Standard, 1); err != nil || !ready || len(cold.Requests()) > 0 {
		t.Errorf("Restore of a warm blob: %v, %v", ready, err)
	}
}

// keys lists every object of the fake.
func (f *fake) keys(t *testing.T) []string {
	t.Helper()
	list, err := f.backend.ListBucket(bucketName, nil, listPage)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, o := range list.Contents {
		keys = append(keys, o.Key)
	}
	slices.Sort(keys)
	return keys
}
