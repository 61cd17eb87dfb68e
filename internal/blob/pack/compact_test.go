package pack_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/pack"
	"moraine/internal/disk"
	"moraine/internal/disk/crashfs"
)

func unpaced(int) error { return nil }

// sparse lists what Sparse shows.
func (f *fixture) sparse(from blob.Sparsity) (all []blob.Info) {
	f.Helper()
	err := f.store.Sparse(f.Context(), from, func(i blob.Info) error { all = append(all, i); return nil })
	if err != nil {
		f.Fatal(err)
	}
	return all
}

// TestCompaction empties a pack of which 60 percent were deleted. Where files
// cannot have holes that is what gives the space back; where they can it is back,
// and the pack is left alone unless it is asked for.
func TestCompaction(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		solid bool
		from  blob.Sparsity
		found bool
	}{
		"solid, due":          {true, blob.Sparsity{Held: 0.5, Given: 0.9}, true},
		"solid, not due":      {true, blob.Sparsity{Held: 0.7, Given: 0.1}, false},
		"with holes, due":     {false, blob.Sparsity{Held: 0.9, Given: 0.5}, true},
		"with holes, not due": {false, blob.Sparsity{Held: 0.5, Given: 0.9}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			if test.solid {
				f.fs.Solid()
			}
			for range 100 {
				f.put(7000)
			}
			f.reopen()
			full := f.fs.Used()
			for i, ref := range f.order {
				if i%5 < 3 {
					if err := f.store.Delete(t.Context(), ref); err != nil {
						t.Fatal(err)
					}
					delete(f.blobs, ref)
				}
			}
			if held := f.fs.Used() == full; held != test.solid {
				t.Errorf("%d of %d bytes are used after the deletions", f.fs.Used(), full)
			}
			found := f.sparse(test.from)
			if !test.found {
				if len(found) > 0 {
					t.Errorf("Sparse shows %d blobs", len(found))
				}
				f.close()
				return
			}
			if len(found) != 40 {
				t.Fatalf("Sparse shows %d blobs, want 40", len(found))
			}
			old, _, _, _ := pack.Place(f.store, found[0].Ref)
			f.moveAll(found)
			for _, path := range f.fs.Names() {
				if path == old {
					t.Errorf("%s is still there", old)
				}
			}
			if left := f.sparse(blob.Sparsity{Held: 0.1, Given: 0.1}); len(left) > 0 {
				t.Errorf("Sparse still shows %d blobs", len(left))
			}
			f.reopen()
			if used := f.fs.Used(); used > full*45/100 {
				t.Errorf("%d of %d bytes are used after the pack was emptied", used, full)
			}
			f.readAll()
			f.close()
		})
	}
}

// moveAll rewrites blobs and deletes them where they were.
func (f *fixture) moveAll(found []blob.Info) {
	f.Helper()
	for _, i := range found {
		m, err := f.store.Rewrite(f.Context(), i, i.Ref, unpaced)
		if err != nil || m.Ref == i.Ref || len(m.Made) != 1 || m.Made[0] != m.Ref || len(m.Drop) != 1 || m.Drop[0] != i.Ref {
			f.Fatalf("Rewrite(%v): %+v, %v", i, m, err)
		}
		if err := f.store.Delete(f.Context(), i.Ref); err != nil {
			f.Fatal(err)
		}
		f.blobs[m.Ref] = f.blobs[i.Ref]
		delete(f.blobs, i.Ref)
		if info, err := f.store.Stat(f.Context(), m.Ref); err != nil || info.ID != i.ID || info.Size != i.Size {
			f.Errorf("the copy is %v, %v; want %v", info, err, i)
		}
	}
}

func (f *fixture) readAll() {
	f.Helper()
	for ref, data := range f.blobs {
		if got, err := f.read(ref); err != nil || !bytes.Equal(got, data) {
			f.Errorf("reading %s: %d bytes, %v", ref, len(got), err)
		}
	}
}

// TestSparseLeavesAlone wants packs that are being written, and damaged ones, to
// be left out.
func TestSparseLeavesAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 300, 300, 300, 300)
	always := blob.Sparsity{}
	for _, ref := range f.order[:3] {
		if err := f.store.Delete(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
	if found := f.sparse(always); len(found) != 0 {
		t.Errorf("of the pack being written Sparse shows %v", found)
	}
	f.reopen()
	if found := f.sparse(always); len(found) != 1 {
		t.Errorf("of the sealed pack Sparse shows %v", found)
	}
	path, _, from, _ := pack.Place(f.store, f.order[3])
	f.fs.Flip(path, from+9, 0xff)
	if found := f.sparse(always); len(found) != 0 {
		t.Errorf("of the damaged pack Sparse shows %v", found)
	}
	stop := errors.New("enough")
	f.fs.Flip(path, from+9, 0xff)
	if err := f.store.Sparse(t.Context(), always, func(blob.Info) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Sparse returns %v", err)
	}
	f.close()
}

// TestRewriteRefuses wants nothing to be made of what cannot be vouched for.
func TestRewriteRefuses(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	for name, test := range map[string]struct {
		spoil func(f *fixture, i, at *blob.Info)
		step  func(int) error
		want  func(error) bool
	}{
		"another place": {func(f *fixture, _, at *blob.Info) { at.Ref = f.order[1] }, unpaced, func(err error) bool { return err == nil }},
		"another id":    {func(_ *fixture, i, _ *blob.Info) { i.ID[3] ^= 1 }, unpaced, corrupt},
		"another size":  {func(_ *fixture, i, _ *blob.Info) { i.Size++ }, unpaced, corrupt},
		"a damaged frame": {func(f *fixture, i, _ *blob.Info) {
			path, data, _, _ := pack.Place(f.store, i.Ref)
			f.fs.Flip(path, data+100, 4)
		}, unpaced, corrupt},
		"deleted": {func(f *fixture, i, _ *blob.Info) {
			if err := f.store.Delete(f.Context(), i.Ref); err != nil {
				f.Fatal(err)
			}
		}, unpaced, func(err error) bool { return moraine.IsKind(err, moraine.NotFound) }},
		"stopped": {func(*fixture, *blob.Info, *blob.Info) {}, func(int) error { return stop }, func(err error) bool { return errors.Is(err, stop) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, 5000, 5000)
			i, err := f.store.Stat(t.Context(), f.order[0])
			if err != nil {
				t.Fatal(err)
			}
			at := i
			test.spoil(f, &i, &at)
			before := f.store.Stats().Puts
			m, err := f.store.Rewrite(t.Context(), i, at.Ref, test.step)
			if !test.want(err) || m.Ref != i.Ref || len(m.Made)+len(m.Drop) > 0 {
				t.Errorf("Rewrite: %+v, %v", m, err)
			}
			if after := f.store.Stats().Puts; after != before {
				t.Errorf("%d copies were made", after-before)
			}
			f.close()
		})
	}
}

func corrupt(err error) bool { return moraine.IsKind(err, moraine.Corrupt) }

// TestRewriteFaults fails each operation on the disk in turn while a pack is
// emptied, lost or done and reported lost, and cuts the power at each. What Rewrite
// said is durable is; what it was to move is there until it is deleted.
func TestRewriteFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]crashfs.Fault{"lost": crashfs.Lost, "persisted": crashfs.Persisted, "power cut": crashfs.PowerCut} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				if !rewriteWithFault(t, n, fault) {
					if n < 5 {
						t.Errorf("only %d operations", n)
					}
					return
				}
			}
		})
	}
}

// rewriteWithFault reports whether the fault came.
func rewriteWithFault(t *testing.T, n int, fault crashfs.Fault) bool {
	t.Helper()
	f := newFixture(t)
	for range 6 {
		f.put(9000)
	}
	f.reopen()
	for _, ref := range f.order[:4] {
		if err := f.store.Delete(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
		delete(f.blobs, ref)
	}
	found := f.sparse(blob.Sparsity{Held: 0.5, Given: 0.5})
	if len(found) != 2 {
		t.Fatalf("Sparse shows %d blobs", len(found))
	}
	f.fs.Fail(n, fault)
	for _, i := range found {
		m, err := f.store.Rewrite(t.Context(), i, i.Ref, unpaced)
		if err != nil {
			if !moraine.IsKind(err, moraine.Unavailable) {
				t.Errorf("operation %d: %v", n, err)
			}
			continue
		}
		f.blobs[m.Ref] = f.blobs[i.Ref] // durable: no crash may lose it
		if err := f.store.Delete(t.Context(), i.Ref); err == nil {
			delete(f.blobs, i.Ref)
		} else {
			// There or gone, and never wrong.
			if got, err := f.read(i.Ref); err == nil && !bytes.Equal(got, f.blobs[i.Ref]) {
				t.Errorf("operation %d: %s holds other bytes", n, i.Ref)
			}
			delete(f.blobs, i.Ref)
		}
	}
	failed := f.fs.Failed()
	disk := f.fs.Crash(crashfs.KeepNone, nil)
	_ = f.store.Close() // of the life that the power ended
	f.fs = disk
	f.store = open(t, pack.Config{Dir: "d", FS: disk, SmallMax: 100_000, PackSize: 1 << 20})
	for ref, data := range f.blobs {
		if got, err := f.read(ref); err != nil || !bytes.Equal(got, data) {
			t.Errorf("operation %d: reading %s after a crash: %d bytes, %v", n, ref, len(got), err)
		}
	}
	err := f.store.Walk(t.Context(), func(blob.Info) error { return nil }, func(err error) {
		t.Errorf("operation %d: %v", n, err)
	})
	if err != nil {
		t.Error(err)
	}
	f.close()
	return failed
}

// TestCompactionInTheCrowd empties packs while others put, read and delete in them.
// Run with the race detector.
func TestCompactionInTheCrowd(t *testing.T) {
	t.Parallel()
	s := open(t, pack.Config{Dir: "d", FS: crashfs.New(), SmallMax: 1 << 20, PackSize: 64 << 10})
	type kept struct {
		id   moraine.BlobID
		ref  moraine.BlobRef
		data []byte
	}
	const rounds, width = 30, 24
	var live []kept
	for round := range rounds {
		for n := range width {
			data := blobtest.Bytes(int64(500 + 97*n))
			id := moraine.NewBlobID(time.Now())
			ref, err := s.Put(t.Context(), id, bytes.NewReader(data), int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			live = append(live, kept{id, ref, data})
		}
		// Readers hold on to what is moved and deleted under them.
		done := make(chan error)
		for _, k := range live {
			go func() {
				r, err := s.Open(t.Context(), k.ref, 0, int64(len(k.data)))
				if err != nil {
					done <- err
					return
				}
				defer r.Close()
				got := make([]byte, len(k.data))
				_, err = io.ReadFull(r, got)
				if err == nil && !bytes.Equal(got, k.data) {
					err = fmt.Errorf("%s has other bytes", k.ref)
				}
				done <- err
			}()
		}
		moved := map[moraine.BlobRef]moraine.BlobRef{}
		err := s.Sparse(t.Context(), blob.Sparsity{Held: 0.3, Given: 0.3}, func(i blob.Info) error {
			m, err := s.Rewrite(t.Context(), i, i.Ref, unpaced)
			moved[i.Ref] = m.Ref
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for range live {
			if err := <-done; err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
		var next []kept
		for n, k := range live {
			if to := moved[k.ref]; to != "" {
				if err := s.Delete(t.Context(), k.ref); err != nil {
					t.Fatal(err)
				}
				k.ref = to
			}
			if n%3 == round%3 {
				if err := s.Delete(t.Context(), k.ref); err != nil {
					t.Fatal(err)
				}
				continue
			}
			next = append(next, k)
		}
		live = next
	}
	shown := 0
	if err := s.Walk(t.Context(), func(blob.Info) error { shown++; return nil }, func(err error) { t.Error(err) }); err != nil || shown != len(live) {
		t.Errorf("Walk shows %d blobs, %v; want %d", shown, err, len(live))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestProbe wants nothing to be left of the question whether files may have holes.
func TestProbe(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 500)
	f.sparse(blob.Sparsity{})
	for _, name := range f.fs.Names() {
		if strings.HasSuffix(name, "probe") {
			t.Errorf("%s is left", name)
		}
	}
	f.close()
}

// unreadable cannot open one of its files.
type unreadable struct {
	*crashfs.FS
	base string
}

func (u *unreadable) Open(name string, flag int) (disk.File, error) {
	if filepath.Base(name) == u.base {
		return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EIO}
	}
	return u.FS.Open(name, flag)
}

// TestSparseUnreadable has a pack that cannot be read among those that are sparse.
func TestSparseUnreadable(t *testing.T) {
	t.Parallel()
	fs := &unreadable{FS: crashfs.New()}
	fs.Solid()
	s, err := pack.Open(pack.Config{Dir: "d", FS: fs, PackSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	packs := map[string]bool{}
	for range 4 { // each ends its pack
		var refs []moraine.BlobRef
		for range 2 {
			ref, err := s.Put(t.Context(), moraine.NewBlobID(time.Now()), bytes.NewReader(make([]byte, 500)), 500)
			if err != nil {
				t.Fatal(err)
			}
			refs = append(refs, ref)
		}
		if err := s.Delete(t.Context(), refs[0]); err != nil {
			t.Fatal(err)
		}
		packs[strings.Split(string(refs[1]), ".")[1]] = true
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for bad := range packs {
		fs.base = bad + ".pack"
		s, err := pack.Open(pack.Config{Dir: "d", FS: fs, PackSize: 1000})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		err = s.Sparse(t.Context(), blob.Sparsity{Held: 0.3, Given: 0.3}, func(blob.Info) error { n++; return nil })
		if err != nil || n != len(packs)-1 {
			t.Errorf("with one of %d packs that cannot be read: %d blobs in sparse packs, %v", len(packs), n, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
