package s3

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"golang.org/x/sync/semaphore"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/treehash"
)

const leafSize = treehash.LeafSize

// Config says which bucket, and how it is used. Bucket is the one field that must
// be set.
type Config struct {
	Bucket string
	Prefix string // of the names of all objects; "" for none
	// Endpoint is the URL of the store; "" is AWS.
	Endpoint string
	Region   string // "" is that of the environment, else us-east-1
	// PathStyle puts the bucket in the path of requests, not in the host name.
	PathStyle bool
	// Class is the storage class of objects with blobs; "" is that of the bucket.
	Class string
	// SSE is AES256, or "" for the encryption of the bucket. KMSKey, if it is set,
	// is the key of SSE-KMS, and SSE is not looked at.
	SSE, KMSKey string

	// Credentials: the keys if AccessKeyID is set, else those of the profile in
	// CredentialsFile if that is set, else those of the default chain.
	AccessKeyID, SecretAccessKey, SessionToken string
	CredentialsFile, Profile                   string

	// Linger is how long a small blob waits for others to share its object. Zero
	// is 3 ms; negative is not at all.
	Linger time.Duration
	// Grace is how old by the clock of the store unfinished uploads and marks
	// without an object must be before they are removed. Zero is 24 h.
	Grace time.Duration
	// SmallMemory and LargeMemory bound the bytes of blobs that are on their way;
	// Put waits for room. Zero is 64 MiB and 256 MiB, the least is 16 MiB.
	SmallMemory, LargeMemory int64

	Log *slog.Logger     // nil: discard
	Now func() time.Time // dates objects; nil: time.Now
	// Transport carries the requests. Nil is one with bounded times.
	Transport http.RoundTripper
	// RetryDelay bounds the time between repetitions. Zero is 2 s.
	RetryDelay time.Duration
}

// Defaults of Config.
const (
	lingerDefault = 3 * time.Millisecond
	graceDefault  = 24 * time.Hour
	smallDefault  = 64 << 20
	largeDefault  = 256 << 20
	memoryLeast   = 16 << 20
)

func (c *Config) setDefaults() {
	if c.Linger == 0 {
		c.Linger = lingerDefault
	}
	if c.Grace <= 0 {
		c.Grace = graceDefault
	}
	if c.SmallMemory <= 0 {
		c.SmallMemory = smallDefault
	}
	if c.LargeMemory <= 0 {
		c.LargeMemory = largeDefault
	}
	c.SmallMemory, c.LargeMemory = max(c.SmallMemory, memoryLeast), max(c.LargeMemory, memoryLeast)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// Cold reports whether objects of a storage class must be restored before they
// can be read.
func Cold(class string) bool {
	return slices.Contains([]types.StorageClass{types.StorageClassGlacier, types.StorageClassDeepArchive}, types.StorageClass(class))
}

// Store is a blob.Store in a bucket.
type Store struct {
	cfg    Config
	log    *slog.Logger
	bucket *bucket
	cold   bool // the class must be restored before it can be read

	batchers [2]*batcher // of small blobs: of the class, and warm ones
	large    *semaphore.Weighted
	leaves   sync.Pool // of *[leafSize]byte
	frames   sync.Pool // of *[frameSpan]byte
	stats    counters

	// calls holds Close back until every method has returned.
	closing bool
	calls   sync.WaitGroup
	callsMu sync.Mutex // guards closing and the step to waiting
}

var (
	_ blob.Store    = (*Store)(nil)
	_ blob.Walker   = (*Store)(nil)
	_ blob.Checker  = (*Store)(nil)
	_ blob.Stater   = (*Store)(nil)
	_ blob.Restorer = (*Store)(nil)
)

// New makes a store. It asks nothing of the bucket; see Probe.
func New(ctx context.Context, cfg Config) (*Store, error) {
	cfg.setDefaults()
	b, err := newBucket(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	s := &Store{
		cfg: cfg, log: cfg.Log, bucket: b, cold: Cold(cfg.Class),
		large: semaphore.NewWeighted(cfg.LargeMemory),
	}
	s.leaves.New = func() any { return new([leafSize]byte) }
	s.frames.New = func() any { return new([frameSpan]byte) }
	s.batchers[0] = newBatcher(s, b.class)
	s.batchers[1] = s.batchers[0]
	if s.cold {
		s.batchers[1] = newBatcher(s, types.StorageClassStandard)
	}
	return s, nil
}

// batcherFor chooses by whether what is put will be read soon.
func (s *Store) batcherFor(ctx context.Context) *batcher {
	if blob.IsWarm(ctx) {
		return s.batchers[1]
	}
	return s.batchers[0]
}

func (s *Store) classFor(ctx context.Context) types.StorageClass {
	if s.cold && blob.IsWarm(ctx) {
		return types.StorageClassStandard
	}
	return s.bucket.class
}

// Close implements blob.Store.
func (s *Store) Close() error {
	s.callsMu.Lock()
	again := s.closing
	s.closing = true
	s.callsMu.Unlock()
	if again {
		return errClosed
	}
	s.calls.Wait()
	s.bucket.http.CloseIdleConnections()
	return nil
}

var errClosed = moraine.Errorf(moraine.Unavailable, "the store is closed")

// begin enters a call of a method; done must be called when it returns.
func (s *Store) begin(ctx context.Context) (done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.callsMu.Lock()
	defer s.callsMu.Unlock()
	if s.closing {
		return nil, errClosed
	}
	s.calls.Add(1)
	return s.calls.Done, nil
}

// Put implements blob.Store.
func (s *Store) Put(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error) {
	done, err := s.begin(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	if size < 1 || size > sizeMax {
		return "", moraine.Errorf(moraine.Invalid, "a blob of %d bytes cannot be stored", size)
	}
	put := s.putLarge
	if size <= leafSize {
		put = s.putSmall
	}
	at, err := put(ctx, id, r, size)
	if err != nil {
		return "", err
	}
	s.stats.puts.Add(1)
	s.stats.putBytes.Add(size)
	return at.blobRef(), nil
}

// Stats counts what a store did since it was made.
type Stats struct {
	Puts, PutBytes        int64 // blobs stored, and their bytes
	Batches, BatchRecords int64 // shared objects, and the blobs in them
	ReadBytes             int64 // delivered to readers, checked
	Resumed               int64 // answers that broke off and were gone on with
	Corruptions           int64 // reads that found damage
	Deletes               int64
	Restores              int64 // asked for
}

type counters struct {
	puts, putBytes, batches, batchRecords, readBytes, resumed, corruptions, deletes, restores atomic.Int64
}

// Stats returns the figures of this moment.
func (s *Store) Stats() Stats {
	c := &s.stats
	return Stats{
		Puts: c.puts.Load(), PutBytes: c.putBytes.Load(),
		Batches: c.batches.Load(), BatchRecords: c.batchRecords.Load(),
		ReadBytes: c.readBytes.Load(), Resumed: c.resumed.Load(), Corruptions: c.corruptions.Load(),
		Deletes: c.deletes.Load(), Restores: c.restores.Load(),
	}
}
