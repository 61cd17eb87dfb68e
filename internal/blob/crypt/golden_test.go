package crypt_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"filippo.io/age"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/crypt"
	"moraine/internal/blob/mem"
	"moraine/internal/treehash"
)

// The fixtures are blobs stored by released versions. They must open in every
// later version, so -update adds one for a new format and is never used to
// change those of the old.
var update = flag.Bool("update", false, "write the fixture of the current format")

const goldenDir = "testdata/v1/"

// goldenData fills a chunk and begins another, so that data and digests lie in
// both.
func goldenData() []byte {
	p := make([]byte, 65_530)
	rnd := rand.NewChaCha8([32]byte{1})
	_, _ = rnd.Read(p) // never fails
	return p
}

func writeGolden(t *testing.T, id moraine.BlobID) {
	t.Helper()
	inner, key := mem.New(), crypt.GenerateKey()
	ref, err := crypt.New(inner, ringOf(t, key)).Put(t.Context(), id, bytes.NewReader(goldenData()), int64(len(goldenData())))
	if err != nil {
		t.Fatal(err)
	}
	i := walk(t, inner)[0]
	stored, err := get(t, inner, i.Ref, int(i.Size))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"blob": string(stored), "key": hex.EncodeToString(key.Bytes()) + "\n", "ref": string(ref) + "\n",
	} {
		if err := os.WriteFile(goldenDir+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOldFormats opens what released versions stored: by the store, and by the
// age library alone, for the format says that it is an age file.
func TestOldFormats(t *testing.T) {
	t.Parallel()
	id := moraine.BlobID{15: 7}
	if *update {
		writeGolden(t, id)
	}
	file := map[string]string{}
	for _, name := range []string{"blob", "key", "ref"} {
		text, err := os.ReadFile(goldenDir + name)
		if err != nil {
			t.Fatal(err)
		}
		file[name] = strings.TrimSuffix(string(text), "\n")
	}
	stored, err := os.ReadFile(goldenDir + "blob")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(file["key"])
	if err != nil {
		t.Fatal(err)
	}
	key, err := crypt.NewKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	inner := mem.New()
	if _, err := inner.Put(t.Context(), id, bytes.NewReader(stored), int64(len(stored))); err != nil {
		t.Fatal(err)
	}
	ring := ringOf(t, key)
	s := crypt.New(inner, ring)
	got, err := get(t, s, moraine.BlobRef(file["ref"]), len(goldenData()))
	if err != nil || !bytes.Equal(got, goldenData()) {
		t.Errorf("the fixture does not open: %v", err)
	}
	i, err := s.Resolve(t.Context(), walk(t, inner)[0])
	if want := (blob.Info{ID: id, Ref: moraine.BlobRef(file["ref"]), Size: int64(len(goldenData()))}); err != nil || i != want {
		t.Errorf("the fixture resolves to %v, %v; want %v", i, err, want)
	}
	r, err := age.Decrypt(bytes.NewReader(stored), ring)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	digest := treehash.Leaf(goldenData())
	if want := append(goldenData(), digest[:]...); err != nil || !bytes.Equal(plain, want) {
		t.Errorf("age decrypts %d bytes, %v; want the data and its digest", len(plain), err)
	}
	header := fmt.Sprintf("age-encryption.org/v1\n-> moraine.dev/k1 %s %s\n", key.ID(), id)
	if !bytes.HasPrefix(stored, []byte(header)) {
		t.Errorf("the header begins %q, want %q", stored[:len(header)], header)
	}
}
