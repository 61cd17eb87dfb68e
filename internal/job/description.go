package job

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"moraine"
)

// Description is a job as DescribeJob and ListJobs show it, and as messages
// carry it: its JSON form is part of the wire contract (§7.4, §9.2).
type Description struct {
	Action                       string
	ArchiveId                    *string //nolint:revive // the key on the wire
	ArchiveSHA256TreeHash        *string
	ArchiveSizeInBytes           *int64
	Completed                    bool
	CompletionDate               *string
	CreationDate                 *string
	InventoryRetrievalParameters *DescribedInventory
	InventorySizeInBytes         *int64
	JobDescription               *string
	JobId                        string //nolint:revive // the key on the wire
	JobOutputPath                *string
	OutputLocation               *struct{}
	RetrievalByteRange           *string
	SHA256TreeHash               *string
	SNSTopic                     *string
	SelectParameters             *struct{}
	StatusCode                   string
	StatusMessage                *string
	Tier                         *string
	VaultARN                     string
}

// DescribedInventory echoes the parameters of an inventory job (§7.4).
type DescribedInventory struct {
	EndDate   *string
	Format    string
	Limit     *string
	Marker    *string
	StartDate *string
}

// Describe describes a job of a vault.
func Describe(v *moraine.Vault, j *moraine.Job) Description {
	out := Description{
		Action: string(j.Action), Completed: j.State != moraine.InProgress,
		CompletionDate: millis(j.Completed), CreationDate: millis(j.Created),
		JobDescription: orNull(j.Description), JobId: string(j.ID), SNSTopic: orNull(j.SNSTopic),
		StatusCode: string(j.State), Tier: orNull(string(j.Tier)), VaultARN: v.ARN(),
	}
	if out.Completed {
		out.StatusMessage = &out.StatusCode
	}
	if r := j.Retrieval; r != nil {
		tree := r.ArchiveTreeHash.String()
		span := itoa(r.First) + "-" + itoa(r.Last)
		out.ArchiveId = orNull(string(r.Archive))
		out.ArchiveSHA256TreeHash, out.ArchiveSizeInBytes, out.RetrievalByteRange = &tree, &r.ArchiveSize, &span
		if r.TreeHash != nil {
			part := r.TreeHash.String()
			out.SHA256TreeHash = &part
		}
	}
	if i := j.Inventory; i != nil {
		out.InventoryRetrievalParameters = &DescribedInventory{
			EndDate: wholeSeconds(i.End), Format: string(i.Format), Marker: orNull(i.Next), StartDate: wholeSeconds(i.Start),
		}
		if i.Limit > 0 {
			limit := itoa(i.Limit)
			out.InventoryRetrievalParameters.Limit = &limit
		}
		if j.State == moraine.Succeeded {
			out.InventorySizeInBytes = &j.Output
		}
	}
	return out
}

// text is the JSON form of d: compact, no HTML escaping, no final line end
// (§1.7).
func (d *Description) text() (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(d)
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), err
}

// millis prints a date: UTC with exactly three fraction digits (§1.8); null for
// the zero time.
func millis(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format("2006-01-02T15:04:05.000Z")
	return &s
}

// wholeSeconds prints a date of inventory parameters (§1.8).
func wholeSeconds(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format(secondsFormat)
	return &s
}

// orNull is null for "".
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
