package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"moraine/internal/adminapi"
	"moraine/internal/adminclient"
	"moraine/internal/blob/mirror"
	"moraine/internal/blob/s3"
	"moraine/internal/clock"
	"moraine/internal/config"
	"moraine/internal/disk"
	"moraine/internal/health"
	"moraine/internal/lease"
	"moraine/internal/meta"
)

// errDraining is the answer of /readyz when the end has begun.
var errDraining = errors.New("draining")

// newHealth joins what /readyz asks to the stores and the clock.
func newHealth(cfg config.Config, d *data, s *stores, clk *clock.Clock) *health.Panel {
	return health.New(health.Config{Questions: []health.Question{
		{Name: "rows", Ask: func(ctx context.Context) error { return answering(ctx, s.rows) }},
		{Name: "bytes", Ask: func(ctx context.Context) error { return writable(ctx, cfg.Storage, d, s.storage) }},
		{Name: "clock", Ask: func(ctx context.Context) error {
			if err := believed(clk.Status()); err != nil || s.alone {
				return err
			}
			return agrees(ctx, s.rows, clk.Now)
		}},
	}})
}

// readiness says what must be so for requests to be sent here. When the end has
// begun nothing else counts.
func (n *node) readiness(ctx context.Context) []health.Answer {
	if !n.ready.Load() {
		return []health.Answer{{Name: "serving", Err: errDraining}}
	}
	return append([]health.Answer{{Name: "serving"}}, n.health.Ask(ctx)...)
}

// answering asks the rows something small.
func answering(ctx context.Context, rows meta.Store) error {
	return rows.View(ctx, func(tx meta.Tx) error {
		_, _, err := tx.Jobs().NextDue()
		return err
	})
}

// writable returns why uploads would be refused, as far as that can be told
// without one. A mirror of which one copy is enough may lack the other.
func writable(ctx context.Context, cfg config.Storage, d *data, st *storage) error {
	places := map[string]string{mirror.Primary: d.path(packsDir), mirror.Second: st.mirror}
	var faults []error
	for _, role := range roles {
		switch bucket := st.buckets[role]; {
		case bucket != nil:
			faults = append(faults, present(ctx, bucket))
		case places[role] != "":
			faults = append(faults, disk.Writable(places[role]))
		}
	}
	if cfg.MirrorAck == config.AckOne && slices.Contains(faults, nil) {
		faults = nil
	}
	return errors.Join(append(faults, roomIn(d).check(0))...)
}

// present returns why a bucket does not say what it is.
func present(ctx context.Context, bucket *s3.Store) error {
	_, found, err := bucket.Note(ctx, identityFile)
	if err == nil && !found {
		err = errors.New("the bucket does not say any more whose it is")
	}
	return err
}

// believed returns what is wrong with the clock: dates of archives and locks
// would be another node's past or future.
func believed(st clock.Status) error {
	if advice := st.Advice(); advice != "" {
		return errors.New(advice)
	}
	return nil
}

// agrees returns how far a clock is from that of the store, if it is too far: what
// is dated here would be old, or not yet, elsewhere.
func agrees(ctx context.Context, rows meta.Store, now func() time.Time) error {
	c := lease.NewClock(now)
	err := rows.View(ctx, func(tx meta.Tx) error {
		_, err := c.Read(tx)
		return err
	})
	if off := c.Off(); err == nil && off.Abs() > apartMax {
		err = fmt.Errorf("it is %s from that of the database: set both right", -off.Round(time.Second))
	}
	return err
}

// Health asks a running server, through its admin listener, whether it is ready
// for requests; or, with live, only whether it is alive.
func Health(ctx context.Context, cfg config.Config, live bool) (yes bool, text string, err error) {
	c, err := adminclient.New(cfg.Admin.Listen)
	if err != nil {
		return false, "", err
	}
	path := adminapi.ReadyPath
	if live {
		path = adminapi.LivePath
	}
	return c.Probe(ctx, path)
}
