package vault_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/blob"
	"moraine/internal/blob/mem"
	"moraine/internal/housetest"
	"moraine/internal/meta"
	"moraine/internal/meta/metatest"
	"moraine/internal/treehash"
	"moraine/internal/vault"
)

// house is a service on real rows and blobs in memory, with a clock that
// tests move.
type house struct {
	*vault.Service
	t      *testing.T
	rows   *metatest.Faults
	blobs  blobStore
	call   access.Call
	clock  *housetest.Clock
	config vault.Config
}

type blobStore interface {
	blob.Store
	blob.Walker
}

func newHouse(t *testing.T, change func(*vault.Config)) *house {
	t.Helper()
	clock := housetest.NewClock(time.UnixMilli(1_700_000_000_000))
	h := &house{
		t: t, rows: &metatest.Faults{Store: housetest.RowsAt(t, clock.Now)}, blobs: mem.New(), clock: clock,
		call: access.Call{
			Principal: access.Principal{Account: "210987654321", ARN: "arn:aws:iam::210987654321:root", Root: true},
			Region:    "eu-north-1", Account: "-",
		},
	}
	t.Cleanup(func() {
		if err := h.blobs.Close(); err != nil {
			t.Error(err)
		}
	})
	h.config = vault.Config{
		Meta: h.rows, Blobs: h.blobs, Pending: new(blob.Pending), Access: access.New(access.Config{Now: h.now}), Now: h.now,
	}
	if change != nil {
		change(&h.config)
	}
	h.Service = vault.New(h.config)
	return h
}

func (h *house) now() time.Time { return h.clock.Now() }

func (h *house) advance(d time.Duration) { h.clock.Advance(d) }

func (h *house) create(name string) {
	h.t.Helper()
	if _, err := h.CreateVault(h.t.Context(), h.call, name); err != nil {
		h.t.Fatal(err)
	}
}

// request makes the headers of a body that is what it says.
func request(data []byte) vault.UploadRequest {
	hasher := treehash.NewHasher()
	hasher.Write(data)
	return vault.UploadRequest{
		ContentLength: int64(len(data)), TreeHash: hasher.Tree().String(),
		CheckSHA256: func(got [32]byte) error {
			if got != sha256.Sum256(data) {
				return errors.New("another body")
			}
			return nil
		},
	}
}

func (h *house) upload(name string, data []byte) (moraine.Archive, error) {
	_, a, err := h.UploadArchive(h.t.Context(), h.call, name, request(data), bytes.NewReader(data))
	return a, err
}

func (h *house) mustUpload(name string, data []byte) moraine.Archive {
	h.t.Helper()
	a, err := h.upload(name, data)
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (h *house) open(name string, partSize int64) moraine.Upload {
	h.t.Helper()
	_, u, err := h.InitiateMultipartUpload(h.t.Context(), h.call, name, fmt.Sprint(partSize), "")
	if err != nil {
		h.t.Fatal(err)
	}
	return u
}

func (h *house) part(name string, u moraine.Upload, first int64, data []byte) error {
	r := request(data)
	r.ContentRange = fmt.Sprintf("bytes %d-%d/*", first, first+int64(len(data))-1)
	_, err := h.UploadPart(h.t.Context(), h.call, name, u.ID, r, bytes.NewReader(data))
	return err
}

func (h *house) complete(name string, u moraine.Upload, data []byte) (moraine.Archive, error) {
	hasher := treehash.NewHasher()
	hasher.Write(data)
	_, a, err := h.CompleteMultipartUpload(h.t.Context(), h.call, name, u.ID, fmt.Sprint(len(data)), hasher.Tree().String())
	return a, err
}

// blobCount counts the blobs that are stored.
func (h *house) blobCount() int {
	h.t.Helper()
	n := 0
	err := h.blobs.Walk(h.t.Context(), func(blob.Info) error { n++; return nil }, func(err error) { h.t.Error(err) })
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

func (h *house) sweep() {
	h.t.Helper()
	if err := h.Sweep(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// read returns the bytes of an archive as its rows say.
func (h *house) read(id moraine.ArchiveID) ([]byte, error) {
	var a moraine.Archive
	var extents []moraine.Extent
	err := h.rows.View(h.t.Context(), func(tx meta.Tx) (err error) {
		if a, err = tx.Archives().Get(id); err != nil {
			return err
		}
		extents, err = tx.Bodies().Extents(a.Body, 0, moraine.PartsMax)
		return err
	})
	if err != nil {
		return nil, err
	}
	r := blob.OpenBody(h.t.Context(), h.blobs, extents, 0, a.Size)
	defer r.Close()
	return io.ReadAll(r)
}

func (h *house) wantBytes(id moraine.ArchiveID, want []byte) {
	h.t.Helper()
	got, err := h.read(id)
	if err != nil || !bytes.Equal(got, want) {
		h.t.Errorf("archive %s reads as %d bytes, %v; want the %d that were stored", id, len(got), err, len(want))
	}
}

func (h *house) wantError(err error, kind moraine.Kind, text string) {
	h.t.Helper()
	if !moraine.IsKind(err, kind) || !strings.HasPrefix(err.Error(), text) {
		h.t.Errorf("error is %v (%v), want %q (%v)", err, moraine.KindOf(err), text, kind)
	}
}

func pattern(n int, seed byte) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i*7%251) ^ seed
	}
	return data
}

// TestCommitFaults fails the commit of each write, lost and kept, and then
// checks that what was acknowledged is whole, that nothing is half there, and
// that the search for orphans removes exactly the blobs no row names.
func TestCommitFaults(t *testing.T) {
	t.Parallel()
	for _, mode := range []metatest.Fault{metatest.Lost, metatest.Kept} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, nil)
			h.create("v")
			kept := pattern(3<<20+1, 1)
			first := h.mustUpload("v", kept)

			h.rows.Fail(mode, 0)
			_, err := h.upload("v", pattern(10, 2))
			h.wantError(err, moraine.Unavailable, "the commit failed")
			if got := h.blobCount(); got != 2 {
				t.Fatalf("%d blobs after a commit of unknown outcome, want 2: both must wait for the sweep", got)
			}

			u := h.open("v", moraine.MiB)
			whole := pattern(moraine.MiB+5, 3)
			if err := h.part("v", u, 0, whole[:moraine.MiB]); err != nil {
				t.Fatal(err)
			}
			h.rows.Fail(mode, 0)
			h.wantError(h.part("v", u, moraine.MiB, whole[moraine.MiB:]), moraine.Unavailable, "the commit failed")
			if err := h.part("v", u, moraine.MiB, whole[moraine.MiB:]); err != nil {
				t.Fatal(err)
			}
			h.rows.Fail(mode, 0)
			_, err = h.complete("v", u, whole)
			h.wantError(err, moraine.Unavailable, "the commit failed")
			second, err := h.complete("v", u, whole) // the client tries again
			if err != nil {
				t.Fatal(err)
			}
			h.wantBytes(second.ID, whole)

			h.rows.Fail(mode, 0)
			h.wantError(h.DeleteArchive(t.Context(), h.call, "v", first.ID), moraine.Unavailable, "the commit failed")
			if err := h.DeleteArchive(t.Context(), h.call, "v", first.ID); err != nil {
				t.Fatal(err)
			}
			h.sweep()
			for range 2 { // the first search finds, the second one deletes
				if _, err := h.SweepOrphans(t.Context()); err != nil {
					t.Fatal(err)
				}
				h.advance(25 * time.Hour)
			}
			h.wantBytes(second.ID, whole)
			d, err := h.DescribeVault(t.Context(), h.call, "v")
			if err != nil {
				t.Fatal(err)
			}
			// Two blobs of the multipart archive, and in "kept" the one whose
			// commit took effect although it was reported lost.
			wantBlobs, wantArchives := 2, int64(1)
			if mode == metatest.Kept {
				wantBlobs, wantArchives = 3, 2
			}
			if got := h.blobCount(); got != wantBlobs || d.Figures.Archives != wantArchives {
				t.Errorf("%d blobs and %d archives remain, want %d and %d", got, d.Figures.Archives, wantBlobs, wantArchives)
			}
		})
	}
}

// TestRefusedBodiesLeaveNothing sends bodies that are not what they say.
func TestRefusedBodiesLeaveNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.create("v")
	for _, size := range []int{1, 100, moraine.MiB, moraine.MiB + 1, 3 * moraine.MiB} {
		data := pattern(size, 0)
		r := request(data)
		r.TreeHash = strings.Repeat("0", 64)
		_, _, err := h.UploadArchive(t.Context(), h.call, "v", r, bytes.NewReader(data))
		h.wantError(err, moraine.Invalid, "store body: Checksum mismatch: expected "+r.TreeHash+", computed "+request(data).TreeHash)
		r = request(data)
		_, _, err = h.UploadArchive(t.Context(), h.call, "v", r, bytes.NewReader(pattern(size, 1)))
		if err == nil || !strings.Contains(err.Error(), "another body") {
			t.Errorf("another body of %d bytes: %v", size, err)
		}
		_, _, err = h.UploadArchive(t.Context(), h.call, "v", request(data), bytes.NewReader(data[:size-1]))
		h.wantError(err, moraine.BadRequest, "store body: The request body ended before its length")
	}
	if got := h.blobCount(); got != 0 {
		t.Errorf("%d blobs remain of refused bodies", got)
	}
}

// TestLatePart has an upload end while a part's body is on its way.
func TestLatePart(t *testing.T) {
	t.Parallel()
	data := pattern(moraine.MiB, 0)
	for _, tt := range []struct {
		name string
		end  func(h *house, u moraine.Upload) error
	}{
		{"aborted", func(h *house, u moraine.Upload) error {
			return h.AbortMultipartUpload(h.t.Context(), h.call, "v", u.ID)
		}},
		{"completed", func(h *house, u moraine.Upload) error { _, err := h.complete("v", u, data); return err }},
		{"expired", func(h *house, _ moraine.Upload) error { h.advance(24 * time.Hour); return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, nil)
			h.create("v")
			u := h.open("v", moraine.MiB)
			if err := h.part("v", u, 0, data); err != nil {
				t.Fatal(err)
			}
			late := pattern(moraine.MiB, 9)
			r := request(late)
			r.ContentRange = "bytes 0-1048575/*"
			body := &hookReader{r: bytes.NewReader(late), hook: func() {
				if err := tt.end(h, u); err != nil {
					t.Error(err)
				}
			}}
			_, err := h.UploadPart(t.Context(), h.call, "v", u.ID, r, body)
			h.wantError(err, moraine.NotFound, "The upload ID was not found: "+string(u.ID))
			h.sweep()
			want := 0
			if tt.name == "completed" {
				want = 1
			}
			if got := h.blobCount(); got != want {
				t.Errorf("%d blobs remain, want %d", got, want)
			}
		})
	}
}

// hookReader calls hook once, before its first byte.
type hookReader struct {
	r    io.Reader
	hook func()
}

func (h *hookReader) Read(p []byte) (int, error) {
	if h.hook != nil {
		h.hook()
		h.hook = nil
	}
	return h.r.Read(p)
}

// TestReplacedPart sends one offset again and again, also at the same time.
func TestReplacedPart(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.create("v")
	u := h.open("v", moraine.MiB)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if err := h.part("v", u, 0, pattern(1000+i, byte(i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	_, _, parts, _, err := h.ListParts(t.Context(), h.call, "v", u.ID, "", "")
	if err != nil || len(parts) != 1 {
		t.Fatalf("%d parts, %v; want the one that came last", len(parts), err)
	}
	i := parts[0].Size - 1000
	whole := pattern(int(1000+i), byte(i))
	a, err := h.complete("v", u, whole)
	if err != nil {
		t.Fatalf("the listed part is not whole: %v", err)
	}
	h.sweep()
	h.wantBytes(a.ID, whole)
	if got := h.blobCount(); got != 1 {
		t.Errorf("%d blobs remain, want 1", got)
	}
}

// TestUploadLife follows expiry and memory of uploads on the clock (§5.1,
// §5.3, §5.4).
func TestUploadLife(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.create("v")
	data := pattern(moraine.MiB, 0)
	idle, busy, done, gone := h.open("v", moraine.MiB), h.open("v", moraine.MiB), h.open("v", moraine.MiB), h.open("v", moraine.MiB)
	for _, u := range []moraine.Upload{idle, busy, done, gone} {
		if err := h.part("v", u, 0, data); err != nil {
			t.Fatal(err)
		}
	}
	h.advance(23 * time.Hour)
	if _, err := h.complete("v", busy, pattern(5, 5)); !moraine.IsKind(err, moraine.Invalid) {
		t.Errorf("a wrong completion: %v", err) // and yet it is activity
	}
	a, err := h.complete("v", done, data)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.AbortMultipartUpload(t.Context(), h.call, "v", gone.ID); err != nil {
		t.Fatal(err)
	}
	h.wantError(h.AbortMultipartUpload(t.Context(), h.call, "v", done.ID), moraine.NotFound, "The upload ID was not found")
	if err := h.AbortMultipartUpload(t.Context(), h.call, "v", gone.ID); err != nil {
		t.Errorf("a repeated abort: %v", err)
	}
	h.advance(time.Hour)
	for range 2 { // before and after the sweep alike
		h.wantError(h.part("v", idle, 0, data), moraine.NotFound, "The upload ID was not found")
		_, uploads, next, err := h.ListMultipartUploads(t.Context(), h.call, "v", "", "")
		if err != nil || next != "" || len(uploads) != 1 || uploads[0].ID != busy.ID {
			t.Errorf("open uploads: %v, %q, %v; want the busy one", uploads, next, err)
		}
		h.sweep()
	}
	if got := h.blobCount(); got != 2 {
		t.Errorf("%d blobs remain, want 2", got)
	}
	again, err := h.complete("v", done, data)
	if err != nil || again.ID != a.ID {
		t.Errorf("a repeated completion: %s, %v; want %s", again.ID, err, a.ID)
	}
	_, err = h.complete("v", done, pattern(7, 7))
	h.wantError(err, moraine.Invalid, "Invalid x-amz-archive-size: 7")
	h.advance(24 * time.Hour)
	_, err = h.complete("v", done, data)
	h.wantError(err, moraine.NotFound, "The upload ID was not found")
	h.wantError(h.AbortMultipartUpload(t.Context(), h.call, "v", gone.ID), moraine.NotFound, "The upload ID was not found")
	h.sweep()
	h.wantBytes(a.ID, data)
}

// TestPartNumbers reaches the 10,000th part and no further.
func TestPartNumbers(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.create("v")
	u := h.open("v", moraine.MiB)
	if err := h.part("v", u, 9999*moraine.MiB, []byte("x")); err != nil {
		t.Errorf("the 10,000th part: %v", err)
	}
	h.wantError(h.part("v", u, 10000*moraine.MiB, []byte("x")), moraine.Invalid,
		"This is part number 10001 for the current multipart upload. It exceeds the limit of 10000 parts.")
	h.wantError(h.part("v", u, 1, []byte("x")), moraine.Invalid, "Invalid Content-Range: bytes 1-1/*")
	h.wantError(h.part("v", u, 0, pattern(moraine.MiB+1, 0)), moraine.Invalid, "Invalid Content-Range: bytes 0-1048576/*")
}

// TestTenThousandParts completes an upload with as many parts as there may be.
func TestTenThousandParts(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.create("v")
	u := h.open("v", moraine.MiB)
	// The blobs of all but the last part are one and the same: the rows are
	// what this test is about.
	chunk := pattern(moraine.MiB, 0)
	if err := h.part("v", u, 0, chunk); err != nil {
		t.Fatal(err)
	}
	err := h.rows.View(t.Context(), func(tx meta.Tx) error {
		_, err := tx.Bodies().At(u.Body, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	root := func() treehash.Digest { hs := treehash.NewHasher(); hs.Write(chunk); return hs.Tree() }()
	var tree treehash.Combiner
	tree.Add(root)
	err = h.rows.Update(t.Context(), func(tx meta.Tx) error {
		for i := int64(1); i < moraine.PartsMax; i++ {
			e := moraine.Extent{First: i * moraine.MiB, Size: moraine.MiB, Blob: moraine.NewBlobID(h.now()), Ref: "none", TreeHash: root}
			if err := tx.Bodies().Put(u.Body, e, h.now()); err != nil {
				return err
			}
			tree.Add(root)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, a, err := h.CompleteMultipartUpload(t.Context(), h.call, "v", u.ID, "10485760000", tree.Root().String())
	if err != nil || a.Size != 10485760000 {
		t.Errorf("completion of 10,000 parts: %d bytes, %v", a.Size, err)
	}
}

// TestSweepGivesBack checks each way in which bytes become free.
func TestSweepGivesBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.create("v")
	h.create("w")
	stays := pattern(100, 1)
	keep := h.mustUpload("v", stays)
	a := h.mustUpload("v", pattern(2<<20, 2))
	u := h.open("w", moraine.MiB)
	if err := h.part("w", u, 0, pattern(50, 3)); err != nil {
		t.Fatal(err)
	}
	if err := h.DeleteArchive(t.Context(), h.call, "v", a.ID); err != nil {
		t.Fatal(err)
	}
	if err := h.DeleteArchive(t.Context(), h.call, "v", a.ID); err != nil {
		t.Errorf("a repeated delete: %v", err)
	}
	if err := h.DeleteVault(t.Context(), h.call, "w"); err != nil {
		t.Errorf("a vault with an open upload only: %v", err)
	}
	h.create("w") // the name is free at once
	h.sweep()
	if got := h.blobCount(); got != 1 {
		t.Errorf("%d blobs remain, want 1", got)
	}
	h.wantBytes(keep.ID, stays)
	_, uploads, _, err := h.ListMultipartUploads(t.Context(), h.call, "w", "", "")
	if err != nil || len(uploads) != 0 {
		t.Errorf("a vault made again has uploads %v, %v", uploads, err)
	}
	h.wantError(h.DeleteArchive(t.Context(), h.call, "w", keep.ID), moraine.Invalid, "Invalid vault name: arn:aws:glacier:eu-north-1:210987654321:vaults/w")
	h.wantError(h.DeleteArchive(t.Context(), h.call, "w", "nothing"), moraine.NotFound, "The archive ID was not found: nothing")
}

// TestOrphanGrace leaves young orphans and pending blobs alone.
func TestOrphanGrace(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.create("v")
	put := func() moraine.BlobID {
		id := moraine.NewBlobID(h.now())
		if _, err := h.blobs.Put(t.Context(), id, strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
		return id
	}
	h.mustUpload("v", []byte("named"))
	put()
	pending := put()
	done := h.config.Pending.Begin(pending)
	h.advance(240 * time.Hour) // their age does not count, only how long they are known
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 3}, {23 * time.Hour, 3}, {2 * time.Hour, 2}} {
		h.advance(step.after)
		if _, err := h.SweepOrphans(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := h.blobCount(); got != step.want {
			t.Errorf("after %v more: %d blobs, want %d", step.after, got, step.want)
		}
	}
	done()
	for range 2 {
		if _, err := h.SweepOrphans(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.advance(24 * time.Hour)
	}
	if got := h.blobCount(); got != 1 {
		t.Errorf("a blob that is pending no more: %d blobs remain, want the named one", got)
	}
}

// TestTooManyOrphans keeps everything when so much is unnamed that rows must
// be missing.
func TestTooManyOrphans(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.create("v")
	for i := range 10_001 {
		id := moraine.NewBlobID(h.now())
		if _, err := h.blobs.Put(t.Context(), id, strings.NewReader("x"), 1); err != nil {
			t.Fatal(i, err)
		}
	}
	h.mustUpload("v", []byte("named"))
	if _, err := h.SweepOrphans(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.advance(48 * time.Hour)
	n, err := h.SweepOrphans(t.Context())
	if n != 0 || err == nil || !strings.Contains(err.Error(), "none was deleted") {
		t.Errorf("%d orphans removed, %v", n, err)
	}
	if got := h.blobCount(); got != 10_002 {
		t.Errorf("%d blobs remain", got)
	}
}

// TestLostRows keeps everything when no row names anything.
func TestLostRows(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	for range 3 {
		if _, err := h.blobs.Put(t.Context(), moraine.NewBlobID(h.now()), strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if n, _ := h.SweepOrphans(t.Context()); n != 0 {
			t.Errorf("%d blobs were deleted though there are no rows", n)
		}
		h.advance(48 * time.Hour)
	}
	if got := h.blobCount(); got != 3 {
		t.Errorf("%d blobs remain, want 3", got)
	}
}

// TestInventoryInterval follows the rules of §8.1 and §3.4 with a daily
// inventory.
func TestInventoryInterval(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *vault.Config) { c.InventoryInterval = 24 * time.Hour })
	h.create("never")
	h.create("v")
	if err := h.DeleteVault(t.Context(), h.call, "never"); err != nil {
		t.Errorf("a vault never written: %v", err)
	}
	describe := func() vault.Description {
		t.Helper()
		d, err := h.DescribeVault(t.Context(), h.call, "v")
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	a := h.mustUpload("v", pattern(1000, 0))
	h.sweep()
	if d := describe(); !d.LastInventory.IsZero() || d.Figures != (moraine.Figures{}) {
		t.Errorf("before the first inventory: %+v", d)
	}
	h.advance(24 * time.Hour)
	h.sweep()
	d := describe()
	if d.LastInventory.IsZero() || d.Figures != (moraine.Figures{Archives: 1, Bytes: 1000}) || d.Figures.SizeInBytes() != 33768 {
		t.Errorf("after the first inventory: %+v", d)
	}
	h.advance(25 * time.Hour)
	h.sweep()
	if again := describe(); !again.LastInventory.Equal(d.LastInventory) {
		t.Errorf("an inventory ran at %v though nothing was written since %v", again.LastInventory, d.LastInventory)
	}
	if err := h.DeleteArchive(t.Context(), h.call, "v", a.ID); err != nil {
		t.Fatal(err)
	}
	const refusal = "Vault not empty or recently written to: arn:aws:glacier:eu-north-1:210987654321:vaults/v"
	h.wantError(h.DeleteVault(t.Context(), h.call, "v"), moraine.Invalid, refusal)
	h.sweep() // more than a day since the last inventory: it runs
	if d := describe(); d.Figures != (moraine.Figures{}) {
		t.Errorf("after the vault was emptied: %+v", d)
	}
	if err := h.DeleteVault(t.Context(), h.call, "v"); err != nil {
		t.Errorf("an emptied, inventoried vault: %v", err)
	}
	if err := h.DeleteVault(t.Context(), h.call, "v"); err != nil {
		t.Errorf("a vault that is gone: %v", err)
	}
}

// TestVaultLimit makes the thousandth vault and not the next.
func TestVaultLimit(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	var wg sync.WaitGroup // together they share commits
	for worker := range 50 {
		wg.Go(func() {
			for i := worker; i < moraine.VaultsMax; i += 50 {
				if _, err := h.CreateVault(t.Context(), h.call, fmt.Sprintf("v%04d", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	_, err := h.CreateVault(t.Context(), h.call, "one-more")
	h.wantError(err, moraine.Limit, "Vault limit exceeded for account: 210987654321")
	h.create("v0999") // exists: no limit applies
	other := h.call
	other.Region = "us-east-1"
	if _, err := h.CreateVault(t.Context(), other, "v"); err != nil {
		t.Errorf("the limit of one region holds in another: %v", err)
	}
	seen, marker := 0, ""
	for {
		page, next, err := h.ListVaults(t.Context(), h.call, "1000", marker)
		if err != nil || len(page) == 0 || len(page) > 10 {
			t.Fatalf("a page of %d vaults, %v", len(page), err)
		}
		seen += len(page)
		if marker = next; marker == "" {
			break
		}
	}
	if seen != moraine.VaultsMax {
		t.Errorf("the pages list %d vaults", seen)
	}
}

// TestConcurrentWriters counts what many clients do at once.
func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.create("v")
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for j := range 5 {
				a, err := h.upload("v", pattern(100+i, byte(j)))
				if err != nil {
					t.Error(err)
					return
				}
				if j%2 == 0 {
					if err := h.DeleteArchive(t.Context(), h.call, "v", a.ID); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	d, err := h.DescribeVault(t.Context(), h.call, "v")
	if err != nil || d.Figures.Archives != 64 {
		t.Errorf("%d archives, %v; want 64", d.Figures.Archives, err)
	}
	h.sweep()
	if got := h.blobCount(); got != 64 {
		t.Errorf("%d blobs remain, want 64", got)
	}
}
