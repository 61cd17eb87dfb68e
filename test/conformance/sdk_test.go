package conformance_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/glacier"
	"github.com/aws/aws-sdk-go-v2/service/glacier/types"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"moraine/test/internal/treehash"
	"moraine/test/internal/vaultclient"
)

const jobMax = 30 * time.Second

// sdk returns the unmodified SDK client, pointed at the current server.
func sdk(t *testing.T) *glacier.Client {
	t.Helper()
	return glacier.New(glacier.Options{
		BaseEndpoint:     aws.String("http://" + servers["current"].Addr),
		Region:           serverRegion,
		Credentials:      credentials.NewStaticCredentialsProvider(serverKeyID, serverSecret, ""),
		RetryMaxAttempts: 1,
	})
}

// newVault makes a vault named after the test.
func newVault(t *testing.T, c *glacier.Client) *string {
	t.Helper()
	name := aws.String("sdk-" + strings.ToLower(strings.NewReplacer("/", "-", "Test", "").Replace(t.Name())))
	out, err := c.CreateVault(t.Context(), &glacier.CreateVaultInput{VaultName: name})
	if err != nil {
		t.Fatal(err)
	}
	if want := "/" + serverAccount + "/vaults/" + *name; aws.ToString(out.Location) != want {
		t.Errorf("location: got %q, want %q", aws.ToString(out.Location), want)
	}
	return name
}

func put(t *testing.T, c *glacier.Client, vault *string, description string, data []byte) string {
	t.Helper()
	out, err := c.UploadArchive(t.Context(), &glacier.UploadArchiveInput{
		VaultName: vault, ArchiveDescription: aws.String(description), Body: bytes.NewReader(data),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := aws.ToString(out.Checksum), treehash.Sum(data); got != want {
		t.Errorf("checksum: got %q, want %q", got, want)
	}
	return aws.ToString(out.ArchiveId)
}

// finish starts a job and waits for its end.
func finish(t *testing.T, c *glacier.Client, vault *string, p *types.JobParameters) *glacier.DescribeJobOutput {
	t.Helper()
	started, err := c.InitiateJob(t.Context(), &glacier.InitiateJobInput{VaultName: vault, JobParameters: p})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), jobMax)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		job, err := c.DescribeJob(ctx, &glacier.DescribeJobInput{VaultName: vault, JobId: started.JobId})
		if err != nil {
			t.Fatal(err)
		}
		if job.Completed {
			return job
		}
		select {
		case <-ctx.Done():
			t.Fatalf("job %s: still %s", *started.JobId, job.StatusCode)
		case <-tick.C:
		}
	}
}

func output(t *testing.T, c *glacier.Client, vault, job *string, byteRange string) (*glacier.GetJobOutputOutput, []byte) {
	t.Helper()
	in := &glacier.GetJobOutputInput{VaultName: vault, JobId: job}
	if byteRange != "" {
		in.Range = aws.String(byteRange)
	}
	out, err := c.GetJobOutput(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return out, data
}

func randomBytes(t *testing.T, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSDKVault(t *testing.T) {
	t.Parallel()
	c := sdk(t)
	vault := newVault(t, c)
	if err := glacier.NewVaultExistsWaiter(c).Wait(t.Context(), &glacier.DescribeVaultInput{VaultName: vault}, jobMax); err != nil {
		t.Error(err)
	}
	put(t, c, vault, "first", []byte("first"))
	got, err := c.DescribeVault(t.Context(), &glacier.DescribeVaultInput{VaultName: vault})
	if err != nil {
		t.Fatal(err)
	}
	if got.NumberOfArchives != 1 || got.SizeInBytes != 5+32768 {
		t.Errorf("figures: got %d archives, %d bytes; want 1, %d", got.NumberOfArchives, got.SizeInBytes, 5+32768)
	}
	found := false
	pages := glacier.NewListVaultsPaginator(c, &glacier.ListVaultsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page.VaultList {
			found = found || aws.ToString(v.VaultName) == *vault
		}
	}
	if !found {
		t.Errorf("vault %s is not listed", *vault)
	}
	_, err = c.DeleteVault(t.Context(), &glacier.DeleteVaultInput{VaultName: vault})
	var invalid *types.InvalidParameterValueException
	if !errors.As(err, &invalid) {
		t.Errorf("delete a vault that is not empty: got %v, want InvalidParameterValueException", err)
	}
}

func TestSDKDeleteVault(t *testing.T) {
	t.Parallel()
	c := sdk(t)
	vault := newVault(t, c)
	id := put(t, c, vault, "", []byte("x"))
	for range 2 {
		if _, err := c.DeleteArchive(t.Context(), &glacier.DeleteArchiveInput{VaultName: vault, ArchiveId: &id}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := c.DeleteVault(t.Context(), &glacier.DeleteVaultInput{VaultName: vault}); err != nil {
			t.Fatal(err)
		}
	}
	in := &glacier.DescribeVaultInput{VaultName: vault}
	if err := glacier.NewVaultNotExistsWaiter(c).Wait(t.Context(), in, jobMax); err != nil {
		t.Error(err)
	}
	var missing *types.ResourceNotFoundException
	if _, err := c.DescribeVault(t.Context(), in); !errors.As(err, &missing) {
		t.Errorf("describe a deleted vault: got %v, want ResourceNotFoundException", err)
	}
}

func TestSDKMultipart(t *testing.T) {
	t.Parallel()
	c := sdk(t)
	vault := newVault(t, c)
	const partSize = 1 << 20
	data := randomBytes(t, 7*partSize+12345)
	up, err := c.InitiateMultipartUpload(t.Context(), &glacier.InitiateMultipartUploadInput{
		VaultName: vault, PartSize: aws.String("1048576"), ArchiveDescription: aws.String("in pieces"),
	})
	if err != nil {
		t.Fatal(err)
	}
	part := func(ctx context.Context, i int, body []byte) error {
		first := i * partSize
		out, err := c.UploadMultipartPart(ctx, &glacier.UploadMultipartPartInput{
			VaultName: vault, UploadId: up.UploadId, Body: bytes.NewReader(body),
			Range: aws.String(fmt.Sprintf("bytes %d-%d/*", first, first+len(body)-1)),
		})
		if err != nil {
			return err
		}
		if got, want := aws.ToString(out.Checksum), treehash.Sum(body); got != want {
			return fmt.Errorf("checksum of part %d: got %q, want %q", i, got, want)
		}
		return nil
	}
	chunk := func(i int) []byte { return data[i*partSize : min((i+1)*partSize, len(data))] }
	// Part 3 first arrives wrong, then all arrive at once, last ones first.
	if err := part(t.Context(), 3, randomBytes(t, partSize)); err != nil {
		t.Fatal(err)
	}
	g, ctx := errgroup.WithContext(t.Context())
	for i := 7; i >= 0; i-- {
		g.Go(func() error { return part(ctx, i, chunk(i)) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	checkParts(t, c, vault, up.UploadId, data)

	complete := func(hash string) (*glacier.CompleteMultipartUploadOutput, error) {
		return c.CompleteMultipartUpload(t.Context(), &glacier.CompleteMultipartUploadInput{
			VaultName: vault, UploadId: up.UploadId, Checksum: &hash, ArchiveSize: aws.String(fmt.Sprint(len(data))),
		})
	}
	var invalid *types.InvalidParameterValueException
	if _, err := complete(treehash.Sum(nil)); !errors.As(err, &invalid) {
		t.Errorf("complete with a wrong hash: got %v, want InvalidParameterValueException", err)
	}
	ids := map[string]bool{}
	for range 2 {
		done, err := complete(treehash.Sum(data))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := aws.ToString(done.Checksum), treehash.Sum(data); got != want {
			t.Errorf("checksum of completion: got %q, want %q", got, want)
		}
		ids[aws.ToString(done.ArchiveId)] = true
	}
	if len(ids) != 1 {
		t.Errorf("a repeated completion made another archive: %v", ids)
	}
	for id := range ids {
		job := finish(t, c, vault, &types.JobParameters{Type: aws.String("archive-retrieval"), ArchiveId: &id, Tier: aws.String("Expedited")})
		if _, got := output(t, c, vault, job.JobId, ""); !bytes.Equal(got, data) {
			t.Errorf("archive of the upload: %d bytes that differ from the %d sent", len(got), len(data))
		}
	}
}

func checkParts(t *testing.T, c *glacier.Client, vault, upload *string, data []byte) {
	t.Helper()
	var got []string
	pages := glacier.NewListPartsPaginator(c, &glacier.ListPartsInput{VaultName: vault, UploadId: upload, Limit: aws.Int32(3)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range page.Parts {
			got = append(got, aws.ToString(p.RangeInBytes)+" "+aws.ToString(p.SHA256TreeHash))
		}
	}
	var want []string
	for first := 0; first < len(data); first += 1 << 20 {
		last := min(first+1<<20, len(data))
		want = append(want, fmt.Sprintf("%d-%d %s", first, last-1, treehash.Sum(data[first:last])))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parts (-want +got):\n%s", diff)
	}
}

func TestSDKUploads(t *testing.T) {
	t.Parallel()
	c := sdk(t)
	vault := newVault(t, c)
	want := map[string]bool{}
	for range 7 {
		up, err := c.InitiateMultipartUpload(t.Context(), &glacier.InitiateMultipartUploadInput{VaultName: vault, PartSize: aws.String("1048576")})
		if err != nil {
			t.Fatal(err)
		}
		want[*up.UploadId] = true
	}
	for id := range want { // one of them is given up, twice
		for range 2 {
			if _, err := c.AbortMultipartUpload(t.Context(), &glacier.AbortMultipartUploadInput{VaultName: vault, UploadId: &id}); err != nil {
				t.Fatal(err)
			}
		}
		delete(want, id)
		break
	}
	got := map[string]bool{}
	pages := glacier.NewListMultipartUploadsPaginator(c, &glacier.ListMultipartUploadsInput{VaultName: vault, Limit: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(page.UploadsList); n == 0 || n > 2 {
			t.Errorf("a page of %d uploads, want 1 or 2", n)
		}
		for _, u := range page.UploadsList {
			got[aws.ToString(u.MultipartUploadId)] = true
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("open uploads (-want +got):\n%s", diff)
	}
}

func TestSDKRetrieval(t *testing.T) {
	t.Parallel()
	c := sdk(t)
	vault := newVault(t, c)
	data := randomBytes(t, 3<<20+77)
	id := put(t, c, vault, "ranged", data)
	job := finish(t, c, vault, &types.JobParameters{
		Type: aws.String("archive-retrieval"), ArchiveId: &id, Tier: aws.String("Expedited"),
		RetrievalByteRange: aws.String("1048576-3145727"), Description: aws.String("the middle"),
	})
	if job.StatusCode != types.StatusCodeSucceeded || aws.ToString(job.JobDescription) != "the middle" || job.SHA256TreeHash != nil {
		t.Errorf("job: got status %s, description %q, hash %q", job.StatusCode, aws.ToString(job.JobDescription), aws.ToString(job.SHA256TreeHash))
	}
	out, got := output(t, c, vault, job.JobId, "")
	if !bytes.Equal(got, data[1<<20:3<<20]) || out.Status != 200 {
		t.Errorf("ranged job: status %d, %d bytes", out.Status, len(got))
	}
	out, got = output(t, c, vault, job.JobId, "bytes=10-19")
	if !bytes.Equal(got, data[1<<20+10:1<<20+20]) || out.Status != 206 || aws.ToString(out.ContentRange) != "bytes 10-19/2097152" {
		t.Errorf("range of a ranged job: status %d, %q, %d bytes", out.Status, aws.ToString(out.ContentRange), len(got))
	}
	whole := finish(t, c, vault, &types.JobParameters{Type: aws.String("archive-retrieval"), ArchiveId: &id, Tier: aws.String("Expedited")})
	out, got = output(t, c, vault, whole.JobId, "bytes=2097152-")
	if !bytes.Equal(got, data[2<<20:]) || aws.ToString(out.Checksum) != treehash.Sum(data[2<<20:]) || aws.ToString(out.ArchiveDescription) != "ranged" {
		t.Errorf("tail of the archive: %d bytes, checksum %q, description %q", len(got), aws.ToString(out.Checksum), aws.ToString(out.ArchiveDescription))
	}
	listed := 0
	pages := glacier.NewListJobsPaginator(c, &glacier.ListJobsInput{VaultName: vault, Limit: aws.Int32(1), Statuscode: aws.String("Succeeded"), Completed: aws.String("true")})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		listed += len(page.JobList)
	}
	if listed != 2 {
		t.Errorf("succeeded jobs: got %d, want 2", listed)
	}
}

// TestSDKInventory compares both document forms with what was uploaded.
func TestSDKInventory(t *testing.T) {
	t.Parallel()
	c := sdk(t)
	vault := newVault(t, c)
	want := map[string]vaultclient.InventoryArchive{}
	for i := range 12 {
		data := randomBytes(t, 1000+i)
		description := fmt.Sprintf("archive, %d <&>", i)
		id := put(t, c, vault, description, data)
		want[id] = vaultclient.InventoryArchive{ArchiveId: id, ArchiveDescription: description, Size: int64(len(data)), SHA256TreeHash: treehash.Sum(data)}
	}
	check := func(t *testing.T, got []vaultclient.InventoryArchive) {
		t.Helper()
		seen, last := map[string]vaultclient.InventoryArchive{}, ""
		for _, a := range got {
			if a.CreationDate < last {
				t.Errorf("inventory out of order: %s after %s", a.CreationDate, last)
			}
			if _, err := time.Parse("2006-01-02T15:04:05Z", a.CreationDate); err != nil {
				t.Error(err)
			}
			last, a.CreationDate = a.CreationDate, ""
			seen[a.ArchiveId] = a
		}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Errorf("inventory (-want +got):\n%s", diff)
		}
	}
	t.Run("JSON", func(t *testing.T) {
		t.Parallel()
		job := finish(t, c, vault, &types.JobParameters{Type: aws.String("inventory-retrieval")})
		out, data := output(t, c, vault, job.JobId, "")
		if got := aws.ToString(out.ContentType); got != "application/json" || *job.InventorySizeInBytes != int64(len(data)) {
			t.Errorf("content type %q, %d bytes, announced %d", got, len(data), *job.InventorySizeInBytes)
		}
		var inv vaultclient.Inventory
		if err := json.Unmarshal(data, &inv); err != nil {
			t.Fatal(err)
		}
		check(t, inv.ArchiveList)
	})
	t.Run("CSV", func(t *testing.T) {
		t.Parallel()
		job := finish(t, c, vault, &types.JobParameters{Type: aws.String("inventory-retrieval"), Format: aws.String("CSV")})
		_, data := output(t, c, vault, job.JobId, "")
		rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		var list []vaultclient.InventoryArchive
		for _, r := range rows[1:] {
			a := vaultclient.InventoryArchive{ArchiveId: r[0], ArchiveDescription: r[1], CreationDate: r[2], SHA256TreeHash: r[4]}
			if _, err := fmt.Sscan(r[3], &a.Size); err != nil {
				t.Fatal(err)
			}
			list = append(list, a)
		}
		check(t, list)
	})
	t.Run("paged", func(t *testing.T) {
		t.Parallel()
		var list []vaultclient.InventoryArchive
		p := &types.InventoryRetrievalJobInput{Limit: aws.String("5")}
		for range 4 {
			job := finish(t, c, vault, &types.JobParameters{Type: aws.String("inventory-retrieval"), InventoryRetrievalParameters: p})
			_, data := output(t, c, vault, job.JobId, "")
			var inv vaultclient.Inventory
			if err := json.Unmarshal(data, &inv); err != nil {
				t.Fatal(err)
			}
			list = append(list, inv.ArchiveList...)
			if p.Marker = job.InventoryRetrievalParameters.Marker; p.Marker == nil {
				break
			}
		}
		check(t, list)
	})
}

// TestSDKErrors makes sure the SDK recognises the errors clients switch on.
func TestSDKErrors(t *testing.T) {
	t.Parallel()
	c := sdk(t)
	vault := newVault(t, c)
	_, err := c.InitiateJob(t.Context(), &glacier.InitiateJobInput{VaultName: vault, JobParameters: &types.JobParameters{}})
	var missing *types.MissingParameterValueException
	if !errors.As(err, &missing) {
		t.Errorf("job without a type: got %v, want MissingParameterValueException", err)
	}
	_, err = c.DeleteArchive(t.Context(), &glacier.DeleteArchiveInput{VaultName: vault, ArchiveId: aws.String("nosuch")})
	var notFound *types.ResourceNotFoundException
	if !errors.As(err, &notFound) || !strings.Contains(notFound.ErrorMessage(), "The archive ID was not found: nosuch") {
		t.Errorf("delete an unknown archive: got %v, want ResourceNotFoundException", err)
	}
	_, err = c.UploadArchive(t.Context(), &glacier.UploadArchiveInput{
		VaultName: vault, Body: strings.NewReader("x"), Checksum: aws.String(strings.Repeat("0", 64)),
	})
	if err == nil {
		t.Error("upload with a wrong checksum was accepted")
	}
}
