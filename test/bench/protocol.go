package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"strconv"
	"time"

	gateway "moraine/internal/gatewaytest"
	"moraine/test/internal/load"
	"moraine/test/internal/moraineproc"
	"moraine/test/internal/treehash"
	"moraine/test/internal/vaultclient"
	"moraine/test/internal/wire"
)

// bucket is the vault or bucket of a comparison.
const bucket = "bench"

// protocol is what a server of one kind is asked. Methods that take dst append
// the head of a request to it; they are for the load generator.
type protocol interface {
	// open makes the vault or bucket.
	open(ctx context.Context) error
	// put uploads a body; group and conn keep names of objects apart.
	put(dst []byte, group string, conn, i int, b *load.Body, now time.Time) []byte
	statuses() statuses
}

// multipart is the power to upload one object in parts, and its way back.
type multipart interface {
	begin(ctx context.Context) error
	part(dst []byte, i int, b *load.Body, now time.Time) []byte
	partDone(i int, r *load.Reply)
	// get reads a part of the object, all of it if size is zero.
	get(dst []byte, at, size int64, now time.Time) []byte
}

// completer has a request that makes an object of the parts.
type completer interface {
	complete(ctx context.Context, parts []load.Body) error
}

// preparer has a request that makes the object ready to be read.
type preparer interface {
	prepare(ctx context.Context) error
}

// statuses are the replies of success.
type statuses struct{ put, part int }

// target is where requests go, and the signature they get.
type target struct {
	addr   string
	signer *load.Signer
	head   load.Head // reused
}

// sign appends a head whose signed and plain fields the caller has set.
func (t *target) sign(dst []byte, method, path, query, hash string, length int64, now time.Time) []byte {
	t.head.Method, t.head.Path, t.head.Query, t.head.Host, t.head.Hash, t.head.Length = method, path, query, t.addr, hash, length
	return t.signer.Append(dst, &t.head, now)
}

func byteRange(at, size int64) string { return fmt.Sprintf("bytes=%d-%d", at, at+size-1) }

// glacier speaks to Moraine, and to whoever else serves vaults.
type glacier struct {
	target
	client              *vaultclient.Client
	upload, archive, id string
}

func newGlacier(addr string) *glacier {
	creds := &wire.Credentials{KeyID: moraineproc.KeyID, Secret: moraineproc.Secret, Region: moraineproc.Region}
	return &glacier{
		target: target{addr: addr, signer: load.NewSigner(creds.KeyID, creds.Secret, creds.Region, "glacier")},
		client: &vaultclient.Client{Addr: addr, Credentials: creds, Limit: 10 * time.Minute},
	}
}

func (g *glacier) open(ctx context.Context) error { return g.client.CreateVault(ctx, bucket) }

func (g *glacier) statuses() statuses { return statuses{put: 201, part: 204} }

func (g *glacier) put(dst []byte, _ string, _, _ int, b *load.Body, now time.Time) []byte {
	g.head.Signed = append(g.head.Signed[:0], load.Field{Name: "x-amz-archive-description", Value: "bench"})
	g.head.Plain = nil
	g.hashes(b)
	return g.sign(dst, "POST", "/-/vaults/"+bucket+"/archives", "", b.Linear, b.Size, now)
}

func (g *glacier) hashes(b *load.Body) {
	g.head.Signed = append(g.head.Signed,
		load.Field{Name: "x-amz-content-sha256", Value: b.Linear},
		load.Field{Name: "x-amz-date"},
		load.Field{Name: "x-amz-glacier-version", Value: "2012-06-01"},
		load.Field{Name: "x-amz-sha256-tree-hash", Value: b.Tree})
}

func (g *glacier) begin(ctx context.Context) (err error) {
	g.upload, err = g.client.InitiateUpload(ctx, bucket, "bench", largePart)
	return err
}

func (g *glacier) part(dst []byte, i int, b *load.Body, now time.Time) []byte {
	at := int64(i) * largePart
	g.head.Signed = g.head.Signed[:0]
	g.head.Plain = []load.Field{{Name: "content-range", Value: fmt.Sprintf("bytes %d-%d/*", at, at+b.Size-1)}}
	g.hashes(b)
	return g.sign(dst, "PUT", "/-/vaults/"+bucket+"/multipart-uploads/"+g.upload, "", b.Linear, b.Size, now)
}

func (g *glacier) partDone(int, *load.Reply) {}

func (g *glacier) complete(ctx context.Context, parts []load.Body) (err error) {
	trees := make([]string, len(parts))
	var size int64
	for i := range parts {
		trees[i] = parts[i].Tree
		size += parts[i].Size
	}
	g.archive, err = g.client.CompleteUpload(ctx, bucket, g.upload, size, treehash.Combine(trees))
	return err
}

func (g *glacier) prepare(ctx context.Context) (err error) {
	g.id, err = awaitJob(ctx, g.client, bucket, vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: g.archive})
	return err
}

func (g *glacier) get(dst []byte, at, size int64, now time.Time) []byte {
	g.head.Signed = append(g.head.Signed[:0], load.Field{Name: "x-amz-date"}, load.Field{Name: "x-amz-glacier-version", Value: "2012-06-01"})
	g.head.Plain = nil
	if size > 0 {
		g.head.Plain = []load.Field{{Name: "range", Value: byteRange(at, size)}}
	}
	return g.sign(dst, "GET", "/-/vaults/"+bucket+"/jobs/"+g.id+"/output", "", wire.EmptyHash, -1, now)
}

// s3 speaks to versitygw.
type s3 struct {
	target
	creds  *wire.Credentials
	upload string
	etags  map[int]string
}

// largeKey is the object that is uploaded in parts.
const largeKey = "/" + bucket + "/large"

func newS3(addr string) *s3 {
	creds := &wire.Credentials{KeyID: gateway.KeyID, Secret: gateway.Secret, Region: gateway.Region, Service: "s3"}
	return &s3{target: target{addr: addr, signer: load.NewSigner(creds.KeyID, creds.Secret, creds.Region, "s3")}, creds: creds}
}

func (s *s3) open(ctx context.Context) error {
	_, err := s.call(ctx, "PUT", "/"+bucket, nil)
	return err
}

func (s *s3) statuses() statuses { return statuses{put: 200, part: 200} }

func (s *s3) put(dst []byte, group string, conn, i int, b *load.Body, now time.Time) []byte {
	s.fields(b.Linear)
	path := "/" + bucket + "/" + group + "/" + strconv.Itoa(conn) + "/" + strconv.Itoa(i)
	return s.sign(dst, "PUT", path, "", b.Linear, b.Size, now)
}

func (s *s3) fields(hash string) {
	s.head.Signed = append(s.head.Signed[:0], load.Field{Name: "x-amz-content-sha256", Value: hash}, load.Field{Name: "x-amz-date"})
	s.head.Plain = nil
}

func (s *s3) begin(ctx context.Context) error {
	var reply struct{ UploadId string }
	body, err := s.call(ctx, "POST", largeKey+"?uploads=", nil)
	if err == nil {
		err = xml.Unmarshal(body, &reply)
	}
	s.upload, s.etags = reply.UploadId, make(map[int]string)
	return err
}

func (s *s3) part(dst []byte, i int, b *load.Body, now time.Time) []byte {
	s.fields(b.Linear)
	return s.sign(dst, "PUT", largeKey, "partNumber="+strconv.Itoa(i+1)+"&uploadId="+s.upload, b.Linear, b.Size, now)
}

func (s *s3) partDone(i int, r *load.Reply) { s.etags[i] = r.Get("ETag") }

func (s *s3) complete(ctx context.Context, parts []load.Body) error {
	var b bytes.Buffer
	b.WriteString("<CompleteMultipartUpload>")
	for i := range parts {
		fmt.Fprintf(&b, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", i+1, s.etags[i])
	}
	b.WriteString("</CompleteMultipartUpload>")
	_, err := s.call(ctx, "POST", largeKey+"?uploadId="+s.upload, b.Bytes())
	return err
}

func (s *s3) get(dst []byte, at, size int64, now time.Time) []byte {
	s.fields(wire.EmptyHash)
	if size > 0 {
		s.head.Plain = []load.Field{{Name: "range", Value: byteRange(at, size)}}
	}
	return s.sign(dst, "GET", largeKey, "", wire.EmptyHash, -1, now)
}

// call makes one request on a connection of its own.
func (s *s3) call(ctx context.Context, method, target string, body []byte) ([]byte, error) {
	conn, err := wire.Dial(ctx, s.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	r := &wire.Request{Method: method, Target: target, Body: [][]byte{body}}
	stamp := time.Now().UTC().Format(wire.StampFormat)
	r.Set("Host", s.addr)
	r.Set("Content-Length", strconv.Itoa(len(body)))
	r.Set("x-amz-content-sha256", treehash.Linear(body))
	r.Set("x-amz-date", stamp)
	r.Set("Authorization", s.creds.Make(r, wire.Signing{Stamp: stamp}).Authorization())
	resp, err := conn.Do(r, nil, 10*time.Minute)
	if err == nil && resp.Status != 200 {
		err = fmt.Errorf("%s %s: status %d: %s", method, target, resp.Status, resp.Body)
	}
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// plain speaks to the bare server, which looks at no name and no signature.
type plain struct{ target }

func newPlain(addr string) *plain {
	return &plain{target{addr: addr, signer: load.NewSigner("none", "none", "none", "none")}}
}

func (p *plain) open(context.Context) error { return nil }

func (p *plain) statuses() statuses { return statuses{put: 201, part: 201} }

func (p *plain) put(dst []byte, _ string, _, i int, b *load.Body, now time.Time) []byte {
	return p.part(dst, i, b, now)
}

func (p *plain) begin(context.Context) error { return nil }

func (p *plain) part(dst []byte, _ int, b *load.Body, now time.Time) []byte {
	p.head.Signed = append(p.head.Signed[:0], load.Field{Name: "x-amz-content-sha256", Value: b.Linear}, load.Field{Name: "x-amz-date"})
	p.head.Plain = nil
	return p.sign(dst, "PUT", "/", "", b.Linear, b.Size, now)
}

func (p *plain) partDone(int, *load.Reply) {}

func (p *plain) get(dst []byte, at, size int64, now time.Time) []byte {
	p.head.Signed, p.head.Plain = nil, nil
	if size > 0 {
		p.head.Plain = []load.Field{{Name: "range", Value: byteRange(at, size)}}
	}
	return p.sign(dst, "GET", "/", "", wire.EmptyHash, -1, now)
}
