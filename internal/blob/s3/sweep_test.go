package s3_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/s3"
)

// together puts blobs that share one object, and returns their references.
func together(t *testing.T, s *s3.Store, n int) []moraine.BlobRef {
	t.Helper()
	refs := make([]moraine.BlobRef, n)
	var wg sync.WaitGroup
	for i := range refs {
		wg.Go(func() {
			var err error
			if refs[i], err = s.Put(t.Context(), moraine.NewBlobID(time.Now()), bytes.NewReader(blobtest.Bytes(100)), 100); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if st := s.Stats(); st.Batches != 1 || st.BatchRecords != int64(n) {
		t.Fatalf("%+v, want one object of %d records", st, n)
	}
	return refs
}

// TestSharedDeletion deletes the records of one object from two processes at a
// time: it keeps its bytes until the last is deleted, then nothing is left.
func TestSharedDeletion(t *testing.T) {
	t.Parallel()
	f := newFake(t, nil)
	cfg := f.config()
	cfg.Linger = time.Second
	s, other := open(t, cfg), open(t, cfg)
	defer s.Close()
	defer other.Close()
	refs := together(t, s, 20)
	for _, ref := range refs[2:] {
		if err := s.Delete(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		if _, err := other.Open(t.Context(), ref, 0, 1); !moraine.IsKind(err, moraine.NotFound) {
			t.Errorf("another process opens a deleted blob: %v", err)
		}
	}
	if got, err := read(t.Context(), other, refs[0], 0, 100); err != nil || len(got) != 100 {
		t.Errorf("a neighbour of deleted blobs: %d bytes, %v", len(got), err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Delete(t.Context(), refs[0]); err != nil {
			t.Error(err)
		}
	})
	if err := other.Delete(t.Context(), refs[1]); err != nil {
		t.Error(err)
	}
	wg.Wait()
	for _, key := range f.keys(t) {
		if strings.Contains(key, "/v1/") {
			t.Errorf("left behind: %v", key)
		}
	}
}

// TestSweep removes what crashes leave: an upload that was not completed, a mark
// without an object, an object whose records are all marked; each of the first two
// when it is older than the grace by the store's clock, and no sooner.
func TestSweep(t *testing.T) {
	t.Parallel()
	cfg := newGateway(t)
	cfg.Linger = time.Second
	raw := rawClient(cfg)
	s := open(t, cfg)
	defer s.Close()
	refs := together(t, s, 2)
	id, offs := strings.Split(string(refs[0]), ":")[1], []string{strings.Split(string(refs[0]), ":")[3], strings.Split(string(refs[1]), ":")[3]}
	put := func(key string) {
		t.Helper()
		if _, err := raw.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String(bucketName), Key: aws.String(key), Body: strings.NewReader("deleted\n")}); err != nil {
			t.Fatal(err)
		}
	}
	// A crash between the last mark and the removal.
	for _, off := range offs {
		put("some/prefix/d1/" + id[46:] + "/" + id + "/" + off)
	}
	// A mark that was repeated when the object was gone, and an upload.
	gone := "01a204ee9bee0c78c468963e12b2cc8e4882b161f99fa8"
	put("some/prefix/d1/24/" + gone + "24/a0")
	put("some/prefix/i1/24/" + gone + "24.p2")
	begun, err := raw.CreateMultipartUpload(t.Context(), &awss3.CreateMultipartUploadInput{
		Bucket: aws.String(bucketName), Key: aws.String("some/prefix/v1/24/" + gone + "24.l900001"),
	})
	if err != nil {
		t.Fatal(err)
	}
	left := func() (keys []string) {
		t.Helper()
		out, err := raw.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: aws.String(bucketName)})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range out.Contents {
			keys = append(keys, *o.Key)
		}
		ups, err := raw.ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: aws.String(bucketName)})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range ups.Uploads {
			if *u.UploadId == *begun.UploadId {
				keys = append(keys, "upload of "+*u.Key)
			}
		}
		return keys
	}
	shown := 0
	walk := func(s *s3.Store) {
		t.Helper()
		if err := s.Walk(t.Context(), func(blob.Info) error { shown++; return nil }, func(err error) { t.Error(err) }); err != nil {
			t.Fatal(err)
		}
	}
	if walk(s); shown != 0 {
		t.Errorf("%d deleted blobs are shown", shown)
	}
	if keys := left(); len(keys) != 3 {
		t.Errorf("left behind within the grace: %q, want a mark, an index and an upload", keys)
	}
	cfg.Grace = time.Nanosecond // that is, all that the store's clock calls past
	eager := open(t, cfg)
	defer eager.Close()
	deadline := time.Now().Add(3 * time.Minute)
	for len(left()) > 0 && time.Now().Before(deadline) {
		walk(eager)
	}
	if keys := left(); len(keys) > 0 {
		t.Errorf("left behind past the grace: %q", keys)
	}
}

// TestPages walks more objects and marks than one answer of the store holds.
func TestPages(t *testing.T) {
	t.Parallel()
	f := newFake(t, nil)
	cfg := f.config()
	cfg.Linger = -1
	s := open(t, cfg)
	defer s.Close()
	const n = 1016 // an answer holds 1000
	var mu sync.Mutex
	live := map[moraine.BlobID]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range n / 8 {
				id := moraine.NewBlobID(time.Now())
				if _, err := s.Put(t.Context(), id, strings.NewReader("x"), 1); err != nil {
					t.Error(err)
				}
				mu.Lock()
				live[id] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	seen := 0
	err := s.Walk(t.Context(), func(i blob.Info) error {
		if !live[i.ID] {
			t.Errorf("%s is shown twice, or unknown", i.ID)
		}
		delete(live, i.ID)
		if seen++; seen%2 == 0 {
			return s.Delete(t.Context(), i.Ref)
		}
		return nil
	}, func(err error) { t.Error(err) })
	if err != nil || len(live) > 0 {
		t.Errorf("%v; %d blobs were not shown", err, len(live))
	}
}
