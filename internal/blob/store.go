package blob

import (
	"context"
	"io"

	"moraine"
	"moraine/internal/treehash"
)

// Store keeps immutable blobs. All methods may be called at the same time from
// many goroutines. Errors carry a moraine.Kind: Unavailable when the store is
// full or away (a retry may succeed), Corrupt when stored bytes fail their
// check (names place and offset), NotFound when the reference names nothing.
type Store interface {
	// Put stores the bytes of r under id and returns a reference when they are
	// durable: after a crash on the next line, Open gives them back.
	//   - size is exact, at least 1. If r ends early, delivers more, or returns
	//     an error other than io.EOF, Put stores nothing and returns that error
	//     unchanged in its chain (a short read is io.ErrUnexpectedEOF). The
	//     error returned with or in place of the final io.EOF counts: a reader
	//     that checks a hash refuses there.
	//   - r is read by one goroutine, never after Put returned, with buffers of
	//     at most treehash.LeafSize, which is a multiple of the length of each
	//     but the last. r may keep nothing of the buffer.
	//   - If r is a Digester its leaf digests are stored; otherwise Put computes
	//     them. They are kept beside the bytes.
	//   - Put is not idempotent: putting the same id twice makes two blobs. A
	//     reference is never given twice, also not after a Delete: a process that
	//     stalled may delete by one it read long ago.
	//   - Memory does not depend on size.
	// An error of kind Unavailable leaves it open whether the bytes are stored;
	// if they are, no reference was returned and Walk will show an orphan.
	Put(ctx context.Context, id moraine.BlobID, r io.Reader, size int64) (moraine.BlobRef, error)

	// Open reads n bytes of a blob from offset off. The range must lie within
	// the blob, else an Invalid error. Every frame is checked before any byte of
	// it is returned: a damaged one is an error of kind Corrupt from Read, never
	// bytes and never io.EOF. Close releases what the reader holds; reading a
	// blob deleted meanwhile is an error or the right bytes.
	Open(ctx context.Context, ref moraine.BlobRef, off, n int64) (io.ReadCloser, error)

	// Leaves returns the stored SHA-256 digests of n 1 MiB leaves of a blob,
	// beginning with leaf number first, without reading its data.
	Leaves(ctx context.Context, ref moraine.BlobRef, first, n int64) ([]treehash.Digest, error)

	// Delete removes a blob and gives its space back. It is idempotent: a blob
	// that is gone is no error, so an interrupted Delete is simply repeated. It
	// works when the store is full.
	Delete(ctx context.Context, ref moraine.BlobRef) error

	// Close waits for what is under way and releases the store.
	Close() error
}

// Digester is a reader that computed the leaf digests of what it delivered.
// Leaves is called after the reader returned io.EOF.
type Digester interface {
	Leaves() []treehash.Digest
}

// Info describes a stored blob.
type Info struct {
	ID   moraine.BlobID
	Ref  moraine.BlobRef
	Size int64
}

// Walker is a store that can list what it holds, reading no data.
type Walker interface {
	// Walk calls fn once for each blob that is durable when Walk begins and not
	// deleted meanwhile, in no promised order; blobs put during the walk may or
	// may not be shown. It stops at the first error of fn and returns it.
	// Damaged places are passed to damaged, if it is not nil, and stepped over.
	// A store of several copies shows each, with a reference to that one alone.
	Walk(ctx context.Context, fn func(Info) error, damaged func(error)) error
}
