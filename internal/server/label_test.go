package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"moraine/internal/server"
)

const storeID = "0123456789abcdef0123456789abcdef"

// What is read of the two files is exactly what would be written.
func FuzzParseStorage(f *testing.F) {
	f.Add("moraine storage 1\nset " + storeID + "\nprimary " + storeID + "\n")
	f.Add("moraine storage 1\nset " + storeID + "\nprimary " + storeID + "\nmirror " + storeID + "\nrebuilding primary\nrebuilding mirror\n")
	f.Add("moraine blobs 1\nset " + storeID + "\nstore " + storeID + "\nrole mirror\n")
	f.Add("moraine blobs 1\nset x\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		for what, reprint := range map[string]func(string) (string, error){"record": server.ReprintRecord, "label": server.ReprintLabel} {
			if again, err := reprint(text); err == nil && again != text {
				t.Errorf("the %s %q is printed as %q", what, text, again)
			}
		}
	})
}

func TestParseStorage(t *testing.T) {
	t.Parallel()
	record := "moraine storage 1\nset " + storeID + "\nprimary " + storeID + "\n"
	for _, text := range []string{record, record + "mirror " + storeID + "\n", record + "mirror " + storeID + "\nrebuilding mirror\n"} {
		if _, err := server.ReprintRecord(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{
		"", "moraine storage 2\n", strings.TrimSuffix(record, "\n"), record + "\n", record + "colour red\n",
		strings.Replace(record, "primary", "mirror", 1), strings.ToUpper(record), record + "primary " + storeID + "\n",
	} {
		if got, err := server.ReprintRecord(text); err == nil {
			t.Errorf("%q is read as %q", text, got)
		}
	}
	if _, err := server.ReprintLabel("moraine blobs 1\nset " + storeID + "\nstore " + storeID + "\n"); err == nil {
		t.Error("a label without a role is read")
	}
}

// TestInterruptedSettling starts from each state that a crash may leave between
// two files.
func TestInterruptedSettling(t *testing.T) {
	t.Parallel()
	edit := func(t *testing.T, w *twins, change func(string) string) {
		t.Helper()
		name := filepath.Join(w.cfg.Data, "storage")
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(change(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	without := func(text, name string) string {
		var kept strings.Builder
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, name+" ") {
				kept.WriteString(line)
			}
		}
		return kept.String()
	}
	for name, test := range map[string]struct {
		crash   func(t *testing.T, w *twins)
		refusal string // without the word; "" if it starts
		word    string
	}{
		"packs say what they are, there is no record": {func(t *testing.T, w *twins) {
			w.cfg.Storage.Mirror = ""
			if err := os.Remove(filepath.Join(w.cfg.Data, "storage")); err != nil {
				t.Fatal(err)
			}
		}, "", ""},
		"there is neither, as before this version": {func(t *testing.T, w *twins) {
			w.cfg.Storage.Mirror = ""
			for _, name := range []string{filepath.Join(w.cfg.Data, "storage"), filepath.Join(w.packs(), "identity")} {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
		}, "", ""},
		"the mirror says what it is, the record does not": {func(t *testing.T, w *twins) {
			edit(t, w, func(text string) string { return without(text, "mirror") })
		}, "", ""},
		"the record says rebuilding, the new disk says nothing": {func(t *testing.T, w *twins) {
			w.lose(w.packs())
			edit(t, w, func(text string) string {
				lines := strings.SplitAfter(text, "\n")
				lines[2] = "primary " + storeID + "\n"
				return strings.Join(lines, "") + "rebuilding primary\n"
			})
		}, "start with --rebuild primary", server.Primary},
		"all is rebuilt, the record says rebuilding": {func(t *testing.T, w *twins) {
			edit(t, w, func(text string) string { return text + "rebuilding mirror\n" })
		}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTwins(t, false)
			w.stop(t)
			test.crash(t, w)
			if test.refusal != "" {
				if why := refused(t, w.cfg); !strings.Contains(why, test.refusal) {
					t.Errorf("%q lacks %q", why, test.refusal)
				}
			}
			for _, word := range []string{test.word, ""} {
				w.start(word)
				w.wantArchives()
				if w.cfg.Storage.Mirror != "" {
					w.wantWhole()
				}
				w.stop(t)
			}
		})
	}
	t.Run("unmounted packs of a directory from before", func(t *testing.T) {
		t.Parallel()
		w := newTwins(t, false)
		w.stop(t)
		w.cfg.Storage.Mirror = ""
		w.lose(w.packs())
		if err := os.Remove(filepath.Join(w.cfg.Data, "storage")); err != nil {
			t.Fatal(err)
		}
		if why := refused(t, w.cfg); !strings.Contains(why, "holds none; mount it") {
			t.Errorf("%q", why)
		}
	})
}
