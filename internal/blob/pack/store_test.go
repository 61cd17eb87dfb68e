package pack_test

import (
	"testing"

	"go.uber.org/goleak"

	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/pack"
	"moraine/internal/disk/crashfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, cfg pack.Config) *pack.Store {
	t.Helper()
	s, err := pack.Open(cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T) pack.Config{
		"os":              func(t *testing.T) pack.Config { return pack.Config{Dir: t.TempDir()} },
		"os, small packs": func(t *testing.T) pack.Config { return pack.Config{Dir: t.TempDir(), PackSize: 100_000, HandlesMax: 2} },
		"os, much large":  func(t *testing.T) pack.Config { return pack.Config{Dir: t.TempDir(), SmallMax: 1000} },
		"memory":          func(*testing.T) pack.Config { return pack.Config{Dir: "d", FS: crashfs.New(), PackSize: 1 << 20} },
	}
	for name, config := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blobtest.Run(t, func(t *testing.T) blob.Store { return open(t, config(t)) })
		})
	}
}
