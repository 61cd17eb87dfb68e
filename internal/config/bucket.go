package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Bucket is how the store of the buckets that blobs and storage.mirror name is
// reached.
type Bucket struct {
	Endpoint  string // URL; empty for AWS
	Region    string // empty for that of the environment
	PathStyle bool
	Class     string // storage class of what is put; empty for that of the bucket
	SSE       string // empty, AES256 or aws:kms
	KMSKey    string // of aws:kms; empty for that of the bucket
	Linger    time.Duration

	CredentialsFile, Profile     string
	AccessKeyID, SecretAccessKey string
}

// The ways in which a store encrypts objects.
const (
	SSES3  = "AES256"
	SSEKMS = "aws:kms"
)

// bucketScheme begins the place of blobs in a bucket.
const bucketScheme = "s3://"

// ParseBucket reads a place of blobs: s3://bucket or s3://bucket/prefix. ok is
// false if it is not one in a bucket.
func ParseBucket(place string) (bucket, prefix string, ok bool) {
	rest, ok := strings.CutPrefix(place, bucketScheme)
	if !ok {
		return "", "", false
	}
	bucket, prefix, _ = strings.Cut(rest, "/")
	return bucket, strings.Trim(prefix, "/"), true
}

func bucketSettings() []Setting {
	secret := Setting{
		Key: "s3.secret_access_key", Type: "secret access key", Secret: true, EnvOnly: true,
		Doc: "Secret access key for the buckets. Goes with s3.access_key_id.",
		set: func(c *Config, v string) error { c.Storage.Bucket.SecretAccessKey = v; return nil },
		get: func(c *Config) string { return c.Storage.Bucket.SecretAccessKey },
	}
	key := text("s3.access_key_id", "", "access key id",
		"Access key id for the buckets. Without it s3.credentials_file is used, and without that what the AWS tools would use: AWS_* variables, shared files, the role of the machine.",
		func(c *Config) *string { return &c.Storage.Bucket.AccessKeyID })
	key.EnvOnly = true
	return []Setting{
		text("blobs", "", "s3://bucket/prefix",
			"Keep the bytes in a bucket of an S3-compatible store and not in the data directory, which then holds rows, keys and the audit log alone. Nothing else may write below the prefix. Chosen at the first start, for good.",
			func(c *Config) *string { return &c.Storage.Blobs }),
		text("blobs_class", "", "storage class",
			"Storage class of what is put into a bucket, as in STANDARD_IA. With GLACIER or DEEP_ARCHIVE a retrieval job asks the store to restore the bytes, with its own tier, and waits for them. Empty for the class of the bucket.",
			func(c *Config) *string { return &c.Storage.Bucket.Class }),
		text("s3.endpoint", "", "URL",
			"Where the store of the buckets is; empty for AWS.",
			func(c *Config) *string { return &c.Storage.Bucket.Endpoint }),
		text("s3.region", "", "region",
			"Region of the buckets; empty for AWS_REGION, else us-east-1.",
			func(c *Config) *string { return &c.Storage.Bucket.Region }),
		yesNo("s3.path_style",
			"Name the bucket in the path of requests and not in the name of the host, as most stores other than AWS want it.",
			func(c *Config) *bool { return &c.Storage.Bucket.PathStyle }),
		text("s3.sse", "", "AES256 or aws:kms",
			"Have the store encrypt what is put: AES256 with keys of its own (SSE-S3), aws:kms with one of its key service (SSE-KMS). Empty for what the bucket says.",
			func(c *Config) *string { return &c.Storage.Bucket.SSE }),
		text("s3.sse_kms_key", "", "key id",
			"The key of aws:kms; empty for that of the bucket.",
			func(c *Config) *string { return &c.Storage.Bucket.KMSKey }),
		text("s3.credentials_file", "", "file",
			"File with credentials in the format of the AWS tools.",
			func(c *Config) *string { return &c.Storage.Bucket.CredentialsFile }),
		text("s3.profile", "", "name",
			"Which of the credentials in the files to use; empty for the default.",
			func(c *Config) *string { return &c.Storage.Bucket.Profile }),
		key, secret,
		duration("s3.linger", "3ms",
			"How long a small archive waits for others to share an object with, at most. 0s for not at all.",
			func(c *Config) *time.Duration { return &c.Storage.Bucket.Linger }),
	}
}

// Bounds of the settings of buckets.
const (
	lingerMax       = time.Second
	bucketPrefixMax = 512
)

func (c *Config) checkBuckets() error {
	st, b := &c.Storage, &c.Storage.Bucket
	if st.Blobs != "" {
		if _, _, ok := ParseBucket(st.Blobs); !ok {
			return fmt.Errorf("blobs is %q; name a bucket, as in s3://bucket/prefix, or leave it empty for the data directory", st.Blobs)
		}
	}
	for name, place := range map[string]string{"blobs": st.Blobs, "storage.mirror": st.Mirror} {
		bucket, prefix, ok := ParseBucket(place)
		if ok && (bucket == "" || strings.ContainsAny(bucket, " ?#@:") || len(prefix) > bucketPrefixMax) {
			return fmt.Errorf("%s is %q, which is not a bucket and a prefix of at most %d characters, as in s3://bucket/prefix", name, place, bucketPrefixMax)
		}
	}
	switch {
	case st.Blobs != "" && overlap(st.Blobs, st.Mirror):
		return errors.New("blobs and storage.mirror are in the same place, or one is below the other; name another bucket for the second copy")
	case st.Blobs != "" && c.Ephemeral:
		return errors.New("ephemeral and blobs exclude each other; what is in the bucket would outlive its rows")
	case (b.AccessKeyID == "") != (b.SecretAccessKey == ""):
		return errors.New("s3.access_key_id and s3.secret_access_key go together; give both or neither")
	case b.SSE != "" && b.SSE != SSES3 && b.SSE != SSEKMS:
		return fmt.Errorf("s3.sse is %q; choose %s or %s, or leave it empty", b.SSE, SSES3, SSEKMS)
	case b.KMSKey != "" && b.SSE != SSEKMS:
		return fmt.Errorf("s3.sse_kms_key goes with s3.sse: %s", SSEKMS)
	case b.Linger < 0 || b.Linger > lingerMax:
		return fmt.Errorf("s3.linger is %s; choose at most %s", b.Linger, lingerMax)
	}
	if b.Endpoint == "" {
		return nil
	}
	u, err := url.Parse(b.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
		return errors.New("s3.endpoint is not a URL like https://store.example.net:9000")
	}
	return nil
}

// overlap reports whether one place is in the other.
func overlap(a, b string) bool {
	a, b = strings.TrimRight(a, "/")+"/", strings.TrimRight(b, "/")+"/"
	return strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
}
