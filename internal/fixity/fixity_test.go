package fixity_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/fixity"
)

var noon = time.Date(2024, 3, 15, 12, 0, 0, 0, time.UTC)

func items() []fixity.Item {
	return []fixity.Item{
		{Archive: "first", Size: 10, TreeHash: moraine.TreeHash{1}, Created: noon, Verified: noon.Add(time.Hour), Result: fixity.Whole},
		{Archive: "second", Size: 1 << 40, TreeHash: moraine.TreeHash{2}, Created: noon, Verified: noon, Result: fixity.Faulty, Fault: "leaf 3, \"quoted\""},
	}
}

func report(t *testing.T, f fixity.Format, list []fixity.Item) (text []byte, line string) {
	t.Helper()
	var out bytes.Buffer
	sum := fixity.NewSum(&out)
	w, err := fixity.NewWriter(sum, f, fixity.Header{
		VaultARN: "arn:aws:glacier:us-east-1:111111111111:vaults/v", Account: "111111111111", Region: "us-east-1", Vault: "v", Time: noon, Software: "moraine 1",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if err := w.Add(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), sum.Line("report." + string(f))
}

func TestForms(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 2} {
		text, _ := report(t, fixity.JSON, items()[:n])
		var doc struct {
			Report   map[string]any
			Archives []struct {
				ArchiveID                                   string `json:"ArchiveId"`
				Size                                        int64
				SHA256TreeHash, LastVerified, Result, Fault string
			}
			Count, Bytes, Failed int64
		}
		if err := json.Unmarshal(text, &doc); err != nil || len(doc.Archives) != n || doc.Count != int64(n) || doc.Report["VaultName"] != "v" {
			t.Errorf("JSON of %d: %v\n%s", n, err, text)
		}
		if n == 2 && (doc.Failed != 1 || doc.Bytes != 1<<40+10 || doc.Archives[1].Fault != items()[1].Fault || doc.Archives[0].LastVerified != "2024-03-15T13:00:00Z") {
			t.Errorf("JSON: %s", text)
		}
		text, _ = report(t, fixity.CSV, items()[:n])
		lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if err != nil || len(lines) != n+2 || lines[n+1][0] != "#" || lines[n+1][4] != fmt.Sprint(n) {
			t.Errorf("CSV of %d: %v\n%s", n, err, text)
		}
		if n == 2 && lines[2][6] != items()[1].Fault {
			t.Errorf("CSV: %s", text)
		}
	}
	if _, err := fixity.NewWriter(new(bytes.Buffer), "xml", fixity.Header{}); err == nil {
		t.Error("a format that is none was taken")
	}
}

// TestVerify changes each byte of report, line and signature.
func TestVerify(t *testing.T) {
	t.Parallel()
	key, err := fixity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.PEM()
	if err != nil {
		t.Fatal(err)
	}
	again, err := fixity.ParseKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := again.Public()
	if err != nil {
		t.Fatal(err)
	}
	public, err := fixity.ParsePublic(text)
	if err != nil {
		t.Fatal(err)
	}
	doc, line := report(t, fixity.JSON, items())
	signature := key.Sign(line)
	if err := fixity.Verify(bytes.NewReader(doc), line, signature, public); err != nil {
		t.Fatal(err)
	}
	flip := func(p []byte, i int) []byte {
		p = bytes.Clone(p)
		p[i] ^= 1
		return p
	}
	for i := range doc {
		if fixity.Verify(bytes.NewReader(flip(doc, i)), line, signature, public) == nil {
			t.Fatalf("byte %d of the report was changed", i)
		}
	}
	for i := range line {
		if fixity.Verify(bytes.NewReader(doc), string(flip([]byte(line), i)), signature, public) == nil {
			t.Fatalf("byte %d of the line was changed", i)
		}
	}
	for i := range signature {
		if fixity.Verify(bytes.NewReader(doc), line, flip(signature, i), public) == nil {
			t.Fatalf("byte %d of the signature was changed", i)
		}
	}
	if fixity.Verify(bytes.NewReader(doc), line, signature[:10], public) == nil || fixity.Verify(bytes.NewReader(doc[1:]), line, signature, public) == nil {
		t.Error("something was cut off")
	}
	other, err := fixity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if fixity.Verify(bytes.NewReader(doc), line, other.Sign(line), public) == nil {
		t.Error("another key signed")
	}
	for _, bad := range []string{"", "x", string(text), strings.ReplaceAll(string(private), "A", "B")} {
		if _, err := fixity.ParseKey([]byte(bad)); err == nil || strings.Contains(fmt.Sprint(err, key), string(private[30:60])) {
			t.Errorf("key %q: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "x", string(private)} {
		if _, err := fixity.ParsePublic([]byte(bad)); err == nil {
			t.Errorf("public key %q was read", bad)
		}
	}
}

// TestStandardTools has sha512sum and openssl check a report.
func TestStandardTools(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"sha512sum", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	key, err := fixity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.Public()
	if err != nil {
		t.Fatal(err)
	}
	doc, line := report(t, fixity.CSV, items())
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"report.csv": doc, "report.csv.sha512": []byte(line), "report.csv.sha512.sig": key.Sign(line), "key.pem": public,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(words ...string) ([]byte, error) {
		cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
		cmd.Dir = dir
		return cmd.CombinedOutput()
	}
	if out, err := run("sha512sum", "-c", "report.csv.sha512"); err != nil {
		t.Errorf("sha512sum: %v\n%s", err, out)
	}
	verify := []string{"openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "report.csv.sha512", "-sigfile", "report.csv.sha512.sig"}
	if out, err := run(verify...); err != nil {
		t.Errorf("openssl: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "report.csv.sha512"), []byte("x"+line), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(verify...); err == nil {
		t.Errorf("openssl takes another line: %s", out)
	}
}
