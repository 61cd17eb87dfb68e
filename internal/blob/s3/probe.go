package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"moraine"
)

// Probe tries what the store needs of the bucket: to write, read, read a range,
// list, upload in parts and delete. Its error names everything that is missing.
// Conditional writes are done without where the store has none; what the operator
// should know is in notes. Call it before anything else.
func (s *Store) Probe(ctx context.Context) (notes []string, err error) {
	p := &probe{b: s.bucket, key: checkDir + strings.ToLower(rand.Text()), text: []byte("moraine looks whether this bucket will do\n")}
	s.bucket.conditional = false
	if err := p.write(ctx); err != nil {
		// Nothing else can be tried.
		return nil, fmt.Errorf("the bucket %s cannot be written to, which needs s3:PutObject: %w", s.bucket.name, err)
	}
	p.read(ctx)
	p.list(ctx)
	p.parts(ctx)
	conditional := p.conditional(ctx)
	p.remove(ctx)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if len(p.missing) > 0 {
		return nil, fmt.Errorf("the bucket %s will not do: %s", s.bucket.name, strings.Join(p.missing, "; "))
	}
	s.bucket.conditional = conditional
	if !conditional {
		notes = append(notes, "the store of the bucket "+s.bucket.name+" has no conditional writes (If-None-Match); objects are kept apart by their random names alone")
	}
	return notes, nil
}

// probe is one try of a bucket.
type probe struct {
	b       *bucket
	key     string
	text    []byte
	missing []string
}

func (p *probe) lack(format string, args ...any) {
	p.missing = append(p.missing, fmt.Sprintf(format, args...))
}

func (p *probe) write(ctx context.Context) error {
	if Cold(string(p.b.class)) {
		if err := p.b.put(ctx, p.key+"-class", rope{p.text}, p.b.class); err != nil {
			return err
		}
		if err := p.b.remove(ctx, p.key+"-class"); err != nil {
			return err
		}
		return p.b.put(ctx, p.key, rope{p.text}, types.StorageClassStandard)
	}
	return p.b.put(ctx, p.key, rope{p.text}, p.b.class)
}

// read reads the object as a whole, and a piece of it.
func (p *probe) read(ctx context.Context) {
	call, cancel := limited(ctx, 0)
	defer cancel()
	out, err := p.b.api.GetObject(call, &awss3.GetObjectInput{Bucket: &p.b.name, Key: p.b.key(p.key)})
	if err != nil {
		p.lack("it cannot be read, which needs s3:GetObject (%v)", err)
		return
	}
	got, err := io.ReadAll(io.LimitReader(out.Body, int64(len(p.text))+1))
	_ = out.Body.Close() // only read
	if err != nil || !bytes.Equal(got, p.text) {
		p.lack("what was written is not what is read (%v)", err)
		return
	}
	const off, n = 8, 5
	r, total, err := p.b.get(call, p.key, off, n)
	if err != nil {
		p.lack("a range of an object cannot be read (%v)", err)
		return
	}
	got, err = io.ReadAll(io.LimitReader(r, n+1))
	_ = r.Close() // only read
	if err != nil || !bytes.Equal(got, p.text[off:off+n]) || total != int64(len(p.text)) {
		p.lack("a range of an object is not the one that was asked for (%v)", err)
	}
}

func (p *probe) list(ctx context.Context) {
	l := p.b.list(p.key)
	if err := l.more(ctx); err != nil {
		p.lack("it cannot be listed, which needs s3:ListBucket (%v)", err)
		return
	}
	// The name is the prefix, which next does not show: a longer one would.
	l = p.b.list(p.key[:len(p.key)-1])
	o, some, err := l.next(ctx)
	switch {
	case err != nil || !some:
		p.lack("an object that was written is not listed (%v)", err)
	case l.asking.IsZero() || o.made.IsZero():
		p.lack("a listing does not say when, so the age of objects is unknown")
	}
}

func (p *probe) parts(ctx context.Context) {
	call, cancel := limited(ctx, 0)
	defer cancel()
	key := p.b.key(p.key + "-parts")
	class := p.b.class
	out, err := p.b.api.CreateMultipartUpload(call, &awss3.CreateMultipartUploadInput{
		Bucket: &p.b.name, Key: key, ChecksumAlgorithm: types.ChecksumAlgorithmSha256,
		StorageClass: class, ServerSideEncryption: p.b.sse, SSEKMSKeyId: p.b.kmsKey,
	})
	if err != nil {
		p.lack("an upload in parts cannot be begun (%v)", err)
		return
	}
	if _, err = p.b.api.AbortMultipartUpload(call, &awss3.AbortMultipartUploadInput{Bucket: &p.b.name, Key: key, UploadId: out.UploadId}); err != nil {
		p.lack("an upload in parts cannot be ended, which needs s3:AbortMultipartUpload (%v)", err)
	}
}

// conditional reports whether a write of an object that exists is refused if that
// is asked for.
func (p *probe) conditional(ctx context.Context) bool {
	call, cancel := limited(ctx, 0)
	defer cancel()
	sum := rope{p.text}.sha256()
	_, err := p.b.api.PutObject(call, &awss3.PutObjectInput{
		Bucket: &p.b.name, Key: p.b.key(p.key), Body: rope{p.text}.reader(), ContentLength: aws.Int64(int64(len(p.text))),
		ChecksumSHA256: checksum(sum), IfNoneMatch: aws.String("*"), ServerSideEncryption: p.b.sse, SSEKMSKeyId: p.b.kmsKey,
	}, hashed(sum))
	return statusOf(err) == http.StatusPreconditionFailed
}

func (p *probe) remove(ctx context.Context) {
	if err := p.b.remove(ctx, p.key); err != nil {
		p.lack("it cannot be deleted from, which needs s3:DeleteObject (%v)", err)
		return
	}
	if _, _, err := p.b.fetch(ctx, p.key, 0, 1); !moraine.IsKind(err, moraine.NotFound) {
		p.lack("an object that was deleted can still be read, or is reported missing in another way than by NoSuchKey (%v)", err)
	}
}
