// Package s3 keeps blobs in a bucket of any S3-compatible store. Small blobs
// share objects and requests; a large blob has an object to itself. The bytes and
// the names of objects are specified in docs/format/s3.md.
//
// It knows objects, requests and what a request that got no answer may have done.
// It must not know what a blob is for: archives, rows and rules live above.
//
// # What is durable when
//
// Put returns when the store has acknowledged the object that holds the blob.
// Objects are written once, under names that are never used again, with
// If-None-Match where the store has it, and with their SHA-256, which the store
// compares. A request without an answer is repeated with the same name and bytes,
// so it cannot make a second object. If the answer is then that the object exists,
// it is ours, and it is compared before anybody is told.
//
// A crash leaves objects that no row names, parts of uploads that were never
// completed, and marks of deleted blobs. Walk shows the first, and removes the
// others when they are older than the grace by the store's own clock.
//
// # Several processes
//
// Any number of processes may use one bucket and prefix. They share nothing but
// objects: a name is drawn at random, so no two write the same one; a deletion is
// a mark or a removal, both of which may be repeated by anybody.
package s3
