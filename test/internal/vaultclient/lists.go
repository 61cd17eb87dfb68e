package vaultclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"moraine/test/internal/wire"
)

// pagesMax bounds every paging loop.
const pagesMax = 100_000

// Vault is a DescribeVault reply.
type Vault struct {
	CreationDate      string
	LastInventoryDate *string
	NumberOfArchives  int64
	SizeInBytes       int64
	VaultARN          string
	VaultName         string
}

// JobRequest is the body of InitiateJob. Fields are spelled as on the wire.
type JobRequest struct {
	Type               string
	ArchiveId          string `json:",omitempty"`
	Format             string `json:",omitempty"`
	Tier               string `json:",omitempty"`
	Description        string `json:",omitempty"`
	SNSTopic           string `json:",omitempty"`
	RetrievalByteRange string `json:",omitempty"`
}

// Job is a DescribeJob reply, as far as the tests read it.
type Job struct {
	JobId                 string
	ArchiveId             *string
	ArchiveSHA256TreeHash *string
	ArchiveSizeInBytes    *int64
	InventorySizeInBytes  *int64
	Completed             bool
	StatusCode            string
	StatusMessage         *string
}

// Upload is one item of ListMultipartUploads.
type Upload struct {
	ArchiveDescription *string
	MultipartUploadId  string
	PartSizeInBytes    int64
}

// Part is one item of ListParts.
type Part struct {
	RangeInBytes   string
	SHA256TreeHash string
}

// Inventory is the JSON output of an inventory job.
type Inventory struct {
	VaultARN      string
	InventoryDate string
	ArchiveList   []InventoryArchive
}

// InventoryArchive is one archive of an inventory.
type InventoryArchive struct {
	ArchiveId          string
	ArchiveDescription string
	CreationDate       string
	Size               int64
	SHA256TreeHash     string
}

// ListUploads reads every page of ListMultipartUploads.
func (c *Client) ListUploads(ctx context.Context, vault string) ([]Upload, error) {
	var all []Upload
	err := c.pages(ctx, "/-/vaults/"+vault+"/multipart-uploads", func(body []byte) (*string, error) {
		var page struct {
			Marker      *string
			UploadsList []Upload
		}
		err := json.Unmarshal(body, &page)
		all = append(all, page.UploadsList...)
		return page.Marker, err
	})
	return all, err
}

// ListParts reads every page of ListParts.
func (c *Client) ListParts(ctx context.Context, vault, uploadID string) ([]Part, error) {
	var all []Part
	err := c.pages(ctx, "/-/vaults/"+vault+"/multipart-uploads/"+uploadID, func(body []byte) (*string, error) {
		var page struct {
			Marker *string
			Parts  []Part
		}
		err := json.Unmarshal(body, &page)
		all = append(all, page.Parts...)
		return page.Marker, err
	})
	return all, err
}

func (c *Client) pages(ctx context.Context, target string, take func(body []byte) (*string, error)) error {
	next := target
	for range pagesMax {
		resp, err := c.call(ctx, request("GET", next), 200)
		if err != nil {
			return err
		}
		marker, err := take(resp.Body)
		if err != nil || marker == nil {
			return err
		}
		next = target + "?marker=" + wire.Encode(*marker)
	}
	return fmt.Errorf("%s: more than %d pages", target, pagesMax)
}

// TakeInventory runs an inventory job to its end and reads its output.
func (c *Client) TakeInventory(ctx context.Context, vault string) (Inventory, error) {
	var inv Inventory
	id, err := c.InitiateJob(ctx, vault, JobRequest{Type: "inventory-retrieval"})
	if err != nil {
		return inv, err
	}
	job, err := c.AwaitJob(ctx, vault, id)
	if err != nil {
		return inv, err
	}
	if job.StatusCode != "Succeeded" {
		return inv, fmt.Errorf("inventory job %s ended %s", id, job.StatusCode)
	}
	var out bytes.Buffer
	if _, err := c.JobOutput(ctx, vault, id, "", &out); err != nil {
		return inv, err
	}
	if job.InventorySizeInBytes == nil || *job.InventorySizeInBytes != int64(out.Len()) {
		return inv, fmt.Errorf("inventory job %s: InventorySizeInBytes is not the %d bytes of the output", id, out.Len())
	}
	return inv, json.Unmarshal(out.Bytes(), &inv)
}
