package scrub_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/pack"
	"moraine/internal/disk/crashfs"
	"moraine/internal/housetest"
	"moraine/internal/meta"
	"moraine/internal/scrub"
	"moraine/internal/treehash"
)

// shelf is packs on a file system in memory, and rows.
type shelf struct {
	*house
	fs    *crashfs.FS
	packs *pack.Store
	data  map[moraine.BlobRef][]byte
}

// newShelf puts blobs, and deletes those whose size is negative, into sealed files.
func newShelf(t *testing.T, sizes ...int64) *shelf {
	t.Helper()
	h := &shelf{house: &house{T: t, rows: housetest.Rows(t), now: noon}, fs: crashfs.New(), data: map[moraine.BlobRef][]byte{}}
	h.open()
	for n, size := range sizes {
		data := blobtest.Bytes(max(size, -size))
		id := moraine.NewBlobID(noon.Add(time.Duration(n) * time.Second))
		ref, err := h.packs.Put(t.Context(), id, bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if size < 0 {
			if err := h.packs.Delete(t.Context(), ref); err != nil {
				t.Fatal(err)
			}
			continue
		}
		root := treehash.Root(treehash.AppendLeaves(nil, data))
		e := moraine.Extent{Size: size, Blob: id, Ref: ref, TreeHash: root}
		h.update(func(tx meta.Tx) error { return tx.Bodies().Put(moraine.BodyID(fmt.Sprint("body ", n)), e, noon) })
		h.blobs, h.data[ref] = append(h.blobs, e), data
	}
	if err := h.packs.Close(); err != nil {
		t.Fatal(err)
	}
	h.open()
	t.Cleanup(func() {
		if err := h.packs.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *shelf) open() {
	h.Helper()
	s, err := pack.Open(pack.Config{Dir: "d", FS: h.fs, SmallMax: 200_000})
	if err != nil {
		h.Fatal(err)
	}
	h.packs = s
}

// wantBytes reads every blob: what comes is right, whatever was flipped.
func (h *shelf) wantBytes(whole bool, what string) {
	h.Helper()
	for ref, data := range h.data {
		r, err := h.packs.Open(h.Context(), ref, 0, int64(len(data)))
		var got []byte
		if err == nil {
			got, err = io.ReadAll(r)
			err = errors.Join(err, r.Close())
		}
		if !bytes.Equal(got, data[:len(got)]) || whole && err != nil {
			h.Errorf("%s: %s reads as %d bytes, %v", what, ref, len(got), err)
		}
	}
}

// region is a range of a file and whether a flip in it must be found.
type region struct {
	name     string
	from, to int64
	found    bool
}

// regions are those of the record of a blob, as docs/format/pack.md has them.
func regions(e moraine.Extent) (file string, all []region) {
	part := strings.Split(string(e.Ref), ".")
	off, err := strconv.ParseInt(part[2], 16, 64)
	if err != nil {
		panic(err) // the test made the reference
	}
	up := func(n, to int64) int64 { return (n + to - 1) / to * to }
	data, ext := off+64, ".pack"
	if part[0] == "l" {
		data, ext = 4096, ".blob"
	}
	digests := data + e.Size
	table := digests + up(e.Size, 1<<20)>>20*32
	padding := table + up(e.Size, 64<<10)>>16*4
	end := off + up(padding+32-off, 64)
	all = []region{
		{"header", off, off + 64, true},
		{"before the data", off + 64, data, false},
		{"data", data, digests, true},
		{"digests", digests, table, true},
		{"frame table", table, padding, true},
		{"padding", padding, end - 32, false},
		{"trailer", end - 32, end, true},
	}
	return part[1] + ext, all
}

// TestEveryFlipIsFound flips bytes in every region of records, between records, in
// shared packs and in files of one blob. A pass finds each flip that is of any
// consequence, blames the one blob that it hit, and finds it whole when the byte is
// put back. Other flips change nothing that is read.
func TestEveryFlipIsFound(t *testing.T) {
	t.Parallel()
	for name, sizes := range map[string][]int64{
		"a byte":                 {300, 1, 300},
		"a frame and a bit":      {300, 70_000, 300},
		"beside a hole":          {300, -5000, 700, -5000, 300},
		"a file of its own":      {300, 250_000, 300},
		"two leaves in one file": {300, 1<<20 + 77, 300},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newShelf(t, sizes...)
			s := scrub.New(scrub.Config{Meta: h.rows, Blobs: h.packs, Now: func() time.Time { return h.now }, Period: time.Hour})
			victim := h.blobs[1]
			base, parts := regions(victim)
			path := ""
			for _, name := range h.fs.Names() {
				if filepath.Base(name) == base {
					path = name
				}
			}
			end := int64(len(h.fs.ReadFile(path)))
			last := parts[len(parts)-1].to
			parts = append(parts, region{"file header", 0, 64, false})
			if strings.HasSuffix(path, ".pack") {
				parts = append(parts, region{"end record", end - 64, end, false})
			} else if last != end {
				t.Fatalf("the record of %s ends at %d, the file at %d", victim.Ref, last, end)
			}
			if name == "beside a hole" {
				parts = append(parts, region{"hole", 64 + 512, parts[0].from, false})
			}
			for _, p := range parts {
				for _, off := range positions(p) {
					h.fs.Flip(path, off, 0x20)
					what := fmt.Sprintf("%s of %s, byte %d", p.name, name, off-p.from)
					h.now = h.now.Add(2 * time.Hour)
					h.pass(s)
					list := h.faulty()
					switch {
					case !p.found && len(list) > 0:
						t.Errorf("%s: %+v", what, list)
					case p.found && (len(list) != 1 || list[0].Blob != victim.Blob):
						t.Errorf("%s: found are %+v, want blob %s", what, list, victim.Blob)
					}
					h.wantBytes(!p.found, what)
					h.fs.Flip(path, off, 0x20)
				}
				h.now = h.now.Add(2 * time.Hour)
				if h.pass(s); len(h.faulty()) > 0 {
					t.Fatalf("when all is put back: %+v", h.faulty())
				}
			}
		})
	}
}

// positions are some bytes of a region: all of a small one, else the first, the
// last, and some between.
func positions(r region) (all []int64) {
	n := r.to - r.from
	if n <= 0 {
		return nil
	}
	step := max(1, n/5)
	for at := r.from; at < r.to; at += step {
		all = append(all, at)
	}
	return append(all, r.to-1)
}
