package conformance_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glacier"
	"github.com/aws/aws-sdk-go-v2/service/glacier/types"
	"github.com/google/go-cmp/cmp"

	"moraine/test/internal/treehash"
	"moraine/test/internal/vaultclient"
)

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
