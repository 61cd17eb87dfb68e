package server_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/adminapi"
	"moraine/internal/blob/crypt"
	"moraine/internal/blob/pack"
	"moraine/internal/blobkeys"
	"moraine/internal/blobkeys/keyfile"
	"moraine/internal/blobkeys/mastertest"
	"moraine/internal/config"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/seal"
	"moraine/internal/server"
	"moraine/internal/treehash"
)

// safe is a server that may encrypt, and a client of it.
type safe struct {
	*guinea
	cfg  config.Config
	held map[string][]byte // archives by id
}

// newSafe starts a server on a new directory.
func newSafe(t *testing.T, master config.Master) *safe {
	t.Helper()
	s := &safe{cfg: settings(t, t.TempDir()), held: map[string][]byte{}}
	s.cfg.Encryption.Master = master
	s.open(t)
	s.want(http.MethodPut, "/-/vaults/v", nil, nil, http.StatusCreated, "")
	return s
}

func (s *safe) open(t *testing.T) {
	t.Helper()
	s.guinea = &guinea{running: start(t, s.cfg), t: t, key: key(t, s.cfg.Data)}
}

// restart starts the server anew with other masters.
func (s *safe) restart(e config.Encryption) {
	s.t.Helper()
	s.stop(s.t)
	s.cfg.Encryption = e
	s.open(s.t)
}

// refused starts the server, which must not serve, and returns why.
func (s *safe) refused() string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), waitMax)
	defer cancel()
	err := server.Run(ctx, s.cfg, server.Options{})
	if err == nil {
		s.t.Fatal("the server started")
	}
	return err.Error()
}

// operator are the settings an operator's command is given.
func (s *safe) operator() config.Config {
	cfg := s.cfg
	cfg.Admin.Listen = strings.TrimPrefix(s.admin, "http://")
	return cfg
}

// random is a body that no two calls share and no compression shortens.
func random(n int) []byte {
	p := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(rand.Uint64()), byte(rand.Uint64() >> 3)})
	_, _ = rnd.Read(p) // never fails
	return p
}

// store uploads an archive.
func (s *safe) store(body []byte) string {
	s.t.Helper()
	h, _ := s.want(http.MethodPost, "/-/vaults/v/archives", body, hashes(body), http.StatusCreated, "")
	id := h.Get("X-Amz-Archive-Id")
	s.held[id] = body
	return id
}

func hashes(body []byte) map[string]string {
	tree, linear := treehash.NewHasher(), treehash.Leaf(body)
	_, _ = tree.Write(body) // never fails
	return map[string]string{"X-Amz-Sha256-Tree-Hash": tree.Tree().String(), "X-Amz-Content-Sha256": hex.EncodeToString(linear[:])}
}

// storeParts uploads an archive in parts of one MiB.
func (s *safe) storeParts(body []byte) {
	s.t.Helper()
	h, _ := s.want(http.MethodPost, "/-/vaults/v/multipart-uploads", nil, map[string]string{"X-Amz-Part-Size": "1048576"}, http.StatusCreated, "")
	upload := "/-/vaults/v/multipart-uploads/" + h.Get("X-Amz-Multipart-Upload-Id")
	for off := 0; off < len(body); off += 1 << 20 {
		part := body[off:min(len(body), off+1<<20)]
		header := hashes(part)
		header["Content-Range"] = fmt.Sprintf("bytes %d-%d/*", off, off+len(part)-1)
		s.want(http.MethodPut, upload, part, header, http.StatusNoContent, "")
	}
	h, _ = s.want(http.MethodPost, upload, nil, map[string]string{
		"X-Amz-Archive-Size": fmt.Sprint(len(body)), "X-Amz-Sha256-Tree-Hash": hashes(body)["X-Amz-Sha256-Tree-Hash"],
	}, http.StatusCreated, "")
	s.held[h.Get("X-Amz-Archive-Id")] = body
}

// readable retrieves every archive, whole and in part.
func (s *safe) readable() {
	s.t.Helper()
	for id, body := range s.held {
		job := s.retrieve(id, "Standard", http.StatusAccepted, "")
		if state := s.ended(job); state != "Succeeded" {
			s.t.Fatalf("the retrieval of %d bytes ends as %s", len(body), state)
		}
		if _, got := s.want(http.MethodGet, job+"/output", nil, nil, http.StatusOK, ""); got != string(body) {
			s.t.Errorf("%d bytes come back, and not the %d that were sent", len(got), len(body))
		}
		from := len(body) / 2
		part := map[string]string{"Range": fmt.Sprintf("bytes=%d-%d", from, len(body)-1)}
		if _, got := s.want(http.MethodGet, job+"/output", nil, part, http.StatusPartialContent, ""); got != string(body[from:]) {
			s.t.Errorf("%d bytes of a range come back, and not the right %d", len(got), len(body)-from)
		}
	}
}

// inventory returns the inventory of the vault.
func (s *safe) inventory() string {
	s.t.Helper()
	h, _ := s.want(http.MethodPost, "/-/vaults/v/jobs", []byte(`{"Type":"inventory-retrieval"}`), nil, http.StatusAccepted, "")
	job := "/-/vaults/v/jobs/" + h.Get("X-Amz-Job-Id")
	s.ended(job)
	_, text := s.want(http.MethodGet, job+"/output", nil, nil, http.StatusOK, "ArchiveList")
	return text
}

// shown returns the files of a directory that hold a run of 64 bytes of a
// text: such a run holds a block of 32 that is aligned in the text.
func shown(t *testing.T, dir string, texts ...[]byte) (files []string) {
	t.Helper()
	const block = 32
	blocks := map[uint64][]byte{}
	var begin beginnings
	for _, text := range texts {
		for i := 0; i+block <= len(text); i += block {
			n := binary.LittleEndian.Uint64(text[i:])
			blocks[n] = text[i : i+block]
			begin[n%uint64(len(begin))] = true
		}
	}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if holds(data, blocks, &begin) {
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// beginnings tells what may be the first eight bytes of a block.
type beginnings [1 << 22]bool

// holds tells whether one of the blocks is anywhere in data. It looks at each
// byte of many files, so that the race detector does not watch it.
//
//go:norace
func holds(data []byte, blocks map[uint64][]byte, begin *beginnings) bool {
	for i := 0; i+8 <= len(data); i++ {
		n := binary.LittleEndian.Uint64(data[i:])
		if begin[n%uint64(len(begin))] && bytes.HasPrefix(data[i:], blocks[n]) && blocks[n] != nil {
			return true
		}
	}
	return false
}

// newKeyFile makes a key file, as the command does.
func newKeyFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "archives.key")
	if err := server.NewKeyFile(name); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestEncrypted stores archives of all kinds in an encrypting server, reads them
// back, and looks for them in the data directory.
func TestEncrypted(t *testing.T) {
	t.Parallel()
	s := newSafe(t, config.Master{KeyFile: newKeyFile(t)})
	bodies := [][]byte{random(100), random(5000), random(70_000), random(2<<20 + 77), random(3 << 20), random(2<<20 + 12345)}
	for _, body := range bodies[:5] {
		s.store(body)
	}
	s.storeParts(bodies[5])
	s.readable()
	inventory := s.inventory()
	if strings.Count(inventory, `"ArchiveId"`) != len(bodies) {
		t.Errorf("the inventory: %s", inventory)
	}
	_, onPage := s.want(http.MethodGet, "/-/vaults/v/jobs", nil, nil, http.StatusOK, "JobList")
	if strings.Contains(onPage, "Failed") {
		t.Errorf("jobs: %s", onPage)
	}
	s.readable()
	s.stop(t)
	if files := shown(t, s.cfg.Data, bodies...); len(files) > 0 {
		t.Errorf("archives can be read in %v", files)
	}
	// Ids and descriptions are in the rows, for everybody to see; the document
	// is not.
	if files := shown(t, filepath.Join(s.cfg.Data, "packs"), []byte(inventory)); len(files) > 0 {
		t.Errorf("the inventory can be read in %v", files)
	}
	res, findings, err := s.fsck(false)
	if err != nil || !res.Clean() || res.Decrypted < 7 || res.Encrypted != 0 || res.Archives != 6 {
		t.Errorf("fsck: %+v %v\n%s", res, err, findings)
	}

	// The same without encryption, so that it is known what would be found.
	plain := newSafe(t, config.Master{})
	for _, body := range bodies[:4] {
		plain.store(body)
	}
	plain.stop(t)
	if files := shown(t, plain.cfg.Data, bodies...); len(files) == 0 {
		t.Error("plain archives are not found")
	}
}

// fsck checks the directory of a stopped server with the settings it had.
func (s *safe) fsck(withoutKeys bool) (server.FsckResult, string, error) {
	var out strings.Builder
	res, err := server.Fsck{Data: s.cfg.Data, Encryption: s.cfg.Encryption, WithoutKeys: withoutKeys, Out: &out}.Run(s.t.Context())
	return res, out.String(), err
}

// TestTurnedOnAndOff begins without encryption, turns it on, and off again.
func TestTurnedOnAndOff(t *testing.T) {
	t.Parallel()
	s := newSafe(t, config.Master{})
	before := random(100_000)
	s.store(before)
	on := config.Encryption{Master: config.Master{KeyFile: newKeyFile(t)}}
	s.restart(on)
	s.readable()
	during := random(2<<20 + 5)
	s.store(during)
	s.readable()

	// Without the settings no server starts, and nothing is changed.
	s.stop(t)
	s.cfg.Encryption = config.Encryption{}
	for _, want := range []string{"archives here are encrypted", "encryption.key_file", "below encryption.old if"} {
		if why := s.refused(); !strings.Contains(why, want) {
			t.Errorf("%q lacks %q", why, want)
		}
	}
	s.cfg.Encryption.KMSKey = "arn:aws:kms:eu-north-1:210987654321:key/x"
	if why := s.refused(); !strings.Contains(why, "encryption.key_file") {
		t.Errorf("with a master of another kind: %s", why)
	}
	s.cfg.Encryption = config.Encryption{Master: config.Master{KeyFile: newKeyFile(t)}}
	if why := s.refused(); !strings.Contains(why, "the key file does not open the key") {
		t.Errorf("with another key file: %s", why)
	}
	s.cfg.Encryption = config.Encryption{Master: config.Master{KeyFile: filepath.Join(s.cfg.Data, "none")}}
	if why := s.refused(); !strings.Contains(why, "moraine encryption new-key") {
		t.Errorf("with no key file: %s", why)
	}

	// Named as the old master alone: read, and encrypt no more.
	s.cfg.Encryption = config.Encryption{Old: on.Master}
	s.open(t)
	after := random(90_000)
	s.store(after)
	s.readable()
	st := s.keys(server.EncryptionStatus)
	if st.State != "reading" || len(st.Keys) != 1 || st.Keys[0].Current || st.Advice != "" {
		t.Errorf("turned off: %+v", st)
	}
	s.stop(t)
	if files := shown(t, s.cfg.Data, during); len(files) > 0 {
		t.Errorf("an encrypted archive can be read in %v", files)
	}
	for _, body := range [][]byte{before, after} {
		if files := shown(t, s.cfg.Data, body); len(files) == 0 {
			t.Error("an archive from when nothing was encrypted is not found")
		}
	}
	if res, findings, err := s.fsck(false); err != nil || !res.Clean() || res.Archives != 3 || res.Decrypted != 1 {
		t.Errorf("fsck: %+v %v\n%s", res, err, findings)
	}
}

// keys runs a command on the keys of the running server, or of the directory.
func (s *safe) keys(verb func(context.Context, config.Config, server.Options) (adminapi.EncryptionReply, error)) adminapi.EncryptionReply {
	s.t.Helper()
	r, err := verb(s.t.Context(), s.operator(), server.Options{})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// TestRotateAndRewrap changes the keys of a running server while archives are
// uploaded, and of a directory that no server is using, and moves to another
// master.
func TestRotateAndRewrap(t *testing.T) {
	t.Parallel()
	s := newSafe(t, config.Master{KeyFile: newKeyFile(t)})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex // guards sent
	sent := map[string][]byte{}
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				body := random(3000)
				resp, err := s.call(t, s.key, http.MethodPost, "/-/vaults/v/archives", hashes(body)["X-Amz-Content-Sha256"], bytes.NewReader(body), hashes(body))
				if err != nil || resp.StatusCode != http.StatusCreated {
					t.Errorf("upload: %v, %v", resp, err)
					return
				}
				resp.Body.Close()
				mu.Lock()
				sent[resp.Header.Get("X-Amz-Archive-Id")] = body
				mu.Unlock()
			}
		})
	}
	for n := range 4 {
		st := s.keys(server.RotateKey)
		if len(st.Keys) != n+2 || !st.Keys[n+1].Current || st.Keys[0].Current || st.State != "on" || st.Advice != "" {
			t.Errorf("rotated: %+v", st)
		}
		if st := s.keys(server.RewrapKeys); len(st.Keys) != n+2 {
			t.Errorf("rewrapped: %+v", st)
		}
	}
	close(stop)
	wg.Wait()
	for id, body := range sent {
		if s.held[id] = body; len(s.held) > 20 {
			break
		}
	}
	s.readable()
	s.stop(t)

	// With no server.
	if st := s.keys(server.EncryptionStatus); len(st.Keys) != 5 || !st.Keys[4].Current {
		t.Errorf("with no server: %+v", st)
	}
	if st := s.keys(server.RotateKey); len(st.Keys) != 6 || !st.Keys[5].Current {
		t.Errorf("rotated with no server: %+v", st)
	}
	s.open(t)
	s.store(random(1000))
	s.readable()

	// A new first key in the file, then a file with that key alone.
	old, err := os.ReadFile(s.cfg.Encryption.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	next := newKeyFile(t)
	text, err := os.ReadFile(next)
	if err != nil {
		t.Fatal(err)
	}
	both := filepath.Join(t.TempDir(), "both.key")
	if err := os.WriteFile(both, append(text, old...), 0o600); err != nil {
		t.Fatal(err)
	}
	s.restart(config.Encryption{Master: config.Master{KeyFile: both}})
	if st := s.keys(server.EncryptionStatus); !strings.Contains(st.Advice, "6 of 6 keys are wrapped by another master") {
		t.Errorf("with a new first key: %+v", st)
	}
	if st := s.keys(server.RewrapKeys); st.Advice != "" {
		t.Errorf("rewrapped: %+v", st)
	}
	s.restart(config.Encryption{Master: config.Master{KeyFile: next}})
	s.readable()
	s.stop(t)
	want := "rotated rewrapped rotated rewrapped rotated rewrapped rotated rewrapped rotated rewrapped"
	if got := s.keyEvents(); got != want {
		t.Errorf("the audit log has %q, want %q", got, want)
	}
}

// keyEvents are the phases in the audit log of a stopped server.
func (s *safe) keyEvents() string {
	s.t.Helper()
	_, records := trail(s.t, s.cfg.Data)
	var phases []string
	for _, r := range records {
		if r.EventName == "KeyRotation" {
			if r.EventType != "AwsServiceEvent" || r.UserIdentity.Type != "AWSService" {
				s.t.Errorf("the event is %+v", r)
			}
			phases = append(phases, fmt.Sprint(r.AdditionalEventData["phase"]))
		}
	}
	return strings.Join(phases, " ")
}

// TestMasters moves a directory from a key file to Vault and from there to KMS,
// both of which stand-ins play.
func TestMasters(t *testing.T) {
	const arn = "arn:aws:kms:eu-north-1:210987654321:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	vault, aws := mastertest.NewVault(t), mastertest.NewKMS(t, arn)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAX")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(mastertest.VaultToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := config.Master{KeyFile: newKeyFile(t)}
	transit := config.Master{VaultAddr: vault.URL, VaultKey: "archives", VaultTokenFile: token, VaultNamespace: "eu"}
	kms := config.Master{KMSKey: arn, KMSEndpoint: aws.URL}

	s := newSafe(t, file)
	s.store(random(10_000))
	for _, move := range []struct {
		from, to config.Master
		name     string
	}{{file, transit, "vault:eu/transit/archives"}, {transit, kms, "kms:" + arn}} {
		s.restart(config.Encryption{Master: move.to, Old: move.from})
		s.store(random(20_000)) // under a key that the old master wraps
		if st := s.keys(server.EncryptionStatus); st.Master != move.name || st.Old == "" || st.Advice == "" {
			t.Errorf("between two masters: %+v", st)
		}
		st := s.keys(server.RewrapKeys)
		if st.Advice != "" || st.Keys[0].WrappedBy != move.name {
			t.Errorf("rewrapped: %+v", st)
		}
		s.restart(config.Encryption{Master: move.to})
		s.keys(server.RotateKey)
		s.store(random(30_000))
		s.readable()
	}
	// A master that goes away later keeps nobody from an archive; one that
	// refuses changes nothing.
	aws.Before = func(w http.ResponseWriter, _ *http.Request) bool {
		mastertest.RefuseKMS(w, http.StatusBadRequest, "AccessDeniedException")
		return true
	}
	before := s.keys(server.EncryptionStatus)
	for _, verb := range []func(context.Context, config.Config, server.Options) (adminapi.EncryptionReply, error){server.RotateKey, server.RewrapKeys} {
		if _, err := verb(t.Context(), s.operator(), server.Options{}); err == nil || !strings.Contains(err.Error(), "KMS refuses to use the key") {
			t.Errorf("the master refuses: %v", err)
		}
	}
	if diff := cmp.Diff(before, s.keys(server.EncryptionStatus)); diff != "" {
		t.Errorf("the keys changed:\n%s", diff)
	}
	s.store(random(5000))
	s.readable()
	s.stop(t)
	if why := s.refused(); !strings.Contains(why, "KMS refuses to use the key") {
		t.Errorf("a start without the master: %s", why)
	}
	if got := s.keyEvents(); !strings.HasSuffix(got, "rotated notRotated notRewrapped") {
		t.Errorf("the audit log has %q", got)
	}
	http.DefaultClient.CloseIdleConnections()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// TestFsckWithoutKeys checks a damaged directory with keys and without.
func TestFsckWithoutKeys(t *testing.T) {
	t.Parallel()
	s := newSafe(t, config.Master{KeyFile: newKeyFile(t)})
	s.store(random(4000))
	large := random(3<<20 + 1)
	s.store(large)
	s.stop(t)

	res, findings, err := s.fsck(true)
	if err != nil || !res.Clean() || res.Encrypted != 2 || res.Decrypted != 0 || res.Extents != 2 || findings != "" {
		t.Errorf("without keys: %+v %v\n%s", res, err, findings)
	}
	keys := s.cfg.Encryption
	s.cfg.Encryption = config.Encryption{}
	if _, _, err := s.fsck(false); err == nil || !strings.Contains(err.Error(), "encryption.key_file") {
		t.Errorf("with neither keys nor the flag: %v", err)
	}
	if _, err := (server.Fsck{Data: s.cfg.Data, WithoutKeys: true, Rebuild: true, Out: new(strings.Builder)}).Run(t.Context()); err == nil {
		t.Error("references are mended without keys")
	}
	s.cfg.Encryption = keys

	// A reference that leads nowhere.
	misplace(t, s.cfg.Data)
	if res, _, err := s.fsck(true); err != nil || res.Missing != 1 {
		t.Errorf("a lost reference, without keys: %+v %v", res, err)
	}
	var out strings.Builder
	res, err = server.Fsck{Data: s.cfg.Data, Encryption: keys, Rebuild: true, Out: &out}.Run(t.Context())
	if err != nil || res.Mended != 1 || !res.Clean() {
		t.Errorf("rebuilt: %+v %v\n%s", res, err, &out)
	}
	s.open(t)
	s.readable()
	s.stop(t)

	// A row that means another archive: only with keys that shows.
	swapTreeHash(t, s.cfg.Data, int64(len(large)))
	if res, _, err := s.fsck(true); err != nil || res.Damaged != 0 {
		t.Errorf("another tree hash, without keys: %+v %v", res, err)
	}
	if res, findings, err := s.fsck(false); err != nil || res.Damaged == 0 || res.Clean() {
		t.Errorf("another tree hash, with keys: %+v %v\n%s", res, err, findings)
	}

	// A flipped byte shows either way.
	flip(t, packFile(t, s.cfg.Data, ".blob"), 2<<20)
	for _, without := range []bool{true, false} {
		if res, _, err := s.fsck(without); err != nil || res.Places != 1 || res.Damaged == 0 {
			t.Errorf("a flipped byte, without keys %v: %+v %v", without, res, err)
		}
	}

	// The keys are gone from the rows: what they encrypt is not readable.
	forgetKeys(t, s.cfg.Data)
	if res, _, err := s.fsck(false); err != nil || res.Damaged != 2 || res.Extents != 0 {
		t.Errorf("no keys in the rows: %+v %v", res, err)
	}
}

// liar says of what it reads that it has no digests but zeros.
type liar struct{ io.Reader }

func (liar) Leaves() []treehash.Digest { return make([]treehash.Digest, 1) }

// TestFsckDecrypts checks an encrypted blob that is stored as it should be and
// decrypts to something that fails its digest, which no keeper of the disk could
// have made.
func TestFsckDecrypts(t *testing.T) {
	t.Parallel()
	s := newSafe(t, config.Master{KeyFile: newKeyFile(t)})
	s.store(random(1000))
	s.stop(t)
	text, err := os.ReadFile(s.cfg.Encryption.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := sqlmeta.Open(t.Context(), sqlmeta.Config{Path: filepath.Join(s.cfg.Data, "meta.db")})
	if err != nil {
		t.Fatal(err)
	}
	packs, err := pack.Open(pack.Config{Dir: filepath.Join(s.cfg.Data, "packs")})
	if err != nil {
		t.Fatal(err)
	}
	blobs := crypt.New(packs, nil)
	openErr := blobkeys.New(blobkeys.Config{Meta: rows, Master: keyfile.New(ring), Use: blobs.SetRing}).Open(t.Context())
	_, putErr := blobs.Put(t.Context(), moraine.NewBlobID(time.Now()), liar{strings.NewReader("a lie")}, 5)
	if err := errors.Join(openErr, putErr, blobs.Close(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	if res, _, err := s.fsck(true); err != nil || !res.Clean() || res.Orphans != 1 {
		t.Errorf("without keys: %+v %v", res, err)
	}
	res, findings, err := s.fsck(false)
	if err != nil || res.Places != 1 || !strings.Contains(findings, "leaf 0 of k1:5:") {
		t.Errorf("with keys: %+v %v\n%s", res, err, findings)
	}
}

func flip(t *testing.T, name string, off int64) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], off)
	b[0] ^= 1
	_, writeErr := f.WriteAt(b[:], off)
	if err := errors.Join(err, writeErr, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// editRows changes the rows of a directory.
func editRows(t *testing.T, dir string, fn func(tx meta.Tx) error) {
	t.Helper()
	rows, err := sqlmeta.Open(t.Context(), sqlmeta.Config{Path: filepath.Join(dir, "meta.db")})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(rows.Update(t.Context(), fn), rows.Close()); err != nil {
		t.Fatal(err)
	}
}

// swapTreeHash gives the extent of an archive of that size another tree hash.
func swapTreeHash(t *testing.T, dir string, size int64) {
	t.Helper()
	editRows(t, dir, func(tx meta.Tx) error {
		vault, err := tx.Vaults().List(owner(t, dir), "us-east-1", "", 1)
		if err != nil {
			return err
		}
		var body moraine.BodyID
		err = tx.Archives().Scan(meta.Scan{Vault: vault[0].ID, At: time.Now().Add(time.Hour)}, func(a moraine.Archive) error {
			if a.Size == size {
				body = a.Body
			}
			return nil
		})
		if err != nil {
			return err
		}
		e, err := tx.Bodies().At(body, 0)
		if err != nil {
			return err
		}
		e.TreeHash[0] ^= 1
		return tx.Bodies().Put(body, e, time.Now())
	})
}

// forgetKeys removes the rows of the keys, which no program does.
func forgetKeys(t *testing.T, dir string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "meta.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), "DELETE FROM blob_keys")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestKeyFile makes key files, and is warned of careless ones.
func TestKeyFile(t *testing.T) {
	t.Parallel()
	name := newKeyFile(t)
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	before, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.NewKeyFile(name); err == nil || !strings.Contains(err.Error(), "never replaced") {
		t.Errorf("made again: %v", err)
	}
	if after, err := os.ReadFile(name); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file has changed: %v", err)
	}
	if err := server.NewKeyFile(filepath.Join(name, "below")); err == nil {
		t.Error("made below a file")
	}

	s := newSafe(t, config.Master{})
	s.stop(t)
	inside := filepath.Join(s.cfg.Data, "archives.key")
	if err := os.WriteFile(inside, before, 0o644); err != nil {
		t.Fatal(err)
	}
	s.cfg.Encryption.KeyFile = inside
	s.open(t)
	log := s.log.wait(t, "serving", 1)
	s.stop(t)
	for _, want := range []string{"others may read", "lies in the data directory"} {
		if !strings.Contains(log, want) {
			t.Errorf("no warning with %q in\n%s", want, log)
		}
	}
	if secret := strings.Split(strings.TrimSpace(string(before)), "\n"); strings.Contains(log, secret[len(secret)-1]) {
		t.Error("the key is in the log")
	}
	if err := os.WriteFile(inside, []byte("not a key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if why := s.refused(); !strings.Contains(why, "a line is not a key") || strings.Contains(why, "not a key\n") {
		t.Errorf("a file that is none: %s", why)
	}
}
