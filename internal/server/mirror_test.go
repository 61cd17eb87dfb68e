package server_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"moraine"
	"moraine/internal/adminapi"
	"moraine/internal/config"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/server"
	"moraine/internal/treehash"
)

// twins is a data directory with a mirror, the archives in it and, while it
// runs, its server.
type twins struct {
	*guinea
	t        *testing.T
	cfg      config.Config
	archives map[string][]byte
}

// newTwins stores archives in a data directory whose mirror is set up by the
// second start, if it is late.
func newTwins(t *testing.T, late bool) *twins { return newTwinsUnder(t, late, "") }

// newTwinsUnder is newTwins with archives encrypted under a key file from where
// there is a mirror on; "" for none.
func newTwinsUnder(t *testing.T, late bool, keyFile string) *twins {
	t.Helper()
	w := &twins{t: t, cfg: settings(t, t.TempDir()), archives: map[string][]byte{}}
	second := filepath.Join(t.TempDir(), "deep", "second")
	if !late {
		w.cfg.Storage.Mirror = second
		w.cfg.Encryption.Master.KeyFile = keyFile
	}
	w.start("")
	w.want(http.MethodPut, "/-/vaults/v", nil, nil, http.StatusCreated, "")
	w.store()
	if late {
		w.stop(t)
		w.cfg.Storage.Mirror = second
		w.cfg.Encryption.Master.KeyFile = keyFile
		w.start("")
	}
	return w
}

func (w *twins) start(rebuild string) {
	w.t.Helper()
	r := startOn(w.t, w.cfg, rebuild)
	w.guinea = &guinea{running: r, t: w.t, key: key(w.t, w.cfg.Data)}
}

// store uploads some small archives and one that has a file to itself.
func (w *twins) store() {
	w.t.Helper()
	for _, size := range []int{1, 1000, 70_000, 3<<20 + 1} {
		body := make([]byte, size)
		rand.Read(body)
		h := treehash.NewHasher()
		h.Write(body)
		linear := h.Linear()
		digest := hex.EncodeToString(linear[:])
		resp, err := w.call(w.t, w.key, http.MethodPost, "/-/vaults/v/archives", digest, bytes.NewReader(body), map[string]string{
			"X-Amz-Content-Sha256": digest, "X-Amz-Sha256-Tree-Hash": h.Tree().String(),
		})
		mustAnswer(w.t, resp, err, http.StatusCreated)
		w.archives[resp.Header.Get("X-Amz-Archive-Id")] = body
	}
}

// wantArchives retrieves every archive.
func (w *twins) wantArchives() {
	w.t.Helper()
	for id, body := range w.archives {
		job := w.retrieve(id, "Standard", http.StatusAccepted, "")
		if state := w.ended(job); state != "Succeeded" {
			w.t.Errorf("the retrieval of %d bytes is %s", len(body), state)
			continue
		}
		if _, got := w.want(http.MethodGet, job+"/output", nil, nil, http.StatusOK, ""); got != string(body) {
			w.t.Errorf("an archive of %d bytes reads as %d others", len(body), len(got))
		}
	}
}

// mirror asks the admin listener.
func (w *twins) mirror() adminapi.Mirror {
	w.t.Helper()
	resp, err := http.Get(w.admin + "/mirror")
	if err != nil {
		w.t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	var m adminapi.Mirror
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatalf("status %d, %v", resp.StatusCode, err)
	}
	return m
}

// wantWhole waits until every blob has two copies.
func (w *twins) wantWhole() {
	w.t.Helper()
	var m adminapi.Mirror
	for range patiently {
		m = w.mirror()
		missing := m.Lost
		for _, p := range m.Places {
			missing += p.Missing
		}
		if !m.Counted.IsZero() && missing == 0 && m.Doing == "" && len(m.Rebuilding) == 0 {
			return
		}
	}
	w.t.Fatalf("not every blob has two copies: %+v", m)
}

func (w *twins) packs() string { return filepath.Join(w.cfg.Data, "packs") }

// lose empties a directory of blobs, as a new disk is empty.
func (w *twins) lose(dir string) {
	w.t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		w.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		w.t.Fatal(err)
	}
}

func (w *twins) dir(role string) string {
	if role == server.Primary {
		return w.packs()
	}
	return w.cfg.Storage.Mirror
}

func (w *twins) fsck() (server.FsckResult, string) {
	w.t.Helper()
	var out strings.Builder
	res, err := server.Fsck{Data: w.cfg.Data, Blobs: w.cfg.Storage.Blobs, Bucket: w.cfg.Storage.Bucket, Mirror: w.cfg.Storage.Mirror, Encryption: w.cfg.Encryption, Out: &out}.Run(w.t.Context())
	if err != nil {
		w.t.Fatalf("%v\n%s", err, &out)
	}
	return res, out.String()
}

// TestLostDisk loses one disk, is served from the other at once, fills a new one
// while it serves, and then loses the other.
func TestLostDisk(t *testing.T) {
	t.Parallel()
	for first, second := range map[string]string{server.Primary: server.Mirror, server.Mirror: server.Primary} {
		for _, late := range []bool{false, true} {
			name := first + " first"
			keyFile := ""
			if late {
				name += ", set up late, and encrypted"
				keyFile = newKeyFile(t)
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newTwinsUnder(t, late, keyFile)
				w.wantWhole()
				w.stop(t)
				for _, role := range []string{first, second} {
					w.lose(w.dir(role))
					if why := refused(t, w.cfg); !strings.Contains(why, "start with --rebuild "+role) {
						t.Errorf("an empty directory without the word: %s", why)
					}
					w.start(role)
					w.wantArchives()
					w.store()
					w.wantWhole()
					w.log.wait(t, "msg=rebuilt", 1)
					w.stop(t)
					if why := refusedOn(t, w.cfg, role); !strings.Contains(why, "needs no rebuilding") {
						t.Errorf("the word once more: %s", why)
					}
				}
				w.start("")
				w.wantArchives()
				w.wantWhole()
				w.stop(t)
				res, findings := w.fsck()
				n := int64(len(w.archives))
				if !res.Clean() || res.Blobs != 2*n || res.Extents != n || res.CopiesMissing+res.CopiesDamaged+res.Surplus != 0 {
					t.Errorf("fsck: %+v %s, want two copies of each of %d archives", res, findings, n)
				}
			})
		}
	}
}

// TestRebuildGoesOn stops in the middle of a rebuilding: it goes on without the
// word.
func TestRebuildGoesOn(t *testing.T) {
	t.Parallel()
	w := newTwins(t, false)
	w.stop(t)
	w.lose(w.packs())
	w.cfg.Storage.MirrorRate = 1 // a leaf, then no more for a while
	w.start(server.Primary)
	w.stop(t)
	record, err := os.ReadFile(filepath.Join(w.cfg.Data, "storage"))
	if err != nil || !strings.Contains(string(record), "rebuilding primary") {
		t.Fatalf("the record says %q, %v", record, err)
	}
	w.cfg.Storage.MirrorRate = 0
	w.start(server.Primary) // the word does no harm
	w.stop(t)
	w.start("")
	w.wantArchives()
	w.wantWhole()
	w.stop(t)
	w.lose(w.cfg.Storage.Mirror)
	w.start(server.Mirror)
	w.wantArchives()
	w.stop(t)
}

// TestWrongDirectories refuses what is not the right directory with one sentence
// that says why, and changes nothing.
func TestWrongDirectories(t *testing.T) {
	t.Parallel()
	rename := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		spoil   func(t *testing.T, w *twins)
		rebuild string
		want    string
	}{
		"mirror not named":   {func(_ *testing.T, w *twins) { w.cfg.Storage.Mirror = "" }, "", "moraine mirror detach"},
		"mirror not mounted": {func(_ *testing.T, w *twins) { w.lose(w.cfg.Storage.Mirror) }, "", "missing or empty and should be the mirror"},
		"mirror not there":   {func(_ *testing.T, w *twins) { w.cfg.Storage.Mirror += "x" }, "", "missing or empty and should be the mirror"},
		"packs not there":    {func(t *testing.T, w *twins) { os.RemoveAll(w.packs()) }, "", "missing or empty and should be the primary"},
		"both empty":         {func(_ *testing.T, w *twins) { w.lose(w.packs()); w.lose(w.cfg.Storage.Mirror) }, server.Primary, "should be the mirror"},
		"both empty, one of them ours": {func(t *testing.T, w *twins) {
			label, err := os.ReadFile(filepath.Join(w.cfg.Storage.Mirror, "identity"))
			if err != nil {
				t.Fatal(err)
			}
			w.lose(w.packs())
			w.lose(w.cfg.Storage.Mirror)
			write("identity", string(label))(t, w.cfg.Storage.Mirror)
		}, server.Primary, "are both empty although the rows name blobs"},
		"mirror is the primary":  {func(_ *testing.T, w *twins) { w.cfg.Storage.Mirror = w.packs() }, "", "where the first copy is"},
		"mirror is the data":     {func(_ *testing.T, w *twins) { w.cfg.Storage.Mirror = w.cfg.Data }, "", "where the first copy is"},
		"the word without need":  {func(*testing.T, *twins) {}, server.Mirror, "needs no rebuilding"},
		"the word for the wrong": {func(_ *testing.T, w *twins) { w.lose(w.packs()) }, server.Mirror, "should be the primary"},
		"swapped": {func(t *testing.T, w *twins) {
			rename(t, w.packs(), w.packs()+"x")
			rename(t, w.cfg.Storage.Mirror, w.packs())
			rename(t, w.packs()+"x", w.cfg.Storage.Mirror)
		}, "", "the two are swapped"},
		"no identity": {func(t *testing.T, w *twins) {
			if err := os.Remove(filepath.Join(w.packs(), "identity")); err != nil {
				t.Fatal(err)
			}
		}, "", "lacks its file identity"},
		"spoilt identity": {func(t *testing.T, w *twins) { write("identity", "moraine blobs 2\n")(t, w.packs()) }, "", "newer version"},
		"spoilt record":   {func(t *testing.T, w *twins) { write("storage", "moraine storage 1\nset x\n")(t, w.cfg.Data) }, "", "means nothing"},
		"not an empty disk": {func(t *testing.T, w *twins) {
			w.lose(w.packs())
			write("photo.jpg", "x")(t, w.packs())
		}, server.Primary, "is not empty"},
		"a former disk": {func(t *testing.T, w *twins) {
			rename(t, w.packs(), w.packs()+"x")
			if err := os.Mkdir(w.packs(), 0o700); err != nil {
				t.Fatal(err)
			}
			w.start(server.Primary)
			w.wantWhole()
			w.stop(t)
			w.lose(w.packs())
			if err := os.RemoveAll(w.packs()); err != nil {
				t.Fatal(err)
			}
			rename(t, w.packs()+"x", w.packs())
		}, "", "another took its place"},
		"the mirror of another": {func(t *testing.T, w *twins) {
			o := newTwins(t, false)
			o.stop(t)
			w.cfg.Storage.Mirror = o.cfg.Storage.Mirror
		}, "", "belongs to another data directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTwins(t, false)
			w.stop(t)
			test.spoil(t, w)
			before := tree(t, w.cfg.Data, w.cfg.Storage.Mirror)
			if why := refusedOn(t, w.cfg, test.rebuild); !strings.Contains(why, test.want) || strings.Contains(why, "\n") {
				t.Errorf("%q lacks %q", why, test.want)
			}
			if after := tree(t, w.cfg.Data, w.cfg.Storage.Mirror); before != after {
				t.Errorf("the refusal changed files:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// tree lists the files that matter below directories.
func tree(t *testing.T, dirs ...string) string {
	t.Helper()
	var b strings.Builder
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
			if base := filepath.Base(name); err == nil && !e.IsDir() && base != "lock" && base != "mode" && !strings.HasPrefix(base, "meta.db") &&
				!strings.Contains(name, "audit") && base != "clock" {
				text, _ := os.ReadFile(name)
				sum := treehash.Leaf(text)
				b.WriteString(name + " " + hex.EncodeToString(sum[:4]) + "\n")
			}
			return nil
		})
	}
	return b.String()
}

// TestNewMirror is set up on an empty directory alone.
func TestNewMirror(t *testing.T) {
	t.Parallel()
	w := newTwins(t, true)
	w.wantWhole()
	w.stop(t)
	other := settings(t, t.TempDir())
	other.Storage.Mirror = w.cfg.Storage.Mirror
	if why := refused(t, other); !strings.Contains(why, "belongs to another data directory") {
		t.Errorf("the mirror of another: %s", why)
	}
	other.Storage.Mirror = t.TempDir()
	write("photo.jpg", "x")(t, other.Storage.Mirror)
	if why := refused(t, other); !strings.Contains(why, "is not empty") {
		t.Errorf("a directory with something in it: %s", why)
	}
	fresh := settings(t, t.TempDir())
	fresh.Storage.Mirror = t.TempDir()
	if why := refusedOn(t, fresh, server.Mirror); !strings.Contains(why, "nothing to rebuild from") {
		t.Errorf("a word too early: %s", why)
	}
	if text := tree(t, fresh.Storage.Mirror, filepath.Join(fresh.Data, "packs")); text != "" {
		t.Errorf("a word too early made files:\n%s", text)
	}
}

// TestSharedMirror refuses a mirror that another server is using.
func TestSharedMirror(t *testing.T) {
	t.Parallel()
	w := newTwins(t, false)
	other := settings(t, t.TempDir())
	other.Storage.Mirror = w.cfg.Storage.Mirror
	if why := refused(t, other); !strings.Contains(why, "is in use by process") {
		t.Errorf("%q", why)
	}
	w.stop(t)
}

// TestDetach goes on with one copy, and comes back to the mirror.
func TestDetach(t *testing.T) {
	t.Parallel()
	w := newTwins(t, false)
	w.wantWhole()
	w.stop(t)
	kept := w.cfg.Storage.Mirror
	o := server.Offline{Data: w.cfg.Data}
	if n, err := o.DetachMirror(t.Context(), false); err != nil || n != 0 {
		t.Fatalf("detach: %d, %v", n, err)
	}
	if _, err := o.DetachMirror(t.Context(), false); err == nil || !strings.Contains(err.Error(), "has no second copy") {
		t.Errorf("detach once more: %v", err)
	}
	w.cfg.Storage.Mirror = ""
	w.start("")
	w.wantArchives()
	w.store()
	for id := range w.archives { // one of those that had two copies, perhaps
		w.want(http.MethodDelete, "/-/vaults/v/archives/"+id, nil, nil, http.StatusNoContent, "")
		delete(w.archives, id)
		break
	}
	w.stop(t)

	w.cfg.Storage.Mirror = kept
	w.start("")
	w.wantWhole()
	w.wantArchives()
	w.stop(t)

	// Another mirror in its place has nothing of what references say.
	if _, err := o.DetachMirror(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	w.cfg.Storage.Mirror = t.TempDir()
	w.start("")
	w.wantWhole()
	w.stop(t)
	w.lose(w.packs())
	w.start(server.Primary)
	w.wantArchives()
	w.stop(t)
}

// TestDetachRefused keeps what only the mirror has.
func TestDetachRefused(t *testing.T) {
	t.Parallel()
	w := newTwins(t, false)
	w.stop(t)
	w.lose(w.packs())
	w.cfg.Storage.MirrorRate = 1
	w.start(server.Primary)
	w.stop(t)
	o := server.Offline{Data: w.cfg.Data}
	if _, err := o.DetachMirror(t.Context(), false); err == nil || !strings.Contains(err.Error(), "still being filled") {
		t.Errorf("detach while the primary is filled: %v", err)
	}
	if _, err := o.DetachMirror(t.Context(), true); err != nil {
		t.Errorf("detach by force: %v", err)
	}
}

// TestDamagedCopy damages one copy of an archive: it is served, and mended.
func TestDamagedCopy(t *testing.T) {
	t.Parallel()
	for name, keyFile := range map[string]string{"plain": "", "encrypted": newKeyFile(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testDamagedCopy(newTwinsUnder(t, false, keyFile))
		})
	}
}

func testDamagedCopy(w *twins) {
	t := w.t
	w.stop(t)
	name := packFile(t, w.cfg.Data, ".blob")
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("damage"), 2<<20); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	res, findings := w.fsck()
	if n := int64(len(w.archives)); res.Clean() || res.Extents != n || res.CopiesDamaged != 1 || res.Damaged != 0 || res.Places != 1 {
		t.Errorf("fsck: %+v\n%s", res, findings)
	}
	w.start("")
	w.wantArchives()
	w.log.wait(t, "damage found while reading", 1)
	w.log.wait(t, "bad copies were replaced", 1)
	if m := w.mirror(); m.CopiesMade != 1 || m.Places[0].Failovers == 0 {
		t.Errorf("status %+v", m)
	}
	w.stop(t)
	res, findings = w.fsck()
	// The bad copy is kept for a day, for those who may be reading it.
	if !res.Clean() || res.CopiesDamaged+res.CopiesMissing+res.Damaged+res.Missing+res.Places != 0 || res.Superseded != 1 || !strings.Contains(findings, "superseded: ") {
		t.Errorf("fsck after mending: %+v\n%s", res, findings)
	}
}

// TestMirrorMetrics has figures of both places.
func TestMirrorMetrics(t *testing.T) {
	t.Parallel()
	w := newTwins(t, true)
	w.wantWhole()
	resp, err := http.Get(w.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"moraine_mirror_blobs 4", "moraine_mirror_copies_made_total 4", `moraine_mirror_missing_copies{place="mirror"} 0`,
		`moraine_mirror_away{place="primary"} 0`, `moraine_mirror_rebuilding{place="mirror"} 0`, "moraine_mirror_lost_blobs 0",
	} {
		if !strings.Contains(text.String(), want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	w.stop(t)
}

// TestMirrorStatusOffline reads the rows of a directory that nobody uses.
func TestMirrorStatusOffline(t *testing.T) {
	t.Parallel()
	w := newTwins(t, true)
	w.wantWhole()
	w.stop(t)
	st, err := server.MirrorStatus(t.Context(), w.cfg, nil)
	if err != nil || !st.Whole() || st.Running || st.Blobs != 4 || len(st.Places) != 2 {
		t.Errorf("status %+v, %v", st, err)
	}
	w.lose(w.cfg.Storage.Mirror)
	if st, err = server.MirrorStatus(t.Context(), w.cfg, nil); err != nil || st.Whole() || st.Places[1].Well || !st.Places[0].Well {
		t.Errorf("status with the mirror lost %+v, %v", st, err)
	}
}

// TestFsckUsesSurplus has rows that name one copy, and the other found in the
// packs: the rows are put right.
func TestFsckUsesSurplus(t *testing.T) {
	t.Parallel()
	for name, keyFile := range map[string]string{"plain": "", "encrypted": newKeyFile(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testFsckUsesSurplus(newTwinsUnder(t, false, keyFile))
		})
	}
}

func testFsckUsesSurplus(w *twins) {
	t := w.t
	w.stop(t)
	rows, err := sqlmeta.Open(t.Context(), sqlmeta.Config{Path: filepath.Join(w.cfg.Data, "meta.db")})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = rows.Update(t.Context(), func(tx meta.Tx) error {
		list, err := tx.Bodies().Blobs(moraine.BlobID{}, 100)
		if n = len(list); err != nil {
			return err
		}
		for i, e := range list {
			key, places, _ := strings.Cut(string(e.Ref), "m2:")
			first, second, _ := strings.Cut(places, "+")
			to := key + []string{first, "m2:" + first + "+", "m2:+" + second, "m2:" + second + "+" + first}[i%4]
			if err := tx.Bodies().Move(e.Blob, moraine.BlobRef(to)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, rows.Close()); err != nil || n != 4 {
		t.Fatal(n, err)
	}
	// The last one leads nowhere, the others have one copy of two.
	if res, out := w.fsck(); res.CopiesMissing != 3 || res.Surplus != 5 || res.Missing != 1 || res.Extents != 3 {
		t.Errorf("fsck: %+v\n%s", res, out)
	}
	var out strings.Builder
	res, err := server.Fsck{Data: w.cfg.Data, Blobs: w.cfg.Storage.Blobs, Bucket: w.cfg.Storage.Bucket, Mirror: w.cfg.Storage.Mirror, Encryption: w.cfg.Encryption, Rebuild: true, Out: &out}.Run(t.Context())
	if err != nil || !res.Clean() || res.CopiesMissing != 0 || res.Surplus != 0 || res.Extents != 4 {
		t.Errorf("fsck with rebuild: %+v, %v\n%s", res, err, &out)
	}
	w.start("")
	w.wantArchives()
	w.stop(t)
}
