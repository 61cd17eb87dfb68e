package server

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/account"
	"moraine/internal/adminapi"
	"moraine/internal/api"
	"moraine/internal/audit"
	"moraine/internal/blob"
	"moraine/internal/blobkeys"
	"moraine/internal/clock"
	"moraine/internal/config"
	"moraine/internal/health"
	"moraine/internal/iamapi"
	"moraine/internal/job"
	"moraine/internal/mend"
	"moraine/internal/meta"
	"moraine/internal/notify"
	"moraine/internal/sigv4"
	"moraine/internal/trace"
	"moraine/internal/vault"
)

// node is the services and surfaces of a server.
type node struct {
	accounts   *account.Service
	vaults     *vault.Service
	jobs       *job.Service
	notify     *notify.Service
	mend       *mend.Service // nil without a mirror
	scrub      *scrubDesk
	compaction *mend.Compaction // empties packs that are mostly of deleted archives
	fixity     *fixityDesk
	metrics    *adminapi.Metrics
	audit      *audit.Log // nil for none
	stores     *stores
	throttle   *access.Throttle // nil for none
	replays    *sigv4.Replays   // nil for none
	tooMany    func(r *http.Request, unknown bool) bool
	mirror     func() adminapi.Mirror // nil for none
	api        http.Handler
	clock      *clock.Clock
	keys       *blobkeys.Service
	mover      *mover
	process    string      // what the lock of the data directory says about this process
	ready      atomic.Bool // requests are taken
	health     *health.Panel
	tracer     *trace.Tracer // nil for none
	manager    *manager

	hindrance hindrance // of test mode
	log       *slog.Logger
}

// newNode joins services and surfaces to the stores.
func newNode(cfg config.Config, opts Options, d *data, s *stores, id identity, clk *clock.Clock, sinks targets, tracer *trace.Tracer) *node {
	// What goes by the clock that never runs back is everything but what says
	// so: signatures and rates go by the system clock.
	opts.Now = clk.Now
	unreadable := unparsable(s.audit)
	owner := rand.Text() // names this process in leases, never reused
	pending, authority := new(blob.Pending), access.New(access.Config{Now: opts.Now, Doubt: !s.alone, Log: opts.Log, Unreadable: unreadable})
	n := &node{log: opts.Log, clock: clk, process: d.lock.Holder(), stores: s, keys: s.keys, tracer: tracer}
	n.mover = &mover{cfg: cfg, opts: opts, data: d, stores: s}
	rows := n.watched(s.rows)
	n.mend = n.newMend(opts, s, pending)
	n.mirror = n.mirrorStatus(s)
	n.accounts = account.New(account.Config{
		Meta: rows, Keyring: id.keyring, Root: id.root, Now: clk.Wall, Log: opts.Log, Unreadable: unreadable,
		Shared: !s.alone, NewRoot: opts.NewRoot,
	})
	n.vaults = vault.New(vault.Config{
		Meta: rows, Blobs: s.blobs, Pending: pending, Access: authority, Now: opts.Now, Log: opts.Log,
		InventoryInterval: cfg.InventoryInterval, Retention: cfg.UploadRetention, OrphanGrace: cfg.OrphanGrace, GarbageGrace: cfg.GarbageGrace,
		Hastened: func() { n.jobs.Wake() }, Notice: s.audit.Service, Swept: func(step string, rows int) { n.metrics.Swept(step, rows) },
		Sweeping: s.lease("sweep", owner), Searching: s.lease("orphans", owner),
	})
	n.notify = notify.New(notify.Config{
		Meta: rows, Targets: sinks, Owner: owner, Now: opts.Now, Log: opts.Log,
		Retention: cfg.Notify.Retention, Removed: func(m moraine.Message) { n.metrics.Removed(m) },
	})
	n.scrub = newScrubDesk(cfg, opts, rows, s.blobs, s.audit, s.lease("scrub", owner), n.mend, id.root.Account)
	n.scrub.wake = n.notify.Wake
	n.compaction = newCompaction(cfg.Storage.Compact, opts, rows, s.blobs, n.scrub.scrub.Suspect, s.lease("compaction", owner))
	n.health = newHealth(cfg, d, s, clk)
	n.fixity = newFixityDesk(cfg, opts, d, rows, id.root.Account)
	n.jobs = job.New(job.Config{
		Meta: rows, Blobs: s.blobs, Pending: pending, Access: authority, Now: opts.Now, Log: opts.Log,
		Owner: owner, Delays: cfg.JobDelay, Finished: n.notify.Wake, Suspect: n.scrub.scrub.Suspect,
		InventoryInterval: cfg.InventoryInterval, Retention: cfg.JobRetention,
		FreeTier: cfg.FreeTier, Scarcity: cfg.Scarcity, Running: n.traceJob(),
		OrphanGrace: cfg.OrphanGrace, Expiring: s.lease("expiry", owner),
	})
	n.audit, n.throttle, n.replays = s.audit, newThrottle(cfg.RateLimit, opts), newReplays(cfg, opts)
	n.tooMany = tooMany(cfg, newThrottle(cfg.Auth.FailureLimit, opts))
	n.metrics = adminapi.NewMetrics(adminapi.Sources{
		Fsyncs:   func() int64 { return d.fsys.Syncs() + int64(s.rows.Commits()) },
		Retries:  retries(s.rows),
		DiskFree: d.free,
		Mirror:   n.mirror,
		Census:   func(ctx context.Context) (adminapi.Census, error) { return census(ctx, s.rows) },
		Clock:    clk.Status,
		Scrub:    n.scrub.status,
		Compact:  func() adminapi.CompactReply { return compactReply(n.compaction, cfg.Storage.Compact) },
		Version:  opts.Version,
		Node:     hostname(),
	})
	n.scrub.count = n.metrics.Found
	n.api = n.counted(tracer.Requests(surfaces(newAPI(cfg, opts, n), newIAM(cfg, opts, n))))
	return n
}

// surfaces is one handler for the listener: the service a request claims to be
// signed for chooses who answers, and that one verifies the claim.
func surfaces(glacier, identities http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if iamapi.Serves(r) {
			identities.ServeHTTP(w, r)
			return
		}
		glacier.ServeHTTP(w, r)
	})
}

func regionNames(cfg config.Config) []string {
	regions := make([]string, len(cfg.Regions))
	for i, r := range cfg.Regions {
		regions[i] = string(r)
	}
	return regions
}

// identityRegion is the one IAM and STS are signed for when a client has no
// endpoint of its own (access-control §2.2).
const identityRegion = "us-east-1"

// identityRegions are those a request to IAM or STS may be signed for.
func identityRegions(cfg config.Config) []string {
	names := regionNames(cfg)
	if slices.Contains(names, identityRegion) {
		return names
	}
	return append(names, identityRegion)
}

// newIAM joins the IAM and STS surface to the services.
func newIAM(cfg config.Config, opts Options, n *node) http.Handler {
	return iamapi.New(iamapi.Config{
		Accounts: n.accounts, Principals: n.accounts,
		Verifier: sigv4.New(sigv4.Config{
			Keys: n.accounts, Now: opts.system, Services: []string{iamapi.IAM, iamapi.STS},
			Regions: identityRegions(cfg),
			MaxSkew: cfg.Auth.AdminMaxSkew, UnsignedHeaders: unsigned(cfg.Auth.UnsignedAmzHeaders),
			MaxBody: iamapi.BodyMax, Debug: cfg.Auth.DebugSignature, Secure: cfg.TrustedProxies.Secure,
			TooMany: n.tooMany,
		}),
		Proxies: cfg.TrustedProxies, HeaderBytesMax: cfg.HTTP.MaxHeaderBytes,
		Log: opts.Log, Observe: n.observeIAM, BodyWindow: opts.bodyWindow,
		Audit: n.audit, Throttle: n.throttle, Replays: n.replays, Claimed: claimed(n.accounts),
	})
}

// newAPI joins the Glacier API to the services.
func newAPI(cfg config.Config, opts Options, n *node) http.Handler {
	return api.New(api.Config{
		Vaults: n.vaults, Jobs: n.jobs, Principals: n.accounts,
		Verifier: sigv4.New(sigv4.Config{
			Keys: n.accounts, Now: opts.system, Services: []string{"glacier"}, Regions: regionNames(cfg),
			MaxSkew: cfg.Auth.MaxSkew, UnsignedHeaders: unsigned(cfg.Auth.UnsignedAmzHeaders),
			MaxBody: cfg.HTTP.MaxJSONBody, Debug: cfg.Auth.DebugSignature, Secure: cfg.TrustedProxies.Secure,
			TooMany: n.tooMany,
		}),
		Proxies: cfg.TrustedProxies, HeaderBytesMax: cfg.HTTP.MaxHeaderBytes,
		Now: opts.Now, Log: opts.Log, Observe: n.observe, Hinder: n.hindrance.hinder,
		Audit: n.audit, Throttle: n.throttle, Replays: n.replays, Claimed: claimed(n.accounts),
		BodyRateMin: cfg.HTTP.MinBodyRate, BodyWindow: opts.bodyWindow,
	})
}

// unsigned translates auth.unsigned_amz_headers. What it does not know it
// denies.
func unsigned(setting string) sigv4.UnsignedHeaders {
	switch setting {
	case config.UnsignedAllow:
		return sigv4.AllowUnsigned
	case config.UnsignedTLSOnly:
		return sigv4.TLSOnlyUnsigned
	}
	return sigv4.DenyUnsigned
}

// observe counts a request of the API.
func (n *node) observe(ctx context.Context, e api.Event) {
	operation := e.Operation
	if operation == "" {
		operation = "none"
	}
	n.metrics.Observe(adminapi.Request{
		Operation: operation, Status: e.Status, BytesIn: e.BytesIn, BytesOut: e.BytesOut, Duration: e.Duration,
	})
	n.tracer.Answered(ctx, trace.Answer{
		Operation: operation, RequestID: e.RequestID, Status: e.Status, Code: e.Code, BytesIn: e.BytesIn, BytesOut: e.BytesOut,
	})
}

// observeIAM counts a request of the IAM and STS surface.
func (n *node) observeIAM(ctx context.Context, e iamapi.Event) {
	operation := e.Operation
	if operation == "" {
		operation = "none"
	}
	operation = e.Service + ":" + operation
	n.metrics.Observe(adminapi.Request{
		Operation: operation, Status: e.Status, BytesIn: e.BytesIn, BytesOut: e.BytesOut, Duration: e.Duration,
	})
	n.tracer.Answered(ctx, trace.Answer{
		Operation: operation, RequestID: e.RequestID, Status: e.Status, Code: e.Code, BytesIn: e.BytesIn, BytesOut: e.BytesOut,
	})
}

func (n *node) adminHandler(cfg config.Config) http.Handler {
	return adminapi.New(adminapi.Config{
		Metrics: n.metrics, Ready: n.readiness, Log: n.log, Mirror: n.mirror, TestMode: n.testMode(cfg),
		Clock:      &adminapi.Clock{Status: n.clock.Status, Confirm: n.confirm, Process: n.process},
		Encryption: n.encryption(), Migrate: n.mover.copyBytes, Scrub: n.scrub.admin(), Fixity: n.fixity.admin(),
		Compact: n.adminCompact(cfg.Storage.Compact),
	})
}

// census counts the work that is not finished.
func census(ctx context.Context, rows meta.Store) (adminapi.Census, error) {
	c := adminapi.Census{Jobs: map[string]int64{
		string(moraine.InProgress): 0, string(moraine.Succeeded): 0, string(moraine.Failed): 0,
	}}
	c.Messages = map[string]int64{
		string(moraine.MessagePending): 0, string(moraine.MessageUnrouted): 0, string(moraine.MessageDead): 0,
	}
	err := rows.View(ctx, func(tx meta.Tx) error {
		var err error
		if c.OpenUploads, err = tx.Uploads().CountOpen(); err != nil {
			return err
		}
		states, err := tx.Jobs().CountByState()
		for state, n := range states {
			c.Jobs[string(state)] = n
		}
		if err != nil {
			return err
		}
		messages, err := tx.Outbox().CountByState()
		for state, n := range messages {
			c.Messages[string(state)] = n
		}
		return err
	})
	return c, err
}
