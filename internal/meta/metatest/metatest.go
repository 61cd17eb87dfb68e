// Package metatest is the conformance suite of meta.Store: what the comments
// of the port promise, each promise a test.
//
// It knows the port and a model of it kept in maps (model.go). It must not know
// any engine.
package metatest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"moraine"
	"moraine/internal/meta"
)

// Open returns the store that belongs to t. The first call for a t makes an
// empty one; a call after it was closed opens the same rows again. Stores still
// open when t ends are closed by whoever opened them.
type Open func(t *testing.T) meta.Store

// Run tests every obligation of meta.Store.
func Run(t *testing.T, open Open) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Store", storeTests},
		{"Shared", sharedTests},
		{"Vaults", vaultTests},
		{"Archives", archiveTests},
		{"Bodies", bodyTests},
		{"Uploads", uploadTests},
		{"Jobs", jobTests},
		{"Documents", documentTests},
		{"Settings", settingTests},
		{"Outbox", outboxTests},
		{"Sweeps", sweepTests},
		{"Scrub", scrubTests},
		{"Leases", leaseTests},
		{"Accounts", accountTests},
		{"Identities", identityTests},
		{"AccessKeys", keyTests},
		{"BlobKeys", blobKeyTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					t.Parallel()
					test.run(t, open)
				})
			}
		})
	}
	t.Run("History", func(t *testing.T) { testHistory(t, open) })
}

// test is one obligation. It opens the store itself.
type test struct {
	name string
	run  func(t *testing.T, open Open)
}

// in makes a test body of one that needs a single store.
func in(fn func(t *testing.T, s meta.Store)) func(*testing.T, Open) {
	return func(t *testing.T, open Open) { fn(t, open(t)) }
}

// update runs fn and fails the test if it or the commit fails.
func update(t testing.TB, s meta.Store, fn func(tx meta.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

// view runs fn and fails the test if it fails.
func view(t testing.TB, s meta.Store, fn func(tx meta.Tx) error) {
	t.Helper()
	if err := s.View(t.Context(), fn); err != nil {
		t.Fatalf("View: %v", err)
	}
}

// read returns what fn finds in a View.
func read[T any](t testing.TB, s meta.Store, fn func(tx meta.Tx) (T, error)) (v T, err error) {
	t.Helper()
	err = s.View(t.Context(), func(tx meta.Tx) (err error) {
		v, err = fn(tx)
		return err
	})
	return v, err
}

// want fails the test unless fn finds v.
func want[T any](t testing.TB, s meta.Store, v T, fn func(tx meta.Tx) (T, error)) {
	t.Helper()
	got, err := read(t, s, fn)
	if err != nil {
		t.Fatalf("got error %v, want %v", err, v)
	}
	if diff := diff(v, got); diff != "" {
		t.Fatalf("want (-), got (+):\n%s", diff)
	}
}

// wantNone fails the test unless fn finds no row.
func wantNone[T any](t testing.TB, s meta.Store, fn func(tx meta.Tx) (T, error)) {
	t.Helper()
	if got, err := read(t, s, fn); !errors.Is(err, meta.ErrNotFound) {
		t.Fatalf("got %v and error %v, want ErrNotFound", got, err)
	}
}

func diff(want, got any) string { return cmp.Diff(want, got, cmpopts.EquateEmpty()) }

const (
	account moraine.AccountID = "123456789012"
	region  moraine.Region    = "eu-north-1"
)

// epoch is instant zero of the tests; at is n milliseconds later.
var epoch = time.UnixMilli(1_600_000_000_000).UTC()

func at(n int) time.Time { return epoch.Add(time.Duration(n) * time.Millisecond) }

// Made-up rows. Their ids are as opaque to a store as real ones.

func vault(n int) moraine.Vault {
	return moraine.Vault{
		ID: moraine.VaultID(fmt.Sprintf("vault-%04d", n)), Account: account, Region: region,
		Name: moraine.VaultName(fmt.Sprintf("name-%04d", n)), Created: at(n),
	}
}

func archive(v moraine.VaultID, n int) moraine.Archive {
	return moraine.Archive{
		ID: moraine.ArchiveID(fmt.Sprintf("archive-%06d-of-%s", n, v)), Vault: v, Body: body(n),
		Description: fmt.Sprintf("no. %d", n), Size: int64(n) + 1, TreeHash: hash(n), Created: at(n),
	}
}

func body(n int) moraine.BodyID { return moraine.BodyID(fmt.Sprintf("body-%06d", n)) }

func extent(first, size int64, n int) moraine.Extent {
	return moraine.Extent{
		First: first, Size: size, Blob: blob(n), Ref: moraine.BlobRef(fmt.Sprintf("ref-%d", n)), TreeHash: hash(n),
	}
}

func blob(n int) (b moraine.BlobID) {
	copy(b[:], fmt.Sprintf("blob-%011d", n))
	return b
}

func hash(n int) (h moraine.TreeHash) {
	copy(h[:], fmt.Sprintf("hash-%027d", n))
	return h
}

func upload(v moraine.VaultID, n int) moraine.Upload {
	return moraine.Upload{
		ID: moraine.UploadID(fmt.Sprintf("upload-%04d-of-%s", n, v)), Vault: v, Body: body(100_000 + n),
		Description: fmt.Sprintf("upload %d", n), PartSize: moraine.PartSizeMin, State: moraine.UploadOpen,
		Created: at(n), Active: at(n),
	}
}

func retrieval(v moraine.VaultID, n int, of moraine.Archive) moraine.Job {
	return moraine.Job{
		ID: moraine.JobID(fmt.Sprintf("job-%04d-of-%s", n, v)), Vault: v, Action: moraine.ArchiveRetrieval,
		State: moraine.InProgress, Tier: moraine.Standard, Description: "bring it", SNSTopic: "arn:aws:sns:x", Created: at(n), Due: at(n),
		Body: of.Body, Output: of.Size,
		Retrieval: &moraine.Retrieval{
			Archive: of.ID, ArchiveDescription: of.Description, ArchiveSize: of.Size, ArchiveTreeHash: of.TreeHash,
			First: 0, Last: of.Size - 1, TreeHash: &of.TreeHash,
		},
	}
}

func inventory(v moraine.VaultID, n int) moraine.Job {
	return moraine.Job{
		ID: moraine.JobID(fmt.Sprintf("list-%04d-of-%s", n, v)), Vault: v, Action: moraine.InventoryRetrieval,
		State: moraine.InProgress, Created: at(n), Due: at(n), Body: body(200_000 + n),
		Inventory: &moraine.Inventory{Format: moraine.CSV, Snapshot: at(n)},
	}
}

func finish(j moraine.Job, state moraine.JobState, expires time.Time) moraine.Job {
	j.State, j.Completed, j.Expires = state, expires.Add(-time.Hour), expires
	j.LeaseOwner, j.LeaseUntil = "", time.Time{}
	return j
}
