package server_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/adminapi"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/server"
)

// document is a JSON report.
type document struct {
	Report   struct{ VaultARN, Account, Time, Program string }
	Archives []struct {
		ArchiveID            string `json:"ArchiveId"`
		Size                 int64
		SHA256TreeHash       string
		LastVerified, Result string
		Fault                string
	}
	Count, Bytes, Failed int64
}

// report makes a report, checks its signature, and returns its text.
func (m *machine) report(q adminapi.ReportQuery) string {
	m.t.Helper()
	var out bytes.Buffer
	r, err := server.FixityReport(m.t.Context(), m.operator(), m.options(), q, &out)
	if err != nil {
		m.t.Fatal(err)
	}
	key, err := server.FixityKey(m.t.Context(), m.operator(), m.options())
	if err != nil {
		m.t.Fatal(err)
	}
	text := out.String()
	if err := server.VerifyFixity(strings.NewReader(text), r.Line, r.Signature, key); err != nil {
		m.t.Errorf("the report is not as it was signed: %v", err)
	}
	if !strings.HasSuffix(r.Line, "  "+q.Name+"\n") {
		m.t.Errorf("line %q", r.Line)
	}
	if server.VerifyFixity(strings.NewReader(text+" "), r.Line, r.Signature, key) == nil {
		m.t.Error("a longer report was taken for it")
	}
	return text
}

func parseReport(t *testing.T, text string) (doc document) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return doc
}

// TestFixityReport reports what a check of a vault found, with a server and with
// none.
func TestFixityReport(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.create("v")
	path := m.upload("v")
	deleted := m.upload("v")
	m.want(http.MethodDelete, deleted, "", nil, http.StatusNoContent, "")
	q := adminapi.ReportQuery{Vault: "v", Format: "json", Name: "report.json"}
	doc := parseReport(t, m.report(q))
	if doc.Count != 1 || len(doc.Archives) != 1 || doc.Bytes != int64(len(archive)) || doc.Failed != 0 || doc.Report.Program != "moraine test" {
		t.Fatalf("report: %+v", doc)
	}
	if a := doc.Archives[0]; !strings.HasSuffix(path, a.ArchiveID) || a.Result != "ok" || a.LastVerified != "2026-03-15T12:00:00Z" || len(a.SHA256TreeHash) != 64 {
		t.Errorf("archive: %+v", a)
	}
	m.stop(t)
	m.pass(48 * time.Hour)
	m.boot()
	m.scrubNow()
	shows := func() bool { return doc.Archives[0].LastVerified == "2026-03-17T12:00:00Z" }
	for range patiently {
		if doc = parseReport(t, m.report(q)); shows() {
			break
		}
	}
	if !shows() {
		t.Fatalf("a pass does not show: %+v", doc)
	}
	m.scrubbed(0)
	m.flip()
	m.scrubNow()
	m.scrubbed(1)
	if doc := parseReport(t, m.report(q)); doc.Failed != 1 || doc.Archives[0].Result != "failed" || !strings.HasPrefix(doc.Archives[0].Fault, "bytes 0 to 8: ") {
		t.Errorf("report of damage: %+v", doc)
	}
	key, err := server.FixityKey(t.Context(), m.operator(), m.options())
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		q    adminapi.ReportQuery
		text string
	}{
		{adminapi.ReportQuery{Vault: "w", Format: "json", Name: "r"}, "there is no vault arn:aws:glacier:us-east-1:"},
		{adminapi.ReportQuery{Vault: "v", Format: "json", Name: "r", Region: "eu-west-1"}, "there is no vault"},
		{adminapi.ReportQuery{Vault: "v", Format: "xml", Name: "r"}, `there is no format "xml"`},
		{adminapi.ReportQuery{Vault: "v", Format: "json", Name: "a\nb"}, "no name for the file"},
		{adminapi.ReportQuery{Vault: "v", Format: "json"}, "no name for the file"},
	} {
		var out bytes.Buffer
		_, err := server.FixityReport(t.Context(), m.operator(), m.options(), bad.q, &out)
		if err == nil || !strings.Contains(err.Error(), bad.text) || out.Len() != 0 {
			t.Errorf("%+v: %v, %d bytes", bad.q, err, out.Len())
		}
	}
	m.stop(t)
	lines, err := csv.NewReader(strings.NewReader(m.report(adminapi.ReportQuery{Vault: "v", Format: "csv", Name: "r.csv"}))).ReadAll()
	if err != nil || len(lines) != 3 || lines[1][5] != "failed" {
		t.Errorf("with no server: %v, %v", lines, err)
	}
	if again, err := server.FixityKey(t.Context(), m.operator(), m.options()); err != nil || !bytes.Equal(again, key) {
		t.Errorf("the key is another one: %v", err)
	}
	if info, err := os.Stat(filepath.Join(m.cfg.Data, "fixity.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key: %v, %v", info.Mode(), err)
	}
	m.boot()
}

// TestFixityPages reports more archives than are read at a time, each once, and
// says of one whose rows are not whole that it failed.
func TestFixityPages(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.create("v")
	m.stop(t)
	const archives = 1500
	rows, err := sqlmeta.Open(t.Context(), sqlmeta.Config{Path: filepath.Join(m.cfg.Data, "meta.db")})
	if err != nil {
		t.Fatal(err)
	}
	owner, err := os.ReadFile(filepath.Join(m.cfg.Data, "account-id"))
	if err != nil {
		t.Fatal(err)
	}
	err = rows.Update(t.Context(), func(tx meta.Tx) error {
		v, err := tx.Vaults().Get(moraine.AccountID(strings.TrimSpace(string(owner))), "us-east-1", "v")
		if err != nil {
			return err
		}
		for n := range archives {
			a := moraine.Archive{
				ID: moraine.NewArchiveID(m.now()), Vault: v.ID, Body: moraine.BodyID(fmt.Sprint("b", n)), Size: 10,
				Created: m.now().Add(time.Duration(n/100) * time.Millisecond),
			}
			e := moraine.Extent{Size: 10, Blob: moraine.NewBlobID(m.now()), Ref: "1:2"}
			if n == 700 {
				e.Size = 9
			}
			if err := errors.Join(tx.Archives().Insert(a), tx.Bodies().Put(a.Body, e, m.now())); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, rows.Close()); err != nil {
		t.Fatal(err)
	}
	doc := parseReport(t, m.report(adminapi.ReportQuery{Vault: "v", Format: "json", Name: "r"}))
	ids := map[string]bool{}
	for _, a := range doc.Archives {
		ids[a.ArchiveID] = true
		if a.Result == "failed" && a.Fault != "its pieces do not make it up" {
			t.Errorf("%+v", a)
		}
	}
	if len(ids) != archives || doc.Count != archives || doc.Failed != 1 {
		t.Errorf("%d archives, count %d, failed %d", len(ids), doc.Count, doc.Failed)
	}
	m.boot()
}
