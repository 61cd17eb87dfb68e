package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Limits of a reply: no server under test has business beyond them.
const (
	replyHeadMax = 1 << 16
	replyBodyMax = 64 << 20
)

// Field is one header line.
type Field struct{ Name, Value string }

// Request is what goes out. Body pieces are sent one after another; the fields
// go out as they are, so Host and Content-Length must be among them.
type Request struct {
	Method, Target string
	Fields         []Field
	Body           [][]byte
}

// Get returns the first value of a header, or "".
func (r *Request) Get(name string) string { return first(r.Fields, name) }

// Set replaces every field of that name by one.
func (r *Request) Set(name, value string) {
	r.Del(name)
	r.Fields = append(r.Fields, Field{name, value})
}

// Del removes every field of that name.
func (r *Request) Del(name string) {
	kept := r.Fields[:0]
	for _, f := range r.Fields {
		if !strings.EqualFold(f.Name, name) {
			kept = append(kept, f)
		}
	}
	r.Fields = kept
}

// BodySize is the number of bytes in the body.
func (r *Request) BodySize() int64 {
	var n int64
	for _, p := range r.Body {
		n += int64(len(p))
	}
	return n
}

// Head returns the request line and header block, with the blank line.
func (r *Request) Head() []byte {
	var b bytes.Buffer
	b.WriteString(r.Method + " " + r.Target + " HTTP/1.1\r\n")
	for _, f := range r.Fields {
		b.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// Response is a reply as it came. Body is nil when it went to a sink, which
// only the body of a success does; BodySize counts it either way.
type Response struct {
	Status   int
	Fields   []Field
	Body     []byte
	BodySize int64
}

// Get returns the first value of a header, or "".
func (r *Response) Get(name string) string { return first(r.Fields, name) }

// Has reports whether a header is present, even empty.
func (r *Response) Has(name string) bool {
	for _, f := range r.Fields {
		if strings.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}

func first(fields []Field, name string) string {
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Conn is one connection, used by one goroutine at a time.
type Conn struct {
	net.Conn
	in *bufio.Reader
	// Closing is set once the server announced the end of the connection.
	Closing bool
}

// Dial connects to a server.
func Dial(ctx context.Context, addr string) (*Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: c, in: bufio.NewReaderSize(c, 64<<10)}, nil
}

// Do sends a request and reads its reply, both within the limit. The body goes
// to sink, or into Response.Body when sink is nil. A server may refuse before
// it has read the whole body and close; its reply is still returned.
func (c *Conn) Do(r *Request, sink io.Writer, limit time.Duration) (*Response, error) {
	if err := c.SetDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	sent := c.Send(r)
	resp, err := c.Read(r.Method, sink)
	if err != nil && sent != nil {
		return nil, fmt.Errorf("send: %w", sent)
	}
	if sent != nil {
		c.Closing = true
	}
	return resp, err
}

// Send writes a request. Small bodies leave together with the head.
func (c *Conn) Send(r *Request) error {
	head := r.Head()
	if len(r.Body) == 1 && len(r.Body[0]) <= 64<<10 {
		_, err := c.Write(append(head, r.Body[0]...))
		return err
	}
	buffers := append(net.Buffers{head}, r.Body...)
	_, err := buffers.WriteTo(c.Conn)
	return err
}

// Read reads one final reply; interim 1xx replies are skipped.
func (c *Conn) Read(method string, sink io.Writer) (*Response, error) {
	for {
		resp, err := c.ReadHead()
		if err != nil {
			return nil, err
		}
		if resp.Status/100 != 1 {
			return resp, c.readBody(method, resp, sink)
		}
	}
}

// ReadHead reads a status line and its header block, interim or final.
func (c *Conn) ReadHead() (*Response, error) {
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	proto, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || !strings.HasPrefix(proto, "HTTP/1.") {
		return nil, fmt.Errorf("malformed status line %q", line)
	}
	resp := &Response{Status: status}
	for size := 0; size < replyHeadMax; size += len(line) {
		if line, err = c.line(); err != nil {
			return nil, err
		}
		if line == "" {
			return resp, nil
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("malformed header line %q", line)
		}
		resp.Fields = append(resp.Fields, Field{name, strings.TrimSpace(value)})
	}
	return nil, errors.New("reply header too long")
}

func (c *Conn) line() (string, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

func (c *Conn) readBody(method string, resp *Response, sink io.Writer) error {
	if strings.EqualFold(resp.Get("Connection"), "close") {
		c.Closing = true
	}
	if method == "HEAD" || resp.Status == 204 || resp.Status == 304 {
		return nil
	}
	if resp.Has("Transfer-Encoding") {
		return fmt.Errorf("reply with Transfer-Encoding %q", resp.Get("Transfer-Encoding"))
	}
	size, err := strconv.ParseInt(resp.Get("Content-Length"), 10, 64)
	if err != nil || size < 0 {
		return fmt.Errorf("reply %d without a usable Content-Length: %q", resp.Status, resp.Get("Content-Length"))
	}
	if sink == nil || resp.Status >= 300 {
		if size > replyBodyMax {
			return fmt.Errorf("reply body of %d bytes is too long to keep", size)
		}
		resp.Body = make([]byte, size)
		n, err := io.ReadFull(c.in, resp.Body)
		resp.BodySize = int64(n)
		return err
	}
	resp.BodySize, err = io.CopyN(sink, c.in, size)
	return err
}
