package sqlmeta_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
)

var update = flag.Bool("update", false, "make a missing fixture of the present schema")

// known is a row of every table.
type known struct {
	Vault     moraine.Vault
	Archive   moraine.Archive
	Extent    moraine.Extent
	Upload    moraine.Upload
	Retrieval moraine.Job
	Inventory moraine.Job
	Garbage   moraine.Garbage
}

func fixed() known {
	hash := moraine.TreeHash{0: 1, 31: 0xff}
	a := moraine.Archive{
		ID: "archive", Vault: "vault", Body: "body", Description: "a description", Size: 5 << 30, TreeHash: hash, Created: benchTime,
	}
	return known{
		Vault: moraine.Vault{
			ID: "vault", Account: benchAccount, Region: benchRegion, Name: "photos", Created: benchTime,
			Live: moraine.Figures{Archives: 1, Bytes: a.Size}, FirstWrite: benchTime, LastWrite: benchTime.Add(time.Hour),
			Inventoried: benchTime.Add(time.Minute), Inventory: moraine.Figures{Archives: 1, Bytes: a.Size},
		},
		Archive: a,
		Extent:  moraine.Extent{First: 0, Size: a.Size, Blob: moraine.BlobID{1, 2, 3}, Ref: "pack/1", TreeHash: hash},
		Upload: moraine.Upload{
			ID: "upload", Vault: "vault", Body: "parts", Description: "an upload", PartSize: moraine.MiB,
			State: moraine.UploadCompleted, Created: benchTime, Active: benchTime, Archive: "archive", Size: a.Size, TreeHash: hash,
		},
		Retrieval: moraine.Job{
			ID: "retrieval", Vault: "vault", Action: moraine.ArchiveRetrieval, State: moraine.InProgress, Tier: moraine.Bulk,
			Description: "a job", SNSTopic: "arn:aws:sns:eu-north-1:000000000000:topic", Created: benchTime, Due: benchTime,
			Body: "body", Output: 1024, LeaseOwner: "node", LeaseUntil: benchTime.Add(time.Minute),
			Retrieval: &moraine.Retrieval{
				Archive: "archive", ArchiveDescription: "a description", ArchiveSize: a.Size, ArchiveTreeHash: hash,
				First: 0, Last: 1023, TreeHash: &hash,
			},
		},
		Inventory: moraine.Job{
			ID: "inventory", Vault: "vault", Action: moraine.InventoryRetrieval, State: moraine.Succeeded, Created: benchTime,
			Due: benchTime, Completed: benchTime, Expires: benchTime.Add(time.Hour), Body: "list", Output: 99,
			Inventory: &moraine.Inventory{
				Format: moraine.CSV, Start: benchTime, End: benchTime.Add(time.Second), Limit: 5, Marker: "m",
				Snapshot: benchTime, Next: "n",
			},
		},
		Garbage: moraine.Garbage{Blob: moraine.BlobID{9}, Ref: "pack/9", Size: 7, Since: benchTime},
	}
}

func (k known) write(tx meta.Tx) error {
	replaced := moraine.Extent{First: 1 << 40, Size: k.Garbage.Size, Blob: k.Garbage.Blob, Ref: k.Garbage.Ref}
	replacing := replaced
	replacing.Blob = moraine.BlobID{10}
	return errors.Join(tx.Vaults().Save(k.Vault), tx.Vaults().Save(moraine.Vault{ID: "dead", Name: "dead"}), tx.Vaults().Delete("dead"),
		tx.Archives().Insert(k.Archive), tx.Bodies().Put(k.Archive.Body, k.Extent, benchTime),
		tx.Bodies().Put("parts", replaced, benchTime), tx.Bodies().Put("parts", replacing, benchTime),
		tx.Bodies().Condemn("parts", benchTime), tx.Uploads().Save(k.Upload), tx.Jobs().Save(k.Retrieval), tx.Jobs().Save(k.Inventory))
}

func (k *known) read(tx meta.Tx) error {
	var errs [7]error
	k.Vault, errs[0] = tx.Vaults().ByID("vault")
	k.Archive, errs[1] = tx.Archives().Get("archive")
	k.Extent, errs[2] = tx.Bodies().At("body", 0)
	k.Upload, errs[3] = tx.Uploads().Get("upload")
	k.Retrieval, errs[4] = tx.Jobs().Get("retrieval")
	k.Inventory, errs[5] = tx.Jobs().Get("inventory")
	list, err := tx.Sweeps().Garbage(1)
	if errs[6] = err; err == nil && len(list) == 1 {
		k.Garbage = list[0]
	}
	return errors.Join(errs[:]...)
}

// TestFixtures opens a database of every schema version there was. Fixtures are
// never made anew.
func TestFixtures(t *testing.T) {
	t.Parallel()
	const present = "testdata/schema-1.db"
	if _, err := os.Stat(present); *update && errors.Is(err, os.ErrNotExist) {
		s, err := sqlmeta.Open(t.Context(), sqlmeta.Config{Path: present})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Update(t.Context(), fixed().write), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	list, err := filepath.Glob("testdata/schema-*.db")
	if err != nil || len(list) == 0 {
		t.Fatalf("fixtures: %v, %v", list, err)
	}
	for _, fixture := range list {
		t.Run(filepath.Base(fixture), func(t *testing.T) {
			t.Parallel()
			path := rowsPath(t)
			copyFile(t, fixture, path)
			s := openFor(t, path)
			if err := s.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			var got known
			if err := s.View(t.Context(), got.read); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fixed(), got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
			err := s.Update(t.Context(), func(tx meta.Tx) error {
				buried, err := tx.Sweeps().Bury(benchTime, 10)
				released, err2 := tx.Sweeps().Release(benchTime, 10)
				if buried != 1 || released != 2 {
					t.Errorf("buried %d rows, released %d; want 1 and 2", buried, released)
				}
				return errors.Join(err, err2)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
