// Package crypt is a blob store that keeps its bytes encrypted in another one.
//
// Each blob is an age file of its own: its key is wrapped by a key of a Ring,
// whose keys are wrapped by a master outside the data. The inner store computes
// its digests over what it is given, so that it can be checked, mirrored and
// mended without any key. Blobs that were stored before there was a Ring, or
// while none is set, are passed through as they are.
//
// It knows the format of a stored blob (docs/format/encryption.md). It must not
// know where the keys of a Ring come from, nor what the bytes mean.
package crypt
