package keyfile_test

import (
	"strings"
	"testing"

	"moraine/internal/blobkeys/keyfile"
	"moraine/internal/blobkeys/mastertest"
	"moraine/internal/seal"
)

func TestMaster(t *testing.T) {
	t.Parallel()
	text := seal.Generate(keyfile.Comment)
	mastertest.Run(t, "file", func(t *testing.T) mastertest.Master { return open(t, text) })
}

func open(t *testing.T, text string) *keyfile.Master {
	t.Helper()
	ring, err := seal.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return keyfile.New(ring)
}

// TestNewFirstKey puts a new key before the one of a file.
func TestNewFirstKey(t *testing.T) {
	t.Parallel()
	first, second := seal.Generate(""), seal.Generate("")
	old, both := open(t, first), open(t, second+first)
	wrapped, err := old.Wrap(t.Context(), "a", []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := both.Unwrap(t.Context(), "a", wrapped); err != nil || string(got) != "key" {
		t.Errorf("the second key of a file unwraps %q, %v", got, err)
	}
	if old.Name() == both.Name() || !strings.HasPrefix(both.Name(), "file:") {
		t.Errorf("the names are %q and %q", old.Name(), both.Name())
	}
}
