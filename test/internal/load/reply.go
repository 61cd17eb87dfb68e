package load

import (
	"bytes"
	"fmt"
	"strconv"
)

// Reply is the head of a reply.
type Reply struct {
	Status int
	Size   int64 // of the body
	fields []byte
	last   bool // the server ends the connection after it
}

// Get returns the first value of a header, or "".
func (r *Reply) Get(name string) string { return string(r.get([]byte(name))) }

func (r *Reply) get(name []byte) []byte {
	for line := range bytes.Lines(r.fields) {
		if len(line) > len(name) && line[len(name)] == ':' && bytes.EqualFold(line[:len(name)], name) {
			return bytes.TrimSpace(line[len(name)+1:])
		}
	}
	return nil
}

var (
	headEnd       = []byte("\r\n\r\n")
	lengthName    = []byte("Content-Length")
	encodingName  = []byte("Transfer-Encoding")
	connName      = []byte("Connection")
	protocol      = []byte("HTTP/1.")
	closing       = []byte("close")
	bodilessReply = map[int]bool{204: true, 304: true}
)

// parseReply reads a head from the beginning of b and returns how long it is,
// 0 while it is incomplete. The reply refers to b.
func parseReply(b []byte) (r Reply, size int, err error) {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		return r, 0, nil
	}
	line, fields, _ := bytes.Cut(b[:end+2], []byte("\r\n"))
	if len(line) < 12 || !bytes.HasPrefix(line, protocol) {
		return r, 0, fmt.Errorf("malformed status line %q", line)
	}
	if r.Status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return r, 0, fmt.Errorf("malformed status line %q", line)
	}
	r.fields = fields
	r.last = line[7] == '0' || bytes.EqualFold(r.get(connName), closing)
	switch length := r.get(lengthName); {
	case bodilessReply[r.Status]:
	case r.get(encodingName) != nil:
		return r, 0, fmt.Errorf("reply %d has a Transfer-Encoding", r.Status)
	case length == nil && r.last:
		return r, 0, fmt.Errorf("reply %d ends with the connection", r.Status)
	default:
		if r.Size, err = strconv.ParseInt(string(length), 10, 64); err != nil || r.Size < 0 {
			return r, 0, fmt.Errorf("reply %d has the Content-Length %q", r.Status, length)
		}
	}
	return r, end + len(headEnd), nil
}
