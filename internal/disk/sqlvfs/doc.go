// Package sqlvfs keeps the files of SQLite in a disk.FS, so that a test can
// take the power from rows and bytes at the same instant.
//
// It does what the engine's own layer for Unix does with the disk: the same
// writes, syncs and syncs of directories in the same order. Locks and the shared
// index of the write-ahead log are in memory, for one process; after a crash the
// files are opened by a new VFS, which knows no locks.
//
// It is for tests. It must not know what the files are for.
package sqlvfs
