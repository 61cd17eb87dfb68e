package mend_test

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
	"moraine/internal/mend"
	"moraine/internal/meta"
	"moraine/internal/treehash"
	"moraine/internal/vault"
)

// crowd is a vault that many use at the same time.
type crowd struct {
	*bench
	vaults *vault.Service
	call   access.Call

	mu   sync.Mutex // guards live
	live map[moraine.ArchiveID][]byte
}

func (c *crowd) upload() error {
	data := blobtest.Bytes(1 + rand.Int64N(3<<19))
	h := treehash.NewHasher()
	h.Write(data)
	_, a, err := c.vaults.UploadArchive(c.t.Context(), c.call, "v", vault.UploadRequest{
		ContentLength: int64(len(data)), TreeHash: h.Tree().String(),
		CheckSHA256: func(got [32]byte) error {
			if got != sha256.Sum256(data) {
				return errors.New("another body")
			}
			return nil
		},
	}, bytes.NewReader(data))
	if moraine.IsKind(err, moraine.Unavailable) {
		return nil // both stores failed it
	}
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.live[a.ID] = data
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
	id, _ := c.pick(true)
	if id == "" {
		return nil
	}
	return c.vaults.DeleteArchive(c.t.Context(), c.call, "v", id)
}

// read reads an archive, which somebody may delete: then an error is in order,
// and other bytes never are.
func (c *crowd) read(strict bool) error {
	id, data := c.pick(false)
	if id == "" {
		return nil
	}
	e, err := c.first(id)
	if err != nil {
		return err
	}
	r := blob.OpenBody(c.t.Context(), c.blobs, e, 0, int64(len(data)))
	defer r.Close()
	got, err := io.ReadAll(r)
	if !bytes.Equal(got, data[:len(got)]) || err == nil && len(got) < len(data) {
		return errors.New("other bytes were read")
	}
	c.mu.Lock()
	_, live := c.live[id]
	c.mu.Unlock()
	if err != nil && live && strict {
		return err
	}
	return nil
}

func (c *crowd) first(id moraine.ArchiveID) (e []moraine.Extent, err error) {
	err = c.rows.View(c.t.Context(), func(tx meta.Tx) error {
		a, err := tx.Archives().Get(id)
		if err != nil {
			return err
		}
		e, err = tx.Bodies().Extents(a.Body, 0, 10)
		return err
	})
	return e, err
}

// TestCrowd uploads, reads and deletes archives while stores fail for moments,
// copies are damaged and mended, and garbage is swept. In the end every archive
// is whole in both stores and nothing else is there.
func TestCrowd(t *testing.T) {
	in(t, func(t *testing.T) {
		b := newBench(t, nil)
		defer b.close()
		b.remake(func(c *mirror.Config) { c.Ack = mirror.One })
		b.cfg.Grace = time.Second
		now := func() time.Time { return time.Now() }
		c := &crowd{
			bench: b, live: map[moraine.ArchiveID][]byte{},
			call: access.Call{
				Principal: access.Principal{Account: "210987654321", ARN: "arn:aws:iam::210987654321:root", Root: true},
				Region:    "eu-north-1", Account: "-",
			},
			vaults: vault.New(vault.Config{
				Meta: b.rows, Blobs: b.blobs, Pending: b.pending, Access: access.New(access.Config{Now: now}), Now: now,
			}),
		}
		if _, err := c.vaults.CreateVault(t.Context(), c.call, "v"); err != nil {
			t.Fatal(err)
		}
		s := mend.New(b.cfg)
		b.blobs.Watch(func(e mirror.Event) { s.Hint(e.Blob) })
		b.serve(s, 2*time.Hour, func() { c.work(t) })
		b.wholeCrowd(c)
	})
}

func (c *crowd) work(t *testing.T) {
	var wg sync.WaitGroup
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	every := func(d time.Duration, fn func() error) {
		wg.Go(func() {
			for {
				if err := fn(); err != nil {
					t.Error(err)
				}
				select {
				case <-ctx.Done():
					return
				case <-time.After(d):
				}
			}
		})
	}
	for range 3 {
		every(2*time.Second, c.upload)
		every(time.Second, func() error { return c.read(false) })
	}
	every(3*time.Second, c.delete)
	every(10*time.Second, func() error { return c.vaults.Sweep(t.Context()) })
	// Never both stores at the same time, and deletions work, so that nothing
	// need be left behind.
	every(7*time.Second, func() error {
		side := rand.IntN(2)
		c.sides[side].FailWith(func(op string) error {
			if op == "delete" {
				return nil
			}
			return errCommit
		})
		<-time.After(2 * time.Second)
		c.sides[side].FailWith(nil)
		return nil
	})
	wg.Wait()
}

// wholeCrowd compares the stores with what is alive.
func (b *bench) wholeCrowd(c *crowd) {
	b.t.Helper()
	if err := c.vaults.Sweep(b.t.Context()); err != nil {
		b.t.Error(err)
	}
	if len(c.live) < 20 {
		b.t.Errorf("only %d archives are left, which proves little", len(c.live))
	}
	for id, data := range c.live {
		list, err := c.first(id)
		if err != nil || len(list) != 1 {
			b.t.Errorf("archive %s has extents %v, %v", id, list, err)
			continue
		}
		b.all[list[0].Blob] = data
	}
	b.wantWhole()
	if got := b.held(); got != [2]int{len(c.live), len(c.live)} {
		b.t.Errorf("the stores hold %v copies of %d archives", got, len(c.live))
	}
	if g := b.garbage(); len(g) != 0 {
		b.t.Errorf("garbage is left: %v", g)
	}
}
