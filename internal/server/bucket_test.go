package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"moraine/internal/blob/s3/s3test"
	"moraine/internal/config"
	"moraine/internal/housetest"
	"moraine/internal/server"
)

const bucketSecret = "a secret of the bucket that nobody reads"

// fakeStore starts an S3 store in this process with the buckets one and two, and
// returns how it is reached. front stands before it if it is not nil.
func fakeStore(t *testing.T, front func(http.Handler) http.Handler) config.Bucket {
	t.Helper()
	backend := s3mem.New()
	for _, name := range []string{"one", "two"} {
		if err := backend.CreateBucket(name); err != nil {
			t.Fatal(err)
		}
	}
	handler := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	if front != nil {
		handler = front(handler)
	}
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return config.Bucket{
		Endpoint: s.URL, Region: "us-east-1", PathStyle: true, Linger: time.Millisecond,
		AccessKeyID: "AKIDBUCKET", SecretAccessKey: bucketSecret,
	}
}

// newBucketed stores archives in a bucket.
func newBucketed(t *testing.T, place string, bucket config.Bucket) *twins {
	t.Helper()
	w := &twins{t: t, cfg: settings(t, t.TempDir()), archives: map[string][]byte{}}
	w.cfg.Storage.Blobs, w.cfg.Storage.Bucket = place, bucket
	w.start("")
	w.want(http.MethodPut, "/-/vaults/v", nil, nil, http.StatusCreated, "")
	w.store()
	return w
}

func (w *twins) wantClean(copies int64) {
	w.t.Helper()
	res, findings := w.fsck()
	n := int64(len(w.archives))
	if !res.Clean() || res.Blobs != copies*n || res.Extents != n || res.Orphans != 0 || res.CopiesMissing+res.CopiesDamaged+res.Surplus != 0 {
		w.t.Errorf("fsck: %+v %s, want %d copies of each of %d archives", res, findings, copies, n)
	}
}

// TestBucket keeps the bytes in a bucket: they come back after a restart, fsck
// reads them, deletion gives them back, and no log names the secret.
func TestBucket(t *testing.T) {
	t.Parallel()
	for _, keyFile := range []string{"", newKeyFile(t)} {
		w := &twins{t: t, cfg: settings(t, t.TempDir()), archives: map[string][]byte{}}
		w.cfg.Storage.Blobs, w.cfg.Storage.Bucket = "s3://one/deep/prefix", fakeStore(t, nil)
		w.cfg.Encryption.Master.KeyFile = keyFile
		w.start("")
		w.want(http.MethodPut, "/-/vaults/v", nil, nil, http.StatusCreated, "")
		w.store()
		w.wantArchives()
		w.stop(t)
		w.wantClean(1)
		w.start("")
		w.store()
		w.wantArchives()
		for id := range w.archives {
			w.want(http.MethodDelete, "/-/vaults/v/archives/"+id, nil, nil, http.StatusNoContent, "")
			delete(w.archives, id)
			if len(w.archives) == 3 {
				break
			}
		}
		w.wantArchives()
		w.stop(t)
		if text := w.log.wait(t, "", 0); strings.Contains(text, bucketSecret) {
			t.Error("the log holds the secret of the bucket")
		}
	}
}

// TestBucketIsMirror keeps the second copies in a bucket, loses the disk of the
// first, and fills a new one.
func TestBucketIsMirror(t *testing.T) {
	t.Parallel()
	w := &twins{t: t, cfg: settings(t, t.TempDir()), archives: map[string][]byte{}}
	w.cfg.Storage.Mirror, w.cfg.Storage.Bucket = "s3://two", fakeStore(t, nil)
	w.start("")
	w.want(http.MethodPut, "/-/vaults/v", nil, nil, http.StatusCreated, "")
	w.store()
	w.wantWhole()
	w.stop(t)
	w.wantClean(2)
	w.lose(w.packs())
	if why := refused(t, w.cfg); !strings.Contains(why, "start with --rebuild "+server.Primary) {
		t.Errorf("an empty directory without the word: %s", why)
	}
	w.start(server.Primary)
	w.wantArchives()
	w.store()
	w.wantWhole()
	w.log.wait(t, "msg=rebuilt", 1)
	w.stop(t)
	w.wantClean(2)
}

// TestTwoBuckets keeps both copies in buckets.
func TestTwoBuckets(t *testing.T) {
	t.Parallel()
	w := &twins{t: t, cfg: settings(t, t.TempDir()), archives: map[string][]byte{}}
	w.cfg.Storage.Blobs, w.cfg.Storage.Mirror, w.cfg.Storage.Bucket = "s3://one", "s3://two/x", fakeStore(t, nil)
	w.start("")
	w.want(http.MethodPut, "/-/vaults/v", nil, nil, http.StatusCreated, "")
	w.store()
	w.wantWhole()
	w.wantArchives()
	w.stop(t)
	w.wantClean(2)
}

// TestWrongBuckets refuses what is not the right bucket with one sentence that
// says why.
func TestWrongBuckets(t *testing.T) {
	t.Parallel()
	store := fakeStore(t, nil)
	w := newBucketed(t, "s3://one/mine", store)
	w.stop(t)
	other := settings(t, t.TempDir())
	other.Storage.Bucket = store
	for name, tt := range map[string]struct {
		cfg  func() config.Config
		want string
	}{
		"the bucket of another": {func() config.Config { c := other; c.Storage.Blobs = "s3://one/mine"; return c }, "holds blobs of another data directory"},
		"another prefix":        {func() config.Config { c := w.cfg; c.Storage.Blobs = "s3://one/other"; return c }, "is missing or empty"},
		"no bucket any more":    {func() config.Config { c := w.cfg; c.Storage.Blobs = ""; return c }, "is missing or empty"},
		"no such bucket":        {func() config.Config { c := other; c.Storage.Blobs = "s3://three"; return c }, "cannot be written to"},
	} {
		t.Run(name, func(t *testing.T) {
			if why := refused(t, tt.cfg()); !strings.Contains(why, tt.want) || strings.Contains(why, bucketSecret) || strings.Contains(why, "closed") {
				t.Errorf("refused with %q, want %q", why, tt.want)
			}
		})
	}
	w.start("")
	w.wantArchives()
	w.stop(t)
	// A directory with packs does not move into a bucket by itself.
	local := stocked(t)
	moved := settings(t, local)
	moved.Storage.Blobs, moved.Storage.Bucket = "s3://two", store
	if why := refused(t, moved); !strings.Contains(why, "start without blobs") {
		t.Errorf("refused with %q", why)
	}
}

// TestColdBucket retrieves archives, encrypted or not, from a bucket of a cold
// class: the job asks for the bytes with its tier, waits, and succeeds.
func TestColdBucket(t *testing.T) {
	t.Parallel()
	for class, keyFile := range map[string]string{"GLACIER": "", "DEEP_ARCHIVE": newKeyFile(t)} {
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			clock := housetest.NewClock(time.Now())
			cold := &s3test.Cold{Now: clock.Now, Delay: func(tier string) time.Duration { return map[string]time.Duration{"Bulk": 48 * time.Hour}[tier] }}
			store := fakeStore(t, func(h http.Handler) http.Handler { cold.Next = h; return cold })
			store.Class = class
			w := &twins{t: t, cfg: settings(t, t.TempDir()), archives: map[string][]byte{}}
			w.cfg.Storage.Blobs, w.cfg.Storage.Bucket, w.cfg.Encryption.Master.KeyFile = "s3://one", store, keyFile
			w.start("")
			w.want(http.MethodPut, "/-/vaults/v", nil, nil, http.StatusCreated, "")
			w.store()
			for id, body := range w.archives {
				before := len(cold.Requests())
				job := w.retrieve(id, "Bulk", http.StatusAccepted, "")
				for range patiently {
					if len(cold.Requests()) > before {
						break
					}
				}
				if asked := cold.Requests()[before:]; len(asked) != 1 || asked[0].Tier != "Bulk" || asked[0].Days != 2 {
					t.Fatalf("asked for %v, want one restoration", asked)
				}
				w.want(http.MethodGet, job, nil, nil, http.StatusOK, "InProgress")
				clock.Advance(48 * time.Hour)
				if state := w.ended(job); state != "Succeeded" {
					t.Fatalf("the job is %s", state)
				}
				if _, got := w.want(http.MethodGet, job+"/output", nil, nil, http.StatusOK, ""); got != string(body) {
					t.Errorf("an archive of %d bytes reads as %d others", len(body), len(got))
				}
			}
			h, _ := w.want(http.MethodPost, "/-/vaults/v/jobs", []byte(`{"Type":"inventory-retrieval"}`), nil, http.StatusAccepted, "")
			job := "/-/vaults/v/jobs/" + h.Get("X-Amz-Job-Id")
			if state := w.ended(job); state != "Succeeded" {
				t.Errorf("the inventory job is %s", state)
			}
			w.want(http.MethodGet, job+"/output", nil, nil, http.StatusOK, "ArchiveList")
			w.stop(t)
			clock.Advance(24 * 365 * time.Hour) // what was restored is cold again
			res, findings := w.fsck()
			if !res.Clean() || res.Unread == 0 || res.Orphans != 0 {
				t.Errorf("fsck: %+v %s, want blobs that were not read and no damage", res, findings)
			}
		})
	}
}
