package crypt

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"moraine"
)

// ref is the place of an encrypted blob.
type ref struct {
	size  int64 // of the plaintext
	check check
	inner moraine.BlobRef
}

// check is the beginning of the SHA-256 of a blob's header and nonce, which no
// two blobs share: what is found at the place is the blob that was put there.
type check [8]byte

func checkOf(head []byte) (c check) {
	sum := sha256.Sum256(head)
	copy(c[:], sum[:])
	return c
}

// refPrefix begins the reference of an encrypted blob:
// k1:<size>:<check>:<inner reference>, size and check in hex. Format: never
// change.
const refPrefix = "k1:"

// sizeMax bounds a blob, in bytes, far from overflow in what is made of it.
const sizeMax = 1 << 50

func (r ref) String() moraine.BlobRef {
	return moraine.BlobRef(refPrefix + strconv.FormatInt(r.size, 16) + ":" + hex.EncodeToString(r.check[:]) + ":" + string(r.inner))
}

// at is the reference of the same blob at another place.
func (r ref) at(inner moraine.BlobRef) moraine.BlobRef {
	r.inner = inner
	return r.String()
}

// isEncrypted reports whether a reference claims to be that of an encrypted
// blob.
func isEncrypted(b moraine.BlobRef) bool { return strings.HasPrefix(string(b), refPrefix) }

// parseRef reads a reference; ok is false for that of a blob that is not
// encrypted.
func parseRef(b moraine.BlobRef) (r ref, ok bool, err error) {
	text, ok := strings.CutPrefix(string(b), refPrefix)
	if !ok {
		return ref{inner: b}, false, nil
	}
	size, text, _ := strings.Cut(text, ":")
	sum, inner, _ := strings.Cut(text, ":")
	r.inner = moraine.BlobRef(inner)
	r.size, err = strconv.ParseInt(size, 16, 64)
	if err == nil && len(sum) == 2*len(r.check) {
		_, err = hex.Decode(r.check[:], []byte(sum))
	}
	// Printing what was read leaves no other spelling.
	if err != nil || r.size < 1 || r.size > sizeMax || r.String() != b {
		return ref{}, true, moraine.Errorf(moraine.Invalid, "%q is not a reference to an encrypted blob", string(b))
	}
	return r, true, nil
}
