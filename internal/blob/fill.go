package blob

import (
	"io"

	"moraine"
)

// emptyReadsMax bounds the reads in a row that deliver nothing.
const emptyReadsMax = 100

// fill reads until p is full or r reports an error, which it returns even if p
// is full: a reader that checks a hash refuses with its last bytes.
func fill(r io.Reader, p []byte) (n int, err error) {
	for empty := 0; n < len(p) && err == nil; empty++ {
		var k int
		k, err = r.Read(p[n:])
		n += k
		if k > 0 {
			empty = 0
		}
		if empty > emptyReadsMax {
			return n, io.ErrNoProgress
		}
	}
	return n, err
}

// ReadLast fills p with the last bytes of a body and makes sure that they are
// the last: it returns nil only if r then reported io.EOF. Errors are those that
// Store.Put owes for such a reader.
func ReadLast(r io.Reader, p []byte) error {
	n, err := fill(r, p)
	if n == len(p) && err == nil {
		var more [1]byte
		var k int
		if k, err = fill(r, more[:]); k > 0 {
			return moraine.Errorf(moraine.Invalid, "the body is longer than announced")
		}
	}
	if err == io.EOF && n < len(p) {
		return io.ErrUnexpectedEOF
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// ReadFull fills p with bytes of a body that are not its last.
func ReadFull(r io.Reader, p []byte) error {
	switch n, err := fill(r, p); {
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	case n < len(p):
		return io.ErrNoProgress
	}
	return nil
}
