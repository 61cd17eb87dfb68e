// Package vaultclient is the tests' own Glacier client: small, exact and
// cheap. It keeps one connection, signs with the tests' own signer, and never
// retries, so that a test always knows which request was acknowledged. It must
// not import the server's packages.
package vaultclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"moraine/test/internal/treehash"
	"moraine/test/internal/wire"
)

// Client speaks to one server over one connection. It is used by one goroutine
// at a time.
type Client struct {
	// Addr is host:port of the server.
	Addr string
	// Credentials may be shared between clients.
	Credentials *wire.Credentials
	// Limit bounds one request and its reply; zero means two minutes.
	Limit time.Duration
	// Observe is called with each complete reply; nil: nobody looks.
	Observe func(*wire.Request, *wire.Response)

	conn *wire.Conn
}

// Refused is a complete reply with a status the operation does not promise:
// the server said no, so nothing may have changed.
type Refused struct {
	Status  int
	Code    string `json:"code"`
	Message string `json:"message"`
	Type    string `json:"type"`
}

func (e *Refused) Error() string {
	return fmt.Sprintf("refused: %d %s: %s", e.Status, e.Code, e.Message)
}

// IsRefused reports whether err is a refusal with that code; an empty code
// matches every refusal.
func IsRefused(err error, code string) bool {
	var r *Refused
	return errors.As(err, &r) && (code == "" || r.Code == code)
}

// Payload is a body with its hashes, computed once.
type Payload struct {
	Pieces       [][]byte
	Size         int64
	Linear, Tree string
}

// NewPayload hashes the pieces.
func NewPayload(pieces ...[]byte) Payload {
	p := Payload{Pieces: pieces}
	for _, piece := range pieces {
		p.Size += int64(len(piece))
	}
	p.Linear, p.Tree = treehash.Both(pieces...)
	return p
}

// Close drops the connection.
func (c *Client) Close() {
	if c.conn != nil {
		_ = c.conn.Close() // nothing is lost with it
		c.conn = nil
	}
}

// Do signs and sends a request and reads the reply; the connection is opened
// when needed and dropped after any error.
func (c *Client) Do(ctx context.Context, r *wire.Request, sink io.Writer) (*wire.Response, error) {
	if c.conn == nil {
		conn, err := wire.Dial(ctx, c.Addr)
		if err != nil {
			return nil, err
		}
		c.conn = conn
	}
	r.Set("Host", c.Addr)
	if r.Method != "GET" {
		r.Set("Content-Length", strconv.FormatInt(r.BodySize(), 10))
	}
	c.Credentials.Sign(r, time.Now())
	limit := c.Limit
	if limit == 0 {
		limit = 2 * time.Minute
	}
	resp, err := c.conn.Do(r, sink, limit)
	if err != nil || c.conn.Closing {
		c.Close()
	}
	if err == nil && c.Observe != nil {
		c.Observe(r, resp)
	}
	return resp, err
}

// call runs a request and turns any status but want into a Refused.
func (c *Client) call(ctx context.Context, r *wire.Request, want int) (*wire.Response, error) {
	resp, err := c.Do(ctx, r, nil)
	if err != nil {
		return nil, err
	}
	if resp.Status != want {
		return nil, refusal(resp)
	}
	return resp, nil
}

func refusal(resp *wire.Response) error {
	e := &Refused{Status: resp.Status}
	if err := json.Unmarshal(resp.Body, e); err != nil {
		return fmt.Errorf("status %d with a body that is not JSON: %q", resp.Status, resp.Body)
	}
	return e
}

func request(method, target string, fields ...string) *wire.Request {
	r := &wire.Request{Method: method, Target: target}
	for i := 0; i+1 < len(fields); i += 2 {
		r.Fields = append(r.Fields, wire.Field{Name: fields[i], Value: fields[i+1]})
	}
	return r
}

func upload(r *wire.Request, p Payload) *wire.Request {
	r.Set("x-amz-content-sha256", p.Linear)
	r.Set("x-amz-sha256-tree-hash", p.Tree)
	r.Body = p.Pieces
	return r
}

// CreateVault makes a vault.
func (c *Client) CreateVault(ctx context.Context, vault string) error {
	_, err := c.call(ctx, request("PUT", "/-/vaults/"+vault), 201)
	return err
}

// DescribeVault reads a vault's figures.
func (c *Client) DescribeVault(ctx context.Context, vault string) (Vault, error) {
	var v Vault
	return v, c.getJSON(ctx, "/-/vaults/"+vault, &v)
}

// UploadRequest builds an UploadArchive request for Do.
func UploadRequest(vault, description string, p Payload) *wire.Request {
	r := request("POST", "/-/vaults/"+vault+"/archives")
	if description != "" {
		r.Set("x-amz-archive-description", description)
	}
	return upload(r, p)
}

// UploadArchive stores one archive and returns its id.
func (c *Client) UploadArchive(ctx context.Context, vault, description string, p Payload) (string, error) {
	resp, err := c.call(ctx, UploadRequest(vault, description, p), 201)
	if err != nil {
		return "", err
	}
	return resp.Get("x-amz-archive-id"), sameTree(resp, p.Tree)
}

func sameTree(resp *wire.Response, want string) error {
	if got := resp.Get("x-amz-sha256-tree-hash"); got != want {
		return fmt.Errorf("tree hash in the reply: got %q, want %q", got, want)
	}
	return nil
}

// DeleteArchive deletes an archive.
func (c *Client) DeleteArchive(ctx context.Context, vault, id string) error {
	_, err := c.call(ctx, request("DELETE", "/-/vaults/"+vault+"/archives/"+id), 204)
	return err
}

// InitiateUpload opens a multipart upload.
func (c *Client) InitiateUpload(ctx context.Context, vault, description string, partSize int64) (string, error) {
	r := request("POST", "/-/vaults/"+vault+"/multipart-uploads", "x-amz-part-size", strconv.FormatInt(partSize, 10))
	if description != "" {
		r.Set("x-amz-archive-description", description)
	}
	resp, err := c.call(ctx, r, 201)
	if err != nil {
		return "", err
	}
	return resp.Get("x-amz-multipart-upload-id"), nil
}

// PartRequest builds an UploadMultipartPart request for Do.
func PartRequest(vault, uploadID string, first int64, p Payload) *wire.Request {
	r := request("PUT", "/-/vaults/"+vault+"/multipart-uploads/"+uploadID,
		"Content-Range", fmt.Sprintf("bytes %d-%d/*", first, first+p.Size-1))
	return upload(r, p)
}

// UploadPart stores one part that begins at offset first.
func (c *Client) UploadPart(ctx context.Context, vault, uploadID string, first int64, p Payload) error {
	resp, err := c.call(ctx, PartRequest(vault, uploadID, first, p), 204)
	if err != nil {
		return err
	}
	return sameTree(resp, p.Tree)
}

// CompleteUpload ends an upload and returns the id of its archive.
func (c *Client) CompleteUpload(ctx context.Context, vault, uploadID string, size int64, tree string) (string, error) {
	resp, err := c.call(ctx, request("POST", "/-/vaults/"+vault+"/multipart-uploads/"+uploadID,
		"x-amz-archive-size", strconv.FormatInt(size, 10), "x-amz-sha256-tree-hash", tree), 201)
	if err != nil {
		return "", err
	}
	return resp.Get("x-amz-archive-id"), nil
}

// AbortUpload gives an upload up.
func (c *Client) AbortUpload(ctx context.Context, vault, uploadID string) error {
	_, err := c.call(ctx, request("DELETE", "/-/vaults/"+vault+"/multipart-uploads/"+uploadID), 204)
	return err
}

// InitiateJob starts a job and returns its id.
func (c *Client) InitiateJob(ctx context.Context, vault string, job JobRequest) (string, error) {
	resp, err := c.callJSON(ctx, "POST", "/-/vaults/"+vault+"/jobs", job, 202)
	if err != nil {
		return "", err
	}
	return resp.Get("x-amz-job-id"), nil
}

// DescribeJob reads a job.
func (c *Client) DescribeJob(ctx context.Context, vault, id string) (Job, error) {
	var j Job
	return j, c.getJSON(ctx, "/-/vaults/"+vault+"/jobs/"+id, &j)
}

// AwaitJob polls a job until it has ended or ctx is over.
func (c *Client) AwaitJob(ctx context.Context, vault, id string) (Job, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		j, err := c.DescribeJob(ctx, vault, id)
		if err != nil || j.Completed {
			return j, err
		}
		select {
		case <-ctx.Done():
			return j, fmt.Errorf("job %s still %s: %w", id, j.StatusCode, ctx.Err())
		case <-tick.C:
		}
	}
}

// JobOutput streams the output of a finished job into sink.
func (c *Client) JobOutput(ctx context.Context, vault, id, byteRange string, sink io.Writer) (*wire.Response, error) {
	r := request("GET", "/-/vaults/"+vault+"/jobs/"+id+"/output")
	if byteRange != "" {
		r.Set("Range", byteRange)
	}
	resp, err := c.Do(ctx, r, sink)
	if err != nil {
		return nil, err
	}
	if resp.Status != 200 && resp.Status != 206 {
		return nil, refusal(resp)
	}
	return resp, nil
}

func (c *Client) getJSON(ctx context.Context, target string, into any) error {
	resp, err := c.call(ctx, request("GET", target), 200)
	if err != nil {
		return err
	}
	return json.Unmarshal(resp.Body, into)
}
