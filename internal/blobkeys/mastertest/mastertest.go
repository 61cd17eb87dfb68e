// Package mastertest is the conformance suite of the masters of wrapping keys,
// and stands in for the services that some of them ask.
//
// It knows what a master owes. It must not know how one is made: each brings its
// own settings.
package mastertest

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"strings"
	"sync"
	"testing"

	"moraine"
)

// Master is what is tested: a blobkeys.Master.
type Master interface {
	Name() string
	Wrap(ctx context.Context, id string, key []byte) ([]byte, error)
	Unwrap(ctx context.Context, id string, wrapped []byte) ([]byte, error)
}

// Run tests the master that open returns, which is the same at each call.
func Run(t *testing.T, kind string, open func(t *testing.T) Master) {
	t.Helper()
	m, ctx := open(t), t.Context()
	key := make([]byte, 32)
	rand.Read(key)
	if got, again := m.Name(), open(t).Name(); !strings.HasPrefix(got, kind+":") || got != again {
		t.Errorf("the name is %q and then %q", got, again)
	}
	wrapped, err := m.Wrap(ctx, "a", key)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(wrapped, key[:8]) {
		t.Error("what is wrapped shows the key")
	}
	if got, err := open(t).Unwrap(ctx, "a", wrapped); err != nil || !bytes.Equal(got, key) {
		t.Errorf("unwrapped to %d bytes: %v", len(got), err)
	}
	for name, row := range map[string]struct {
		id      string
		wrapped []byte
	}{
		"another id": {"b", wrapped}, "no id": {"", wrapped}, "nothing": {"a", nil}, "cut": {"a", wrapped[:len(wrapped)-1]},
		"not ours": {"a", []byte("nothing")}, "changed": {"a", append(bytes.Clone(wrapped[:len(wrapped)-2]), 'A', '=')},
	} {
		if got, err := m.Unwrap(ctx, row.id, row.wrapped); !moraine.IsKind(err, moraine.Corrupt) {
			t.Errorf("%s: unwrapped to %d bytes: %v", name, len(got), err)
		}
	}
}

// keys are what a service that stands in for another encrypts with, by name.
type keys struct {
	mu     sync.Mutex // guards the rest
	byName map[string]cipher.AEAD
}

// find returns the key with a name, which is made when it is asked for first.
func (k *keys) find(name string) cipher.AEAD {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byName == nil {
		k.byName = make(map[string]cipher.AEAD)
	}
	if k.byName[name] == nil {
		raw := make([]byte, 32)
		rand.Read(raw)
		block, err := aes.NewCipher(raw)
		if err != nil {
			panic(err) // the key is of the right size
		}
		if k.byName[name], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			panic(err)
		}
	}
	return k.byName[name]
}
