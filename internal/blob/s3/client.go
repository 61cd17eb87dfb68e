package s3

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"moraine"
	"moraine/internal/blob"
)

// Bounds of requests.
const (
	attemptsMax   = 5
	retryDelayMax = 2 * time.Second
	dialTimeout   = 5 * time.Second
	headerTimeout = 30 * time.Second // until the answer begins
	callTimeout   = 2 * time.Minute  // of a call with all its repetitions
	// sendRate is the least pace at which bytes are sent, in bytes per second: a
	// call gets its time beyond callTimeout.
	sendRate       = 64 << 10
	connectionsMax = 256
	listMax        = 1000 // names of one answer
)

// bucket makes requests about the objects of one prefix. Keys are without it.
type bucket struct {
	api    *awss3.Client
	http   *http.Client
	name   string
	prefix string // "" or with a slash at the end
	sse    types.ServerSideEncryption
	kmsKey *string
	class  types.StorageClass // "" for that of the bucket
	// conditional is whether If-None-Match is sent. It is set before the bucket
	// has users.
	conditional bool
}

// newBucket makes the client. It asks nothing of the store.
func newBucket(ctx context.Context, cfg *Config) (*bucket, error) {
	load := []func(*awsconfig.LoadOptions) error{awsconfig.WithRegion(cfg.Region)}
	switch {
	case cfg.AccessKeyID != "":
		load = append(load, awsconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(cfg.AccessKeyID, cfg.SecretAccessKey, cfg.SessionToken)))
	case cfg.CredentialsFile != "":
		load = append(load, awsconfig.WithSharedCredentialsFiles([]string{cfg.CredentialsFile}), awsconfig.WithSharedConfigFiles(nil))
	}
	if cfg.Profile != "" {
		load = append(load, awsconfig.WithSharedConfigProfile(cfg.Profile))
	}
	shared, err := awsconfig.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("find credentials for the bucket: %w", err)
	}
	transport := cfg.Transport
	if transport == nil {
		transport = newTransport()
	}
	delay := cfg.RetryDelay
	if delay == 0 {
		delay = retryDelayMax
	}
	client := &http.Client{Transport: transport}
	api := awss3.NewFromConfig(shared, func(o *awss3.Options) {
		if cfg.Endpoint != "" {
			o.BaseEndpoint = aws.String(cfg.Endpoint)
		}
		if o.Region == "" {
			o.Region = "us-east-1"
		}
		o.UsePathStyle = cfg.PathStyle
		o.HTTPClient = client
		// Checksums are given by us, for each request that has a body. Those that
		// the client adds by itself are not understood by every store.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
		o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts = attemptsMax
			r.MaxBackoff = delay
			r.RateLimiter = ratelimit.None
			r.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(retryable)}, r.Retryables...)
		})
	})
	b := &bucket{api: api, http: client, name: cfg.Bucket, prefix: cfg.Prefix, class: types.StorageClass(cfg.Class), conditional: true}
	if b.prefix != "" {
		b.prefix = strings.TrimSuffix(b.prefix, "/") + "/"
	}
	switch {
	case cfg.KMSKey != "":
		b.sse, b.kmsKey = types.ServerSideEncryptionAwsKms, aws.String(cfg.KMSKey)
	case cfg.SSE != "":
		b.sse = types.ServerSideEncryption(cfg.SSE)
	}
	return b, nil
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: headerTimeout,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   connectionsMax,
		MaxConnsPerHost:       connectionsMax,
	}
}

// retryable adds to what the client repeats: every request that got no answer
// that could be understood. All of ours may be repeated.
func retryable(err error) aws.Ternary {
	var send *smithyhttp.RequestSendError
	var answer *smithyhttp.ResponseError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return aws.FalseTernary
	case errors.As(err, &answer) && (answer.HTTPStatusCode() == http.StatusTooManyRequests || answer.HTTPStatusCode() >= 500 && answer.HTTPStatusCode() != http.StatusNotImplemented):
		return aws.TrueTernary
	case codeOf(err) == "ConditionalRequestConflict", codeOf(err) == "SlowDown", codeOf(err) == "InternalError":
		return aws.TrueTernary
	case errors.As(err, &send), errors.Is(err, io.ErrUnexpectedEOF):
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// codeOf is the error code of an answer, "" if there was none.
func codeOf(err error) string {
	var answer smithy.APIError
	if errors.As(err, &answer) {
		return answer.ErrorCode()
	}
	return ""
}

func statusOf(err error) int {
	var answer *smithyhttp.ResponseError
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// fail translates an error of a request about key. ctx is that of the caller.
func (b *bucket) fail(ctx context.Context, err error, key string) error {
	switch code := codeOf(err); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case code == "NoSuchKey", code == "NotFound":
		return moraine.Wrap(err, moraine.NotFound, "the bucket has no object %s", key)
	case code == "InvalidObjectState":
		return moraine.Wrap(errors.Join(blob.ErrCold, err), moraine.Unavailable, "the object %s is in a cold class and was not restored", key)
	}
	return moraine.Wrap(err, moraine.Unavailable, "storage failed")
}

func (b *bucket) key(key string) *string { return aws.String(b.prefix + key) }

// limited gives a call that sends so many bytes its time.
func limited(ctx context.Context, size int64) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTimeout+time.Duration(size/sendRate)*time.Second)
}

// hashed makes the client sign with a hash that is known, in place of reading the
// body once more for it.
func hashed(sum [32]byte) func(*awss3.Options) {
	return func(o *awss3.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Finalize.Insert(knownHash(hex.EncodeToString(sum[:])), "ComputePayloadHash", middleware.Before)
		})
	}
}

type knownHash string

func (knownHash) ID() string { return "KnownPayloadHash" }

func (h knownHash) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	return next.HandleFinalize(v4.SetPayloadHash(ctx, string(h)), in)
}

func checksum(sum [32]byte) *string { return aws.String(base64.StdEncoding.EncodeToString(sum[:])) }

// put makes an object, which must not exist, of a class. When it returns nil the
// store has acknowledged the object with the SHA-256 that we computed.
func (b *bucket) put(ctx context.Context, key string, body rope, class types.StorageClass) error {
	sum := body.sha256()
	size := body.size()
	in := &awss3.PutObjectInput{
		Bucket: &b.name, Key: b.key(key), Body: body.reader(), ContentLength: &size, ChecksumSHA256: checksum(sum),
		StorageClass: class, ServerSideEncryption: b.sse, SSEKMSKeyId: b.kmsKey,
	}
	if b.conditional {
		in.IfNoneMatch = aws.String("*")
	}
	call, cancel := limited(ctx, size)
	defer cancel()
	_, err := b.api.PutObject(call, in, hashed(sum))
	if err == nil {
		return nil
	}
	if statusOf(err) == http.StatusPreconditionFailed {
		// Nobody else makes an object of this name: an earlier try of ours did,
		// and its answer was lost.
		return b.confirm(ctx, key, size, sum)
	}
	return b.fail(ctx, err, key)
}

// confirm compares an object that a request without an answer made.
func (b *bucket) confirm(ctx context.Context, key string, size int64, want [32]byte) error {
	call, cancel := limited(ctx, size)
	defer cancel()
	head, err := b.api.HeadObject(call, &awss3.HeadObjectInput{Bucket: &b.name, Key: b.key(key), ChecksumMode: types.ChecksumModeEnabled})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return moraine.Wrap(err, moraine.Unavailable, "storage failed")
	}
	if aws.ToInt64(head.ContentLength) != size {
		return moraine.Errorf(moraine.Unavailable, "the object %s has %d bytes in place of %d", key, aws.ToInt64(head.ContentLength), size)
	}
	if sum := aws.ToString(head.ChecksumSHA256); sum != "" {
		if sum != *checksum(want) {
			return moraine.Errorf(moraine.Unavailable, "the object %s has other bytes than were sent", key)
		}
		return nil
	}
	// The store keeps no checksums: the bytes themselves are asked for.
	r, _, err := b.get(call, key, 0, size)
	if err != nil {
		return late(ctx, err)
	}
	defer r.Close() // only read
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return b.fail(ctx, err, key)
	}
	if [32]byte(h.Sum(nil)) != want {
		return moraine.Errorf(moraine.Unavailable, "the object %s has other bytes than were sent", key)
	}
	return nil
}

// get asks for n bytes of an object from off, at least one, and returns them as
// they come, and the length of the object.
func (b *bucket) get(ctx context.Context, key string, off, n int64) (io.ReadCloser, int64, error) {
	out, err := b.api.GetObject(ctx, &awss3.GetObjectInput{
		Bucket: &b.name, Key: b.key(key), Range: aws.String(fmt.Sprintf("bytes=%d-%d", off, off+n-1)),
	})
	if err != nil {
		if codeOf(err) == "InvalidRange" || statusOf(err) == http.StatusRequestedRangeNotSatisfiable {
			return nil, 0, damage(key, off, errShort)
		}
		return nil, 0, b.fail(ctx, err, key)
	}
	var from, to, total int64
	if _, err := fmt.Sscanf(aws.ToString(out.ContentRange), "bytes %d-%d/%d", &from, &to, &total); err != nil || from != off {
		_ = out.Body.Close() // nothing of it is used
		return nil, 0, moraine.Errorf(moraine.Unavailable, "the store answered %q when bytes from %d were asked for", aws.ToString(out.ContentRange), off)
	}
	if to < off+n-1 {
		_ = out.Body.Close() // nothing of it is used
		if total >= off+n {
			// The bytes are there; whoever stands between may bound what it hands on.
			return nil, 0, moraine.Errorf(moraine.Unavailable, "the store answered with bytes %d-%d when %d from %d were asked for", from, to, n, off)
		}
		return nil, 0, damage(key, total, errShort)
	}
	return out.Body, total, nil
}

// fetch is get for a few bytes. A body that breaks is asked for again.
func (b *bucket) fetch(ctx context.Context, key string, off, n int64) ([]byte, int64, error) {
	p := make([]byte, n)
	for attempt := 1; ; attempt++ {
		call, cancel := context.WithTimeout(ctx, callTimeout)
		r, total, err := b.get(call, key, off, n)
		if err == nil {
			_, err = io.ReadFull(r, p)
			_ = r.Close() // only read
			if err != nil {
				err = moraine.Wrap(err, moraine.Unavailable, "storage failed")
			}
		}
		cancel()
		err = late(ctx, err)
		switch {
		case err == nil:
			return p, total, nil
		case ctx.Err() != nil:
			return nil, 0, ctx.Err()
		case r == nil || attempt >= resumesMax:
			return nil, 0, err
		}
	}
}

// exists reports whether there is an object.
func (b *bucket) exists(ctx context.Context, key string) (bool, error) {
	call, cancel := limited(ctx, 0)
	defer cancel()
	_, err := b.api.HeadObject(call, &awss3.HeadObjectInput{Bucket: &b.name, Key: b.key(key)})
	if statusOf(err) == http.StatusNotFound {
		return false, nil
	}
	return err == nil, b.fail(ctx, err, key)
}

// remove removes an object, which may be gone.
func (b *bucket) remove(ctx context.Context, key string) error {
	call, cancel := limited(ctx, 0)
	defer cancel()
	_, err := b.api.DeleteObject(call, &awss3.DeleteObjectInput{Bucket: &b.name, Key: b.key(key)})
	if codeOf(err) == "NoSuchKey" {
		return nil
	}
	return b.fail(ctx, err, key)
}

// listed is an object of a listing.
type listed struct {
	key  string // without the prefix of the bucket and the one asked for
	size int64
	made time.Time // by the clock of the store
}

// lister goes through the objects below a prefix, in the order of their names.
type lister struct {
	b      *bucket
	dir    string
	page   []listed
	whole  bool // keys are shown with dir
	token  *string
	ended  bool
	asking time.Time // by the clock of the store, when the first page was asked for
}

func (b *bucket) list(dir string) *lister { return &lister{b: b, dir: dir} }

// next returns the next object; false at the end.
func (l *lister) next(ctx context.Context) (listed, bool, error) {
	for len(l.page) == 0 {
		if l.ended {
			return listed{}, false, nil
		}
		if err := l.more(ctx); err != nil {
			return listed{}, false, err
		}
	}
	o := l.page[0]
	l.page = l.page[1:]
	return o, true, nil
}

func (l *lister) more(ctx context.Context) error {
	call, cancel := limited(ctx, 0)
	defer cancel()
	prefix := l.b.prefix + l.dir
	out, err := l.b.api.ListObjectsV2(call, &awss3.ListObjectsV2Input{
		Bucket: &l.b.name, Prefix: &prefix, ContinuationToken: l.token, MaxKeys: aws.Int32(listMax),
	})
	if err != nil {
		if err := l.b.fail(ctx, err, l.dir); !moraine.IsKind(err, moraine.NotFound) {
			return err
		}
		return moraine.Wrap(err, moraine.Unavailable, "storage failed")
	}
	if l.asking.IsZero() {
		l.asking, _ = awsmiddleware.GetServerTime(out.ResultMetadata)
	}
	for _, o := range out.Contents {
		name, ok := strings.CutPrefix(aws.ToString(o.Key), prefix)
		if l.whole {
			name = l.dir + name
		}
		if ok && name != "" {
			l.page = append(l.page, listed{name, aws.ToInt64(o.Size), aws.ToTime(o.LastModified)})
		}
	}
	l.token = out.NextContinuationToken
	l.ended = !aws.ToBool(out.IsTruncated)
	if !l.ended && aws.ToString(l.token) == "" {
		return moraine.Errorf(moraine.Unavailable, "the store ended a listing before its end")
	}
	return nil
}

// late makes an error of a call whose time ran out, while its caller had more, one
// of the store.
func late(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) {
		return moraine.Wrap(err, moraine.Unavailable, "the store does not answer")
	}
	return err
}

// damage is an error of kind Corrupt that names the place.
func damage(key string, off int64, cause error) error {
	return moraine.Wrap(cause, moraine.Corrupt, "the object %s is damaged at offset %d", key, off)
}
