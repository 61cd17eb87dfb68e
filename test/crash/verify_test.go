package crash_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"moraine/test/internal/iamclient"
	"moraine/test/internal/vaultclient"
)

// verifyMax bounds one check of a whole store.
const verifyMax = 10 * time.Minute

// verifier compares a restarted server with the ledger.
type verifier struct {
	l        *ledger
	client   func() *vaultclient.Client
	iam      func() *iamclient.Client
	r        *rand.Rand
	all      bool          // read everything back, not a sample of what is old
	patience time.Duration // for messages
	bytes    atomic.Int64
}

// run checks everything. What was in flight is decided by what is found; after
// that the ledger is certain again.
func (v *verifier) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), verifyMax)
	defer cancel()
	c := v.client()
	defer c.Close()
	locks := v.someLocks()
	listed := slices.Clone(vaults)
	for _, lock := range locks {
		listed = append(listed, lock.name)
	}
	for _, vault := range listed {
		if err := v.inventory(ctx, c, vault); err != nil {
			v.l.fault("inventory of %s: %v", vault, err)
		}
	}
	for _, vault := range vaults {
		if err := v.uploads(ctx, c, vault); err != nil {
			v.l.fault("uploads of %s: %v", vault, err)
		}
	}
	v.forgetInFlight()
	v.readDocuments(ctx, c)
	v.inForce(ctx, c)
	v.readCapacity(ctx, c)
	v.readLocks(ctx, c, locks)
	iam := v.iam()
	defer iam.Close()
	v.readIdentities(ctx, c, iam)
	if err := v.readBack(ctx); err != nil {
		v.l.fault("read back: %v", err)
	}
	v.oldJobs(ctx, c)
	v.deletedStayDeleted(ctx, c)
}

// inventory compares the list of a vault with the ledger, both ways.
func (v *verifier) inventory(ctx context.Context, c *vaultclient.Client, vault string) error {
	inv, err := c.TakeInventory(ctx, vault)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, item := range inv.ArchiveList {
		if seen[item.ArchiveId] {
			v.l.fault("archive %s is listed twice", item.ArchiveId)
		}
		seen[item.ArchiveId] = true
		v.listed(vault, item)
	}
	count := 0
	for _, a := range v.archives(func(a *archive) bool { return a.vault == vault && a.fate != deleted }) {
		switch {
		case seen[a.id]:
			count++
		case a.fate == dying:
			v.l.do(func() { a.fate = deleted })
		default:
			v.l.fault("LOST: archive %s (%s, %d bytes) was acknowledged and is not in the inventory", a.id, a.description, a.payload.Size)
		}
	}
	figures, err := c.DescribeVault(ctx, vault)
	if err == nil && figures.NumberOfArchives != int64(len(inv.ArchiveList)) {
		v.l.fault("vault %s counts %d archives, its inventory %d", vault, figures.NumberOfArchives, len(inv.ArchiveList))
	}
	if count != len(seen) {
		v.l.fault("vault %s lists %d archives, %d of them expected", vault, len(seen), count)
	}
	return err
}

// listed judges one item of an inventory.
func (v *verifier) listed(vault string, item vaultclient.InventoryArchive) {
	var a *archive
	v.l.do(func() {
		a = v.l.archives[item.ArchiveId]
		if a != nil {
			return
		}
		// In flight at the kill: it may be there, once, and must be whole.
		if a = v.l.pending[item.ArchiveDescription]; a != nil {
			delete(v.l.pending, item.ArchiveDescription)
			a.id = item.ArchiveId
			v.l.archives[a.id] = a
		}
	})
	switch {
	case a == nil:
		v.l.fault("archive %s (%s) was never sent", item.ArchiveId, item.ArchiveDescription)
	case a.fate == deleted:
		v.l.fault("archive %s (%s) came back after its deletion was acknowledged", a.id, a.description)
	case a.vault != vault || a.description != item.ArchiveDescription || a.payload.Size != item.Size || a.payload.Tree != item.SHA256TreeHash:
		v.l.fault("%s: archive %s is listed as %+v, want %s in %s with %d bytes and tree hash %s",
			half, a.id, item, a.description, a.vault, a.payload.Size, a.payload.Tree)
	default:
		v.l.do(func() { a.fate = live })
	}
}

// uploads compares the open uploads of a vault with the ledger, both ways.
func (v *verifier) uploads(ctx context.Context, c *vaultclient.Client, vault string) error {
	open, err := c.ListUploads(ctx, vault)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, item := range open {
		seen[item.MultipartUploadId] = true
		u := v.openUpload(item)
		switch {
		case u == nil:
			v.l.fault("upload %s was never initiated", item.MultipartUploadId)
		case u.completed || u.aborted:
			v.l.fault("upload %s came back after its end was acknowledged", u.id)
		default:
			u.ending = false // neither completed nor aborted: it goes on
			if err := v.parts(ctx, c, u); err != nil {
				return err
			}
		}
	}
	var gone []*upload
	v.l.do(func() {
		for _, u := range v.l.uploads {
			if u.vault == vault && !seen[u.id] {
				gone = append(gone, u)
			}
		}
	})
	for _, u := range gone {
		v.gone(ctx, c, u)
	}
	return nil
}

func (v *verifier) openUpload(item vaultclient.Upload) *upload {
	var u *upload
	v.l.do(func() {
		u = v.l.uploads[item.MultipartUploadId]
		if u == nil && item.ArchiveDescription != nil {
			if u = v.l.opening[*item.ArchiveDescription]; u != nil {
				delete(v.l.opening, u.description)
				u.id = item.MultipartUploadId
				v.l.uploads[u.id] = u
			}
		}
	})
	return u
}

// parts compares the parts of an open upload with the ledger.
func (v *verifier) parts(ctx context.Context, c *vaultclient.Client, u *upload) error {
	listed, err := c.ListParts(ctx, u.vault, u.id)
	if err != nil {
		return err
	}
	got := map[string]string{}
	for _, p := range listed {
		got[p.RangeInBytes] = p.SHA256TreeHash
	}
	for i := range u.parts {
		p := &u.parts[i]
		key := fmt.Sprintf("%d-%d", int64(i)*partSize, int64(i)*partSize+u.sizes[i]-1)
		hash, there := got[key]
		delete(got, key)
		var found *vaultclient.Payload
		candidates := p.maybe
		if p.acked != nil {
			candidates = append(candidates, *p.acked)
		}
		for _, candidate := range candidates {
			if candidate.Tree == hash {
				found = &candidate
			}
		}
		switch {
		case !there && p.acked != nil:
			v.l.fault("LOST: part %s of upload %s was acknowledged and is not listed", key, u.id)
		case there && found == nil:
			v.l.fault("part %s of upload %s has tree hash %s, which was never sent", key, u.id, hash)
		}
		p.acked, p.maybe, p.busy = found, nil, false
	}
	u.busy = 0
	if len(got) > 0 {
		v.l.fault("upload %s has parts that were never sent: %v", u.id, got)
	}
	return nil
}

// gone judges an upload that is not listed any more.
func (v *verifier) gone(ctx context.Context, c *vaultclient.Client, u *upload) {
	v.l.do(func() { delete(v.l.uploads, u.id) })
	if u.completed || u.aborted {
		return
	}
	if !u.ending {
		v.l.fault("LOST: upload %s was initiated and is not listed", u.id)
		return
	}
	// A completion or an abort was in flight. If the archive is there, the
	// same completion again must answer with its id.
	var made *archive
	v.l.do(func() {
		for _, a := range v.l.archives {
			if a.description == u.description {
				made = a
			}
		}
	})
	if made == nil {
		err := c.AbortUpload(ctx, u.vault, u.id)
		if err != nil {
			v.l.fault("upload %s is neither open nor completed, and its abort repeated gives: %v", u.id, err)
		}
		return
	}
	id, err := c.CompleteUpload(ctx, u.vault, u.id, made.payload.Size, made.payload.Tree)
	if err != nil || id != made.id {
		v.l.fault("completion of upload %s repeated: got %s, %v; want %s", u.id, id, err, made.id)
	}
}

// forgetInFlight drops what was in flight and did not happen.
func (v *verifier) forgetInFlight() {
	v.l.do(func() {
		clear(v.l.pending)
		clear(v.l.opening)
	})
}
