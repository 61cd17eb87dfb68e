package crash_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/treehash"
	"moraine/test/internal/vaultclient"
)

const (
	diskBytes = 96 << 20
	fillMax   = 5000            // uploads tried to fill the disk
	spaceMax  = 5 * time.Minute // until freed space is back
	keepCount = 3               // archives kept when the others are deleted
)

// TestFullDisk fills the disk of a server: refusals must be honest, earlier
// archives must stay, deletions must work, and so must uploads afterwards.
func TestFullDisk(t *testing.T) {
	dir := smallDisk(t)
	data := filepath.Join(dir, "data")
	s := start(t, data)
	c := connect(s)
	defer c.Close()
	const vault = "full"
	if err := c.CreateVault(t.Context(), vault); err != nil {
		t.Fatal(err)
	}
	l := newLedger(96)
	r := rand.New(rand.NewPCG(96, 96))
	stored := map[string]vaultclient.Payload{}
	var order []string
	refused := 0
	for _, size := range []int64{1 << 20, 64 << 10, 4 << 10} { // ever smaller, until nothing fits
		for range fillMax {
			p := l.payload(r, size)
			id, err := c.UploadArchive(t.Context(), vault, "", p)
			if err != nil {
				wantFull(t, err)
				refused++
				break
			}
			stored[id] = p
			order = append(order, id)
		}
	}
	t.Logf("%d archives fit, %d uploads refused", len(stored), refused)
	if refused != 3 || len(order) <= keepCount {
		t.Fatalf("the disk of %d bytes did not fill: %d archives, %d refusals", diskBytes, len(stored), refused)
	}
	// The server lives on and refuses again.
	if _, err := c.UploadArchive(t.Context(), vault, "", l.payload(r, 1<<20)); err == nil {
		t.Error("an upload to a full disk succeeded")
	} else {
		wantFull(t, err)
	}
	if _, err := c.DescribeVault(t.Context(), vault); err != nil {
		t.Errorf("describe on a full disk: %v", err)
	}
	failed := 0
	for _, id := range order[:len(order)-keepCount] {
		if err := c.DeleteArchive(t.Context(), vault, id); err != nil {
			if failed++; failed == 1 {
				t.Errorf("delete on a full disk: %v", err)
			}
			continue
		}
		delete(stored, id)
	}
	if failed > 0 {
		t.Errorf("%d of %d deletions failed on a full disk", failed, len(order)-keepCount)
	}
	id, p := uploadAgain(t, c, vault, l, r)
	stored[id] = p
	for id, p := range stored {
		got, status, err := readAll(t.Context(), c, vault, id)
		if err != nil || treehash.Linear(got) != p.Linear {
			t.Errorf("archive %s after the disk was full: %s, %v, %d bytes; want %d", id, status, err, len(got), p.Size)
		}
	}
	inv, err := c.TakeInventory(t.Context(), vault)
	if err != nil || len(inv.ArchiveList) != len(stored) {
		t.Errorf("inventory: %d archives, %v; want %d", len(inv.ArchiveList), err, len(stored))
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	fsck(t, data)
	// The server was stopped, so no line may be cut short.
	if out, code, err := moraineproc.VerifyAudit(t.Context(), serverBinary, data); err != nil || code != 0 {
		t.Errorf("audit verify: exit %d, %v\n%s", code, err, out)
	}
}

// wantFull demands the refusal of a server fault that clients retry.
func wantFull(t *testing.T, err error) {
	t.Helper()
	var refusal *vaultclient.Refused
	if !errors.As(err, &refusal) || refusal.Status != 500 || refusal.Code != "ServiceUnavailableException" || refusal.Type != "Server" {
		t.Errorf("upload to a full disk: got %v, want 500 ServiceUnavailableException of type Server", err)
	}
}

// uploadAgain waits until the space of the deleted archives can be used.
func uploadAgain(t *testing.T, c *vaultclient.Client, vault string, l *ledger, r *rand.Rand) (string, vaultclient.Payload) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), spaceMax)
	defer cancel()
	began := time.Now()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	p := l.payload(r, 1<<20)
	for {
		id, err := c.UploadArchive(ctx, vault, "", p)
		if err == nil {
			t.Logf("space came back after %v", time.Since(began).Round(time.Millisecond))
			return id, p
		}
		wantFull(t, err)
		select {
		case <-ctx.Done():
			t.Fatalf("no space %v after the deletions: %v", spaceMax, err)
		case <-tick.C:
		}
	}
}

// smallDisk mounts a small file system of its own. That takes root: where the
// proof is required its absence is a failure.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("the full-disk test mounts a tmpfs and must run as root here")
		}
		t.Skip("mounting a tmpfs takes root")
	}
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d", diskBytes), "moraine-full-disk", dir).CombinedOutput()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mount a tmpfs: %v: %s", err, out)
		}
		t.Skipf("mount a tmpfs: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("unmount: %v: %s", err, out)
		}
	})
	return dir
}
