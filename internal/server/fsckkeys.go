package server

import (
	"context"
	"errors"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/crypt"
	"moraine/internal/treehash"
)

// leafCount is how many leaves so many bytes have.
func leafCount(size int64) int64 { return (size + treehash.LeafSize - 1) / treehash.LeafSize }

// decrypted returns a blob of a pack as the rows know it: a plain one as it is,
// an encrypted one with reference, size and tree hash of its plaintext, every
// byte of which is read. It is Corrupt if the bytes are whole and decrypt to
// something that is not.
func (c *check) decrypted(ctx context.Context, f found) (found, error) {
	if c.WithoutKeys {
		return f, nil
	}
	i, err := c.blobs.Resolve(ctx, f.Info)
	if f.locked = errors.Is(err, crypt.ErrNoKey); f.locked {
		return f, nil // and no loss, if no row names it
	}
	if err != nil || i.Ref == f.Ref {
		return f, err
	}
	leaves, err := c.blobs.Leaves(ctx, i.Ref, 0, leafCount(i.Size))
	if err != nil {
		return f, err
	}
	root := treehash.Root(leaves)
	e := moraine.Extent{Blob: i.ID, Ref: i.Ref, Size: i.Size, TreeHash: root}
	if err := blob.Verify(ctx, c.blobs, []moraine.Extent{e}, ctx.Err); err != nil {
		return f, err
	}
	c.res.Decrypted++
	return found{Info: i, root: root}, nil
}

// stored is an extent as it is stored; encrypted tells whether that is
// another size and another tree hash.
func stored(e *moraine.Extent) (below blob.Info, encrypted bool) {
	return crypt.Stored(blob.Info{ID: e.Blob, Ref: e.Ref, Size: e.Size})
}

// differs reports whether a blob of a pack is not the one that a row means.
func (c *check) differs(f *found, e *moraine.Extent) bool {
	if below, encrypted := stored(e); c.WithoutKeys && encrypted {
		return f.Size != below.Size // what it decrypts to is not known
	}
	return e.Size != f.Size || e.TreeHash != f.root
}

// present checks that the reference of e leads to a blob with its tree hash.
// It reads the digests and no data.
func (c *check) present(ctx context.Context, e moraine.Extent) error {
	if below, encrypted := stored(&e); c.WithoutKeys && encrypted {
		_, err := c.copies.Leaves(ctx, below.Ref, 0, leafCount(below.Size))
		return err
	}
	leaves, err := c.blobs.Leaves(ctx, e.Ref, 0, leafCount(e.Size))
	if err != nil {
		return err
	}
	if root := treehash.Root(leaves); root != e.TreeHash {
		return moraine.Errorf(moraine.Corrupt, "the blob has tree hash %s", root)
	}
	return nil
}

// verify checks that every byte of e is as its digests say.
func (c *check) verify(ctx context.Context, e moraine.Extent) error {
	below, encrypted := stored(&e)
	if !c.WithoutKeys || !encrypted {
		return blob.Verify(ctx, c.blobs, []moraine.Extent{e}, ctx.Err)
	}
	leaves, err := c.copies.Leaves(ctx, below.Ref, 0, leafCount(below.Size))
	if err != nil {
		return err
	}
	e.Ref, e.Size, e.TreeHash = below.Ref, below.Size, treehash.Root(leaves)
	return blob.Verify(ctx, c.copies, []moraine.Extent{e}, ctx.Err)
}

// split returns references to each copy that ref names, alone.
func (c *check) split(ref moraine.BlobRef) []moraine.BlobRef {
	parts := c.copies.Split(crypt.Below(ref))
	for i := range parts {
		parts[i] = crypt.At(ref, parts[i])
	}
	return parts
}

// join returns the reference of e with the copy that was found in the place of
// its own, and what it named there before: "" for nothing.
func (c *check) join(e *moraine.Extent, f *found) (joined, replaced moraine.BlobRef) {
	joined, replaced = c.copies.Join(crypt.Below(e.Ref), crypt.Below(f.Ref))
	whole := f.Ref // what was found has been read, what the row says may be wrong
	if c.WithoutKeys {
		whole = e.Ref
	}
	if replaced != "" {
		replaced = crypt.At(e.Ref, replaced)
	}
	return crypt.At(whole, joined), replaced
}
