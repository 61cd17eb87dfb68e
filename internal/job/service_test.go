package job_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/blob"
	"moraine/internal/blob/mem"
	"moraine/internal/housetest"
	"moraine/internal/job"
	"moraine/internal/meta"
	"moraine/internal/treehash"
	"moraine/internal/vault"
)

// house is the vault and job services on real rows and blobs in memory, with a
// clock that tests move. The engine runs only inside until.
type house struct {
	*job.Service
	t      testing.TB
	vaults *vault.Service
	rows   meta.Store
	blobs  *damagedStore
	config job.Config
	call   access.Call
	clock  *housetest.Clock
}

func newHouse(t testing.TB, change func(*job.Config)) *house {
	t.Helper()
	clock := housetest.NewClock(time.Date(2024, 11, 5, 8, 0, 0, int(123*time.Millisecond), time.UTC))
	rows := housetest.RowsAt(t, clock.Now)
	h := &house{
		t: t, rows: rows, blobs: &damagedStore{Store: mem.New()}, clock: clock,
		call: access.Call{
			Principal: access.Principal{Account: "210987654321", ARN: "arn:aws:iam::210987654321:root", Root: true},
			Region:    "eu-north-1", Account: "-",
		},
	}
	t.Cleanup(func() {
		if err := h.blobs.Close(); err != nil {
			t.Error(err)
		}
	})
	h.config = job.Config{
		Meta: rows, Blobs: h.blobs, Pending: new(blob.Pending), Access: access.New(access.Config{Now: h.now}), Now: h.now, Owner: "one",
	}
	if change != nil {
		change(&h.config)
	}
	h.vaults = h.vaultsOn(h.blobs)
	h.Service = job.New(h.config)
	if _, err := h.vaults.CreateVault(t.Context(), h.call, "v"); err != nil {
		t.Fatal(err)
	}
	return h
}

// vaultsOn is a vault service on other blobs.
func (h *house) vaultsOn(blobs blob.Store) *vault.Service {
	return vault.New(vault.Config{
		Meta: h.rows, Blobs: blobs, Pending: h.config.Pending, Access: h.config.Access, Now: h.now,
		InventoryInterval: h.config.InventoryInterval,
	})
}

func (h *house) now() time.Time { return h.clock.Now() }

func (h *house) advance(d time.Duration) {
	h.clock.Advance(d)
	h.Wake()
}

// damagedStore damages what is read of chosen blobs.
type damagedStore struct {
	blob.Store
	mu      sync.Mutex
	damaged bool
}

func (d *damagedStore) damage(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.damaged = on
}

func (d *damagedStore) Open(ctx context.Context, ref moraine.BlobRef, off, n int64) (io.ReadCloser, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.damaged {
		return nil, moraine.Errorf(moraine.Corrupt, "frame 0 of %s", ref)
	}
	return d.Store.Open(ctx, ref, off, n)
}

func (h *house) upload(data []byte, desc string) moraine.Archive {
	h.t.Helper()
	hasher := treehash.NewHasher()
	hasher.Write(data)
	_, a, err := h.vaults.UploadArchive(h.t.Context(), h.call, "v", vault.UploadRequest{
		ContentLength: int64(len(data)), TreeHash: hasher.Tree().String(), Description: desc,
		CheckSHA256: func([32]byte) error { return nil },
	}, bytes.NewReader(data))
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

func (h *house) initiate(p job.Parameters) (moraine.Job, error) {
	_, j, err := h.InitiateJob(h.t.Context(), h.call, "v", func() (job.Parameters, error) { return p, nil })
	return j, err
}

func (h *house) mustInitiate(p job.Parameters) moraine.JobID {
	h.t.Helper()
	j, err := h.initiate(p)
	if err != nil {
		h.t.Fatal(err)
	}
	return j.ID
}

func (h *house) describe(id moraine.JobID) moraine.Job {
	h.t.Helper()
	_, j, err := h.DescribeJob(h.t.Context(), h.call, "v", id)
	if err != nil {
		h.t.Fatal(err)
	}
	return j
}

// until runs the engine of s until the job has left InProgress.
func (h *house) until(s *job.Service, id moraine.JobID) moraine.Job {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	stopped := make(chan error)
	go func() { stopped <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-stopped; err != nil {
			h.t.Error(err)
		}
	}()
	for {
		if j := h.describe(id); j.State != moraine.InProgress {
			return j
		}
		if err := h.t.Context().Err(); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *house) output(id moraine.JobID, header string) (*job.Output, []byte) {
	h.t.Helper()
	out, err := h.GetJobOutput(h.t.Context(), h.call, "v", id, header)
	if err != nil {
		h.t.Fatal(err)
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return out, data
}

func (h *house) wantGone(id moraine.JobID) {
	h.t.Helper()
	_, _, err := h.DescribeJob(h.t.Context(), h.call, "v", id)
	if !moraine.IsKind(err, moraine.NotFound) || err.Error() != "The job ID was not found: "+string(id) {
		h.t.Errorf("the job is described after its expiry: %v", err)
	}
}

func pattern(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * 7 % 251)
	}
	return data
}

// TestRetrieval follows whole and ranged retrievals and the checksums that go
// with ranges of their output (§6.3).
func TestRetrieval(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	data := pattern(5<<20 + 1<<19)
	a := h.upload(data, "ledger")
	const absent = ""
	for _, tt := range []struct {
		jobRange, jobHash string
		outputs           map[string]string // Range header → tree hash
	}{
		{"", "dec019e4fa1e19c77797183e6b6ed8d733d5df7486060b6121f3bbdae9a6d6d4", map[string]string{
			"":                      "dec019e4fa1e19c77797183e6b6ed8d733d5df7486060b6121f3bbdae9a6d6d4",
			"bytes=0-2097151":       "48283a88feaa2264bf8fa50d7b500131056ea13129646ea4afeda6be9c24292e",
			"bytes=2097152-4194303": "39f374310f833d11e89999e2c1f98f7e69d2cc1b601abdfbbaffb573e7c215fb",
			"bytes=4194304-":        "56f8cd9899fa478235a3be3a287143664ba8f31c93d2bda1ec70cd50567dea0f",
			"bytes=4194304-9999999": "56f8cd9899fa478235a3be3a287143664ba8f31c93d2bda1ec70cd50567dea0f",
			"bytes=5242880-5767167": "57932c65e6237ead916f1839185723a28eb6e586ba3ae757cd0413d39105106e",
			"bytes=1048576-3145727": absent,
			"bytes=1-1048575":       absent,
			"bytes=0-9":             absent,
		}},
		{"4194304-5767167", "56f8cd9899fa478235a3be3a287143664ba8f31c93d2bda1ec70cd50567dea0f", map[string]string{
			"":                      "56f8cd9899fa478235a3be3a287143664ba8f31c93d2bda1ec70cd50567dea0f",
			"bytes=0-1048575":       "f7297c00f85542b1bfc0ace0291c40c90c6d2190a77c3e311def4f7944c5cec1",
			"bytes=1048576-1572863": "57932c65e6237ead916f1839185723a28eb6e586ba3ae757cd0413d39105106e",
			"bytes=5-9":             absent,
		}},
		{"1048576-3145727", absent, map[string]string{"": absent, "bytes=0-1048575": absent}},
	} {
		t.Run("job "+tt.jobRange, func(t *testing.T) {
			id := h.mustInitiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID), RetrievalByteRange: tt.jobRange})
			j := h.until(h.Service, id)
			if j.State != moraine.Succeeded || hashText(j.Retrieval.TreeHash) != tt.jobHash {
				t.Fatalf("job is %s with hash %s, want %s", j.State, hashText(j.Retrieval.TreeHash), tt.jobHash)
			}
			whole := data[j.Retrieval.First : j.Retrieval.Last+1]
			for header, want := range tt.outputs {
				out, got := h.output(id, header)
				if hashText(out.TreeHash) != want {
					t.Errorf("Range %q: tree hash %s, want %s", header, hashText(out.TreeHash), want)
				}
				if !bytes.Equal(got, whole[out.First:out.Last+1]) || out.Partial != (header != "") {
					t.Errorf("Range %q: %d wrong bytes, partial %v", header, len(got), out.Partial)
				}
			}
		})
	}
}

func hashText(h *moraine.TreeHash) string {
	if h == nil {
		return ""
	}
	return h.String()
}

// uploadParts uploads data in parts of a size.
func (h *house) uploadParts(data []byte, part int) moraine.Archive {
	h.t.Helper()
	ctx := h.t.Context()
	_, u, err := h.vaults.InitiateMultipartUpload(ctx, h.call, "v", fmt.Sprint(part), "")
	if err != nil {
		h.t.Fatal(err)
	}
	tree := func(b []byte) string {
		hs := treehash.NewHasher()
		hs.Write(b)
		return hs.Tree().String()
	}
	for first := 0; first < len(data); first += part {
		piece := data[first:min(first+part, len(data))]
		_, err := h.vaults.UploadPart(ctx, h.call, "v", u.ID, vault.UploadRequest{
			ContentLength: int64(len(piece)), TreeHash: tree(piece), CheckSHA256: func([32]byte) error { return nil },
			ContentRange: fmt.Sprintf("bytes %d-%d/*", first, first+len(piece)-1),
		}, bytes.NewReader(piece))
		if err != nil {
			h.t.Fatal(err)
		}
	}
	_, a, err := h.vaults.CompleteMultipartUpload(ctx, h.call, "v", u.ID, fmt.Sprint(len(data)), tree(data))
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

// TestOutputOfManyParts reads ranges of the output, over one part and over more
// than are looked up at a time, of a retrieval that begins within the archive.
func TestOutputOfManyParts(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	const mib = 1 << 20
	data := pattern(23*mib + 7)
	a := h.uploadParts(data, mib)
	for span, want := range map[string][]byte{"": data, fmt.Sprintf("%d-%d", 2*mib, 22*mib-1): data[2*mib : 22*mib]} {
		id := h.mustInitiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID), RetrievalByteRange: span})
		if j := h.until(h.Service, id); j.State != moraine.Succeeded {
			t.Fatal(j.State)
		}
		n := len(want)
		for _, r := range [][2]int{
			{0, n}, {0, 1}, {n - 1, n}, {mib - 1, mib + 1}, {mib, 2 * mib}, {0, 4 * mib}, {0, 4*mib + 1}, {5, 6*mib + 5},
			{mib, 20 * mib}, {3*mib + 1, 19*mib - 1}, {n - 5*mib, n},
		} {
			if _, got := h.output(id, fmt.Sprintf("bytes=%d-%d", r[0], r[1]-1)); !bytes.Equal(got, want[r[0]:r[1]]) {
				t.Errorf("bytes %d to %d of %d are %d others", r[0], r[1], n, len(got))
			}
		}
	}
}

// TestMultipartRanges retrieves aligned ranges within and across parts.
func TestMultipartRanges(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	data := pattern(16<<20 + 1)
	a := h.uploadParts(data, 4<<20)
	for span, want := range map[string]string{ // vectors of §6.4
		"0-8388607":         "9667d13cb369c957b43af629ca35f40c4623d03173cb91743c763b71c4a73dcc",
		"0-16777215":        "3c4fc6a54962f7a70ebcb84e35bce5220e6bd47b1cd11c89c6f55c873f65d499",
		"4194304-8388607":   "50d040df80e836a7e9ce339de6beb468b79e2132d436d3b1a0041593d5dd0760",
		"8388608-16777215":  "a6403d2a7688e9f2da2573db7124e23608d07aefde3b73e923b2e9974267209b",
		"12582912-16777215": "c960eb5d76a3224aa6a233c152de7120024145c83da180aa677f8399b2024a4a",
		"15728640-16777215": "a2ff4d9dafd7dcbde6fcba2fec0f9685919f315bc6824a4ae4a53d4ed12315f0",
		"16777216-16777216": "594e519ae499312b29433b7dd8a97ff068defcba9755b6d5d00e84c524d67b06",
		"0-16777216":        "d03999fae81c1f165c188b281278b076703eb137fab4fdf409a2c71f42adc1e5",
		"8388608-16777216":  "",
	} {
		j, err := h.initiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID), RetrievalByteRange: span})
		if err != nil || hashText(j.Retrieval.TreeHash) != want {
			t.Errorf("range %s: hash %s, %v; want %s", span, hashText(j.Retrieval.TreeHash), err, want)
		}
	}
}

// TestDamage fails jobs whose bytes are damaged and cuts outputs that become
// damaged later.
func TestDamage(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	a := h.upload(pattern(100), "")
	good := h.mustInitiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID)})
	if j := h.until(h.Service, good); j.State != moraine.Succeeded {
		t.Fatalf("job of sound bytes: %s", j.State)
	}
	h.blobs.damage(true)
	bad := h.mustInitiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID)})
	if j := h.until(h.Service, bad); j.State != moraine.Failed || j.Completed.IsZero() {
		t.Errorf("job of damaged bytes: %s at %v", j.State, j.Completed)
	}
	_, err := h.GetJobOutput(t.Context(), h.call, "v", bad, "")
	if want := "The job is not currently available for download: " + string(bad); err == nil || err.Error() != want {
		t.Errorf("output of a failed job: %v, want %q", err, want)
	}
	out, err := h.GetJobOutput(t.Context(), h.call, "v", good, "")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if _, err := io.ReadAll(out.Body); !moraine.IsKind(err, moraine.Corrupt) {
		t.Errorf("reading damaged output: %v", err)
	}
}

// TestDeletedArchive keeps the output of finished jobs and fails the others
// (§4.2).
func TestDeletedArchive(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *job.Config) { c.Delays.Standard = time.Hour })
	data := pattern(3 << 20)
	a := h.upload(data, "")
	fast := h.mustInitiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID), Tier: "Expedited"})
	slow := h.mustInitiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID)})
	if j := h.until(h.Service, fast); j.State != moraine.Succeeded {
		t.Fatalf("expedited job: %s", j.State)
	}
	if err := h.vaults.DeleteArchive(t.Context(), h.call, "v", a.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := h.initiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID)}); !moraine.IsKind(err, moraine.NotFound) {
		t.Errorf("a job for a deleted archive: %v", err)
	}
	sweep := func() {
		t.Helper()
		if err := h.vaults.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	if _, got := h.output(fast, ""); !bytes.Equal(got, data) {
		t.Error("the output of a finished job changed when the archive was deleted")
	}
	if j := h.until(h.Service, slow); j.State != moraine.Failed {
		t.Errorf("a job of an archive deleted meanwhile: %s", j.State)
	}
	// A download that is under way at the expiry finishes.
	out, err := h.GetJobOutput(t.Context(), h.call, "v", fast, "")
	if err != nil {
		t.Fatal(err)
	}
	h.advance(24 * time.Hour)
	if err := h.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	sweep()
	h.wantGone(fast)
	got, err := io.ReadAll(out.Body)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("a download past the expiry: %d bytes, %v", len(got), err)
	}
	out.Body.Close()
	if err := h.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	sweep()
	n := 0
	err = h.blobs.Store.(blob.Walker).Walk(t.Context(), func(blob.Info) error { n++; return nil }, nil)
	if err != nil || n != 0 {
		t.Errorf("%d blobs remain after the last job expired, %v", n, err)
	}
}

// TestDelaysAndRestart runs jobs when their tier says, in whichever process is
// there by then.
func TestDelaysAndRestart(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *job.Config) {
		c.Delays = job.Delays{Expedited: time.Minute, Standard: 3 * time.Hour, Bulk: 5 * time.Hour}
	})
	a := h.upload(pattern(10), "")
	ids := map[string]moraine.JobID{}
	for _, tier := range []string{"Expedited", "", "Bulk"} {
		ids[tier] = h.mustInitiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID), Tier: tier})
	}
	states := func() string {
		return fmt.Sprint(h.describe(ids["Expedited"]).State, " ", h.describe(ids[""]).State, " ", h.describe(ids["Bulk"]).State)
	}
	restarted := func(owner string) *job.Service {
		c := h.config
		c.Owner = owner
		return job.New(c)
	}
	h.advance(time.Minute)
	h.until(restarted("two"), ids["Expedited"])
	if got := states(); got != "Succeeded InProgress InProgress" {
		t.Errorf("after a minute: %s", got)
	}
	h.advance(3 * time.Hour)
	h.until(restarted("three"), ids[""])
	if got := states(); got != "Succeeded Succeeded InProgress" {
		t.Errorf("after three hours: %s", got)
	}
	// A process that died holding a lease loses it.
	h.advance(2 * time.Hour)
	err := h.rows.Update(t.Context(), func(tx meta.Tx) error {
		_, err := tx.Jobs().Claim("dead", h.now(), h.now().Add(10*time.Second), 10)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	h.advance(10 * time.Second)
	if j := h.until(restarted("four"), ids["Bulk"]); j.State != moraine.Succeeded || j.Tier != moraine.Bulk {
		t.Errorf("after the lease of a dead process: %s", j.State)
	}
	h.advance(24 * time.Hour)
	for _, id := range ids {
		h.wantGone(id)
	}
	_, list, _, err := h.ListJobs(t.Context(), h.call, "v", job.ListRequest{})
	if err != nil || len(list) != 0 {
		t.Errorf("%d jobs are listed after their expiry, %v", len(list), err)
	}
}

// TestInventoryJobs reads inventories with dates, limit and marker (§7.3).
func TestInventoryJobs(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	empty := h.until(h.Service, h.mustInitiate(job.Parameters{Type: "inventory-retrieval"}))
	if _, doc := h.output(empty.ID, ""); !strings.HasSuffix(string(doc), `"ArchiveList":[]}`) || empty.Output != int64(len(doc)) {
		t.Errorf("inventory of a vault never written: %s (%d)", doc, empty.Output)
	}
	var ids []string
	for i := range 7 {
		ids = append(ids, string(h.upload(pattern(1+i), fmt.Sprintf(`n"%d"`, i)).ID))
		h.advance(time.Second)
	}
	list := func(p job.InventoryParameters) (got []string, next string) {
		t.Helper()
		j := h.until(h.Service, h.mustInitiate(job.Parameters{Type: "inventory-retrieval", Inventory: p}))
		_, doc := h.output(j.ID, "")
		var parsed struct {
			ArchiveList []struct{ ArchiveId string } //nolint:revive // the key on the wire
		}
		if err := json.Unmarshal(doc, &parsed); err != nil {
			t.Fatalf("%v in %s", err, doc)
		}
		for _, a := range parsed.ArchiveList {
			got = append(got, a.ArchiveId)
		}
		return got, j.Inventory.Next
	}
	want := func(name string, got, want []string) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	got, next := list(job.InventoryParameters{})
	want("all", got, ids)
	if next != "" {
		t.Errorf("marker %q after everything", next)
	}
	// The first archive is of 08:00:00.123: printed and compared as 08:00:00.
	got, _ = list(job.InventoryParameters{StartDate: "2024-11-05T09:00:02+01:00", EndDate: "2024-11-05T08:00:05.9Z"})
	want("dates", got, ids[2:5])
	got, _ = list(job.InventoryParameters{StartDate: "2024-11-05T08:00:00Z", EndDate: "2024-11-05T08:00:01Z"})
	want("the first second", got, ids[:1])
	var pages []string
	marker := ""
	for page := 1; ; page++ {
		got, next := list(job.InventoryParameters{Limit: "3", Marker: marker})
		pages = append(pages, got...)
		if marker = next; marker == "" {
			if page != 3 {
				t.Errorf("%d pages of 3 for 7 archives", page)
			}
			break
		}
	}
	want("pages", pages, ids)
	got, next = list(job.InventoryParameters{Limit: "7"})
	want("exactly all", got, ids)
	if next != "" {
		t.Errorf("marker %q after exactly all", next)
	}
	// An inventory describes the instant it was asked for.
	slow := h.mustInitiate(job.Parameters{Type: "inventory-retrieval", Format: "CSV"})
	h.upload(pattern(9), "late")
	if err := h.vaults.DeleteArchive(t.Context(), h.call, "v", moraine.ArchiveID(ids[0])); err != nil {
		t.Fatal(err)
	}
	j := h.until(h.Service, slow)
	_, doc := h.output(j.ID, "")
	lines := strings.Split(strings.TrimSuffix(string(doc), "\n"), "\n")
	if len(lines) != 8 || !strings.HasPrefix(lines[1], ids[0]+`,"n\"0\"",2024-11-05T08:00:00Z,1,`) {
		t.Errorf("CSV of an earlier instant:\n%s", doc)
	}
	out, part := h.output(j.ID, "bytes=0-8")
	if string(part) != "ArchiveId" || out.TreeHash != nil {
		t.Errorf("a range of the document: %q, hash %v", part, out.TreeHash)
	}
}

// TestDailyInventory refuses inventory jobs before the first run (§8.1).
func TestDailyInventory(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *job.Config) { c.InventoryInterval = 24 * time.Hour })
	const refusal = "Inventory retrieval jobs for vault arn:aws:glacier:eu-north-1:210987654321:vaults/v cannot be initiated yet, as Amazon Glacier has not yet generated an initial inventory for this vault."
	first := h.upload(pattern(5), "")
	_, err := h.initiate(job.Parameters{Type: "inventory-retrieval"})
	if !moraine.IsKind(err, moraine.NotFound) || err.Error() != refusal {
		t.Errorf("before the first inventory: %v", err)
	}
	h.advance(24 * time.Hour)
	if err := h.vaults.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.upload(pattern(6), "")
	j := h.until(h.Service, h.mustInitiate(job.Parameters{Type: "inventory-retrieval"}))
	_, doc := h.output(j.ID, "")
	if !strings.Contains(string(doc), string(first.ID)) || strings.Count(string(doc), "ArchiveId") != 1 {
		t.Errorf("the last inventory: %s", doc)
	}
}

// TestRefusals checks the refusals of §7.2 and §7.3.
func TestRefusals(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	a := h.upload(pattern(3<<20+5), "")
	retrieval := func(change func(*job.Parameters)) job.Parameters {
		p := job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID)}
		change(&p)
		return p
	}
	inventory := func(p job.InventoryParameters) job.Parameters {
		return job.Parameters{Type: "inventory-retrieval", Inventory: p}
	}
	byRange := func(r string) job.Parameters {
		return retrieval(func(p *job.Parameters) { p.RetrievalByteRange = r })
	}
	for _, tt := range []struct {
		name string
		p    job.Parameters
		kind moraine.Kind
		text string
	}{
		{"no type", job.Parameters{}, moraine.Missing, "Required parameter missing: type"},
		{"type", job.Parameters{Type: "Archive-Retrieval"}, moraine.Invalid, "Invalid type: Archive-Retrieval"},
		{"no archive", job.Parameters{Type: "archive-retrieval"}, moraine.Missing, "Required parameter missing: archiveId"},
		{"unknown archive", job.Parameters{Type: "archive-retrieval", ArchiveID: "x"}, moraine.NotFound, "The archive ID was not found: x"},
		{"archive of inventory", job.Parameters{Type: "inventory-retrieval", ArchiveID: "x"}, moraine.Invalid, "Invalid ArchiveId: x"},
		{"range of inventory", job.Parameters{Type: "inventory-retrieval", RetrievalByteRange: "0-1"}, moraine.Invalid, "Invalid RetrievalByteRange: 0-1"},
		{"tier", retrieval(func(p *job.Parameters) { p.Tier = "fast" }), moraine.Invalid, "Invalid Tier: fast"},
		{"topic", retrieval(func(p *job.Parameters) { p.SNSTopic = "x" }), moraine.Invalid, "Invalid SNSTopic: x"},
		{"description", retrieval(func(p *job.Parameters) { p.Description = "é" }), moraine.Invalid, "Invalid Description: é"},
		{"format", job.Parameters{Type: "inventory-retrieval", Format: "json"}, moraine.Invalid, "Invalid Format: json"},
		{"misaligned first", byRange("1-1048575"), moraine.Invalid, "Invalid RetrievalByteRange: 1-1048575"},
		{"misaligned last", byRange("0-1048576"), moraine.Invalid, "Invalid RetrievalByteRange: 0-1048576"},
		{"outside", byRange("0-4194303"), moraine.Invalid, "Invalid RetrievalByteRange: 0-4194303"},
		{"inverted", byRange("2097152-1048575"), moraine.Invalid, "Invalid RetrievalByteRange: 2097152-1048575"},
		{"range text", byRange("bytes=0-1048575"), moraine.Invalid, "Invalid RetrievalByteRange: bytes=0-1048575"},
		{"open range", byRange("0-"), moraine.Invalid, "Invalid RetrievalByteRange: 0-"},
		{"limit zero", inventory(job.InventoryParameters{Limit: "0"}), moraine.Invalid, "Invalid Limit: 0"},
		{"limit text", inventory(job.InventoryParameters{Limit: "ten"}), moraine.Invalid, "Invalid Limit: ten"},
		{"start", inventory(job.InventoryParameters{StartDate: "yesterday"}), moraine.Invalid, "Invalid StartDate: yesterday"},
		{"end", inventory(job.InventoryParameters{EndDate: "2024-13-01T00:00:00Z"}), moraine.Invalid, "Invalid EndDate: 2024-13-01T00:00:00Z"},
		{"dates inverted", inventory(job.InventoryParameters{StartDate: "2024-01-02T00:00:00Z", EndDate: "2024-01-02T00:00:00Z"}), moraine.Invalid, "Invalid StartDate: 2024-01-02T00:00:00Z"},
		{"marker", inventory(job.InventoryParameters{Marker: "x"}), moraine.Invalid, "Invalid Marker: x"},
		{"select", job.Parameters{Type: "select", ArchiveID: string(a.ID), HasSelectParameters: true, HasOutputLocation: true}, moraine.Invalid, "Invalid OutputLocation: no output bucket is configured on this server"},
		{"select without parameters", job.Parameters{Type: "select", ArchiveID: string(a.ID), HasOutputLocation: true}, moraine.Missing, "Required parameter missing: selectParameters"},
		{"select without output", job.Parameters{Type: "select", ArchiveID: string(a.ID), HasSelectParameters: true}, moraine.Missing, "Required parameter missing: outputLocation"},
		{"output of retrieval", retrieval(func(p *job.Parameters) { p.HasOutputLocation = true }), moraine.Invalid, "Invalid OutputLocation: not allowed for archive-retrieval"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := h.initiate(tt.p)
			if !moraine.IsKind(err, tt.kind) || err.Error() != tt.text {
				t.Errorf("InitiateJob: %v (%v), want %q (%v)", err, moraine.KindOf(err), tt.text, tt.kind)
			}
		})
	}
}

// TestListJobs pages and filters (§7.6).
func TestListJobs(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(c *job.Config) { c.Delays.Bulk = time.Hour })
	a := h.upload(pattern(5), "")
	var newest moraine.JobID
	for i := range 7 {
		tier := "Bulk"
		if i%2 == 0 {
			tier = "Expedited"
		}
		newest = h.mustInitiate(job.Parameters{Type: "archive-retrieval", ArchiveID: string(a.ID), Tier: tier})
		if tier == "Expedited" {
			h.until(h.Service, newest)
		}
		h.advance(time.Millisecond)
	}
	for _, tt := range []struct {
		req  job.ListRequest
		want int
	}{
		{job.ListRequest{}, 7},
		{job.ListRequest{Completed: "true"}, 4},
		{job.ListRequest{Completed: "FALSE"}, 3},
		{job.ListRequest{StatusCode: "Succeeded"}, 4},
		{job.ListRequest{StatusCode: "InProgress", Completed: "false"}, 3},
		{job.ListRequest{StatusCode: "InProgress", Completed: "true"}, 0},
		{job.ListRequest{StatusCode: "Failed"}, 0},
	} {
		for _, limit := range []string{"", "1", "2", "7"} {
			seen := map[moraine.JobID]bool{}
			req := tt.req
			req.Limit = limit
			for {
				_, page, next, err := h.ListJobs(t.Context(), h.call, "v", req)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) == 0 && next != "" {
					t.Errorf("%+v: an empty page with a marker", req)
				}
				if len(seen) == 0 && len(page) > 0 && tt.want == 7 && page[0].ID != newest {
					t.Errorf("%+v: the newest job is not first", req)
				}
				for _, j := range page {
					seen[j.ID] = true
				}
				if req.Marker = next; next == "" {
					break
				}
			}
			if len(seen) != tt.want {
				t.Errorf("%+v lists %d jobs, want %d", tt.req, len(seen), tt.want)
			}
		}
	}
	for _, tt := range []struct {
		req  job.ListRequest
		text string
	}{
		{job.ListRequest{Completed: "yes"}, "Invalid completed: yes"},
		{job.ListRequest{StatusCode: "succeeded"}, "The job status code is not valid: succeeded"},
		{job.ListRequest{Limit: "0"}, "Invalid limit: 0"},
		{job.ListRequest{Marker: "?"}, "Invalid marker: ?"},
	} {
		_, _, _, err := h.ListJobs(t.Context(), h.call, "v", tt.req)
		if !moraine.IsKind(err, moraine.Invalid) || err.Error() != tt.text {
			t.Errorf("%+v: %v, want %q", tt.req, err, tt.text)
		}
	}
}
