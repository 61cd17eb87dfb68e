// Package pack keeps blobs in files of a local file system. Small blobs share
// files, called packs, and their syncs; a large blob has a file to itself. The
// bytes on disk are specified in docs/format/pack.md.
//
// It knows records, files and what a crash leaves of them, and reaches the file
// system through package disk alone. It must not know what a blob is for:
// archives, rows and rules live above.
//
// # Who writes what
//
// Each file is changed by one goroutine at a time, so no lock is held over a
// disk access but those for syncs of a shared pack and of open/:
//   - the appender creates the current shared pack and appends to it;
//   - the caller of Put writes a large file, with a helper of its own;
//   - the reaper marks, merges and punches dead records of shared packs;
//   - the sealer moves full packs and finished large files to sealed/.
//
// # What is durable when
//
// Put returns after the record's file is synced and its name in open/ is too.
// The move to sealed/ comes later and loses nothing if it never happens: a
// crash leaves the file under one of its two names, readers look in both, and
// the next Open repeats the move. Delete returns after the dead mark, or the
// removal of the name, is durable; giving the space back comes after that.
//
// After a sync of open/ failed, no file that was made there before is
// acknowledged, whatever later syncs say: its name may be lost.
//
// After a write or sync of a shared pack failed nothing more is appended to it.
// It ends where the last good batch ended, and a new one is begun.
package pack
