// Package disk is the only place that creates, renames, removes, preallocates,
// punches and syncs files.
//
// It knows when bytes and names survive a loss of power: FS is the little of a
// file system that a careful writer needs, OS is the real one, and package
// crashfs is one that can lose power in a test. It must not know what the
// files are for.
//
// Three rules hold for every FS:
//   - What was written is durable after File.Sync returned nil.
//   - A name that was created, renamed or removed is durable after SyncDir of
//     its directory returned nil; a rename is atomic even before that.
//   - After a failed Sync the bytes written since the last good one are lost
//     even if they can still be read, and a second Sync does not save them. So
//     are the names that a failed SyncDir should have saved.
package disk
