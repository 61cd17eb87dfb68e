package pack_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/pack"
	"moraine/internal/treehash"
)

// The fixtures are stores written by released versions. They must open in every
// later version, so -update adds one for a new format and is never used to
// change those of the old.
var update = flag.Bool("update", false, "write the fixture of the current format")

const goldenDir = "testdata/v1"

// goldenData is the content of the n-th blob of the fixture.
func goldenData(n int) []byte {
	p := make([]byte, []int{1, 700, 5000, 70_000, 900, 64, 4096, 20_000, 150}[n])
	rnd := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = rnd.Read(p) // never fails
	return p
}

const goldenCount = 9

func goldenConfig(dir string) pack.Config {
	return pack.Config{Dir: dir, SmallMax: 10_000, PackSize: 1 << 20, Now: func() time.Time { return time.Unix(1_800_000_000, 0) }}
}

// writeGolden makes a store with a sealed pack that has a hole and a dead
// record, large blobs, and a pack left open as a crash leaves it.
func writeGolden(t *testing.T) {
	dir := filepath.Join(goldenDir, "blobs")
	s := open(t, goldenConfig(dir))
	var list bytes.Buffer
	put := func(n int) moraine.BlobRef {
		data := goldenData(n)
		ref, err := s.Put(t.Context(), moraine.BlobID{15: byte(n)}, bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	for n := range goldenCount {
		ref := put(n)
		state := "live"
		if n == 1 || n == 2 || n == 5 {
			if err := s.Delete(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
			state = "dead"
		}
		fmt.Fprintf(&list, "%d %s %s\n", n, state, ref)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, goldenConfig(dir))
	ref := put(4)
	fmt.Fprintf(&list, "4 live %s\n", ref)
	path, _, _, to := pack.Place(s, ref)
	unsealed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	sealed, _ := filepath.Glob(filepath.Join(dir, "sealed", "*", filepath.Base(path)))
	err = errors.Join(os.Remove(sealed[0]), os.WriteFile(path, unsealed[:to+1000], 0o600),
		os.WriteFile(filepath.Join(goldenDir, "blobs.txt"), list.Bytes(), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}

func TestOldFormats(t *testing.T) {
	t.Parallel()
	if *update {
		if err := os.RemoveAll(goldenDir); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(goldenDir, 0o700); err != nil {
			t.Fatal(err)
		}
		writeGolden(t)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(goldenDir, "blobs"))); err != nil {
		t.Fatal(err)
	}
	s := open(t, goldenConfig(dir))
	list, err := os.ReadFile(filepath.Join(goldenDir, "blobs.txt"))
	if err != nil {
		t.Fatal(err)
	}
	live := 0
	for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); {
		var n int
		var state, ref string
		if _, err := fmt.Sscan(lines.Text(), &n, &state, &ref); err != nil {
			t.Fatal(err)
		}
		data := goldenData(n)
		r, err := s.Open(t.Context(), moraine.BlobRef(ref), 0, int64(len(data)))
		if state == "dead" {
			if !moraine.IsKind(err, moraine.NotFound) {
				t.Errorf("deleted blob %d: %v", n, err)
			}
			continue
		}
		live++
		if err != nil {
			t.Errorf("blob %d: %v", n, err)
			continue
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, data) {
			t.Errorf("blob %d: %d bytes, %v", n, len(got), err)
		}
	}
	checked := 0
	err = pack.CheckAll(t.Context(), s, func(i blob.Info, root treehash.Digest) error {
		checked++
		if root != treehash.Leaf(goldenData(int(i.ID[15]))) {
			t.Errorf("blob %d has tree hash %s", i.ID[15], root)
		}
		return nil
	}, func(err error) { t.Errorf("damage: %v", err) })
	if err != nil || checked != live {
		t.Errorf("Check finds %d blobs of %d, %v", checked, live, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "open"))
	if err != nil || len(left) != 0 {
		t.Errorf("files left in open: %v, %v", left, err)
	}
}
