package s3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/treehash"
)

const (
	// partLeaves is how many leaves a part of an upload has; all parts but the
	// last are of one size. Objects of no more are put by one request.
	partLeaves = 8
	// partsAhead bounds the parts of one blob that are in memory.
	partsAhead = 3
)

// putLarge writes a blob to an object of its own.
func (s *Store) putLarge(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (place, error) {
	u := &upload{
		s: s, id: id, class: s.classFor(ctx), digester: isDigester(r),
		at: place{id: newObjectID(id), size: size}, returned: make(chan int64, partsAhead),
	}
	u.ctx, u.cancel = context.WithCancel(ctx)
	defer u.cancel()
	err := u.run(ctx, r)
	if err != nil {
		return place{}, err
	}
	return u.at, nil
}

func isDigester(r io.Reader) bool {
	_, ok := r.(blob.Digester)
	return ok
}

// upload is the way of a large blob into its object.
type upload struct {
	s        *Store
	ctx      context.Context // of the one call; cancelled when a part fails
	cancel   context.CancelFunc
	id       moraine.BlobID
	at       place
	class    types.StorageClass
	digester bool

	// These belong to the goroutine of Put.
	leaves   []treehash.Digest
	held     int64      // leaves of memory that the part being filled may use
	sending  int        // parts whose memory is not back
	returned chan int64 // memory of parts that were sent

	uploadID string // "" while no part was sent
	wg       sync.WaitGroup

	mu     sync.Mutex // guards the rest
	parts  []types.CompletedPart
	failed error
}

// part is one request's share of a blob.
type part struct {
	number int32
	bufs   []*[leafSize]byte
	crcs   []byte
	body   rope
}

// run reads the body part by part and sends the parts while it reads on.
func (u *upload) run(ctx context.Context, r io.Reader) (err error) {
	done := false
	defer func() {
		// Also when r panics: nothing of what was begun outlives the call.
		if !done {
			u.abort(ctx)
		}
		u.giveBack()
	}()
	count := (u.at.leaves() + partLeaves - 1) / partLeaves
	for n := range count {
		p, err := u.fill(ctx, r, n)
		if err != nil {
			return u.first(ctx, err)
		}
		if n == count-1 {
			if err := u.addTail(r, p); err != nil {
				u.release(p)
				return err
			}
		}
		if count == 1 {
			err := u.s.bucket.put(ctx, u.at.object().key(), p.body, u.class)
			u.release(p)
			// Durable now, if there is no error: the object. A crash on the next
			// line leaves a blob that no row names yet.
			done = true
			return err
		}
		if err := u.begin(ctx); err != nil {
			u.release(p)
			return err
		}
		u.send(p)
	}
	u.wg.Wait()
	if err := u.first(ctx, nil); err != nil {
		return err
	}
	// Sent and acknowledged: every part. A crash on the next line leaves an upload
	// that is not completed, which Walk ends after the grace.
	if err := u.complete(ctx); err != nil {
		return err
	}
	// Durable now: the object. A crash on the next line leaves a blob that no row
	// names yet.
	done = true
	return nil
}

// first is why the upload failed: a part that could not be sent, before what
// followed from that.
func (u *upload) first(ctx context.Context, err error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.failed != nil && ctx.Err() == nil {
		return u.failed
	}
	if ctx.Err() != nil && err == nil {
		return ctx.Err()
	}
	return err
}

// fill reads part n.
func (u *upload) fill(ctx context.Context, r io.Reader, n int64) (_ *part, err error) {
	from := n * partLeaves
	leaves := min(partLeaves, u.at.leaves()-from)
	if err := u.acquire(leaves); err != nil {
		return nil, err
	}
	p := &part{number: int32(n + 1), crcs: make([]byte, 0, leaves*(leafSize/frameSize)*crcSize)}
	whole := false
	defer func() {
		if !whole {
			u.release(p)
		}
	}()
	for leaf := from; leaf < from+leaves; leaf++ {
		if err := u.ctx.Err(); err != nil {
			return nil, err
		}
		buf := u.s.leaves.Get().(*[leafSize]byte) //nolint:errcheck // it holds nothing else
		p.bufs = append(p.bufs, buf)
		data := buf[:min(leafSize, u.at.size-leaf*leafSize)]
		read := blob.ReadFull
		if leaf == u.at.leaves()-1 {
			read = blob.ReadLast
		}
		if err := read(r, data); err != nil {
			return nil, err
		}
		if !u.digester {
			u.leaves = append(u.leaves, treehash.Leaf(data))
		}
		p.body, p.crcs = appendFrames(p.body, u.at.seed(), leaf*(leafSize/frameSize), data, p.crcs)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	whole = true
	return p, nil
}

// addTail ends the last part.
func (u *upload) addTail(r io.Reader, p *part) error {
	leaves, err := digests(r, u.at.size, func() []treehash.Digest { return u.leaves })
	if err != nil {
		return err
	}
	p.body = append(p.body, encodeTail(u.at, u.id, u.s.cfg.Now().UnixMilli(), leaves))
	return nil
}

// acquire gets memory for so many leaves. Nobody waits for the memory of others
// while it holds some itself, but for that of its own parts: so all get on.
func (u *upload) acquire(leaves int64) error {
	need := leaves * leafSize
	switch {
	case u.sending == 0:
		if err := u.s.large.Acquire(u.ctx, need); err != nil {
			return err
		}
	case u.sending < partsAhead && u.s.large.TryAcquire(need):
	default:
		have := <-u.returned
		u.sending--
		if have > need {
			u.s.large.Release(have - need)
		}
	}
	u.held = need
	return nil
}

// release gives up a part that was not sent.
func (u *upload) release(p *part) {
	for _, buf := range p.bufs {
		u.s.leaves.Put(buf)
	}
	p.bufs, p.body = nil, nil
	u.s.large.Release(u.held)
	u.held = 0
}

// giveBack waits for the parts that are under way and gives up their memory.
func (u *upload) giveBack() {
	u.wg.Wait()
	for ; u.sending > 0; u.sending-- {
		u.s.large.Release(<-u.returned)
	}
}

// begin begins the upload with its first part.
func (u *upload) begin(ctx context.Context) error {
	if u.uploadID != "" {
		return nil
	}
	b := u.s.bucket
	call, cancel := limited(ctx, 0)
	defer cancel()
	out, err := b.api.CreateMultipartUpload(call, &awss3.CreateMultipartUploadInput{
		Bucket: &b.name, Key: b.key(u.at.object().key()), ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
		StorageClass: u.class, ServerSideEncryption: b.sse, SSEKMSKeyId: b.kmsKey,
	})
	if err != nil {
		return b.unavailable(ctx, err)
	}
	u.uploadID = aws.ToString(out.UploadId)
	return nil
}

// send sends a part in the background.
func (u *upload) send(p *part) {
	held := u.held
	u.held = 0
	u.sending++
	u.wg.Go(func() {
		done, err := u.sendPart(p)
		for _, buf := range p.bufs {
			u.s.leaves.Put(buf)
		}
		u.mu.Lock()
		if err == nil {
			u.parts = append(u.parts, done)
		} else if u.failed == nil {
			u.failed = err
		}
		u.mu.Unlock()
		if err != nil {
			u.cancel()
		}
		u.returned <- held
	})
}

func (u *upload) sendPart(p *part) (types.CompletedPart, error) {
	b := u.s.bucket
	sum, size := p.body.sha256(), p.body.size()
	call, cancel := limited(u.ctx, size)
	defer cancel()
	out, err := b.api.UploadPart(call, &awss3.UploadPartInput{
		Bucket: &b.name, Key: b.key(u.at.object().key()), UploadId: &u.uploadID, PartNumber: &p.number,
		Body: p.body.reader(), ContentLength: &size, ChecksumSHA256: checksum(sum),
	}, hashed(sum))
	if err != nil {
		return types.CompletedPart{}, b.unavailable(u.ctx, err)
	}
	return types.CompletedPart{PartNumber: &p.number, ETag: out.ETag, ChecksumSHA256: checksum(sum)}, nil
}

// complete makes the object of the parts.
func (u *upload) complete(ctx context.Context) error {
	slices.SortFunc(u.parts, func(a, b types.CompletedPart) int { return int(*a.PartNumber - *b.PartNumber) })
	b := u.s.bucket
	key := u.at.object().key()
	call, cancel := limited(ctx, u.at.size)
	defer cancel()
	in := &awss3.CompleteMultipartUploadInput{
		Bucket: &b.name, Key: b.key(key), UploadId: &u.uploadID, MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
	}
	if b.conditional {
		in.IfNoneMatch = aws.String("*")
	}
	_, err := b.api.CompleteMultipartUpload(call, in)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch status := statusOf(err); {
	case status == http.StatusPreconditionFailed, codeOf(err) == "NoSuchUpload", status == 0, status >= 500:
		// An earlier try may have made the object, and its answer was lost.
		if u.completed(ctx) {
			return nil
		}
	}
	return b.unavailable(ctx, err)
}

// completed reports whether the object is there. Its name is drawn at random, and
// an object is made of all parts in the order that was sent, each acknowledged
// with its checksum, or not at all; so its length says that it is ours.
func (u *upload) completed(ctx context.Context) bool {
	b := u.s.bucket
	call, cancel := limited(ctx, 0)
	defer cancel()
	head, err := b.api.HeadObject(call, &awss3.HeadObjectInput{Bucket: &b.name, Key: b.key(u.at.object().key())})
	return err == nil && aws.ToInt64(head.ContentLength) == u.at.objectEnd()
}

// abort ends an upload that is not to become an object. If that fails, Walk does
// it after the grace.
func (u *upload) abort(ctx context.Context) {
	u.cancel()
	u.wg.Wait()
	if u.uploadID == "" {
		return
	}
	b := u.s.bucket
	call, cancel := limited(context.WithoutCancel(ctx), 0)
	defer cancel()
	key := u.at.object().key()
	_, err := b.api.AbortMultipartUpload(call, &awss3.AbortMultipartUploadInput{Bucket: &b.name, Key: b.key(key), UploadId: &u.uploadID})
	if err != nil && codeOf(err) != "NoSuchUpload" {
		u.s.log.WarnContext(ctx, "unfinished upload left for the sweep", "object", key, "err", err)
	}
}

// unavailable is the error of a request to write.
func (b *bucket) unavailable(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return ctx.Err()
	}
	return moraine.Wrap(err, moraine.Unavailable, "storage failed")
}
