// Package mirror is a blob.Store over two others, each of which holds a copy of
// every blob. What one lost or spoilt is read from, and made anew from, the
// other.
//
// It knows that there are two copies and how a reference names both
// (docs/format/mirror.md). It must not know what the stores are, nor what a blob
// is for; rows and the time to mend are the business of others. Without a second
// store it hands every call to the first and does nothing else.
//
// # What is durable when
//
// Put reads the body once, in the goroutine of its caller, and gives each
// buffer to both stores, which write side by side. It returns when both have
// made the blob durable. With Ack One it returns when one has: the other may be
// behind by Lag, then it is left to itself, and what it still stores is deleted
// when it comes back. The reference says which copies there are, so the rows
// say which are to be made.
//
// A crash leaves no copy without an id: a copy whose id no row names is an orphan
// like any other. One whose id a row names, by another reference, is surplus:
// space, no loss.
//
// # A disk that is gone
//
// A dead disk answers with errors, or not at all. Errors are believed at once:
// reads go on from the other copy in the middle of a blob, and with Ack One puts
// go to the other store alone for a while. A store that does not answer is left
// behind by Put after Lag, and gets nothing more to put or to delete until the
// calls it has come back, so that no more than the puts of one moment pile up
// before it. Reads have no deadline: the kernel ends them with an error in its
// own time, and then they go on.
package mirror
