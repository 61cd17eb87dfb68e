package moraine

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// Identities. Each is opaque outside the place that makes it.
type (
	AccountID string // twelve digits
	Region    string // as in a credential scope, for example "eu-north-1"
	VaultName string // chosen by the client, unique per account and region
	VaultID   string // ours: a vault that is deleted and made again has a new one
	BodyID    string // ours: the list of extents that makes up an archive, an upload or a job's output
	ArchiveID string // 138 characters (imported archives keep the id they came with)
	UploadID  string // 92 characters
	JobID     string // 92 characters

	CapacityID string // 24 characters
	MessageID  string // ours: a message in the outbox
)

// BlobID names an immutable string of bytes for ever, whichever store or place
// holds it.
type BlobID [16]byte

func (b BlobID) String() string { return hex.EncodeToString(b[:]) }

// Time is the instant NewBlobID was given.
func (b BlobID) Time() time.Time {
	var ms int64
	for _, c := range b[:6] {
		ms = ms<<8 | int64(c)
	}
	return time.UnixMilli(ms).UTC()
}

// ParseBlobID reads the 32 hex digits that String prints.
func ParseBlobID(s string) (BlobID, error) {
	var b BlobID
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(b) {
		return b, fmt.Errorf("blob id %q is not 32 hex digits", s)
	}
	copy(b[:], raw)
	return b, nil
}

// BlobRef says where a store keeps a blob. Only the store that made it can
// read it.
type BlobRef string

// Lengths of the identifiers on the wire, in characters (§1.15). Each is the
// unpadded base64url length of a whole number of bytes.
const (
	archiveIDLen = 138
	uploadIDLen  = 92
	jobIDLen     = 92
	requestIDLen = 47
	shortIDLen   = 24 // of locks and capacity units
	internalLen  = 32
)

// timeDigits are in ASCII order, so that identifiers made later sort later and
// index pages fill in order.
const timeDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUV"

// timeLen digits of five bits hold milliseconds until the year 3084. The first
// one is never "-", which command lines would take for an option.
const timeLen = 9

// newID makes an identifier of n characters of the base64url alphabet: a time
// prefix, then random characters. It decodes as unpadded base64url.
func newID(n int, now time.Time) string {
	var raw [104]byte
	k := base64.RawURLEncoding.DecodedLen(n)
	rand.Read(raw[:k])
	var text [archiveIDLen]byte
	base64.RawURLEncoding.Encode(text[:n], raw[:k])
	ms := uint64(now.UnixMilli())
	for i := timeLen - 1; i >= 0; i-- {
		text[i] = timeDigits[ms&31]
		ms >>= 5
	}
	return string(text[:n])
}

// NewArchiveID makes the id of an archive created at now.
func NewArchiveID(now time.Time) ArchiveID { return ArchiveID(newID(archiveIDLen, now)) }

// NewUploadID makes the id of a multipart upload begun at now.
func NewUploadID(now time.Time) UploadID { return UploadID(newID(uploadIDLen, now)) }

// NewJobID makes the id of a job begun at now.
func NewJobID(now time.Time) JobID { return JobID(newID(jobIDLen, now)) }

// NewCapacityID makes the id of a capacity unit bought at now.
func NewCapacityID(now time.Time) CapacityID { return CapacityID(newID(shortIDLen, now)) }

// NewRequestID makes the id of a request received at now.
func NewRequestID(now time.Time) string { return newID(requestIDLen, now) }

// NewVaultID makes the internal id of a vault created at now.
func NewVaultID(now time.Time) VaultID { return VaultID(newID(internalLen, now)) }

// NewBodyID makes the internal id of a list of extents begun at now.
func NewBodyID(now time.Time) BodyID { return BodyID(newID(internalLen, now)) }

// NewRevision makes a number for Vault.Revision: 63 random bits, never 0, so
// that a state that was undone leaves no trace another could be taken for.
func NewRevision() int64 {
	var raw [8]byte
	for {
		rand.Read(raw[:])
		if n := int64(binary.BigEndian.Uint64(raw[:]) >> 1); n != 0 {
			return n
		}
	}
}

// NewBlobID makes the id of a blob stored at now: six bytes of milliseconds,
// ten random ones.
func NewBlobID(now time.Time) BlobID {
	var b BlobID
	rand.Read(b[6:])
	ms := uint64(now.UnixMilli())
	for i := 5; i >= 0; i-- {
		b[i] = byte(ms)
		ms >>= 8
	}
	return b
}

// NewMessageID makes the id of a message written at now.
func NewMessageID(now time.Time) MessageID { return MessageID(newID(internalLen, now)) }
