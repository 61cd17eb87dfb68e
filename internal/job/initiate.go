package job

import (
	"context"
	"strconv"
	"strings"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta"
	"moraine/internal/treehash"
)

// The types of jobs in a request (§7.1).
const (
	typeArchive   = "archive-retrieval"
	typeInventory = "inventory-retrieval"
	typeSelect    = "select"
)

// Parameters are the fields of an InitiateJob request (§7.2) as sent; nil and
// "" mean absent, as null does.
type Parameters struct {
	Type               string
	ArchiveID          string
	Description        string
	SNSTopic           string
	Tier               string
	RetrievalByteRange string
	Format             string
	Inventory          InventoryParameters
	// Inventory was present, whatever it held; likewise the two select fields.
	HasSelectParameters, HasOutputLocation bool
}

// InventoryParameters are the fields of InventoryRetrievalParameters (§7.3).
type InventoryParameters struct {
	StartDate, EndDate, Limit, Marker string
}

// InitiateJob accepts a job (§7.2). params decodes the request; its errors come
// in their place, after the caller is admitted (§1.12). When InitiateJob
// returns nil the job is durable and survives a crash.
func (s *Service) InitiateJob(ctx context.Context, call access.Call, name string, params func() (Parameters, error)) (moraine.Vault, moraine.Job, error) {
	p, malformed := params()
	act := access.Act{Action: "InitiateJob", Vault: name}
	if malformed == nil && (p.Type == typeArchive || p.Type == typeSelect) {
		act.Archive = moraine.ArchiveID(p.ArchiveID)
	}
	var v moraine.Vault
	var j moraine.Job
	var extents []moraine.Extent
	// The decision that needs the blob store, the hash of a range, is prepared
	// in a view and confirmed in the transaction that inserts the job.
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		grant, err := s.cfg.Access.Admit(tx, call, act)
		if err != nil {
			return err
		}
		if malformed != nil {
			return malformed
		}
		if j, err = s.draft(p); err != nil {
			return err
		}
		if v, err = grant.Vault(); err != nil {
			return err
		}
		if j.Retrieval == nil {
			return nil
		}
		a, err := s.retrievable(tx, &v, j.Retrieval.Archive)
		if err != nil {
			return err
		}
		if err := aim(&j, &a, p.RetrievalByteRange); err != nil {
			return err
		}
		extents, err = tx.Bodies().Extents(a.Body, j.Retrieval.First, moraine.PartsMax)
		return err
	})
	if err != nil {
		return v, j, err
	}
	if r := j.Retrieval; r != nil {
		if r.TreeHash, err = s.rangeHash(ctx, extents, r.First, r.Last, r.ArchiveSize); err != nil {
			return v, j, err
		}
	}
	err = s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		grant, err := s.cfg.Access.Admit(tx, call, act)
		if err != nil {
			return err
		}
		if v, err = grant.Vault(); err != nil {
			return err
		}
		return s.accept(tx, &v, &j)
	})
	// The job is a durable row: after a crash the engine of the next process
	// finds it due and runs it.
	if err == nil {
		s.Wake()
	}
	return v, j, err
}

// accept gives the job its id and dates and inserts it.
func (s *Service) accept(tx meta.Tx, v *moraine.Vault, j *moraine.Job) error {
	now := s.now()
	due, err := tx.Time() // by the clock that claims go by, whatever that of this process says
	if err != nil {
		return err
	}
	j.ID, j.Vault, j.Created, j.State = moraine.NewJobID(now), v.ID, now, moraine.InProgress
	if j.Retrieval != nil {
		j.Due = due.Add(s.delay(j.Tier))
		if _, err := s.retrievable(tx, v, j.Retrieval.Archive); err != nil {
			return err
		}
		if err := s.enforce(tx, v, j, now); err != nil {
			return err
		}
		if err := s.supply(tx, v, j, now); err != nil {
			return err
		}
		return tx.Jobs().Save(*j)
	}
	// The tier of an inventory job is echoed and has no effect (§7.2).
	j.Due = due.Add(s.Delays().Standard)
	j.Body = moraine.NewBodyID(now)
	if s.cfg.InventoryInterval == 0 {
		// The inventory is of this instant. Saving the snapshot keeps later
		// writes out of it (Vault.Stamp).
		v.TakeInventory(now)
		if err := tx.Vaults().Save(*v); err != nil {
			return err
		}
	}
	if v.Inventoried.IsZero() {
		return moraine.Errorf(moraine.NotFound,
			"Inventory retrieval jobs for vault %s cannot be initiated yet, as Amazon Glacier has not yet generated an initial inventory for this vault.", v.ARN())
	}
	j.Inventory.Snapshot = v.Inventoried
	return tx.Jobs().Save(*j)
}

// retrievable returns an archive that exists in v now.
func (s *Service) retrievable(tx meta.Tx, v *moraine.Vault, id moraine.ArchiveID) (moraine.Archive, error) {
	a, err := s.cfg.Access.Archive(tx, v, id)
	if err == nil && !a.Deleted.IsZero() {
		err = access.NoArchive(id)
	}
	return a, err
}

func (s *Service) delay(t moraine.Tier) time.Duration {
	delays := s.Delays()
	switch t {
	case moraine.Expedited:
		return delays.Expedited
	case moraine.Bulk:
		return delays.Bulk
	}
	return delays.Standard
}

func missing(name string) error {
	return moraine.Errorf(moraine.Missing, "Required parameter missing: %s", name)
}

func invalid(name, value string) error {
	return moraine.Errorf(moraine.Invalid, "Invalid %s: %s", name, value)
}

// draft checks the parameters that need no look at the vault and makes a job
// of them.
func (s *Service) draft(p Parameters) (moraine.Job, error) {
	j := moraine.Job{Description: p.Description, SNSTopic: p.SNSTopic, Tier: moraine.Tier(p.Tier)}
	switch p.Type {
	case "":
		return j, missing("type")
	case typeArchive, typeSelect:
		if p.ArchiveID == "" {
			return j, missing("archiveId")
		}
	case typeInventory:
		if p.ArchiveID != "" {
			return j, invalid("ArchiveId", p.ArchiveID)
		}
	default:
		return j, invalid("type", p.Type)
	}
	if err := checkCommon(p); err != nil {
		return j, err
	}
	switch p.Type {
	case typeSelect:
		return j, refuseSelect(p)
	case typeInventory:
		return j, draftInventory(&j, p)
	}
	j.Action = moraine.ArchiveRetrieval
	if j.Tier == "" {
		j.Tier = moraine.Standard
	}
	j.Retrieval = &moraine.Retrieval{Archive: moraine.ArchiveID(p.ArchiveID)}
	return j, nil
}

// checkCommon checks the fields that mean the same for every type.
func checkCommon(p Parameters) error {
	if !moraine.ValidDescription(p.Description) {
		return invalid("Description", p.Description)
	}
	if p.SNSTopic != "" && !moraine.ValidTopic(p.SNSTopic) {
		return invalid("SNSTopic", p.SNSTopic)
	}
	switch moraine.Tier(p.Tier) {
	case "", moraine.Expedited, moraine.Standard, moraine.Bulk:
	default:
		return invalid("Tier", p.Tier)
	}
	if p.Type == typeSelect {
		return nil
	}
	if p.HasSelectParameters {
		return invalid("SelectParameters", "not allowed for "+p.Type)
	}
	if p.HasOutputLocation {
		return invalid("OutputLocation", "not allowed for "+p.Type)
	}
	return nil
}

// refuseSelect answers a select job: this server has no bucket to write to
// (§11.2).
func refuseSelect(p Parameters) error {
	switch {
	case p.RetrievalByteRange != "":
		return invalid("RetrievalByteRange", p.RetrievalByteRange)
	case !p.HasSelectParameters:
		return missing("selectParameters")
	case !p.HasOutputLocation:
		return missing("outputLocation")
	}
	return invalid("OutputLocation", "no output bucket is configured on this server")
}

// draftInventory checks the fields of an inventory job (§7.3).
func draftInventory(j *moraine.Job, p Parameters) error {
	if p.RetrievalByteRange != "" {
		return invalid("RetrievalByteRange", p.RetrievalByteRange)
	}
	inv := &moraine.Inventory{Format: moraine.JSON, Marker: p.Inventory.Marker}
	j.Action, j.Inventory = moraine.InventoryRetrieval, inv
	switch moraine.Format(p.Format) {
	case "", moraine.JSON:
	case moraine.CSV:
		inv.Format = moraine.CSV
	default:
		return invalid("Format", p.Format)
	}
	var err error
	if inv.Start, err = parseDate("StartDate", p.Inventory.StartDate); err != nil {
		return err
	}
	if inv.End, err = parseDate("EndDate", p.Inventory.EndDate); err != nil {
		return err
	}
	if !inv.Start.IsZero() && !inv.End.IsZero() && !inv.Start.Before(inv.End) {
		return invalid("StartDate", p.Inventory.StartDate)
	}
	if limit := p.Inventory.Limit; limit != "" {
		n, err := strconv.ParseInt(limit, 10, 64)
		if err != nil || n < 1 || limit[0] == '+' {
			return invalid("Limit", limit)
		}
		inv.Limit = n
	}
	_, err = parseMarker(inv.Marker)
	return err
}

// parseDate reads an RFC 3339 instant, truncated to whole seconds in UTC
// (§1.8); "" is the zero time.
func parseDate(name, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, invalid(name, s)
	}
	return t.UTC().Truncate(time.Second), nil
}

// aim fills in what the job retrieves of the archive: all of it, or the
// MiB-aligned range that was asked for.
func aim(j *moraine.Job, a *moraine.Archive, byteRange string) error {
	first, last := int64(0), a.Size-1
	if byteRange != "" {
		var ok bool
		if first, last, ok = parseRange(byteRange); !ok || last >= a.Size || !treehash.MiBAligned(first, last, a.Size) {
			return invalid("RetrievalByteRange", byteRange)
		}
	}
	j.Body, j.Output = a.Body, last-first+1
	j.Retrieval = &moraine.Retrieval{
		Archive: a.ID, ArchiveDescription: a.Description, ArchiveSize: a.Size, ArchiveTreeHash: a.TreeHash,
		First: first, Last: last,
	}
	return nil
}

// parseRange reads "first-last" of ASCII digits with first ≤ last.
func parseRange(s string) (first, last int64, ok bool) {
	from, to, ok := strings.Cut(s, "-")
	if !ok || from == "" || to == "" || strings.Trim(from+to, "0123456789") != "" {
		return 0, 0, false
	}
	first, err1 := strconv.ParseInt(from, 10, 64)
	last, err2 := strconv.ParseInt(to, 10, 64)
	return first, last, err1 == nil && err2 == nil && first <= last
}

// rangeHash returns the tree hash of an inclusive range of an archive of the
// given size, or nil if the range is not tree-hash-aligned (§6.3). It reads
// stored digests only. An aligned range lies within one extent, or is made of
// whole ones, because every extent but the last is 1 MiB × 2^n long.
func (s *Service) rangeHash(ctx context.Context, extents []moraine.Extent, first, last, size int64) (*moraine.TreeHash, error) {
	if !treehash.Aligned(first, last, size) {
		return nil, nil
	}
	var tree treehash.Combiner
	for _, e := range extents {
		end := e.First + e.Size - 1
		if end < first || e.First > last {
			continue
		}
		if first <= e.First && end <= last {
			tree.Add(e.TreeHash)
			continue
		}
		return s.leafHash(ctx, e, first, last)
	}
	root := tree.Root()
	return &root, nil
}

// leafHash combines the stored leaves of a range within one extent.
func (s *Service) leafHash(ctx context.Context, e moraine.Extent, first, last int64) (*moraine.TreeHash, error) {
	from := (first - e.First) / treehash.LeafSize
	to := (last - e.First) / treehash.LeafSize
	leaves, err := s.cfg.Blobs.Leaves(ctx, e.Ref, from, to-from+1)
	if err != nil {
		return nil, err
	}
	root := treehash.Root(leaves)
	return &root, nil
}
