package server

import (
	"context"
	"crypto/rand"
	"errors"

	"moraine"
	"moraine/internal/adminapi"
	"moraine/internal/adminclient"
	"moraine/internal/blob"
	"moraine/internal/config"
	"moraine/internal/lease"
	"moraine/internal/mend"
	"moraine/internal/meta"
)

// newCompaction makes the part that empties sparse packs.
func newCompaction(cfg config.Compact, opts Options, rows meta.Store, blobs mend.SparseStore, suspect func(moraine.BlobID), passes *lease.Lease) *mend.Compaction {
	return mend.NewCompaction(mend.CompactionConfig{
		Meta: rows, Blobs: blobs, Period: cfg.Period, Grace: cfg.Grace, Pacer: mend.NewPacer(cfg.Rate),
		From:    blob.Sparsity{Held: float64(cfg.Dead) / 100, Given: float64(cfg.DeadHoles) / 100},
		Suspect: suspect, Lease: passes, Now: opts.Now, Log: opts.Log,
	})
}

// compactReply says how the compaction stands.
func compactReply(c *mend.Compaction, cfg config.Compact) adminapi.CompactReply {
	st := c.Status()
	return adminapi.CompactReply{
		Started: st.Started, Finished: st.Finished, Period: cfg.Period.String(), Rate: cfg.Rate,
		Pass: adminapi.CompactPass{
			Blobs: st.Pass.Blobs, Moved: st.Pass.Moved, Bytes: st.Pass.Bytes,
			Quarantined: st.Pass.Quarantined, Failed: st.Pass.Failed, Surplus: st.Pass.Surplus,
		},
		Moved: st.Moved, Bytes: st.Bytes, Error: st.Error, ErrorAt: st.At,
	}
}

// adminCompact is what operators may ask of the compaction.
func (n *node) adminCompact(cfg config.Compact) *adminapi.Compact {
	return &adminapi.Compact{
		Status: func() adminapi.CompactReply { return compactReply(n.compaction, cfg) },
		Start:  n.compaction.Ask,
	}
}

// CompactStatus asks a running server how its compaction stands. Of a directory
// that none is using there is nothing to tell.
func CompactStatus(ctx context.Context, cfg config.Config, opts Options) (adminapi.CompactReply, error) {
	return operate(ctx, cfg, opts, func(c *adminclient.Client, ctx context.Context) (adminapi.CompactReply, error) { return c.Compact(ctx) },
		func(context.Context, *data, Options) (adminapi.CompactReply, error) {
			return adminapi.CompactReply{Period: cfg.Storage.Compact.Period.String(), Rate: cfg.Storage.Compact.Rate}, nil
		})
}

// StartCompact has a running server begin a pass, or makes one in a directory
// that none is using. What was copied is deleted at its old place by the server,
// after the grace.
func StartCompact(ctx context.Context, cfg config.Config, opts Options) (adminapi.CompactReply, error) {
	return operate(ctx, cfg, opts, func(c *adminclient.Client, ctx context.Context) (adminapi.CompactReply, error) {
		return c.StartCompact(ctx)
	},
		func(ctx context.Context, d *data, opts Options) (reply adminapi.CompactReply, err error) {
			s, err := d.openStores(ctx, opts.Log, opts.Now, wanted(cfg.Storage, ""))
			if err != nil {
				return reply, err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			c := newCompaction(cfg.Storage.Compact, opts, s.rows, s.blobs, nil, s.lease("compaction", rand.Text()))
			err = c.Pass(ctx)
			return compactReply(c, cfg.Storage.Compact), err
		})
}
