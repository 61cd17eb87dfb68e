package vault_test

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"testing"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/lease"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/pgtest"
	"moraine/internal/treehash"
	"moraine/internal/vault"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := pgtest.Stop(); err != nil {
		log.Print(err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// onPostgres are services of so many nodes, each with a store of its own on one
// database, and the blobs of h.
func onPostgres(t *testing.T, h *house, n int) []*vault.Service {
	t.Helper()
	url := pgtest.Database(t)
	nodes := make([]*vault.Service, n)
	for i := range nodes {
		rows, err := sqlmeta.Open(t.Context(), sqlmeta.Config{URL: url, Views: 4})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := rows.Close(); err != nil {
				t.Error(err)
			}
		})
		c := h.config
		c.Meta, c.Pending = rows, new(blob.Pending)
		c.Sweeping, c.Searching = lease.New(rows, "sweep", fmt.Sprint(i)), lease.New(rows, "orphans", fmt.Sprint(i))
		nodes[i] = vault.New(c)
		if i == 0 {
			h.must(rows.Update(t.Context(), func(tx meta.Tx) error {
				return tx.Accounts().Insert(moraine.Account{ID: accountA, Created: h.now()})
			}))
		}
	}
	return nodes
}

// TestPartsAnywhere sends the parts of an upload to three nodes, completes it at
// all of them at once, and once more at each: there is one archive.
func TestPartsAnywhere(t *testing.T) {
	t.Parallel()
	const parts = 9
	h := newV1(t)
	nodes := onPostgres(t, h, 3)
	if _, err := nodes[0].CreateVault(t.Context(), h.call, "v1"); err != nil {
		t.Fatal(err)
	}
	_, u, err := nodes[0].InitiateMultipartUpload(t.Context(), h.call, "v1", fmt.Sprint(1<<20), "")
	h.must(err)
	hasher := treehash.NewHasher()
	var wg sync.WaitGroup
	for i := range parts {
		data := bytes.Repeat([]byte{byte(i)}, 1<<20)
		hasher.Write(data)
		for turn := range 2 { // also twice at the same time
			r := request(data)
			r.ContentRange = fmt.Sprintf("bytes %d-%d/*", i<<20, (i+1)<<20-1)
			s := nodes[(i+turn)%len(nodes)]
			wg.Go(func() {
				if _, err := s.UploadPart(t.Context(), h.call, "v1", u.ID, r, bytes.NewReader(data)); err != nil {
					t.Errorf("part %d: %v", i, err)
				}
			})
		}
	}
	wg.Wait()
	ids := make([]moraine.ArchiveID, 2*len(nodes))
	for i := range ids {
		complete := func() {
			_, a, err := nodes[i%len(nodes)].CompleteMultipartUpload(t.Context(), h.call, "v1", u.ID, fmt.Sprint(parts<<20), hasher.Tree().String())
			if err != nil {
				t.Errorf("completion %d: %v", i, err)
			}
			ids[i] = a.ID
		}
		if i < len(nodes) {
			wg.Go(complete)
			continue
		}
		wg.Wait()
		complete()
	}
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("completions returned %v", ids)
		}
	}
	d, err := nodes[1].DescribeVault(t.Context(), h.call, "v1")
	if want := (moraine.Figures{Archives: 1, Bytes: parts << 20}); err != nil || d.Figures != want {
		t.Errorf("the vault has %+v, %v; want %+v", d.Figures, err, want)
	}
}

// TestDeleteVaultAnywhere deletes an empty vault while others upload to it at
// other nodes: the vault is gone and they are told so, or it has what was
// acknowledged.
func TestDeleteVaultAnywhere(t *testing.T) {
	t.Parallel()
	h := newV1(t)
	nodes := onPostgres(t, h, 3)
	for round := range 8 {
		name := fmt.Sprintf("v%d", round+1)
		if _, err := nodes[0].CreateVault(t.Context(), h.call, name); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		var acknowledged [2]bool
		for i := range acknowledged {
			wg.Go(func() {
				data := []byte(name)
				_, _, err := nodes[i].UploadArchive(t.Context(), h.call, name, request(data), bytes.NewReader(data))
				if acknowledged[i] = err == nil; err != nil && !moraine.IsKind(err, moraine.NotFound) {
					t.Errorf("upload: %v", err)
				}
			})
		}
		var deleted error
		wg.Go(func() { deleted = nodes[2].DeleteVault(t.Context(), h.call, name) })
		wg.Wait()
		_, err := nodes[0].DescribeVault(t.Context(), h.call, name)
		some := acknowledged[0] || acknowledged[1]
		switch {
		case some && (err != nil || deleted == nil):
			t.Errorf("round %d: an upload was acknowledged, the deletion was %v and the vault is %v", round, deleted, err)
		case !some && (deleted != nil || !moraine.IsKind(err, moraine.NotFound)):
			t.Errorf("round %d: no upload was acknowledged, the deletion was %v and the vault is %v", round, deleted, err)
		}
	}
}

// TestLockAnywhere completes and aborts a lock at two nodes at once: one of the
// two is told that it succeeded, and the lock is as that one left it.
func TestLockAnywhere(t *testing.T) {
	t.Parallel()
	h := newV1(t)
	nodes := onPostgres(t, h, 2)
	completed := 0
	for round := range 10 {
		if _, err := nodes[0].CreateVault(t.Context(), h.call, "v1"); err != nil {
			t.Fatal(err)
		}
		id, err := nodes[0].InitiateVaultLock(t.Context(), h.call, "v1", text(w1))
		h.must(err)
		var wg sync.WaitGroup
		var complete, abort error
		wg.Go(func() { complete = nodes[round%2].CompleteVaultLock(t.Context(), h.call, "v1", id) })
		wg.Go(func() { abort = nodes[1-round%2].AbortVaultLock(t.Context(), h.call, "v1") })
		wg.Wait()
		l, err := nodes[0].GetVaultLock(t.Context(), h.call, "v1")
		switch {
		case complete == nil && moraine.IsKind(abort, moraine.Locked) && err == nil && l.State == moraine.LockLocked:
			completed++
			h.must(nodes[1].DeleteVault(t.Context(), h.call, "v1")) // and the lock with it
		case moraine.IsKind(complete, moraine.NotFound) && abort == nil && moraine.IsKind(err, moraine.NotFound):
		default:
			t.Errorf("completion %v, abortion %v, lock %v", complete, abort, errors.Join(err, fmt.Errorf("%s", l.State)))
		}
	}
	t.Logf("%d of 10 locks were completed", completed)
}
