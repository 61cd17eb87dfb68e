package server_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/blob/pack"
	"moraine/internal/config"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/server"
	"moraine/internal/treehash"
)

// stocked makes a data directory with a small archive and one that has a file
// to itself, and returns it after the server stopped.
func stocked(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	stock(t, settings(t, dir))
	return dir
}

// stock uploads those archives to a server with the given settings.
func stock(t *testing.T, cfg config.Config) {
	t.Helper()
	r := start(t, cfg)
	k := key(t, cfg.Data)
	resp, err := r.call(t, k, http.MethodPut, "/-/vaults/v", emptyHash, nil, nil)
	mustAnswer(t, resp, err, http.StatusCreated)
	for _, size := range []int{1000, 3<<20 + 1} {
		body := make([]byte, size)
		rand.Read(body)
		sum := sha256.Sum256(body)
		tree := treehash.NewHasher()
		tree.Write(body)
		resp, err := r.call(t, k, http.MethodPost, "/-/vaults/v/archives", hex.EncodeToString(sum[:]), bytes.NewReader(body), map[string]string{
			"X-Amz-Content-Sha256": hex.EncodeToString(sum[:]), "X-Amz-Sha256-Tree-Hash": tree.Tree().String(),
		})
		mustAnswer(t, resp, err, http.StatusCreated)
	}
	r.stop(t)
}

// fsck checks a directory and returns the counts and the findings.
func fsck(t *testing.T, dir string, rebuild bool) (server.FsckResult, string) {
	t.Helper()
	var out strings.Builder
	res, err := server.Fsck{Data: dir, Rebuild: rebuild, Out: &out}.Run(t.Context())
	if err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	return res, out.String()
}

// packFile returns the one file of a kind below packs.
func packFile(t *testing.T, dir, suffix string) string {
	t.Helper()
	found := ""
	err := filepath.WalkDir(filepath.Join(dir, "packs"), func(name string, d fs.DirEntry, err error) error {
		if strings.HasSuffix(name, suffix) && !d.IsDir() {
			found = name
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("no file *%s: %v", suffix, err)
	}
	return found
}

func TestFsckClean(t *testing.T) {
	t.Parallel()
	res, findings := fsck(t, stocked(t), false)
	want := server.FsckResult{Blobs: 2, Bytes: 3<<20 + 1001, Extents: 2, Archives: 2}
	if res != want || findings != "" || !res.Clean() {
		t.Errorf("got %+v %s, want %+v", res, findings, want)
	}
}

func TestFsckFindsDamage(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	name := packFile(t, dir, ".blob")
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], 2<<20); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], 2<<20); err != nil {
		t.Fatal(err)
	}
	res, findings := fsck(t, dir, false)
	if res.Places != 1 || res.Damaged != 1 || res.Extents != 1 || res.Clean() {
		t.Errorf("got %+v, want one place, one piece damaged and one whole", res)
	}
	for _, want := range []string{filepath.Base(name), "damaged: bytes 0-3145728 of body "} {
		if !strings.Contains(findings, want) {
			t.Errorf("the findings lack %q:\n%s", want, findings)
		}
	}
}

func TestFsckFindsLoss(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	if err := os.Remove(packFile(t, dir, ".blob")); err != nil {
		t.Fatal(err)
	}
	res, findings := fsck(t, dir, true)
	want := server.FsckResult{Blobs: 1, Bytes: 1000, Extents: 1, Missing: 1, Archives: 2}
	if res != want || res.Clean() || !strings.Contains(findings, "missing: bytes 0-3145728 of body ") {
		t.Errorf("got %+v %s, want %+v", res, findings, want)
	}
}

func TestFsckCountsOrphans(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	blobs, err := pack.Open(pack.Config{Dir: filepath.Join(dir, "packs")})
	if err != nil {
		t.Fatal(err)
	}
	_, putErr := blobs.Put(t.Context(), moraine.NewBlobID(time.Now()), strings.NewReader("nobody's"), 8)
	if err := errors.Join(putErr, blobs.Close()); err != nil {
		t.Fatal(err)
	}
	res, _ := fsck(t, dir, false)
	if res.Orphans != 1 || res.OrphanBytes != 8 || !res.Clean() {
		t.Errorf("got %+v, want one orphan of 8 bytes and no damage", res)
	}
}

func TestFsckMendsReferences(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	misplace(t, dir)
	if res, _ := fsck(t, dir, false); res.Missing != 1 || res.Mended != 0 || res.Clean() {
		t.Errorf("before: got %+v, want one piece missing", res)
	}
	if res, findings := fsck(t, dir, true); res.Mended != 1 || !res.Clean() {
		t.Errorf("with rebuild: got %+v %s, want one reference mended", res, findings)
	}
	if res, _ := fsck(t, dir, true); res.Mended != 0 || !res.Clean() {
		t.Errorf("after: got %+v, want nothing to do", res)
	}
}

// misplace makes the row of a blob name a pack that does not exist.
func misplace(t *testing.T, dir string) {
	t.Helper()
	file := filepath.Base(packFile(t, dir, ".blob"))
	rows, err := sqlmeta.Open(t.Context(), sqlmeta.Config{Path: filepath.Join(dir, "meta.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var misplaced int
	err = rows.Update(t.Context(), func(tx meta.Tx) error {
		misplaced = 0
		vault, err := tx.Vaults().List(owner(t, dir), "us-east-1", "", 1)
		if err != nil {
			return err
		}
		var bodies []moraine.BodyID
		err = tx.Archives().Scan(meta.Scan{Vault: vault[0].ID, At: time.Now().Add(time.Hour)}, func(a moraine.Archive) error {
			bodies = append(bodies, a.Body)
			return nil
		})
		if err != nil {
			return err
		}
		for _, body := range bodies {
			e, err := tx.Bodies().At(body, 0)
			if err != nil {
				return err
			}
			id := strings.TrimSuffix(file, ".blob")
			if to := strings.Replace(string(e.Ref), id, strings.Repeat("0", len(id)), 1); to != string(e.Ref) {
				misplaced++
				if err := tx.Bodies().Move(e.Blob, moraine.BlobRef(to)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil || misplaced != 1 {
		t.Fatalf("misplaced %d: %v", misplaced, err)
	}
}

func owner(t *testing.T, dir string) moraine.AccountID {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "account-id"))
	if err != nil {
		t.Fatal(err)
	}
	return moraine.AccountID(strings.TrimSpace(string(text)))
}

func TestFsckNeedsADirectoryInUse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "none")
	_, err := server.Fsck{Data: dir, Out: new(strings.Builder)}.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "is not a data directory in use") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}

func TestFsckRefusesARunningServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, settings(t, dir))
	_, err := server.Fsck{Data: dir, Out: new(strings.Builder)}.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("got %v, want an error that names the process", err)
	}
	r.stop(t)
}

func TestDumpPack(t *testing.T) {
	t.Parallel()
	dir := stocked(t)
	var out strings.Builder
	if err := server.DumpPack(t.Context(), packFile(t, dir, ".pack"), &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "1000") {
		t.Errorf("the record is not described:\n%s", &out)
	}
}
