package scrub

import (
	"context"
	"errors"
	"math"
	"time"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/treehash"
)

// vaultPage is how many archives of a vault are found at a time.
const vaultPage = 100

// endOfTime is after every instant of a row.
var endOfTime = time.UnixMilli(math.MaxInt64 / 2).UTC()

// CheckVault reads every archive of a vault now, beside the passes and at their
// rate, and returns what it found. What is deleted meanwhile is passed over. Each
// page is kept when it was read: a crash loses a page, which is read again by
// whoever asks again.
func (s *Service) CheckVault(ctx context.Context, a moraine.AccountID, r moraine.Region, name moraine.VaultName) (moraine.Tally, error) {
	var total moraine.Tally
	q := meta.Scan{At: endOfTime, Limit: vaultPage}
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		v, err := tx.Vaults().Get(a, r, name)
		if errors.Is(err, meta.ErrNotFound) {
			return moraine.Errorf(moraine.NotFound, "there is no vault %s", moraine.VaultARN(r, a, string(name)))
		}
		q.Vault = v.ID
		return err
	})
	if err != nil {
		return total, err
	}
	buf := make([]byte, treehash.LeafSize)
	for {
		var page []moraine.Archive
		err := s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
			return tx.Archives().Scan(q, func(a moraine.Archive) error { page = append(page, a); return nil })
		})
		if err != nil {
			return total, err
		}
		for _, a := range page {
			found, err := s.checkBody(ctx, a.Body, buf)
			total.Add(found)
			if err != nil {
				return total, err
			}
		}
		if len(page) < vaultPage {
			return total, nil
		}
		last := &page[len(page)-1]
		q.AfterCreated, q.AfterID = last.Created, string(last.ID)
	}
}

// checkBody reads the blobs of a body.
func (s *Service) checkBody(ctx context.Context, b moraine.BodyID, buf []byte) (total moraine.Tally, err error) {
	for from := int64(0); ; {
		var list []moraine.Extent
		err := s.cfg.Meta.View(ctx, func(tx meta.Tx) (err error) {
			list, err = tx.Bodies().Extents(b, from, batchBlobs)
			return err
		})
		if err != nil {
			return total, err
		}
		verdicts := make([]verdict, 0, len(list))
		for _, e := range list {
			v, err := s.check(ctx, e, buf, nil)
			if err != nil {
				return total, errors.Join(err, s.keep(context.WithoutCancel(ctx), verdicts, nil, nil))
			}
			verdicts = append(verdicts, v)
			from = e.First + e.Size
		}
		judgeUnread(verdicts)
		if err := s.keep(ctx, verdicts, nil, nil); err != nil {
			return total, err
		}
		for _, v := range verdicts {
			total.Add(v.tally())
		}
		if len(list) < batchBlobs {
			return total, nil
		}
	}
}
