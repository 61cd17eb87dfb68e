package conformance_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"moraine/test/internal/vaultclient"
	"moraine/test/internal/wire"
)

// client returns the tests' own client for a region of a server.
func client(t *testing.T, server, region string) *vaultclient.Client {
	t.Helper()
	c := &vaultclient.Client{
		Addr:        servers[server].Addr,
		Credentials: &wire.Credentials{KeyID: serverKeyID, Secret: serverSecret, Region: region},
	}
	t.Cleanup(c.Close)
	return c
}

// TestVaultLimit fills a region no other test uses.
func TestVaultLimit(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Log("the short run makes twelve vaults and does not reach the limit")
	}
	count := 1000
	if testing.Short() {
		count = 12
	}
	c := client(t, "current", "ap-south-1")
	var want []string
	for i := range count {
		name := fmt.Sprintf("limit-%04d", i*7919%10000)
		if err := c.CreateVault(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	slices.Sort(want)
	if got := listVaults(t, c); !slices.Equal(got, want) {
		t.Errorf("listed vaults: got %d, want %d, in order of their names", len(got), len(want))
	}
	if testing.Short() {
		return
	}
	err := c.CreateVault(t.Context(), "one-too-many")
	if want := "refused: 400 LimitExceededException: Vault limit exceeded for account: " + serverAccount; err == nil || err.Error() != want {
		t.Errorf("vault 1001: got %v, want %s", err, want)
	}
	if err := c.CreateVault(t.Context(), want[500]); err != nil {
		t.Errorf("create an existing vault at the limit: %v", err)
	}
	negatives.Add(1)
}

func listVaults(t *testing.T, c *vaultclient.Client) []string {
	t.Helper()
	var names []string
	target := "/-/vaults"
	for range 200 {
		resp, err := c.Do(t.Context(), &wire.Request{Method: "GET", Target: target}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Marker    *string
			VaultList []vaultclient.Vault
		}
		if err := json.Unmarshal(resp.Body, &page); err != nil {
			t.Fatal(err)
		}
		for _, v := range page.VaultList {
			names = append(names, v.VaultName)
		}
		if page.Marker == nil {
			return names
		}
		target = "/-/vaults?marker=" + wire.Encode(*page.Marker)
	}
	t.Fatal("more than 200 pages")
	return nil
}

// TestListPages walks the lists whose default page is fifty.
func TestListPages(t *testing.T) {
	t.Parallel()
	const count = 120
	c := client(t, "current", "eu-west-1")
	const vault = "pages"
	if err := c.CreateVault(t.Context(), vault); err != nil {
		t.Fatal(err)
	}
	body := vaultclient.NewPayload([]byte("x"))
	archive, err := c.UploadArchive(t.Context(), vault, "", body)
	if err != nil {
		t.Fatal(err)
	}
	var uploads, jobs []string
	for range count {
		id, err := c.InitiateUpload(t.Context(), vault, "", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		uploads = append(uploads, id)
		job, err := c.InitiateJob(t.Context(), vault, vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: archive, Tier: "Bulk"})
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, job)
	}
	for i := range int64(count) {
		if err := c.UploadPart(t.Context(), vault, uploads[0], i<<20, body); err != nil {
			t.Fatal(err)
		}
	}
	base := "/-/vaults/" + vault
	for _, row := range []struct {
		name, target string
		sizes        []int
	}{
		{"uploads by default", base + "/multipart-uploads?x=", []int{50, 50, 20}},
		{"uploads with a large limit", base + "/multipart-uploads?limit=1000", []int{50, 50, 20}},
		{"parts by default", base + "/multipart-uploads/" + uploads[0] + "?x=", []int{50, 50, 20}},
		{"parts in sixties", base + "/multipart-uploads/" + uploads[0] + "?limit=60", []int{50, 50, 20}},
		{"parts in forties", base + "/multipart-uploads/" + uploads[0] + "?limit=40", []int{40, 40, 40}},
		{"jobs by default", base + "/jobs?x=", []int{50, 50, 20}},
		{"jobs in progress in forties", base + "/jobs?limit=40&statuscode=InProgress", []int{40, 40, 40}},
	} {
		// Not parallel: they share one connection.
		t.Run(row.name, func(t *testing.T) {
			sizes, distinct := walk(t, c, row.target)
			if !slices.Equal(sizes, row.sizes) || distinct != count {
				t.Errorf("pages of %s: got %v with %d distinct items, want %v with %d", row.target, sizes, distinct, row.sizes, count)
			}
		})
	}
	if newest := firstJob(t, c, base); newest != jobs[count-1] {
		t.Errorf("first job listed: got %s, want the newest, %s", newest, jobs[count-1])
	}
}

type listPage struct {
	Marker                      *string
	UploadsList, Parts, JobList []json.RawMessage
}

func walk(t *testing.T, c *vaultclient.Client, target string) (sizes []int, distinct int) {
	t.Helper()
	seen := map[string]bool{}
	next := target
	for range 20 {
		page := getPage(t, c, next)
		items := slices.Concat(page.UploadsList, page.Parts, page.JobList)
		sizes = append(sizes, len(items))
		for _, item := range items {
			seen[string(item)] = true
		}
		if page.Marker == nil {
			break
		}
		next = target + "&marker=" + *page.Marker
	}
	return sizes, len(seen)
}

func getPage(t *testing.T, c *vaultclient.Client, target string) listPage {
	t.Helper()
	resp, err := c.Do(t.Context(), &wire.Request{Method: "GET", Target: target}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if wrong := invariants(resp); resp.Status != 200 || len(wrong) > 0 {
		t.Fatalf("GET %s: %d %s %v", target, resp.Status, resp.Body, wrong)
	}
	var page listPage
	if err := json.Unmarshal(resp.Body, &page); err != nil {
		t.Fatal(err)
	}
	return page
}

func firstJob(t *testing.T, c *vaultclient.Client, base string) string {
	t.Helper()
	var job vaultclient.Job
	page := getPage(t, c, base+"/jobs?limit=1")
	if len(page.JobList) == 0 {
		t.Fatal("no jobs listed")
	}
	if err := json.Unmarshal(page.JobList[0], &job); err != nil {
		t.Fatal(err)
	}
	return job.JobId
}
