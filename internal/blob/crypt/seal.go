package crypt

import (
	"io"

	"filippo.io/age"

	"moraine"
	"moraine/internal/treehash"
)

// sealer reads as a blob is stored: the age file of its payload. One goroutine
// uses it.
type sealer struct {
	plain payload
	age   io.WriteCloser // encrypts what is written to it into have
	first bool           // nothing was written to age
	buf   []byte         // for have
	have  []byte         // not yet delivered
	err   error          // kept
}

// newSealer begins the age file of a blob. The buffers are to be given back
// with release.
func newSealer(ring *Ring, id moraine.BlobID, r io.Reader, size int64, pool *buffers) (*sealer, check, error) {
	s := &sealer{first: true}
	s.plain = payload{r: r, left: size, count: leafCount(size), buf: pool.get(int(min(size, treehash.LeafSize)))}
	s.buf = pool.get(int(min(storedSize(size), headSize+sealedChunk)))
	s.have = s.buf[:0]
	var err error
	s.age, err = age.Encrypt(s, recipient{ring, id})
	if err == nil && len(s.have) != headSize {
		err = moraine.Errorf(moraine.Internal, "the header of an encrypted blob has %d bytes, %d are expected", len(s.have), headSize)
	}
	if err != nil {
		s.release(pool)
		return nil, check{}, err
	}
	return s, checkOf(s.have), nil
}

func (s *sealer) release(pool *buffers) {
	pool.put(s.plain.buf)
	pool.put(s.buf)
	s.plain.buf, s.plain.have, s.buf, s.have = nil, nil, nil, nil
	s.err = moraine.Errorf(moraine.Invalid, "read after the end of a put")
}

// Write takes what age encrypted.
func (s *sealer) Write(p []byte) (int, error) {
	s.have = append(s.have, p...)
	return len(p), nil
}

// Read implements io.Reader.
func (s *sealer) Read(p []byte) (int, error) {
	for len(s.have) == 0 && s.err == nil {
		s.have = s.buf[:0]
		s.err = s.next()
	}
	// What there is comes before the error.
	if len(s.have) == 0 {
		return 0, s.err
	}
	n := copy(p, s.have)
	s.have = s.have[n:]
	return n, nil
}

// next encrypts one chunk more.
func (s *sealer) next() error {
	chunk, err := s.plain.chunk()
	if err == io.EOF {
		if err := s.age.Close(); err != nil {
			return err
		}
		return io.EOF
	}
	if err != nil {
		return err
	}
	if s.first && len(chunk) == chunkSize {
		// age grows its buffer by doubling it, and needs a little more than a
		// chunk: half of one first makes it grow once instead of twice.
		const half = chunkSize/2 + 1
		if _, err := s.age.Write(chunk[:half]); err != nil {
			return err
		}
		chunk = chunk[half:]
	}
	s.first = false
	_, err = s.age.Write(chunk)
	return err
}
