package sigv4

import (
	"container/list"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const redacted = "REDACTED"

// Secret is a secret access key or a session token. However it is printed,
// marshalled or logged, it reads REDACTED; string(s) is the way to its bytes.
type Secret []byte

// String returns REDACTED.
func (Secret) String() string { return redacted }

// GoString returns REDACTED.
func (Secret) GoString() string { return redacted }

// Format prints REDACTED for every verb.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// MarshalText returns REDACTED.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns REDACTED as a string.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// LogValue returns REDACTED.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Key is an access key.
type Key struct {
	ID     string
	Secret Secret
	// Token is the session token that belongs to a temporary key, empty for a
	// long-term one. A request must carry exactly this token.
	Token Secret
	// Expires is when the session of a temporary key ends; zero means never.
	Expires time.Time
	// Subject is whatever the lookup knows about the owner of the key. It
	// comes back in Result.Subject; this package does not look at it.
	Subject any
}

// ErrUnknownKey says that there is no such key, that it or its owner is
// disabled, or that the token does not belong to it.
var ErrUnknownKey = errors.New("sigv4: unknown access key")

// Keys finds access keys. Verify calls Lookup once per request, before the
// signature is checked, from any goroutine.
type Keys interface {
	// Lookup returns the active key with this id. The token is empty when the
	// request carries none; a temporary key is returned with the token it
	// belongs to, also when its session has expired. ErrUnknownKey refuses the
	// request; any other error is a fault of the server and Verify returns it
	// wrapped.
	Lookup(ctx context.Context, keyID, token string) (Key, error)
}

// signingKeysMax bounds the cache of derived keys.
const signingKeysMax = 4096

type cacheKey struct {
	keyID string
	scope scope
}

type cacheEntry struct {
	key    cacheKey
	secret Secret // what signed was derived from; a changed secret drops the entry
	signed [sha256.Size]byte
}

// keyCache keeps derived signing keys, least recently used last. It is
// emptied at every change of day, so that old keys do not linger.
type keyCache struct {
	mu      sync.Mutex // guards everything below
	day     int64      // days since 1970 of the last call
	entries map[cacheKey]*list.Element
	order   *list.List // of *cacheEntry
}

func newKeyCache() *keyCache {
	return &keyCache{entries: make(map[cacheKey]*list.Element), order: list.New()}
}

// get returns the signing key of s under key, deriving it when it is not there.
func (c *keyCache) get(key Key, s scope, now time.Time) [sha256.Size]byte {
	id := cacheKey{key.ID, s}
	if signed, ok := c.lookup(id, key.Secret, now); ok {
		return signed
	}
	signed := signingKey(key.Secret, s)
	c.store(id, key.Secret, signed)
	return signed
}

func (c *keyCache) lookup(id cacheKey, secret Secret, now time.Time) ([sha256.Size]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if day := now.Unix() / (24 * 60 * 60); day != c.day {
		c.day = day
		clear(c.entries)
		c.order.Init()
	}
	element, ok := c.entries[id]
	if !ok {
		return [sha256.Size]byte{}, false
	}
	entry := element.Value.(*cacheEntry)
	if subtle.ConstantTimeCompare(entry.secret, secret) != 1 {
		c.remove(element)
		return [sha256.Size]byte{}, false
	}
	c.order.MoveToFront(element)
	return entry.signed, true
}

func (c *keyCache) store(id cacheKey, secret Secret, signed [sha256.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.entries[id]; ok {
		c.remove(element)
	}
	// The strings are parts of a request's headers and must not keep those.
	id.keyID = strings.Clone(id.keyID)
	id.scope = scope{strings.Clone(id.scope.date), strings.Clone(id.scope.region), strings.Clone(id.scope.service)}
	entry := &cacheEntry{key: id, secret: append(Secret(nil), secret...), signed: signed}
	c.entries[id] = c.order.PushFront(entry)
	if c.order.Len() > signingKeysMax {
		c.remove(c.order.Back())
	}
}

// forget drops every entry of one key.
func (c *keyCache) forget(keyID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, element := range c.entries {
		if id.keyID == keyID {
			c.remove(element)
		}
	}
}

func (c *keyCache) remove(element *list.Element) {
	c.order.Remove(element)
	delete(c.entries, element.Value.(*cacheEntry).key)
}
