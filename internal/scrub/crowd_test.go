package scrub_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/blob"
	"moraine/internal/blob/blobtest"
	"moraine/internal/blob/mirror"
	"moraine/internal/blob/pack"
	"moraine/internal/disk/crashfs"
	"moraine/internal/housetest"
	"moraine/internal/mend"
	"moraine/internal/meta"
	"moraine/internal/scrub"
	"moraine/internal/treehash"
	"moraine/internal/vault"
)

// crowd is a vault over two copies in packs, and everybody who works on it.
type crowd struct {
	*testing.T
	rows   meta.Store
	disks  [2]*crashfs.FS
	blobs  *mirror.Store
	vaults *vault.Service
	mend   *mend.Service
	scrub  *scrub.Service
	move   *mend.Compaction
	call   access.Call

	mu      sync.Mutex // guards the rest
	live    map[moraine.ArchiveID][]byte
	uploads int
}

// crowdMax bounds the time of TestCrowd.
const crowdMax = time.Minute

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	c := &crowd{T: t, rows: housetest.Rows(t), live: map[moraine.ArchiveID][]byte{}}
	var sides [2]*pack.Store
	for n := range sides {
		c.disks[n] = crashfs.New()
		c.disks[n].Solid()
		s, err := pack.Open(pack.Config{Dir: "d", FS: c.disks[n], SmallMax: 100_000, PackSize: 300_000})
		if err != nil {
			t.Fatal(err)
		}
		sides[n] = s
	}
	c.blobs = mirror.New(mirror.Config{Primary: sides[0], Second: sides[1]})
	pending := new(blob.Pending)
	const grace = 3 * time.Second
	c.mend = mend.New(mend.Config{Meta: c.rows, Blobs: c.blobs, Pending: pending, Grace: grace})
	c.blobs.Watch(func(e mirror.Event) { c.mend.Hint(e.Blob) })
	c.scrub = scrub.New(scrub.Config{Meta: c.rows, Blobs: c.blobs, Mend: c.mend.MendBlob})
	c.move = mend.NewCompaction(mend.CompactionConfig{
		Meta: c.rows, Blobs: c.blobs, From: blob.Sparsity{Held: 0.2, Given: 0.2}, Grace: grace, Suspect: c.scrub.Suspect,
	})
	c.call = access.Call{
		Principal: access.Principal{Account: "210987654321", ARN: "arn:aws:iam::210987654321:root", Root: true},
		Region:    "eu-north-1", Account: "-",
	}
	c.vaults = vault.New(vault.Config{Meta: c.rows, Blobs: c.blobs, Pending: pending, Access: access.New(access.Config{Now: time.Now}), Now: time.Now})
	if _, err := c.vaults.CreateVault(t.Context(), c.call, "v"); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *crowd) upload() error {
	data := blobtest.Bytes(200 + rand.Int64N(150_000))
	h := treehash.NewHasher()
	h.Write(data)
	_, a, err := c.vaults.UploadArchive(c.Context(), c.call, "v", vault.UploadRequest{
		ContentLength: int64(len(data)), TreeHash: h.Tree().String(),
		CheckSHA256: func(got [32]byte) error {
			if got != sha256.Sum256(data) {
				return errors.New("another body")
			}
			return nil
		},
	}, bytes.NewReader(data))
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.live[a.ID] = data
		c.uploads++
	}
	return err
}

// pick returns some live archive, and takes it out if it is to be deleted.
func (c *crowd) pick(take bool) (moraine.ArchiveID, []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, data := range c.live {
		if take {
			delete(c.live, id)
		}
		return id, data
	}
	return "", nil
}

func (c *crowd) delete() error {
	c.mu.Lock()
	few := len(c.live) < 15
	c.mu.Unlock()
	if few {
		return nil
	}
	id, _ := c.pick(true)
	if id == "" {
		return nil
	}
	return c.vaults.DeleteArchive(c.Context(), c.call, "v", id)
}

// extent is the one piece of an archive.
func (c *crowd) extent(id moraine.ArchiveID) (e []moraine.Extent, err error) {
	err = c.rows.View(c.Context(), func(tx meta.Tx) error {
		a, err := tx.Archives().Get(id)
		if err != nil {
			return err
		}
		e, err = tx.Bodies().Extents(a.Body, 0, 10)
		return err
	})
	return e, err
}

// read reads an archive. If somebody deletes it meanwhile an error is in order, and
// other bytes never are.
func (c *crowd) read() error {
	id, data := c.pick(false)
	if id == "" {
		return nil
	}
	list, err := c.extent(id)
	if err != nil {
		return err
	}
	r := blob.OpenBody(c.Context(), c.blobs, list, 0, int64(len(data)))
	got, err := io.ReadAll(r)
	err = errors.Join(err, r.Close())
	if !bytes.Equal(got, data[:len(got)]) || err == nil && len(got) < len(data) {
		return errors.New("other bytes were read")
	}
	c.mu.Lock()
	_, live := c.live[id]
	c.mu.Unlock()
	if live {
		return err
	}
	return nil
}

// damage flips a byte of some archive in every place that the second disk has it,
// which leaves the first.
func (c *crowd) damage() error {
	_, data := c.pick(false)
	if data == nil {
		return nil
	}
	for _, name := range c.disks[1].Names() {
		if at := bytes.Index(c.disks[1].ReadFile(name), data); at >= 0 {
			c.disks[1].Flip(name, int64(at+len(data)/2), 1)
		}
	}
	return nil
}

// TestCrowd uploads, reads, deletes and damages archives while everything is read
// again and again, copies are mended, packs are emptied and garbage is swept. Run
// with the race detector. In the end both copies of every archive are whole.
func TestCrowd(t *testing.T) {
	t.Parallel()
	c := newCrowd(t)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	serve := func(run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	serve(c.mend.Run)
	serve(c.scrub.Run)
	serve(c.move.Run)
	deadline := time.Now().Add(crowdMax)
	enough := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.uploads >= 150 && len(c.live) >= 10 && c.move.Status().Moved >= 10 && c.blobs.Stats().Mended >= 3 || time.Now().After(deadline)
	}
	var work sync.WaitGroup
	every := func(d time.Duration, fn func() error) {
		work.Go(func() {
			tick := time.NewTicker(d)
			defer tick.Stop()
			for !enough() {
				if err := fn(); err != nil {
					t.Error(err)
				}
				<-tick.C
			}
		})
	}
	for range 4 {
		every(time.Millisecond, c.upload)
		every(5*time.Millisecond, c.read)
	}
	every(time.Millisecond, c.delete)
	every(50*time.Millisecond, c.damage)
	every(50*time.Millisecond, func() error { return c.scrub.Ask(t.Context()) })
	every(20*time.Millisecond, func() error { c.move.Ask(); return nil })
	every(50*time.Millisecond, func() error { return c.vaults.Sweep(t.Context()) })
	work.Wait()
	stop()
	wg.Wait()
	moved, mended := c.move.Status().Moved, c.blobs.Stats().Mended
	t.Logf("%d archives, %d blobs moved, %d copies mended", len(c.live), moved, mended)
	if moved == 0 || mended == 0 || len(c.live) < 10 {
		t.Errorf("%d blobs were moved and %d copies mended, %d archives are left, which proves little", moved, mended, len(c.live))
	}
	c.whole()
}

// whole checks every archive, which mends what is left to be mended, and then
// every copy.
func (c *crowd) whole() {
	c.Helper()
	buf := make([]byte, treehash.LeafSize)
	for id, data := range c.live {
		list, err := c.extent(id)
		if err != nil || len(list) != 1 {
			c.Errorf("archive %s has extents %v, %v", id, list, err)
			continue
		}
		if err := c.scrub.CheckBlob(c.Context(), list[0].Blob, buf); err != nil {
			c.Error(err)
		}
		if list, err = c.extent(id); err != nil || list[0].Fault != "" {
			c.Errorf("archive %s: %+v, %v", id, list, err)
			continue
		}
		copies, err := c.blobs.Check(c.Context(), blob.Info{ID: list[0].Blob, Ref: list[0].Ref, Size: list[0].Size}, buf, func(int) error { return nil })
		for _, one := range copies {
			err = errors.Join(err, one.Err)
		}
		if err != nil || len(copies) != 2 {
			c.Errorf("archive %s of %d bytes: %v", id, len(data), err)
		}
	}
	if err := c.blobs.Close(); err != nil {
		c.Error(err)
	}
}
