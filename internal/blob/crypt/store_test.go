package crypt_test

import (
	"crypto/rand"
	"testing"

	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/crypt"
	"moraine/internal/blob/mem"
	"moraine/internal/blob/pack"
	"moraine/internal/disk"
)

func newRing(t testing.TB) *crypt.Ring {
	t.Helper()
	key := make([]byte, crypt.KeySize)
	rand.Read(key)
	ring, err := crypt.NewRing(crypt.KeyID{1}, map[crypt.KeyID][]byte{{1}: key})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func openPack(t *testing.T) blob.Store {
	t.Helper()
	s, err := pack.Open(pack.Config{Dir: t.TempDir(), FS: disk.NewOS()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) blob.Store{
		"on mem":           func(t *testing.T) blob.Store { return crypt.New(mem.New(), newRing(t)) },
		"on packs":         func(t *testing.T) blob.Store { return crypt.New(openPack(t), newRing(t)) },
		"on mem, no ring":  func(*testing.T) blob.Store { return crypt.New(mem.New(), nil) },
		"on packs, no key": func(t *testing.T) blob.Store { return crypt.New(openPack(t), nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blobtest.Run(t, open)
		})
	}
}
