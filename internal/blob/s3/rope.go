package s3

import (
	"crypto/sha256"
	"errors"
	"io"
)

// rope is a string of bytes in pieces.
type rope [][]byte

func (r rope) size() int64 {
	var n int64
	for _, p := range r {
		n += int64(len(p))
	}
	return n
}

func (r rope) sha256() (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, p := range r {
		h.Write(p)
	}
	h.Sum(sum[:0])
	return sum
}

// reader returns a reader of the rope that can go back to the beginning, which a
// request that is repeated needs.
func (r rope) reader() *ropeReader { return &ropeReader{rope: r, size: r.size()} }

type ropeReader struct {
	rope  rope
	size  int64
	piece int // being read
	off   int // in it
}

func (r *ropeReader) Read(p []byte) (n int, err error) {
	for n < len(p) && r.piece < len(r.rope) {
		k := copy(p[n:], r.rope[r.piece][r.off:])
		n += k
		if r.off += k; r.off == len(r.rope[r.piece]) {
			r.piece, r.off = r.piece+1, 0
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

var errSeek = errors.New("a rope seeks to its ends and places alone that lie in it")

// Seek implements io.Seeker.
func (r *ropeReader) Seek(offset int64, whence int) (int64, error) {
	at := int64(0)
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		for _, p := range r.rope[:r.piece] {
			at += int64(len(p))
		}
		at += int64(r.off)
	case io.SeekEnd:
		at = r.size
	default:
		return 0, errSeek
	}
	to := at + offset
	if to < 0 || to > r.size {
		return 0, errSeek
	}
	r.piece, r.off = 0, 0
	for left := to; r.piece < len(r.rope); r.piece++ {
		if n := int64(len(r.rope[r.piece])); left >= n {
			left -= n
			continue
		}
		r.off = int(left)
		break
	}
	return to, nil
}
