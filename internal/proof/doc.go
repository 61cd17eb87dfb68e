// Package proof holds tests of whole servers in one process, over histories that
// nobody wrote down: power cuts at any operation of the disk, and the same
// history on every way to keep rows and bytes.
//
// What each proves and how to run it for long is in docs/proof.md.
package proof
