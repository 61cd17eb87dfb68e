package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/config"
)

func TestBuckets(t *testing.T) {
	t.Parallel()
	c, err := load(t, []string{"--blobs", "s3://archives/here/", "--blobs-class=GLACIER", "--s3-path-style"},
		[]string{"MORAINE_S3_ACCESS_KEY_ID=AKID", "MORAINE_S3_SECRET_ACCESS_KEY=hidden words"},
		"s3:\n  endpoint: https://store.example.net:9000\n  region: eu-1\n  sse: aws:kms\n  sse_kms_key: k\n  credentials_file: /etc/keys\n  profile: p\n  linger: 0s\n")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Bucket{
		Endpoint: "https://store.example.net:9000", Region: "eu-1", PathStyle: true, Class: "GLACIER", SSE: config.SSEKMS, KMSKey: "k",
		CredentialsFile: "/etc/keys", Profile: "p", AccessKeyID: "AKID", SecretAccessKey: "hidden words",
	}
	if diff := cmp.Diff(want, c.Storage.Bucket); diff != "" || c.Storage.Blobs != "s3://archives/here/" {
		t.Errorf("blobs %q, bucket (-want +got):\n%s", c.Storage.Blobs, diff)
	}
	if strings.Contains(c.Print(), "hidden words") {
		t.Errorf("the secret is printed:\n%s", c.Print())
	}
	if c, err := load(t, nil, nil, ""); err != nil || c.Storage.Bucket != (config.Bucket{Linger: 3 * time.Millisecond}) {
		t.Errorf("by default %+v, %v", c.Storage.Bucket, err)
	}
	for flags, want := range map[string]string{
		"--blobs=/var/lib/blobs":                                      "name a bucket",
		"--blobs=s3://":                                               "not a bucket and a prefix",
		"--blobs=s3://user:pw@host/x":                                 "not a bucket and a prefix",
		"--storage-mirror=s3:///x":                                    "not a bucket and a prefix",
		"--blobs=s3://b/x --storage-mirror=s3://b/x/y":                "same place",
		"--blobs=s3://b --ephemeral":                                  "exclude each other",
		"--blobs=s3://b --s3-endpoint=store:9000":                     "not a URL",
		"--blobs=s3://b --s3-endpoint=https://user:pw@store.example/": "not a URL",
		"--blobs=s3://b --s3-sse=yes":                                 "choose AES256 or aws:kms",
		"--blobs=s3://b --s3-sse-kms-key=k":                           "goes with s3.sse",
		"--blobs=s3://b --s3-linger=2s":                               "at most 1s",
	} {
		if _, err := load(t, strings.Fields(flags), nil, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", flags, err, want)
		}
	}
	if _, err := load(t, nil, []string{"MORAINE_S3_ACCESS_KEY_ID=AKID"}, ""); err == nil || !strings.Contains(err.Error(), "go together") {
		t.Errorf("half a key: %v", err)
	}
}

func TestParseBucket(t *testing.T) {
	t.Parallel()
	for place, want := range map[string][2]string{
		"s3://b": {"b", ""}, "s3://b/": {"b", ""}, "s3://b/a": {"b", "a"}, "s3://b/a/c/": {"b", "a/c"},
	} {
		if bucket, prefix, ok := config.ParseBucket(place); !ok || bucket != want[0] || prefix != want[1] {
			t.Errorf("%s is %q, %q, %v", place, bucket, prefix, ok)
		}
	}
	if _, _, ok := config.ParseBucket("/mnt/second"); ok {
		t.Error("a directory is taken for a bucket")
	}
}
