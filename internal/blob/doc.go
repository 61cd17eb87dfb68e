// Package blob is the port to the bytes: stores of immutable strings of bytes,
// named by an id and found by a reference.
//
// It knows what a store owes its callers (package blobtest tests it) and how a
// body is read from its extents. It must not know any technology, nor what the
// bytes mean: vaults, archives and rules live above.
package blob
