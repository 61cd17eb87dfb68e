package server_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"moraine/internal/config"
	"moraine/internal/server"
)

// written writes settings as a file that gives them again.
func written(t *testing.T, cfg config.Config) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "moraine.yaml")
	if err := os.WriteFile(name, []byte(cfg.Print()), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestMigrate moves a house to a mirrored one and back into a plain one, with a
// server that goes on serving while the bytes are copied.
func TestMigrate(t *testing.T) {
	t.Parallel()
	s := newSafe(t, config.Master{KeyFile: newKeyFile(t)})
	for _, n := range []int{1, 5000, 3 << 20} {
		s.store(random(n))
	}
	s.storeParts(random(2<<20 + 5))
	gone := s.store(random(100_000))
	s.want(http.MethodPut, "/-/vaults/v/notification-configuration", []byte(`{"SNSTopic":"arn:aws:sns:us-east-1:123456789012:t","Events":["ArchiveRetrievalCompleted"]}`), nil, http.StatusNoContent, "")
	job := s.retrieve(gone, "Standard", http.StatusAccepted, "")
	s.ended(job)

	next := settings(t, t.TempDir())
	next.Storage.Mirror = filepath.Join(t.TempDir(), "second")
	next.Encryption = s.cfg.Encryption
	m := server.Migration{From: written(t, s.cfg), To: written(t, next), AdminListen: strings.TrimPrefix(s.admin, "http://"), ReadBack: true}

	// While it is served: bytes only, and only once.
	reply, err := server.Migrate(t.Context(), m, server.Options{})
	if err != nil || reply.Done || reply.Copied != 7 || reply.Blobs != 7 {
		t.Fatalf("copied %+v, %v; want 7 blobs", reply, err)
	}
	late := random(70_000)
	s.store(late)
	if reply, err = server.Migrate(t.Context(), m, server.Options{}); err != nil || reply.Copied != 1 || reply.Present != 7 {
		t.Fatalf("copied again %+v, %v; want the one that came meanwhile", reply, err)
	}
	s.readable()
	// The new house is not served before the move is over.
	if why := refused(t, next); !strings.Contains(why, "end the move with `moraine migrate`") {
		t.Errorf("half a house starts: %s", why)
	}
	s.stop(t)
	reply, err = server.Migrate(t.Context(), m, server.Options{})
	if err != nil || !reply.Done || reply.Copied != 0 || reply.Rows["vaults"] != 1 || reply.Rows["archives"] != 6 {
		t.Fatalf("moved %+v, %v", reply, err)
	}
	if why := refused(t, s.cfg); !strings.Contains(why, "moved to "+next.Data) || !strings.Contains(why, "moraine migrate reopen") {
		t.Errorf("the old house starts: %s", why)
	}
	if _, err := server.Migrate(t.Context(), m, server.Options{}); err == nil || !strings.Contains(err.Error(), "has moved to") {
		t.Errorf("moved twice: %v", err)
	}
	first := s.cfg
	s.cfg = next
	s.open(t)
	s.readable()
	s.want(http.MethodGet, "/-/vaults/v/notification-configuration", nil, nil, http.StatusOK, "ArchiveRetrievalCompleted")
	if _, got := s.want(http.MethodGet, job+"/output", nil, nil, http.StatusOK, ""); got != string(s.held[gone]) {
		t.Error("the output of a job of the old house is another one")
	}
	if list := s.inventory(); strings.Count(list, "ArchiveId") != 6 {
		t.Errorf("inventory %s", list)
	}
	s.want(http.MethodDelete, "/-/vaults/v/archives/"+gone, nil, nil, http.StatusNoContent, "")
	delete(s.held, gone)
	s.store(random(9_000))
	s.stop(t)
	if res, out, err := s.fsck(false); err != nil || !res.Clean() {
		t.Errorf("fsck of the new house: %+v, %v\n%s", res, err, out)
	}

	// And on, to a plain directory that is given by its name. The master is that
	// of the file, so the name would not do while archives are encrypted.
	third := settings(t, t.TempDir())
	third.Encryption.Old = s.cfg.Encryption.Master
	if reply, err = server.Migrate(t.Context(), server.Migration{From: written(t, next), To: written(t, third)}, server.Options{}); err != nil || !reply.Done {
		t.Fatalf("moved on %+v, %v", reply, err)
	}
	s.cfg = third
	s.open(t)
	s.readable()
	s.stop(t)

	h, err := server.ReopenHouse(t.Context(), written(t, first), server.Options{})
	if err != nil || h.Other != next.Data {
		t.Errorf("reopened %+v, %v", h, err)
	}
	s.cfg = first
	s.open(t)
	s.stop(t)
}

// TestMigrateDamage has a blob that fails its digests: the move does not end, or
// ends without it.
func TestMigrateDamage(t *testing.T) {
	t.Parallel()
	s := newSafe(t, config.Master{})
	bad := s.store(random(200_000))
	s.store(random(10))
	s.stop(t)
	flip(t, packFile(t, s.cfg.Data, ".pack"), 100_000)
	to := t.TempDir()
	m := server.Migration{From: s.cfg.Data, To: to}
	reply, err := server.Migrate(t.Context(), m, server.Options{})
	if err == nil || reply.Damaged != 1 || reply.Done || len(reply.DamagedBlobs) != 1 {
		t.Fatalf("moved %+v, %v", reply, err)
	}
	m.LeaveDamaged = true
	if reply, err = server.Migrate(t.Context(), m, server.Options{}); err != nil || !reply.Done || reply.Damaged != 1 {
		t.Fatalf("moved %+v, %v", reply, err)
	}
	s.cfg.Data = to
	s.open(t)
	if state := s.ended(s.retrieve(bad, "Standard", http.StatusAccepted, "")); state != "Failed" {
		t.Errorf("a retrieval of what stayed behind is %s", state)
	}
	delete(s.held, bad)
	s.readable()
	s.stop(t)
}

// TestMigrateRefused names what cannot be moved, or not there.
func TestMigrateRefused(t *testing.T) {
	t.Parallel()
	s, other := newSafe(t, config.Master{}), newSafe(t, config.Master{})
	s.store(random(10))
	s.stop(t)
	for name, m := range map[string]server.Migration{
		"in use by":               {From: s.cfg.Data, To: other.cfg.Data},
		"not a data directory":    {From: t.TempDir(), To: t.TempDir()},
		"cannot be asked":         {From: other.cfg.Data, To: t.TempDir(), AdminListen: "nowhere"},
		"settings of the old hou": {From: written(t, config.Config{}), To: t.TempDir()},
	} {
		if _, err := server.Migrate(t.Context(), m, server.Options{}); err == nil || name != "cannot be asked" && !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other.stop(t)
	if _, err := server.Migrate(t.Context(), server.Migration{From: s.cfg.Data, To: other.cfg.Data}, server.Options{}); err == nil || !strings.Contains(err.Error(), "has rows of its own") {
		t.Errorf("into a house that is lived in: %v", err)
	}
	// A master key that does not fit is seen before anything is changed.
	strange := settings(t, filepath.Join(t.TempDir(), "untouched"))
	strange.MasterKeyFile = filepath.Join(other.cfg.Data, "master.key")
	if _, err := server.Migrate(t.Context(), server.Migration{From: s.cfg.Data, To: written(t, strange)}, server.Options{}); err == nil || !strings.Contains(err.Error(), "with which the secrets of the old house are sealed") {
		t.Errorf("with another master key: %v", err)
	}
	if _, err := os.Stat(strange.Data); err == nil {
		t.Error("a move that was refused has made a directory")
	}
	if _, err := server.Migrate(t.Context(), server.Migration{From: s.cfg.Data, To: filepath.Join(t.TempDir(), "misspelt.yaml")}, server.Options{}); err == nil || !strings.Contains(err.Error(), "misspelt.yaml") {
		t.Errorf("with a file that is not there: %v", err)
	}
	// Cut off, it goes on, and to nowhere else.
	to := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := server.Migrate(ctx, server.Migration{From: s.cfg.Data, To: to}, server.Options{}); err == nil {
		t.Error("a move that was cut off is done")
	}
	if _, err := server.ReopenHouse(t.Context(), s.cfg.Data, server.Options{}); err == nil || !strings.Contains(err.Error(), "was not moved out of") {
		t.Errorf("reopened: %v", err)
	}
	if reply, err := server.Migrate(t.Context(), server.Migration{From: s.cfg.Data, To: to}, server.Options{}); err != nil || !reply.Done {
		t.Errorf("moved %+v, %v", reply, err)
	}
}
