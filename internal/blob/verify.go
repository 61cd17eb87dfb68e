package blob

import (
	"context"
	"io"

	"moraine"
	"moraine/internal/treehash"
)

// Verify reads whole blobs and compares every 1 MiB leaf with its stored
// digest, and the root of each blob's leaves with that of its extent. A
// difference is a Damage with an error of kind Corrupt. step is called before each leaf is
// read and stops the work with its error.
//
// Leaves are hashed side by side, also those of different blobs, so that memory
// is needed for treehash.BatchSize bytes, or for the blobs if they are smaller.
func Verify(ctx context.Context, s Store, extents []moraine.Extent, step func() error) error {
	var size int64
	for _, e := range extents {
		size += e.Size
	}
	v := verification{buf: make([]byte, min(size, int64(treehash.BatchSize())))}
	for _, e := range extents {
		if err := v.read(ctx, s, e, step); err != nil {
			// What was read before may be damaged too, and comes first.
			if damage := v.compare(); damage != nil {
				return damage
			}
			return damaged(e.Blob, err)
		}
	}
	return v.compare()
}

// verification holds leaves that are read and not yet compared.
type verification struct {
	buf  []byte
	used int
	want []storedLeaf // in the order of buf
	got  []treehash.Digest
}

type storedLeaf struct {
	extent moraine.Extent
	number int
	digest treehash.Digest
}

// read reads the leaves of a blob and compares them whenever the buffer is
// full.
func (v *verification) read(ctx context.Context, s Store, e moraine.Extent, step func() error) error {
	r, err := s.Open(ctx, e.Ref, 0, e.Size)
	if err != nil {
		return err
	}
	defer r.Close()
	stored, err := s.Leaves(ctx, e.Ref, 0, (e.Size+treehash.LeafSize-1)/treehash.LeafSize)
	if err != nil {
		return err
	}
	if got := treehash.Root(stored); got != e.TreeHash {
		return moraine.Errorf(moraine.Corrupt, "blob %s: leaves of %s have root %s, its row says %s", e.Blob, e.Ref, got, e.TreeHash)
	}
	for i, digest := range stored {
		if err := step(); err != nil {
			return err
		}
		n := int(min(treehash.LeafSize, e.Size-int64(i)*treehash.LeafSize))
		if n > len(v.buf)-v.used {
			if err := v.compare(); err != nil {
				return err
			}
		}
		_, err := io.ReadFull(r, v.buf[v.used:][:n])
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return moraine.Errorf(moraine.Corrupt, "blob %s ends in leaf %d", e.Blob, i)
		}
		if err != nil {
			return err
		}
		v.used += n
		v.want = append(v.want, storedLeaf{e, i, digest})
		if n < treehash.LeafSize {
			// The next leaf must follow a whole one.
			if err := v.compare(); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare hashes the leaves in the buffer and empties it.
func (v *verification) compare() error {
	v.got = treehash.AppendLeaves(v.got[:0], v.buf[:v.used])
	want := v.want
	v.used, v.want = 0, v.want[:0]
	for i, w := range want {
		if v.got[i] != w.digest {
			return damaged(w.extent.Blob,
				moraine.Errorf(moraine.Corrupt, "blob %s: leaf %d of %s fails its digest", w.extent.Blob, w.number, w.extent.Ref))
		}
	}
	return nil
}
