// Package fixity is the report that proves to somebody who has no access to the
// server what it holds and when it was last read: its form, its checksum and
// its signature.
//
// It knows the files (docs/format/fixity.md) and Ed25519. It must not know where
// the figures come from.
package fixity
