// Package audit writes the audit log: one record per call, chained by hashes so
// that a record that was altered, removed or moved is found.
//
// It knows the form of a record, the chain, and files through disk.FS. It must
// not know HTTP, nor how a surface learns what a record says; the operations
// and their parameters are names and values to it. The format of the files is
// docs/format/audit.md; access-control §8 says what belongs in a record.
//
// A line is made in memory and put into a queue, which is written to disk by
// whoever needs it there first. Callers that come meanwhile wait and find that
// the next write took their lines along: many calls share one sync. Lines stay
// in the queue until they are durable, so that a failed write or sync is
// repeated at the same place with the same bytes and the chain has no gap.
package audit
