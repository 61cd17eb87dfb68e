package crypt_test

import (
	"strings"
	"testing"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/crypt"
)

// FuzzRef parses references and prints them again.
func FuzzRef(f *testing.F) {
	for _, ref := range []string{"", "s.01.2.3.4", "k1:1:0011223344556677:m.1", "k1:ffff:0011223344556677:", "k1:4000000000000:0011223344556677:k1:", "k1:+1:0011223344556677:m.1"} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		again, encrypted, err := crypt.ParseRef(ref)
		switch {
		case encrypted != strings.HasPrefix(ref, "k1:"):
			t.Errorf("%q is encrypted: %v", ref, encrypted)
		case err != nil && !moraine.IsKind(err, moraine.Invalid):
			t.Errorf("%q: %v", ref, err)
		case err == nil && encrypted && again != ref:
			t.Errorf("%q prints as %q", ref, again)
		}
		below, ok := crypt.Stored(blob.Info{Ref: moraine.BlobRef(ref), Size: 1})
		if ok != (encrypted && err == nil) || ok && (below.Size < 2 || !strings.HasSuffix(ref, ":"+string(below.Ref))) {
			t.Errorf("%q: stored as %v, %v", ref, below, ok)
		}
	})
}

// FuzzUnwrap gives a ring recipients it never made.
func FuzzUnwrap(f *testing.F) {
	raw := make([]byte, crypt.KeySize)
	key, err := crypt.NewKey(raw)
	if err != nil {
		f.Fatal(err)
	}
	ring, err := crypt.NewRing(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(crypt.StanzaType, key.ID().String(), "00", make([]byte, 44))
	f.Add(crypt.StanzaType, "0011223344556677", "00", []byte{})
	f.Add("X25519", "", "", []byte{1})
	f.Fuzz(func(t *testing.T, kind, id, blobID string, body []byte) {
		fileKey, err := crypt.Unwrap(ring, kind, []string{id, blobID}, body)
		if err == nil {
			t.Errorf("%q %q %q %x opens as %x", kind, id, blobID, body, fileKey)
		}
		if !moraine.IsKind(err, moraine.Corrupt) && !moraine.IsKind(err, moraine.Unavailable) {
			t.Errorf("%q %q %q %x: %v", kind, id, blobID, body, err)
		}
		if _, err := crypt.Unwrap(nil, kind, []string{id}, body); !moraine.IsKind(err, moraine.Corrupt) {
			t.Errorf("one argument: %v", err)
		}
	})
}
