// Package audit writes the audit log: one record per call, chained by hashes so
// that a record that was altered, removed or moved is found.
//
// It knows the form of a record, the chains, and files through disk.FS. It must
// not know HTTP, nor how a surface learns what a record says; the operations
// and their parameters are names and values to it. The format of the files is
// docs/format/audit.md; access-control §8 says what belongs in a record.
//
// A record becomes a line in memory, outside any lock, and gets its place in the
// chain of its region with one hash, under the lock of that chain. The line goes
// into a queue, which is written to disk by whoever needs it there first.
// Callers that come meanwhile wait and find that the next write took their lines
// along: many calls share one sync. Lines stay in the queue until they are
// durable, so that a failed write or sync is repeated at the same place with the
// same bytes and the chain has no gap.
//
// There is a file for each region and hour. Tidy compresses those of past hours
// and lists them in manifests, which are a chain of their own.
package audit
