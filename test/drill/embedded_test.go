package drill

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDirectory backs up a data directory in both ways there are, loses it, and
// restores it; and restores it wrongly.
func TestDirectory(t *testing.T) {
	t.Parallel()
	h := house{T: t, data: filepath.Join(t.TempDir(), "data")}
	dir := func(name string) string { return filepath.Join(filepath.Dir(h.data), name) }
	s := h.start()
	l := newLedger(t, s)
	l.store(*archives, s)

	stopped := during(func() {
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		command(t, "cp", "-a", h.data, dir("stopped"))
	})
	s = h.start()
	var frozen span
	l.whileStoring(s, func() {
		// A process that stands still leaves what a snapshot of the file system sees.
		frozen = during(func() {
			signal(t, s.PID(), syscall.SIGSTOP)
			awaitStop(t, s.PID())
			command(t, "cp", "-a", h.data, dir("frozen"))
		})
		signal(t, s.PID(), syscall.SIGCONT)
	})
	s.Kill()
	if err := os.RemoveAll(h.data); err != nil {
		t.Fatal(err)
	}

	for _, backup := range []struct {
		name string
		span span
	}{{"stopped", stopped}, {"frozen", frozen}} {
		h := h
		h.data = dir("restored-" + backup.name)
		command(t, "cp", "-a", dir(backup.name), h.data)
		figures := h.fsck(0)
		s := h.start()
		same, missing := l.compare(s, backup.span, nil)
		t.Logf("restored from %s: %d of %d archives are there and the same, %d that came later are not found", backup.name, same, l.count(), missing)
		if missing == 0 || figures["archives complete"] != same {
			t.Errorf("restored from %s: %d archives missing, %d complete", backup.name, missing, figures["archives complete"])
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if out, status := h.moraine("audit", "verify"); status != 0 {
			t.Errorf("audit verify: status %d\n%s", status, out)
		}
	}

	// Rows of the later backup beside packs of the earlier one.
	h.data = dir("mixed")
	command(t, "cp", "-a", dir("frozen"), h.data)
	command(t, "rm", "-r", filepath.Join(h.data, "packs"))
	command(t, "cp", "-a", filepath.Join(dir("stopped"), "packs"), h.data)
	if figures := h.fsck(1); figures["extents missing"] == 0 {
		t.Error("fsck misses nothing where packs are older than rows")
	}
}

func signal(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// awaitStop waits until every thread of a process stands still.
func awaitStop(t *testing.T, pid int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		moving := 0
		for _, task := range tasks {
			text, err := os.ReadFile(task)
			if _, state, _ := strings.Cut(string(text), ") "); err == nil && !strings.HasPrefix(state, "T") {
				moving++
			}
		}
		if moving == 0 {
			return
		}
	}
	t.Fatal("the process does not stop")
}
