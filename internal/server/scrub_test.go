package server_test

import (
	"bytes"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/adminapi"
	"moraine/internal/config"
	"moraine/internal/server"
)

// flip changes a byte of the one archive in the packs, and changes it back when
// it is called again.
func (m *machine) flip() {
	m.t.Helper()
	for _, suffix := range []string{".pack", ".blob"} {
		name := packFile(m.t, m.cfg.Data, suffix)
		text, err := os.ReadFile(name)
		if err != nil {
			m.t.Fatal(err)
		}
		bad := bytes.Clone(archive)
		bad[0] ^= 1
		from, to := archive, bad
		at := bytes.Index(text, from)
		if at < 0 {
			from, to = bad, archive
			at = bytes.Index(text, from)
		}
		if at < 0 {
			continue
		}
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			m.t.Fatal(err)
		}
		_, err = f.WriteAt(to, int64(at))
		if err := f.Close(); err != nil {
			m.t.Fatal(err)
		}
		if err != nil {
			m.t.Fatal(err)
		}
		return
	}
	m.t.Fatal("the archive is in no pack")
}

// scrubbed waits until no pass is under way and n pieces are quarantined.
func (m *machine) scrubbed(n int) adminapi.ScrubReply {
	m.t.Helper()
	var r adminapi.ScrubReply
	var err error
	for range patiently {
		if r, err = server.ScrubStatus(m.t.Context(), m.operator(), m.options()); err != nil {
			m.t.Fatal(err)
		}
		if r.Failed == n && r.Pass == nil && r.Last != nil {
			return r
		}
	}
	m.t.Fatalf("%d pieces do not fail: %+v", n, r)
	return r
}

func (m *machine) scrubNow() {
	m.t.Helper()
	if _, err := server.StartScrub(m.t.Context(), m.operator(), m.options()); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) failed() []adminapi.FailedItem {
	m.t.Helper()
	r, err := server.FailedScrub(m.t.Context(), m.operator(), m.options())
	if err != nil || r.More {
		m.t.Fatal(r, err)
	}
	return r.Failed
}

// ended waits for a job to end in a state and returns its description.
func (m *machine) ended(path, state string) string {
	m.t.Helper()
	for range patiently {
		if _, body := m.want(http.MethodGet, path, "", nil, http.StatusOK, "StatusCode"); !strings.Contains(body, `"InProgress"`) {
			if !strings.Contains(body, `"`+state+`"`) {
				m.t.Fatalf("%s ends as %s", path, body)
			}
			return body
		}
	}
	m.t.Fatalf("%s does not end", path)
	return ""
}

// events waits for n service events of a name and returns their details.
func (m *machine) events(name string, n int) (found []map[string]any) {
	m.t.Helper()
	for range patiently {
		found = nil
		_, records := trail(m.t, m.cfg.Data)
		for _, r := range records {
			if r.EventName == name {
				found = append(found, r.AdditionalEventData)
			}
		}
		if len(found) >= n {
			break
		}
	}
	return found
}

// TestQuarantine damages an archive: it is found, served to nobody, kept when
// its client deletes it, and gone when the operator gives it up.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.create("v")
	path := m.upload("v")
	id := path[strings.LastIndex(path, "/")+1:]
	before := m.retrieve(path, "Standard")
	m.ended(before, "Succeeded")
	m.want(http.MethodGet, before+"/output", "", nil, http.StatusOK, string(archive))
	m.scrubNow()
	m.scrubbed(0)
	m.flip()
	m.scrubNow()
	r := m.scrubbed(1)
	if r.Last.Failed != 1 || !strings.Contains(r.Advice, "moraine scrub failed") {
		t.Errorf("status: %+v", r)
	}
	list := m.failed()
	if len(list) != 1 || list[0].Archive != id || !strings.HasSuffix(list[0].Vault, ":vaults/v") || list[0].Deleted || list[0].Fault == "" {
		t.Errorf("failed: %+v", list)
	}
	if found := m.events("ScrubFailure", 1); len(found) != 1 || found[0]["archiveId"] != id || found[0]["blob"] != list[0].Blob {
		t.Errorf("audit: %+v", found)
	}
	for _, line := range []string{"moraine_scrub_failed 1", `moraine_scrub_findings_total{kind="failed"} 1`, "moraine_scrub_pass_bytes 0"} {
		if text := m.get("/metrics"); !strings.Contains(text, line) {
			t.Errorf("metrics lack %q", line)
		}
	}
	// A second pass has no news.
	m.scrubNow()
	m.scrubbed(1)
	if found := m.events("ScrubFailure", 1); len(found) != 1 {
		t.Errorf("audit: %+v", found)
	}

	// Nobody is served, not by the job of before either, and not if the bytes
	// look good again before a check has said so.
	for range 2 {
		m.want(http.MethodGet, before+"/output", "", nil, http.StatusInternalServerError, "ServiceUnavailableException")
		m.ended(m.retrieve(path, "Standard"), "Failed")
		m.flip()
	}
	if r, err := server.ReleaseScrub(t.Context(), m.operator(), m.options(), id); err != nil || r.Left != 1 {
		t.Errorf("released although it is bad: %+v, %v", r, err)
	}
	m.flip()
	if r, err := server.ReleaseScrub(t.Context(), m.operator(), m.options(), list[0].Blob); err != nil || r.Released != 1 {
		t.Errorf("not released although it is good: %+v, %v", r, err)
	}
	if found := m.events("ScrubRepaired", 1); len(found) != 1 {
		t.Errorf("audit: %+v", found)
	}
	m.want(http.MethodGet, before+"/output", "", nil, http.StatusOK, string(archive))

	// Whoever reads damage has it looked at, though no pass is under way.
	m.flip()
	m.ended(m.retrieve(path, "Standard"), "Failed")
	m.scrubbed(1)

	discard := func(text string) {
		t.Helper()
		_, err := server.DiscardScrub(t.Context(), m.operator(), m.options(), id)
		if (err == nil) != (text == "") || err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("discarded: %v, want %q", err, text)
		}
	}
	discard("is not deleted, or a job still names it")
	m.want(http.MethodDelete, path, "", nil, http.StatusNoContent, "")
	discard("is not deleted, or a job still names it") // the job of before
	m.pass(25 * time.Hour)                             // the job has expired, and a sweep after a start forgets it
	var last error
	for range patiently {
		m.restart()
		m.want(http.MethodGet, "/-/vaults/v/jobs", "", nil, http.StatusOK, `"JobList":[]`)
		if list := m.failed(); len(list) != 1 || !list[0].Deleted {
			t.Fatalf("after the deletion failed are %+v", list)
		}
		m.stop(t)
		// On a directory that no server is using it is the same.
		if list := m.failed(); len(list) != 1 || list[0].Archive != id {
			t.Fatalf("with no server failed are %+v", list)
		}
		if _, last = server.DiscardScrub(t.Context(), m.operator(), m.options(), id); last == nil {
			break
		}
		m.boot() // the sweep had not come to it
	}
	if last != nil {
		t.Fatalf("discarded: %v", last)
	}
	discard("nothing that failed is named")
	if found := m.events("ScrubDiscarded", 1); len(found) != 1 || found[0]["name"] != id {
		t.Errorf("audit: %+v", found)
	}
	m.boot()
	m.scrubbed(0)
}

// TestScrubSurvives has a pass begun with no server, which the server finishes.
func TestScrubSurvives(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.create("v")
	m.upload("v")
	m.scrubbed(0)
	m.stop(t)
	m.pass(time.Hour)
	m.scrubNow()
	r, err := server.ScrubStatus(t.Context(), m.operator(), m.options())
	if err != nil || r.State != "reading" || r.Pass == nil || !r.Pass.Started.Equal(m.now()) {
		t.Errorf("begun: %+v, %v", r, err)
	}
	m.boot()
	if r := m.scrubbed(0); !r.Last.Started.Equal(m.now()) || r.Last.Blobs != 1 || r.Last.Bytes != int64(len(archive)) {
		t.Errorf("finished: %+v", r.Last)
	}
}

// TestScrubVault reads the archives of one vault, with a server and without, and
// has the topic told of the damage.
func TestScrubVault(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	const topic = "arn:aws:sns:us-east-1:210987654321:damage"
	m.stop(t)
	m.cfg.Scrub.Period, m.cfg.Scrub.Topic = 0, topic
	m.boot()
	m.create("v")
	m.create("w")
	m.upload("v")
	read := func(vault string) adminapi.ScrubPass {
		t.Helper()
		r, err := server.ScrubVault(t.Context(), m.operator(), m.options(), adminapi.VaultQuery{Vault: vault})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := read("v"); r.Blobs != 1 || r.Bytes != int64(len(archive)) || r.Failed != 0 {
		t.Errorf("of a vault that is whole: %+v", r)
	}
	m.flip()
	if r := read("w"); r.Blobs != 0 || r.Failed != 0 {
		t.Errorf("of a vault without archives: %+v", r)
	}
	if r := read("v"); r.Blobs != 1 || r.Failed != 1 {
		t.Errorf("of a vault with a damaged archive: %+v", r)
	}
	for _, q := range []adminapi.VaultQuery{{Vault: "x"}, {Vault: "v", Region: "eu-west-9"}, {Vault: "v", Account: "000000000001"}, {}} {
		if r, err := server.ScrubVault(t.Context(), m.operator(), m.options(), q); err == nil {
			t.Errorf("%+v is read: %+v", q, r)
		}
	}
	m.stop(t)
	if r := read("v"); r.Failed != 1 {
		t.Errorf("with no server: %+v", r)
	}
	var told []moraine.Message
	err := server.Offline{Data: m.cfg.Data}.Messages(t.Context(), time.Hour, func(msg moraine.Message, _ time.Time) error {
		told = append(told, msg)
		return nil
	})
	if err != nil || len(told) != 1 || told[0].Topic != topic || told[0].Event != moraine.ScrubFailure || !strings.Contains(told[0].Source, ":vaults/*") {
		t.Errorf("messages: %+v, %v", told, err)
	}
	m.flip()
	if r := read("v"); r.Failed != 0 {
		t.Errorf("whole again, with no server: %+v", r)
	}
	m.boot()
}

// TestCompactVerbs asks for the emptying of packs, with a server and without.
func TestCompactVerbs(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.stop(t)
	m.cfg.Storage.Compact = config.Compact{Dead: 10, DeadHoles: 10, Grace: time.Hour}
	m.boot()
	m.create("v")
	kept := m.upload("v")
	for range 4 {
		m.want(http.MethodDelete, m.upload("v"), "", nil, http.StatusNoContent, "")
	}
	if r, err := server.CompactStatus(t.Context(), m.operator(), m.options()); err != nil || r.Moved != 0 || !r.Finished.IsZero() {
		t.Errorf("before the first pass: %+v, %v", r, err)
	}
	if _, err := server.StartCompact(t.Context(), m.operator(), m.options()); err != nil {
		t.Fatal(err)
	}
	var r adminapi.CompactReply
	var err error
	for range patiently {
		if r, err = server.CompactStatus(t.Context(), m.operator(), m.options()); err != nil || !r.Finished.IsZero() {
			break
		}
	}
	if err != nil || r.Finished.IsZero() {
		t.Fatalf("no pass ends: %+v, %v", r, err)
	}
	if text := m.get("/metrics"); !strings.Contains(text, "moraine_compact_moved_blobs_total") || !strings.Contains(text, "moraine_compact_resting 0") {
		t.Error("the metrics of compaction are missing")
	}
	// The pack is sealed now, and the space of what was deleted is given back by
	// some sweep.
	moved := int64(0)
	for range patiently {
		m.restart()
		m.stop(t)
		if r, err = server.StartCompact(t.Context(), m.operator(), m.options()); err != nil {
			break
		}
		moved = r.Pass.Moved
		m.boot()
		if moved > 0 {
			break
		}
	}
	if err != nil || moved == 0 {
		t.Fatalf("nothing is moved: %+v, %v", r, err)
	}
	// A sweep that was cut short leaves one that is deleted to be moved, too.
	if r.Bytes != moved*int64(len(archive)) {
		t.Errorf("the pass made here: %+v", r)
	}
	job := m.retrieve(kept, "Standard")
	m.ended(job, "Succeeded")
	m.want(http.MethodGet, job+"/output", "", nil, http.StatusOK, string(archive))
}
