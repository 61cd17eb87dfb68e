package crypt

import "moraine/internal/treehash"

// Sizes of the age format: a header, a nonce, then chunks, each with a tag.
// Format: never change.
const (
	// headSize is the length of the header and the nonce of every blob: all
	// that varies in them is of fixed length.
	headSize    = 214
	nonceSize   = 16
	chunkSize   = 64 << 10
	tagSize     = 16
	sealedChunk = chunkSize + tagSize
)

func leafCount(size int64) int64 { return (size-1)/treehash.LeafSize + 1 }

// payloadSize is the length of the data of a blob and its leaf digests.
func payloadSize(size int64) int64 { return size + leafCount(size)*treehash.DigestSize }

// storedSize is the length of an encrypted blob in the inner store.
func storedSize(size int64) int64 {
	p := payloadSize(size)
	return headSize + p + ((p-1)/chunkSize+1)*tagSize
}

// sealedEnd is the offset, after the head, where the chunk with the last of n
// bytes of a payload ends at most.
func sealedEnd(n int64) int64 { return (n + chunkSize - 1) / chunkSize * sealedChunk }

// plainSize is the inverse of storedSize; ok is false for a length that no
// encrypted blob has.
func plainSize(stored int64) (size int64, ok bool) {
	sealed := stored - headSize
	if sealed <= tagSize || stored > storedSize(sizeMax) {
		return 0, false
	}
	p := sealed - ((sealed-1)/sealedChunk+1)*tagSize
	const leaf = treehash.LeafSize + treehash.DigestSize
	size = p - ((p-1)/leaf+1)*treehash.DigestSize
	return size, size >= 1 && storedSize(size) == stored
}
