package sqlmeta_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"moraine/internal/meta/sqlmeta"
)

// TestSyncLog checks what the engine hears of the sync of its log.
func TestSyncLog(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	const failed = 1034 // SQLITE_IOERR_FSYNC
	for _, tt := range []struct {
		name string
		fd   uintptr
		want int32
	}{
		{"a file", f.Fd(), 0},
		{"what cannot be synced", w.Fd(), failed},
		{"what is not open", 1 << 20, failed},
	} {
		if got := sqlmeta.SyncLog(int32(tt.fd)); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestOwnLayer checks that connections ask for the layer whose sync is tested
// above.
func TestOwnLayer(t *testing.T) {
	t.Parallel()
	name, err := sqlmeta.DataSource("rows.db")
	if err != nil || !strings.Contains(name, "vfs=moraine") {
		t.Errorf("a connection is opened as %q, %v", name, err)
	}
}
