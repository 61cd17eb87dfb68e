package crypt_test

import (
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
	return ringOf(t, crypt.GenerateKey())
}

func ringOf(t testing.TB, keys ...crypt.Key) *crypt.Ring {
	t.Helper()
	ring, err := crypt.NewRing(keys...)
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
		"on mem":            func(t *testing.T) blob.Store { return crypt.New(mem.New(), newRing(t)) },
		"on packs":          func(t *testing.T) blob.Store { return crypt.New(openPack(t), newRing(t)) },
		"on mem, read-only": func(t *testing.T) blob.Store { return crypt.New(mem.New(), newRing(t).ReadOnly()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blobtest.Run(t, open)
		})
	}
}
