package sqlmeta

import (
	"fmt"
	"math"
	"time"

	"moraine"
)

// An instant is stored as milliseconds since 1970 UTC, the zero time as NULL.

// Bounds for queries that leave one open.
const (
	earliest int64 = math.MinInt64
	latest   int64 = math.MaxInt64
)

func millis(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// millisOr is millis for a query's bound: absent if t is zero.
func millisOr(t time.Time, absent int64) int64 {
	if t.IsZero() {
		return absent
	}
	return t.UnixMilli()
}

// instant reads into a time.Time.
type instant time.Time

func (i *instant) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*i = instant{}
	case int64:
		*i = instant(time.UnixMilli(v).UTC())
	default:
		return fmt.Errorf("instant stored as %T", src)
	}
	return nil
}

// digest reads into a moraine.TreeHash; NULL is the zero hash.
type digest moraine.TreeHash

func (d *digest) Scan(src any) error { return fill(d[:], src) }

// blobID reads into a moraine.BlobID.
type blobID moraine.BlobID

func (b *blobID) Scan(src any) error { return fill(b[:], src) }

func fill(dst []byte, src any) error {
	switch v := src.(type) {
	case nil:
		clear(dst)
		return nil
	case []byte:
		if len(v) == len(dst) {
			copy(dst, v)
			return nil
		}
		return fmt.Errorf("%d bytes stored where %d belong", len(v), len(dst))
	}
	return fmt.Errorf("bytes stored as %T", src)
}

// hashOrNull stores the zero hash as NULL.
func hashOrNull(h moraine.TreeHash) any {
	if h == (moraine.TreeHash{}) {
		return nil
	}
	return h[:]
}

// textOrNull stores "" as NULL.
func textOrNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// text reads into a string; NULL is "".
type text string

func (s *text) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*s = ""
	case string:
		*s = text(v)
	default:
		return fmt.Errorf("text stored as %T", src)
	}
	return nil
}

// whole reads into an int64; NULL is 0.
type whole int64

func (n *whole) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*n = 0
	case int64:
		*n = whole(v)
	default:
		return fmt.Errorf("number stored as %T", src)
	}
	return nil
}
