package s3_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"moraine/internal/blob/s3"
)

const bucketName = "moraine-test"

// fake is a store in this process.
type fake struct {
	*httptest.Server
	backend *s3mem.Backend
}

// listPage is all of a bucket.
var listPage = gofakes3.ListBucketPage{MaxKeys: 10_000}

// newFake starts a store with a bucket. front stands before it if it is not nil.
func newFake(t *testing.T, front func(http.Handler) http.Handler, options ...gofakes3.Option) *fake {
	t.Helper()
	f := &fake{backend: s3mem.New()}
	if err := f.backend.CreateBucket(bucketName); err != nil {
		t.Fatal(err)
	}
	options = append(options, gofakes3.WithLogger(gofakes3.DiscardLog()))
	handler := gofakes3.New(f.backend, options...).Server()
	if front != nil {
		handler = front(handler)
	}
	f.Server = httptest.NewServer(handler)
	t.Cleanup(f.Close)
	return f
}

func (f *fake) config() s3.Config {
	return s3.Config{
		Bucket: bucketName, Prefix: "some/prefix", Endpoint: f.URL, Region: "us-east-1", PathStyle: true,
		AccessKeyID: "AKID", SecretAccessKey: "secret", RetryDelay: time.Millisecond,
	}
}

func open(t testing.TB, cfg s3.Config) *s3.Store {
	t.Helper()
	s, err := s3.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
