package account_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/blob"
	"moraine/internal/blob/mem"
	"moraine/internal/meta"
	"moraine/internal/meta/metatest"
	"moraine/internal/sigv4"
	"moraine/internal/treehash"
	"moraine/internal/vault"
)

// store is a vault service on the rows of o, with a vault v and archives in it.
func (o *office) store(archives int) (*vault.Service, []moraine.ArchiveID) {
	o.t.Helper()
	blobs := mem.New()
	o.t.Cleanup(func() {
		if err := blobs.Close(); err != nil {
			o.t.Error(err)
		}
	})
	s := vault.New(vault.Config{
		Meta: o.rows, Blobs: blobs, Pending: new(blob.Pending), Access: access.New(access.Config{Now: o.now}), Now: o.now,
	})
	call := o.call(o.root.Principal)
	if _, err := s.CreateVault(o.t.Context(), call, "v"); err != nil {
		o.t.Fatal(err)
	}
	data := []byte("a")
	tree := treehash.NewHasher()
	tree.Write(data)
	var ids []moraine.ArchiveID
	for range archives {
		_, a, err := s.UploadArchive(o.t.Context(), call, "v", vault.UploadRequest{
			ContentLength: int64(len(data)), TreeHash: tree.Tree().String(), CheckSHA256: func([32]byte) error { return nil },
		}, bytes.NewReader(data))
		if err != nil {
			o.t.Fatal(err)
		}
		ids = append(ids, a.ID)
	}
	return s, ids
}

func (o *office) call(p access.Principal) access.Call {
	return access.Call{Principal: p, Region: "eu-north-1", Account: "-"}
}

// archives is how many archives the vault v has.
func (o *office) archives() (n int64) {
	o.t.Helper()
	err := o.rows.View(o.t.Context(), func(tx meta.Tx) error {
		v, err := tx.Vaults().Get(here, "eu-north-1", "v")
		n = v.Live.Archives
		return err
	})
	o.ok(err)
	return n
}

// TestRevocationRacesDeletes takes from a user what lets it delete archives while
// it does so. Each deletion that succeeds took effect before the change, and none
// that begins after the change was acknowledged does, whether the key was looked
// up before the change or after it.
func TestRevocationRacesDeletes(t *testing.T) {
	t.Parallel()
	const archives = 60
	never := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"glacier:DeleteArchive","Resource":"*"}}`
	for name, revoke := range map[string]func(ctx context.Context, o *office, id string) error{
		"policy deleted": func(ctx context.Context, o *office, _ string) error {
			return o.DeleteInline(ctx, o.root, user, "bob", "p")
		},
		"policy replaced": func(ctx context.Context, o *office, _ string) error {
			return o.PutInline(ctx, o.root, user, "bob", "p", never)
		},
		"policy added": func(ctx context.Context, o *office, _ string) error {
			return o.PutInline(ctx, o.root, user, "bob", "q", never)
		},
		"key deactivated": func(ctx context.Context, o *office, id string) error {
			return o.SetKeyActive(ctx, o.root, "bob", id, false)
		},
		"key deleted": func(ctx context.Context, o *office, id string) error { return o.DeleteKey(ctx, o.root, "bob", id) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			o.rows = &metatest.Ordered{Store: o.rows}
			o.Service = o.service()
			o.create(user, "bob")
			o.ok(o.PutInline(t.Context(), o.root, user, "bob", "p", allow("glacier:*")))
			k := o.key("bob")
			vaults, ids := o.store(archives)
			early := o.as(k).Principal

			turns := make([]int64, archives) // 0 for a deletion that was refused
			var acknowledged atomic.Bool
			work := make(chan int)
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for i := range work {
						late := acknowledged.Load()
						err := o.delete(vaults, k.ID, ids[i], &turns[i], early, i%2 == 0)
						switch {
						case err == nil && late:
							t.Errorf("deletion %d began after the change was acknowledged, and succeeded", i)
						case err != nil:
							turns[i] = 0
							if !refused(err) {
								t.Error(err)
							}
						}
					}
				})
			}
			var change int64
			for i := range ids {
				if i == archives/3 {
					wg.Go(func() {
						if err := revoke(metatest.Turn(t.Context(), &change), o, k.ID); err != nil {
							t.Error(err)
						}
						acknowledged.Store(true)
					})
				}
				work <- i
			}
			close(work)
			wg.Wait()
			var deleted int64
			for i, turn := range turns {
				if turn > change {
					t.Errorf("deletion %d took effect in turn %d, after the change in turn %d", i, turn, change)
				}
				if turn > 0 {
					deleted++
				}
			}
			if left := o.archives(); left != archives-deleted {
				t.Errorf("%d archives are left of %d after %d deletions", left, archives, deleted)
			}
			if deleted == 0 || deleted == archives {
				t.Logf("%d of %d deletions were early: no race", deleted, archives)
			}
		})
	}
}

// refused reports whether an error says that the caller may not, or is nobody.
func refused(err error) bool {
	var unknown *sigv4.Error
	return moraine.IsKind(err, moraine.Denied) || errors.Is(err, sigv4.ErrUnknownKey) || errors.As(err, &unknown)
}

// delete deletes an archive with a key, as a request that looked it up early or
// does so now.
func (o *office) delete(vaults *vault.Service, keyID string, id moraine.ArchiveID, turn *int64, early access.Principal, old bool) error {
	p := early
	if !old {
		k, err := o.Lookup(o.t.Context(), keyID, "")
		if err != nil {
			return err
		}
		p, err = o.Principal(&sigv4.Result{KeyID: k.ID, Subject: k.Subject, Service: "glacier", Region: "eu-north-1"})
		if err != nil {
			return err
		}
	}
	return vaults.DeleteArchive(metatest.Turn(o.t.Context(), turn), o.call(p), "v", id)
}
