package vault

import (
	"context"
	"io"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/meta"
)

// UploadRequest is what comes with the body of an archive or a part. Strings
// are as the client sent them, "" if absent.
type UploadRequest struct {
	ContentLength int64 // of the body, in bytes
	// CheckSHA256 returns nil if its argument is the SHA-256 the client signed
	// for the body, else the refusal. Required.
	CheckSHA256  func(computed [32]byte) error
	TreeHash     string // x-amz-sha256-tree-hash
	Description  string // x-amz-archive-description; archives only
	ContentRange string // Content-Range; parts only
}

// UploadArchive stores a body as a new archive (§4.1). When it returns nil the
// archive is durable; after an error there is none.
func (s *Service) UploadArchive(ctx context.Context, call access.Call, name string, req UploadRequest, body io.Reader) (moraine.Vault, moraine.Archive, error) {
	var desc string
	check := func() (err error) {
		if err := checkTreeHash(req.TreeHash); err != nil {
			return err
		}
		if req.ContentLength < 1 || req.ContentLength > moraine.ArchiveSizeMax {
			return moraine.Errorf(moraine.Invalid, "Invalid Content-Length: %d", req.ContentLength)
		}
		desc, err = description(req.Description)
		return err
	}
	if err := s.look(ctx, call, name, req.ContentLength, check); err != nil {
		return moraine.Vault{}, moraine.Archive{}, err
	}

	stored, err := s.keep(ctx, body, claims{req.ContentLength, req.CheckSHA256, req.TreeHash}, 0)
	if err != nil {
		return moraine.Vault{}, moraine.Archive{}, err
	}
	var v moraine.Vault
	var a moraine.Archive
	entered := false
	err = s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		var err error
		v, err = s.enter(tx, call, "UploadArchive", name, nil)
		if entered = err == nil; !entered {
			return err
		}
		now, err := s.dated(tx)
		if err != nil {
			return err
		}
		a = moraine.Archive{
			Body: moraine.NewBodyID(now), Description: desc,
			Size: stored.Size, TreeHash: stored.TreeHash,
		}
		if err := s.name(tx, a.Body, &stored, now); err != nil {
			return err
		}
		return s.addArchive(tx, &v, &a, now)
	})
	// The row is committed, or it is certain that there is none, or it is open
	// which of the two; a reply is sent only in the first case.
	stored.settle(err)
	if !entered {
		s.recent.remove(uploaderOf(&call, name))
	}
	return v, a, err
}

// look refuses an upload that can be refused before a byte of its body is
// read.
func (s *Service) look(ctx context.Context, call access.Call, name string, size int64, check func() error) error {
	who, now := uploaderOf(&call, name), s.now()
	if size <= recentBytes && s.recent.has(who, now) {
		return check()
	}
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		_, err := s.enter(tx, call, "UploadArchive", name, check)
		return err
	})
	if err == nil {
		s.recent.add(who, now)
	}
	return err
}

// addArchive makes a a member of v: it gives it an id and a creation date,
// inserts it and counts it.
func (s *Service) addArchive(tx meta.Tx, v *moraine.Vault, a *moraine.Archive, now time.Time) error {
	a.ID = moraine.NewArchiveID(now)
	a.Vault = v.ID
	a.Created = v.Stamp(now)
	if err := tx.Archives().Insert(*a); err != nil {
		return err
	}
	return saveWrite(tx, v, a.Created, moraine.Figures{Archives: 1, Bytes: a.Size})
}

// saveWrite counts a creation (positive figures) or a deletion (negative ones)
// at the given instant.
func saveWrite(tx meta.Tx, v *moraine.Vault, at time.Time, change moraine.Figures) error {
	v.Live.Archives += change.Archives
	v.Live.Bytes += change.Bytes
	if v.FirstWrite.IsZero() {
		v.FirstWrite = at
	}
	if at.After(v.LastWrite) {
		v.LastWrite = at
	}
	return tx.Vaults().Save(*v)
}

// DeleteArchive removes an archive; one that is already removed is no error
// (§4.2). Its bytes are given back when no job needs them.
func (s *Service) DeleteArchive(ctx context.Context, call access.Call, name string, id moraine.ArchiveID) error {
	err := s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		v, err := s.enterFor(tx, call, access.Act{Action: "DeleteArchive", Vault: name, Archive: id}, nil)
		if err != nil {
			return err
		}
		a, err := s.cfg.Access.Archive(tx, &v, id)
		if err != nil || !a.Deleted.IsZero() {
			return err
		}
		at := v.Stamp(s.now())
		if err := tx.Archives().MarkDeleted(a.ID, at); err != nil {
			return err
		}
		// Its retrievals have nothing to wait for: they find it gone and fail.
		due, err := tx.Time()
		if err != nil {
			return err
		}
		if err := tx.Jobs().Hasten(a.Body, due); err != nil {
			return err
		}
		return saveWrite(tx, &v, at, moraine.Figures{Archives: -1, Bytes: -a.Size})
	})
	if err == nil {
		s.Wake()
		s.cfg.Hastened()
	}
	return err
}
