package crash_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/treehash"
	"moraine/test/internal/vaultclient"
)

// TestFlippedByte damages the stored bytes of one archive while the server is
// down. The archive must never be served wrong, its neighbours must be served
// right, and fsck must find the damage.
func TestFlippedByte(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		size int
		at   int // offset of the damage in the archive
	}{
		{"first byte", 300 << 10, 0},
		{"in the middle", 300 << 10, 150 << 10},
		{"last byte", 300 << 10, 300<<10 - 1},
		{"second chunk of a large archive", 3<<20 + 5, 1<<20 + 7},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			flipped(t, row.size, row.at)
		})
	}
}

func flipped(t *testing.T, size, at int) {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	s := start(t, data)
	c := connect(s)
	defer c.Close()
	if err := c.CreateVault(t.Context(), "flip"); err != nil {
		t.Fatal(err)
	}
	l := newLedger(uint64(size) + uint64(at))
	bodies, ids := [][]byte{}, []string{}
	for i := range 3 {
		body := bytes.Clone(l.base[i*size+i : (i+1)*size+i])
		id, err := c.UploadArchive(t.Context(), "flip", "", vaultclient.NewPayload(body))
		if err != nil {
			t.Fatal(err)
		}
		bodies, ids = append(bodies, body), append(ids, id)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	fsck(t, data)
	// The damage hits the second archive; a window around it is unique.
	from := max(0, min(at, size-64))
	flip(t, data, bodies[1][from:from+64], at-from)

	out, code, err := moraineproc.Fsck(t.Context(), serverBinary, data)
	if err != nil || code == 0 {
		t.Errorf("fsck of a damaged store: exit %d, %v, want a failure\n%s", code, err, out)
	}
	t.Logf("fsck says:\n%s", out)
	s = start(t, data)
	c = connect(s)
	defer c.Close()
	for i, id := range ids {
		got, status, err := readAll(t.Context(), c, "flip", id)
		switch {
		case i != 1 && (err != nil || treehash.Linear(got) != treehash.Linear(bodies[i])):
			t.Errorf("neighbour %d: %s, %v, %d bytes; want it whole", i, status, err, len(got))
		case i == 1 && status == "Succeeded" && err == nil:
			t.Errorf("damaged archive was served: %d bytes, equal to the original: %t", len(got), bytes.Equal(got, bodies[i]))
		case i == 1:
			t.Logf("damaged archive: job %s, output %v", status, err)
			if !bytes.HasPrefix(bodies[i], got) {
				t.Errorf("wrong bytes were sent before the error: %d bytes", len(got))
			}
		}
	}
}

// flip finds a unique text in the files of a store and inverts one byte of it.
func flip(t *testing.T, dir string, text []byte, offset int) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		at := bytes.Index(content, text)
		if at < 0 {
			return nil
		}
		found++
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		if _, err := f.WriteAt([]byte{^content[at+offset]}, int64(at+offset)); err != nil {
			return err
		}
		return f.Close()
	})
	if err != nil || found == 0 {
		t.Fatalf("the bytes of the archive are in %d files of the store, %v; this test needs them as they are", found, err)
	}
}
