package vault

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta"
	"moraine/internal/treehash"
)

// InitiateMultipartUpload opens an upload (§5.1). partSize and desc are the
// header values as sent, "" if absent.
func (s *Service) InitiateMultipartUpload(ctx context.Context, call access.Call, name, partSize, desc string) (moraine.Vault, moraine.Upload, error) {
	var v moraine.Vault
	var u moraine.Upload
	err := s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		var size int64
		var text string
		check := func() (err error) {
			if size, err = parsePartSize(partSize); err != nil {
				return err
			}
			text, err = description(desc)
			return err
		}
		var err error
		if v, err = s.enter(tx, call, "InitiateMultipartUpload", name, check); err != nil {
			return err
		}
		now, err := s.dated(tx)
		if err != nil {
			return err
		}
		u = moraine.Upload{
			ID: moraine.NewUploadID(now), Vault: v.ID, Body: moraine.NewBodyID(now), Description: text,
			PartSize: size, State: moraine.UploadOpen, Created: now, Active: now,
		}
		return tx.Uploads().Save(u)
	})
	return v, u, err
}

// parsePartSize reads x-amz-part-size: ASCII digits only, leading zeros
// allowed, one of the thirteen values (§5.1).
func parsePartSize(sent string) (int64, error) {
	if sent == "" {
		return 0, missing("x-amz-part-size")
	}
	n, ok := parseDigits(sent)
	if !ok || !moraine.ValidPartSize(n) {
		return 0, moraine.Errorf(moraine.Invalid,
			"Invalid part size: %s. Part size must not be null, must be a power of two and be between 1048576 and 4294967296 bytes.", sent)
	}
	return n, nil
}

// parseDigits reads an unsigned decimal of ASCII digits without sign.
func parseDigits(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// parseContentRange reads "bytes <first>-<last>/*"; a total in place of the
// star is ignored (§5.2).
func parseContentRange(sent string) (first, last int64, err error) {
	bad := moraine.Errorf(moraine.Invalid, "Invalid Content-Range: %s", sent)
	unit, rest, ok := strings.Cut(sent, " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return 0, 0, bad
	}
	span, total, ok := strings.Cut(rest, "/")
	if !ok {
		return 0, 0, bad
	}
	if _, number := parseDigits(total); total != "*" && !number {
		return 0, 0, bad
	}
	from, to, ok := strings.Cut(span, "-")
	first, ok1 := parseDigits(from)
	last, ok2 := parseDigits(to)
	if !ok || !ok1 || !ok2 || last < first {
		return 0, 0, bad
	}
	return first, last, nil
}

// checkPart applies the rules that need the part size of the upload (§5.2).
func checkPart(u *moraine.Upload, first, last int64, sent string) error {
	if first%u.PartSize != 0 || last-first >= u.PartSize {
		return moraine.Errorf(moraine.Invalid, "Invalid Content-Range: %s", sent)
	}
	if number := first/u.PartSize + 1; number > moraine.PartsMax {
		return moraine.Errorf(moraine.Invalid,
			"This is part number %d for the current multipart upload. It exceeds the limit of %d parts.", number, moraine.PartsMax)
	}
	return nil
}

// upload returns an upload of v in any state that is not forgotten, or the
// NotFound error a client sees.
func (s *Service) upload(tx meta.Tx, v *moraine.Vault, id moraine.UploadID) (moraine.Upload, error) {
	u, err := tx.Uploads().Get(id)
	if err != nil && !errors.Is(err, meta.ErrNotFound) {
		return u, err
	}
	if err != nil || u.Vault != v.ID || !s.now().Before(u.Active.Add(s.cfg.Retention)) {
		return u, noUpload(id)
	}
	return u, nil
}

// openUpload returns an open upload of v.
func (s *Service) openUpload(tx meta.Tx, v *moraine.Vault, id moraine.UploadID) (moraine.Upload, error) {
	u, err := s.upload(tx, v, id)
	if err == nil && u.State != moraine.UploadOpen {
		err = noUpload(id)
	}
	return u, err
}

func noUpload(id moraine.UploadID) error {
	return moraine.Errorf(moraine.NotFound, "The upload ID was not found: %s", id)
}

// UploadPart stores a body as a part, replacing one at the same offset
// (§5.2). When it returns nil the part is durable; after an error an earlier
// part at that offset is as it was. It returns the tree hash of the part.
func (s *Service) UploadPart(ctx context.Context, call access.Call, name string, id moraine.UploadID, req UploadRequest, body io.Reader) (moraine.TreeHash, error) {
	const action = "UploadMultipartPart"
	var first, last int64
	check := func() (err error) {
		if req.ContentRange == "" {
			return missing("Content-Range")
		}
		if err := checkTreeHash(req.TreeHash); err != nil {
			return err
		}
		if first, last, err = parseContentRange(req.ContentRange); err != nil {
			return err
		}
		if req.ContentLength != last-first+1 {
			return moraine.Errorf(moraine.Invalid, "Content-Range: %s is incompatible with Content-Length: %d", req.ContentRange, req.ContentLength)
		}
		return nil
	}
	// Refuse what can be refused before a byte of the body is read.
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		v, err := s.enter(tx, call, action, name, check)
		if err != nil {
			return err
		}
		u, err := s.openUpload(tx, &v, id)
		if err != nil {
			return err
		}
		return checkPart(&u, first, last, req.ContentRange)
	})
	if err != nil {
		return moraine.TreeHash{}, err
	}

	stored, err := s.keep(ctx, body, claims{req.ContentLength, req.CheckSHA256, req.TreeHash}, first)
	if err != nil {
		return moraine.TreeHash{}, err
	}
	err = s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		v, err := s.enter(tx, call, action, name, nil)
		if err != nil {
			return err
		}
		// The upload may have ended while the body came in: then the part is
		// late and nothing of it stays.
		u, err := s.openUpload(tx, &v, id)
		if err != nil {
			return err
		}
		if u.Active, err = s.dated(tx); err != nil {
			return err
		}
		if err := s.name(tx, u.Body, &stored, u.Active); err != nil {
			return err
		}
		return tx.Uploads().Save(u)
	})
	stored.settle(err)
	return stored.TreeHash, err
}

// CompleteMultipartUpload makes an archive of the parts; no bytes move (§5.3).
// A refusal leaves the upload open with all its parts. size and treeHash are
// the header values as sent, "" if absent.
func (s *Service) CompleteMultipartUpload(ctx context.Context, call access.Call, name string, id moraine.UploadID, size, treeHash string) (moraine.Vault, moraine.Archive, error) {
	var v moraine.Vault
	var a moraine.Archive
	var refusal error
	err := s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		refusal = nil
		var total int64
		check := func() (err error) {
			total, err = checkCompletion(size, treeHash)
			return err
		}
		var err error
		if v, err = s.enter(tx, call, "CompleteMultipartUpload", name, check); err != nil {
			return err
		}
		u, err := s.upload(tx, &v, id)
		if err != nil {
			return err
		}
		want := completion{total: total, size: size, treeHash: treeHash}
		switch u.State {
		case moraine.UploadCompleted:
			a = moraine.Archive{ID: u.Archive, Size: u.Size, TreeHash: u.TreeHash}
			return want.match(u.Size, u.TreeHash)
		case moraine.UploadOpen:
		default:
			return noUpload(id)
		}
		parts, err := tx.Bodies().Extents(u.Body, 0, moraine.PartsMax)
		if err != nil {
			return err
		}
		now, err := s.dated(tx)
		if err != nil {
			return err
		}
		u.Active = now
		root, bad := assemble(parts, u.PartSize, want)
		if bad != nil {
			// The attempt counts as activity, so the transaction commits.
			refusal = bad
			return tx.Uploads().Save(u)
		}
		a = moraine.Archive{Body: u.Body, Description: u.Description, Size: total, TreeHash: root}
		if err := s.addArchive(tx, &v, &a, now); err != nil {
			return err
		}
		u.State, u.Archive, u.Size, u.TreeHash = moraine.UploadCompleted, a.ID, a.Size, a.TreeHash
		return tx.Uploads().Save(u)
	})
	// One commit turned the parts into the archive: a crash before it leaves
	// the open upload, a crash after it the archive and the remembered id.
	if err == nil {
		err = refusal
	}
	return v, a, err
}

// completion is what a client says the archive will be.
type completion struct {
	total          int64
	size, treeHash string // as sent
}

// checkCompletion checks that the headers are present and reads the size.
func checkCompletion(size, treeHash string) (int64, error) {
	if size == "" {
		return 0, missing("x-amz-archive-size")
	}
	if treeHash == "" {
		return 0, missing("x-amz-sha256-tree-hash")
	}
	n, ok := parseDigits(size)
	if !ok || n < 1 {
		return 0, moraine.Errorf(moraine.Invalid, "Invalid x-amz-archive-size: %s", size)
	}
	return n, nil
}

// match compares with the size and tree hash the server computed.
func (c completion) match(total int64, root moraine.TreeHash) error {
	if total != c.total {
		return moraine.Errorf(moraine.Invalid, "Invalid x-amz-archive-size: %s", c.size)
	}
	if !strings.EqualFold(root.String(), c.treeHash) {
		return moraine.Errorf(moraine.Invalid, "Invalid x-amz-sha256-tree-hash: %s", c.treeHash)
	}
	return nil
}

// assemble checks that the parts make up one archive as the client expects and
// returns its tree hash (§5.3). It is a pure function.
func assemble(parts []moraine.Extent, partSize int64, want completion) (moraine.TreeHash, error) {
	var next int64
	var tree treehash.Combiner
	for i, p := range parts {
		if p.First != next {
			return moraine.TreeHash{}, gap(next, p.First-1)
		}
		if end := p.First + p.Size; i < len(parts)-1 && p.Size != partSize {
			return moraine.TreeHash{}, gap(end, p.First+partSize-1)
		}
		tree.Add(p.TreeHash)
		next = p.First + p.Size
	}
	if len(parts) == 0 {
		return moraine.TreeHash{}, gap(0, want.total-1)
	}
	root := tree.Root()
	return root, want.match(next, root)
}

func gap(first, last int64) error {
	return moraine.Errorf(moraine.Invalid, "Invalid multipart upload: missing content range %d-%d", first, last)
}

// AbortMultipartUpload ends an upload and frees its parts (§5.4).
func (s *Service) AbortMultipartUpload(ctx context.Context, call access.Call, name string, id moraine.UploadID) error {
	err := s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		v, err := s.enter(tx, call, "AbortMultipartUpload", name, nil)
		if err != nil {
			return err
		}
		u, err := s.upload(tx, &v, id)
		if err != nil {
			return err
		}
		switch u.State {
		case moraine.UploadAborted:
			return nil
		case moraine.UploadCompleted:
			return noUpload(id)
		}
		return endUpload(tx, u, s.now())
	})
	if err == nil {
		s.Wake()
	}
	return err
}

// endUpload aborts an open upload: its body is condemned, its id remembered
// from the given instant.
func endUpload(tx meta.Tx, u moraine.Upload, at time.Time) error {
	u.State = moraine.UploadAborted
	u.Active = at
	if err := tx.Bodies().Condemn(u.Body, at); err != nil {
		return err
	}
	return tx.Uploads().Save(u)
}

// ListParts returns a page of the parts of an open upload in order of range,
// and the marker of the next page, or "" (§5.5).
func (s *Service) ListParts(ctx context.Context, call access.Call, name string, id moraine.UploadID, limit, marker string) (moraine.Vault, moraine.Upload, []moraine.Extent, string, error) {
	var v moraine.Vault
	var u moraine.Upload
	var page []moraine.Extent
	var next string
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		next = ""
		var n int
		var from int64
		check := func() (err error) {
			if n, err = moraine.PageLimit(limit, moraine.ListPageMax); err != nil {
				return err
			}
			from, err = parsePartMarker(marker, id)
			return err
		}
		var err error
		if v, err = s.enter(tx, call, "ListParts", name, check); err != nil {
			return err
		}
		if u, err = s.openUpload(tx, &v, id); err != nil {
			return err
		}
		if page, err = tx.Bodies().Extents(u.Body, from, n+1); err != nil {
			return err
		}
		if len(page) > n {
			next = partMarker(page[n].First, id)
			page = page[:n]
		}
		return nil
	})
	return v, u, page, next, err
}

// ListMultipartUploads returns a page of the open uploads of a vault, oldest
// first, and the marker of the next page, or "" (§5.6).
func (s *Service) ListMultipartUploads(ctx context.Context, call access.Call, name, limit, marker string) (moraine.Vault, []moraine.Upload, string, error) {
	var v moraine.Vault
	var page []moraine.Upload
	var next string
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		next = ""
		var n int
		var after moraine.Position
		check := func() (err error) {
			if n, err = moraine.PageLimit(limit, moraine.ListPageMax); err != nil {
				return err
			}
			after, err = moraine.ParsePosition(marker)
			return err
		}
		var err error
		if v, err = s.enter(tx, call, "ListMultipartUploads", name, check); err != nil {
			return err
		}
		if page, err = s.liveUploads(tx, v.ID, after, n+1); err != nil {
			return err
		}
		if len(page) > n {
			page = page[:n]
			last := page[n-1]
			next = moraine.Position{Created: last.Created, ID: string(last.ID)}.Marker()
		}
		return nil
	})
	return v, page, next, err
}

// liveUploads lists open uploads that are not past their expiry and only wait
// for the sweep.
func (s *Service) liveUploads(tx meta.Tx, v moraine.VaultID, after moraine.Position, limit int) ([]moraine.Upload, error) {
	var live []moraine.Upload
	for {
		page, err := tx.Uploads().List(v, after.Created, moraine.UploadID(after.ID), limit)
		if err != nil {
			return nil, err
		}
		for _, u := range page {
			after = moraine.Position{Created: u.Created, ID: string(u.ID)}
			if s.now().Before(u.Active.Add(s.cfg.Retention)) {
				live = append(live, u)
			}
		}
		if len(page) < limit || len(live) >= limit {
			return live[:min(len(live), limit)], nil
		}
	}
}
