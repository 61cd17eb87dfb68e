package scrub

import (
	"context"
	"errors"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/treehash"
)

// failedMax bounds what is listed at once of extents with a fault, and
// faultyPage how many rows are read at a time.
const (
	failedMax  = 10_000
	faultyPage = 500
)

// Failed is an extent with a fault and whose it is.
type Failed struct {
	meta.Placed
	Archive *moraine.Archive // nil if it is of an upload, an inventory or a deleted vault
	Vault   *moraine.Vault   // of the archive; nil if it was deleted
}

// Failed lists the extents with a fault, at most 10,000 of them, in order of
// blob, and reports whether there are more.
func (s *Service) Failed(ctx context.Context) (list []Failed, more bool, err error) {
	err = s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		var placed []meta.Placed
		if placed, more, err = faulty(tx); err != nil {
			return err
		}
		list, err = owned(tx, placed)
		return err
	})
	return list, more, err
}

// Owners says whose the extents of findings are.
func (s *Service) Owners(ctx context.Context, found []Finding) (list []Failed, err error) {
	placed := make([]meta.Placed, len(found))
	for n, f := range found {
		placed[n] = meta.Placed{Body: f.Body, Extent: f.Extent}
	}
	err = s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		list, err = owned(tx, placed)
		return err
	})
	return list, err
}

// faulty reads the extents with a fault.
func faulty(tx meta.Tx) (list []meta.Placed, more bool, err error) {
	var after moraine.BlobID
	for {
		page, err := tx.Bodies().Faulty(after, faultyPage)
		list = append(list, page...)
		if err != nil || len(page) < faultyPage {
			return list, false, err
		}
		if len(list) >= failedMax {
			return list, true, nil
		}
		after = page[len(page)-1].Blob
	}
}

// owned finds the archives of extents.
func owned(tx meta.Tx, placed []meta.Placed) ([]Failed, error) {
	if len(placed) == 0 {
		return nil, nil
	}
	list := make([]Failed, len(placed))
	of := make(map[moraine.BodyID][]int, len(placed))
	for n, p := range placed {
		list[n].Placed = p
		of[p.Body] = append(of[p.Body], n)
	}
	err := tx.Archives().Faulty(func(a moraine.Archive) error {
		for _, n := range of[a.Body] {
			list[n].Archive = &a
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	vaults := make(map[moraine.VaultID]*moraine.Vault)
	for n := range list {
		a := list[n].Archive
		if a == nil {
			continue
		}
		v, known := vaults[a.Vault]
		if !known {
			got, err := tx.Vaults().ByID(a.Vault)
			if err == nil {
				v = &got
			} else if !errors.Is(err, meta.ErrNotFound) {
				return nil, err
			}
			vaults[a.Vault] = v
		}
		list[n].Vault = v
	}
	return list, nil
}

// CountFailed returns how many extents have a fault, up to 10,000.
func (s *Service) CountFailed(ctx context.Context) (n int, err error) {
	err = s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		list, _, err := faulty(tx)
		n = len(list)
		return err
	})
	return n, err
}

// Release checks the extents with a fault of an archive, or the one that is a
// blob, and releases those that are whole. It returns how many still have one.
func (s *Service) Release(ctx context.Context, name string) (released, left int, err error) {
	var before []meta.Placed
	err = s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		before, _, err = named(tx, name)
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	buf := make([]byte, treehash.LeafSize)
	for _, p := range before {
		if err := s.CheckBlob(ctx, p.Blob, buf); err != nil {
			return released, len(before) - released, err
		}
		err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
			_, e, err := tx.Bodies().ByBlob(p.Blob)
			if errors.Is(err, meta.ErrNotFound) || err == nil && e.Fault == "" {
				released++
				return nil
			}
			return err
		})
		if err != nil {
			return released, len(before) - released, err
		}
	}
	return released, len(before) - released, nil
}

// Discard gives up the bytes of an archive with a fault, or of whatever a blob
// with a fault is a piece of, and returns how many pieces they were. The archive
// must have been deleted from its vault, by someone whom the vault's lock and
// policies allow that: what is only damaged stays, for a better copy may turn
// up. The bytes are garbage then and are deleted by the sweep.
func (s *Service) Discard(ctx context.Context, name string) (pieces int, err error) {
	err = s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		_, body, err := named(tx, name)
		if err != nil {
			return err
		}
		pieces, err = tx.Sweeps().GiveUp(body, s.time())
		if errors.Is(err, meta.ErrNotFound) {
			return moraine.Errorf(moraine.Invalid,
				"%s is not deleted, or a job still names it; delete the archive from its vault, wait until the output of its jobs has expired, and try again", name)
		}
		// Durable with the commit: no row names the bytes, and the garbage does.
		return err
	})
	return pieces, err
}

// named finds the extents with a fault of an archive, or the one that is a
// blob, and their body.
func named(tx meta.Tx, name string) (list []meta.Placed, body moraine.BodyID, err error) {
	none := moraine.Errorf(moraine.NotFound, "nothing that failed is named %q; name an archive id or a blob as moraine scrub failed prints it", name)
	if id, err := moraine.ParseBlobID(name); err == nil {
		b, e, err := tx.Bodies().ByBlob(id)
		if errors.Is(err, meta.ErrNotFound) || err == nil && e.Fault == "" {
			return nil, "", none
		}
		return []meta.Placed{{Body: b, Extent: e}}, b, err
	}
	err = tx.Archives().Faulty(func(a moraine.Archive) error {
		if string(a.ID) == name {
			body = a.Body
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	if body == "" {
		return nil, "", none
	}
	extents, err := tx.Bodies().Extents(body, 0, moraine.PartsMax)
	for _, e := range extents {
		if e.Fault != "" {
			list = append(list, meta.Placed{Body: body, Extent: e})
		}
	}
	return list, body, err
}
