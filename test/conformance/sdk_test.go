package conformance_test

import (
	"bytes"
	"context"
	"crypto/rand"
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
)

const jobMax = 3 * time.Minute

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
