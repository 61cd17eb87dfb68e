package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"moraine"
	"moraine/internal/account"
	"moraine/internal/adminapi"
	"moraine/internal/adminclient"
	"moraine/internal/audit"
	"moraine/internal/blob"
	"moraine/internal/clock"
	"moraine/internal/config"
	"moraine/internal/lease"
	"moraine/internal/mend"
	"moraine/internal/meta"
	"moraine/internal/scrub"
)

// scrubDesk is what is asked of the reading of everything and where what it
// finds is told, in a server and in an operator's command alike.
type scrubDesk struct {
	scrub *scrub.Service
	cfg   config.Scrub
	now   func() time.Time
	log   *slog.Logger
	audit *audit.Log             // nil for none
	count func(adminapi.Finding) // nil for nobody
	wake  func()                 // for messages that were written; nil for nobody

	account moraine.AccountID // whose vaults are meant by their names alone
	region  moraine.Region
}

// newScrubDesk makes the service and its desk. passes is nil for a directory that
// one process has to itself, menders where there is no second copy to mend from.
func newScrubDesk(
	cfg config.Config, opts Options, rows meta.Store, blobs blob.Store, log *audit.Log,
	passes *lease.Lease, menders *mend.Service, owner moraine.AccountID,
) *scrubDesk {
	d := &scrubDesk{cfg: cfg.Scrub, now: opts.Now, account: owner, region: cfg.Region, log: opts.Log, audit: log}
	c := scrub.Config{
		Meta: rows, Blobs: blobs, Now: opts.Now, Log: opts.Log, Lease: passes,
		Period: cfg.Scrub.Period, Rate: cfg.Scrub.Rate, Found: d.found,
		Topic: cfg.Scrub.Topic, Source: moraine.VaultARN(cfg.Region, owner, "*"),
	}
	if menders != nil {
		c.Mend = menders.MendBlob
	}
	d.scrub = scrub.New(c)
	return d
}

// found tells of findings in the log, the metrics and the audit log.
func (d *scrubDesk) found(ctx context.Context, list []scrub.Finding) {
	if d.wake != nil {
		d.wake()
	}
	owners, err := d.scrub.Owners(ctx, list)
	if err != nil {
		// They are told of without the names of their archives.
		d.log.WarnContext(ctx, "owners of blobs not found", "err", err)
		owners = make([]scrub.Failed, len(list))
	}
	for n, f := range list {
		item := failedItem(&scrub.Failed{
			Placed: meta.Placed{Body: f.Body, Extent: f.Extent}, Archive: owners[n].Archive, Vault: owners[n].Vault,
		})
		kind := adminapi.FoundWhole
		switch {
		case f.Extent.Fault != "":
			kind = adminapi.FoundFailed
			d.log.ErrorContext(ctx, "stored bytes are damaged, and quarantined", "vault", item.Vault, "archive", item.Archive, "blob", item.Blob, "fault", item.Fault)
			d.audit.Service(audit.ScrubFailure, findingDetails(&item, f.Copies))
		case f.Repaired:
			kind = adminapi.FoundRepaired
			d.log.WarnContext(ctx, "damaged copy made anew from a good one", "blob", item.Blob, "copies", f.Copies)
			d.audit.Service(audit.ScrubRepaired, findingDetails(&item, f.Copies))
		default:
			d.log.WarnContext(ctx, "quarantined bytes are whole", "blob", item.Blob)
			d.audit.Service(audit.ScrubRepaired, findingDetails(&item, f.Copies))
		}
		if d.count != nil {
			d.count(kind)
		}
	}
}

func findingDetails(i *adminapi.FailedItem, copies []string) map[string]any {
	details := map[string]any{"blob": i.Blob, "body": i.Body, "size": i.Size}
	for name, text := range map[string]string{"vaultARN": i.Vault, "archiveId": i.Archive, "fault": i.Fault} {
		if text != "" {
			details[name] = text
		}
	}
	if len(copies) > 0 {
		details["copies"] = copies
	}
	return details
}

func failedItem(f *scrub.Failed) adminapi.FailedItem {
	i := adminapi.FailedItem{
		Body: string(f.Body), First: f.First, Size: f.Size, Blob: f.Blob.String(), Checked: f.Verified, Fault: f.Fault,
	}
	if f.Archive != nil {
		i.Archive, i.ArchiveSize, i.Deleted = string(f.Archive.ID), f.Archive.Size, !f.Archive.Deleted.IsZero()
	}
	if f.Vault != nil {
		i.Vault = f.Vault.ARN()
	}
	return i
}

// admin is the desk for the admin listener.
func (d *scrubDesk) admin() *adminapi.Scrub {
	return &adminapi.Scrub{Status: d.status, Start: d.start, Failed: d.failed, Release: d.release, Discard: d.discard, Vault: d.vault}
}

func (d *scrubDesk) status(ctx context.Context) (adminapi.ScrubReply, error) {
	r := adminapi.ScrubReply{State: "idle", Period: d.cfg.Period.String(), Rate: d.cfg.Rate}
	state, err := d.scrub.State(ctx)
	if err != nil {
		return r, err
	}
	if r.Failed, err = d.scrub.CountFailed(ctx); err != nil {
		return r, err
	}
	r.Late = d.scrub.Late(&state)
	if !state.Started.IsZero() {
		r.State, r.Pass = "reading", scrubPass(state.Started, time.Time{}, state.Tally)
		if err := d.scrub.Resting(); err != nil {
			r.State, r.Error = "resting", err.Error()
		}
	}
	if !state.Finished.IsZero() {
		r.Last = scrubPass(state.LastStarted, state.Finished, state.Last)
		if next := state.Next(d.cfg.Period); d.cfg.Period > 0 && r.Pass == nil {
			r.Next = &next
		}
	}
	switch {
	case r.Failed > 0:
		r.Advice = "archives are damaged: moraine scrub failed lists them; they are not served, and what is left of them is kept"
	case r.Error != "":
		r.Advice = "the pass cannot go on; look at the disks and at the log"
	case r.Late:
		r.Advice = "a pass takes longer than scrub.period; raise scrub.rate or the period"
	}
	return r, nil
}

func scrubPass(began, ended time.Time, t moraine.Tally) *adminapi.ScrubPass {
	p := &adminapi.ScrubPass{Started: began, Blobs: t.Blobs, Bytes: t.Bytes, Failed: t.Faulty, Repaired: t.Repaired}
	if !ended.IsZero() {
		p.Finished = &ended
	}
	return p
}

func (d *scrubDesk) start(ctx context.Context) error { return d.scrub.Ask(ctx) }

func (d *scrubDesk) failed(ctx context.Context) (adminapi.FailedReply, error) {
	list, more, err := d.scrub.Failed(ctx)
	r := adminapi.FailedReply{Failed: make([]adminapi.FailedItem, len(list)), More: more}
	for n := range list {
		r.Failed[n] = failedItem(&list[n])
	}
	return r, err
}

func (d *scrubDesk) release(ctx context.Context, name string) (r adminapi.ReleaseReply, err error) {
	r.Released, r.Left, err = d.scrub.Release(ctx, name)
	return r, err
}

// vault reads the archives of one vault now.
func (d *scrubDesk) vault(ctx context.Context, q adminapi.VaultQuery) (adminapi.ScrubPass, error) {
	owner, region := moraine.AccountID(q.Account), moraine.Region(q.Region)
	if owner == "" {
		owner = d.account
	}
	if region == "" {
		region = d.region
	}
	began := d.now().UTC()
	found, err := d.scrub.CheckVault(ctx, owner, region, moraine.VaultName(q.Vault))
	return *scrubPass(began, d.now().UTC(), found), err
}

func (d *scrubDesk) discard(ctx context.Context, name string) (adminapi.DiscardReply, error) {
	n, err := d.scrub.Discard(ctx, name)
	if err != nil {
		return adminapi.DiscardReply{}, err
	}
	d.log.WarnContext(ctx, "an operator gave up the bytes of a deleted archive that failed", "name", name, "pieces", n)
	d.audit.Service(audit.ScrubDiscarded, map[string]any{"name": name, "pieces": n})
	return adminapi.DiscardReply{Pieces: n}, nil
}

// The verbs of moraine scrub. Each asks the server that is using the data
// directory, or does it itself if none is.

// ScrubStatus says how far the reading of everything has come.
func ScrubStatus(ctx context.Context, cfg config.Config, opts Options) (adminapi.ScrubReply, error) {
	return operateScrub(ctx, cfg, opts, false, (*adminclient.Client).Scrub, (*scrubDesk).status)
}

// StartScrub has a pass begin, at the next start if no server is running.
func StartScrub(ctx context.Context, cfg config.Config, opts Options) (adminapi.ScrubReply, error) {
	return operateScrub(ctx, cfg, opts, false, (*adminclient.Client).StartScrub, func(d *scrubDesk, ctx context.Context) (r adminapi.ScrubReply, err error) {
		if err := d.start(ctx); err != nil {
			return r, err
		}
		return d.status(ctx)
	})
}

// ScrubVault reads every archive of a vault, however long that takes.
func ScrubVault(ctx context.Context, cfg config.Config, opts Options, q adminapi.VaultQuery) (adminapi.ScrubPass, error) {
	return operateScrub(ctx, cfg, opts, true,
		func(c *adminclient.Client, ctx context.Context) (adminapi.ScrubPass, error) {
			return c.ScrubVault(ctx, q)
		},
		func(d *scrubDesk, ctx context.Context) (adminapi.ScrubPass, error) { return d.vault(ctx, q) })
}

// FailedScrub lists what is quarantined.
func FailedScrub(ctx context.Context, cfg config.Config, opts Options) (adminapi.FailedReply, error) {
	return operateScrub(ctx, cfg, opts, false, (*adminclient.Client).FailedScrub, (*scrubDesk).failed)
}

// ReleaseScrub checks an archive or a blob that failed again, and serves it if
// it is whole.
func ReleaseScrub(ctx context.Context, cfg config.Config, opts Options, name string) (adminapi.ReleaseReply, error) {
	return operateScrub(ctx, cfg, opts, true,
		func(c *adminclient.Client, ctx context.Context) (adminapi.ReleaseReply, error) {
			return c.ReleaseScrub(ctx, name)
		},
		func(d *scrubDesk, ctx context.Context) (adminapi.ReleaseReply, error) { return d.release(ctx, name) })
}

// DiscardScrub gives up the bytes of a deleted archive that failed.
func DiscardScrub(ctx context.Context, cfg config.Config, opts Options, name string) (adminapi.DiscardReply, error) {
	return operateScrub(ctx, cfg, opts, true,
		func(c *adminclient.Client, ctx context.Context) (adminapi.DiscardReply, error) {
			return c.DiscardScrub(ctx, name)
		},
		func(d *scrubDesk, ctx context.Context) (adminapi.DiscardReply, error) { return d.discard(ctx, name) })
}

// operateScrub finds who has the data directory, and asks that server or does it
// here, with or without an audit log.
func operateScrub[T any](
	ctx context.Context, cfg config.Config, opts Options, audited bool,
	running func(*adminclient.Client, context.Context) (T, error), stopped func(*scrubDesk, context.Context) (T, error),
) (T, error) {
	return operate(ctx, cfg, opts, running, func(ctx context.Context, d *data, opts Options) (reply T, err error) {
		s, err := d.openStores(ctx, opts.Log, opts.Now, wanted(cfg.Storage, ""))
		if err != nil {
			return reply, err
		}
		defer func() { err = errors.Join(err, s.Close()) }()
		if audited {
			if s.audit, err = d.openAudit(cfg, opts); err != nil {
				return reply, err
			}
		}
		owner, err := d.settleAccount(cfg.Root.Account, account.Generate())
		if err != nil {
			return reply, err
		}
		return stopped(newScrubDesk(cfg, opts, s.rows, s.blobs, s.audit, nil, nil, owner), ctx)
	})
}

// operate finds who has the data directory: a server, which is asked through its
// admin listener, or nobody. Then the directory is opened, and goes by its clock.
func operate[T any](
	ctx context.Context, cfg config.Config, opts Options,
	running func(*adminclient.Client, context.Context) (T, error), stopped func(context.Context, *data, Options) (T, error),
) (reply T, err error) {
	opts.fill()
	d, err := openExisting(cfg.Data, cfg.Meta)
	var used *inUseError
	if errors.As(err, &used) {
		client, _, err := findRunning(ctx, cfg, used)
		if err != nil {
			return reply, err
		}
		return running(client, ctx)
	}
	if err != nil {
		return reply, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	clk, err := d.openClock(clock.Config{System: opts.Now, Log: opts.Log})
	if err != nil {
		return reply, err
	}
	opts.Now = clk.Now
	return stopped(ctx, d, opts)
}

// findRunning returns a client of the server that has a data directory, and
// what it says of its clock.
func findRunning(ctx context.Context, cfg config.Config, used *inUseError) (*adminclient.Client, adminapi.ClockReply, error) {
	var none adminapi.ClockReply
	if cfg.Admin.Listen == "" {
		return nil, none, fmt.Errorf("%w; or name its admin.listen, if it has one", used)
	}
	client, err := adminclient.New(cfg.Admin.Listen)
	if err != nil {
		return nil, none, err
	}
	st, err := client.Clock(ctx)
	if err != nil {
		return nil, none, fmt.Errorf("the data directory %s is in use by %s, which is asked at its admin.listen: %w", used.dir, used.holder, err)
	}
	if st.Process != used.holder {
		return nil, none, fmt.Errorf("the data directory %s is in use by %s, but at %s answers %s; name the admin.listen of the first", used.dir, used.holder, cfg.Admin.Listen, st.Process)
	}
	return client, st, nil
}
