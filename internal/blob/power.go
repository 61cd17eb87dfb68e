package blob

import (
	"context"
	"errors"

	"moraine"
)

// ErrUnreadable is in the chain of an error of kind Unavailable that says that the
// medium does not give the bytes of this place. If it gives those of others, they
// are as good as damaged.
var ErrUnreadable = errors.New("the medium does not give the bytes")

// Checker is a store that can prove blobs by what it keeps beside their bytes.
// It needs no keys where the bytes are encrypted.
type Checker interface {
	// Check reads every copy of a blob from the medium and compares each 1 MiB
	// leaf with its stored digest, and size and id with i. buf holds at least
	// one leaf. step is called before each leaf that is read, with its length in
	// bytes as it is stored, and stops the work with its error, which Check returns.
	//
	// The copies are in a fixed order, one at least. What a copy suffers from is
	// in its Err; an error of Check itself says nothing about the blob.
	Check(ctx context.Context, i Info, buf []byte, step func(n int) error) ([]Copy, error)
}

// Copy is what a Check found of one copy of a blob.
type Copy struct {
	// Place names the copy for an operator: "primary", "mirror".
	Place string
	// Err is nil for a good copy, of kind Corrupt for one that fails its
	// digests, NotFound for one that is missing, Unavailable if it could not be
	// judged now.
	Err error
}

// Stater is a store that can say what a reference leads to, reading no data.
type Stater interface {
	// Stat returns what is stored at ref, as Walk would show it. Its errors are
	// those of Open.
	Stat(ctx context.Context, ref moraine.BlobRef) (Info, error)
}

// Mender is a store of more than one copy that can make them whole again.
type Mender interface {
	// Missing names the places of the copies that a blob should have and does
	// not, as far as that can be told without reading data; none if it has all.
	Missing(ctx context.Context, ref moraine.BlobRef) ([]string, error)
	// Mend makes the missing and damaged copies of a blob anew from a good one,
	// every leaf of which is checked on the way, and returns the reference that
	// names the good copies, old and new. They are durable; the row must be
	// moved to Ref before anything is removed. Refs of which nothing remains to
	// be used are in Drop, to be deleted after that, when no reader can be
	// using them. If all copies are whole, Ref is the one given. If none is
	// good, the error is of kind Corrupt.
	//
	// If the row has meanwhile changed, or is gone, the copies in Made are of no
	// use and may be deleted at once. A crash before the row is moved leaves
	// them as surplus, which is space, not loss.
	Mend(ctx context.Context, i Info) (Mended, error)
}

// Mended is the result of a Mend or a Rewrite.
type Mended struct {
	Ref  moraine.BlobRef   // names the good copies
	Made []moraine.BlobRef // each names one new copy, and no other
	Drop []moraine.BlobRef // each names one copy that Ref replaced
}

// Compactor is a store that keeps many blobs in a file, which may come to be mostly
// empty as they are deleted.
type Compactor interface {
	// Sparse calls fn for each blob in a file of whose bytes at least a certain
	// share belongs to deleted blobs, as Walk would show it. When all of them have
	// been rewritten and deleted there the file is gone. It stops at the first
	// error of fn and returns it. A file with damage is never sparse.
	Sparse(ctx context.Context, from Sparsity, fn func(Info) error) error
	// Rewrite makes another copy of the one that Sparse showed at a place, in the
	// same store, if the reference i.Ref names that place, else nothing. The copy
	// is durable, and every leaf of it was checked on the way. i is as the row of
	// the blob has it. The row must be moved to Ref of the result before what is in
	// Drop is deleted, when no reader can be using it.
	//
	// step is called before each leaf that is read, with its length in bytes, and
	// stops the work with its error. A copy that fails its check, or is not there,
	// is an error of kind Corrupt or NotFound, and nothing was made. If the row has
	// meanwhile changed, or is gone, what is in Made is of no use and may be deleted
	// at once. A crash before the row is moved leaves it as surplus, which is space,
	// not loss.
	Rewrite(ctx context.Context, i Info, at moraine.BlobRef, step func(n int) error) (Mended, error)
}

// Sparsity says from which share of deleted bytes on a file is sparse, 0 to 1.
type Sparsity struct {
	Held  float64 // where deleted bytes keep their space until the file is gone
	Given float64 // where their space is given back at once
}

// Resolver is a store whose Walk shows blobs as a store below it keeps them: by
// references that are good for Delete and Open of their bytes, but are not
// those that Put returned.
type Resolver interface {
	// Resolve returns a blob that Walk showed as Put returned it: reference and
	// size. It may have to read the beginning of the blob.
	Resolve(ctx context.Context, i Info) (Info, error)
}

// Resolve returns a blob that the Walk of s showed as its Put returned it.
func Resolve(ctx context.Context, s Store, i Info) (Info, error) {
	if r, ok := s.(Resolver); ok {
		return r.Resolve(ctx, i)
	}
	return i, nil
}
