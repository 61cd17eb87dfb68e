package pack

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"moraine"
	"moraine/internal/blob"
)

// crashed returns a directory as a kill would leave it after the given blobs
// were acknowledged, and the path of the one file in open/.
func crashed(t *testing.T, blobs ...[]byte) (dir, file string) {
	t.Helper()
	live := t.TempDir()
	s, err := Open(Config{Dir: live})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, data := range blobs {
		if _, err := s.Put(t.Context(), moraine.BlobID{byte(i + 1)}, bytes.NewReader(data), int64(len(data))); err != nil {
			t.Fatal(err)
		}
	}
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(live)); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(dir, openDir, "*"))
	if err != nil || len(names) != 1 {
		t.Fatalf("open holds %v, %v; want one file", names, err)
	}
	return dir, names[0]
}

func edit(t *testing.T, path string, fn func(b []byte)) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fn(b)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, dir string) int {
	t.Helper()
	s, err := Open(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := 0
	if err := s.Walk(t.Context(), func(blob.Info) error { n++; return nil }, func(error) {}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestDamageBeforeASeal damages acknowledged records that a crash left in
// open/. Recovery cannot tell them from a torn batch, so it keeps their bytes.
func TestDamageBeforeASeal(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("precious"), 100)
	for name, at := range map[string]int{"header": fileHeaderSize + 20, "data": fileHeaderSize + headerSize + 300} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, file := crashed(t, data)
			edit(t, file, func(b []byte) { b[at] ^= 1 })
			damaged, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if n := count(t, dir); n != 0 {
				t.Errorf("%d blobs are shown, want none", n)
			}
			kept, err := filepath.Glob(filepath.Join(dir, lostDir, "*"))
			if err != nil || len(kept) != 1 {
				t.Fatalf("lost holds %v, %v; want one file", kept, err)
			}
			got, err := os.ReadFile(kept[0])
			if err != nil || !bytes.Contains(got, damaged[fileHeaderSize+headerSize:][:len(data)]) {
				t.Errorf("the %d bytes in lost do not hold the data, %v", len(got), err)
			}
		})
	}
}

// TestUnfinishedPutLeavesNothing removes what never held a record.
func TestUnfinishedPutLeavesNothing(t *testing.T) {
	t.Parallel()
	dir, file := crashed(t, []byte("x"))
	edit(t, file, func(b []byte) { clear(b[fileHeaderSize:]) })
	if n := count(t, dir); n != 0 {
		t.Errorf("%d blobs are shown, want none", n)
	}
	kept, _ := filepath.Glob(filepath.Join(dir, lostDir, "*"))
	left, _ := filepath.Glob(filepath.Join(dir, openDir, "*"))
	if len(kept)+len(left) != 0 {
		t.Errorf("files remain: %v %v", kept, left)
	}
}

// TestNewerVersionStays leaves files alone that a later version has written.
func TestNewerVersionStays(t *testing.T) {
	t.Parallel()
	dir, file := crashed(t, []byte("first"), []byte("second"))
	id, ok := parsePackID(strings.TrimSuffix(filepath.Base(file), extShared))
	if !ok {
		t.Fatal(file)
	}
	edit(t, file, func(b []byte) {
		p := b[fileHeaderSize:][:headerSize]
		p[4] = version + 1
		binary.LittleEndian.PutUint32(p[52:], placedCRC(id, fileHeaderSize, p[:52]))
		if _, err := decodeHeader(p, id, shared, fileHeaderSize); err != errVersion {
			t.Fatalf("the edited header reads as %v", err)
		}
	})
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	count(t, dir)
	after, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("a file of a newer version was changed: %v", err)
	}
}
