// Package job is the service of retrievals: it accepts jobs, runs them when
// they are due, and serves their output until it expires. It also keeps what
// limits retrievals: data retrieval policies and provisioned capacity.
//
// It knows every rule of glacier-api §7, §8, §10.1 and §10.2: which jobs are
// accepted, their states (docs/jobs.md), the inventory documents, the ranges of
// an output and when a checksum goes with them. It must not know HTTP, SQL text
// or file paths.
package job

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/blob"
	"moraine/internal/lease"
	"moraine/internal/meta"
)

// Delays say how long a job waits before it runs, by tier. Inventory jobs wait
// as long as Standard ones.
type Delays struct {
	Expedited, Standard, Bulk time.Duration
}

// Config is what a Service is made of.
type Config struct {
	Meta    meta.Store        // required
	Blobs   blob.Store        // required
	Pending *blob.Pending     // required; shared with everyone who puts blobs
	Access  *access.Authority // required
	Now     func() time.Time  // zero: time.Now
	Log     *slog.Logger      // zero: discard
	Owner   string            // required; names this process in leases, never reused

	// Suspect is told of blobs whose bytes were found damaged or missing. Zero:
	// nobody.
	Suspect func(moraine.BlobID)
	// Running is told that a job begins to run, and what it returns that the run
	// is over; the run goes by the context. Zero: nobody.
	Running func(context.Context, *moraine.Job) (context.Context, func(error))
	// Finished is told that a job ended and messages about it may have become
	// due. Zero: nobody.
	Finished func()

	Delays Delays // zero: jobs run at once
	// InventoryInterval is how often a vault is inventoried. Zero: an
	// inventory job describes the instant it was accepted (§8.1).
	InventoryInterval time.Duration
	// Retention is how long a finished job and its output are kept. Zero:
	// moraine.Retention.
	Retention time.Duration
	// FreeTier is how many bytes a month the strategy FreeTier of a data
	// retrieval policy allows; a thirtieth of it each day. Zero: 10 GiB.
	FreeTier int64
	// Scarcity of Expedited retrievals. Zero: there is none.
	Scarcity Scarcity
	// OrphanGrace is after what time blobs without a row are deleted; half of it
	// is what an inventory may take. Zero: 24 hours.
	OrphanGrace time.Duration
	// Expiring is the lease of dropping what has expired. Nil: no other process
	// shares the rows.
	Expiring *lease.Lease
	// Workers is how many jobs run at the same time. Zero: 4.
	Workers int
}

// Service answers the job operations and runs the jobs. Its methods may be
// called at the same time; Run once.
type Service struct {
	cfg  Config
	wake chan struct{} // holds one token when the engine should look again

	clock   *lease.Clock               // of the store
	kept    time.Time                  // when downloads were last noted in rows, by the clock of the process that nobody can set; of Run alone
	mu      sync.Mutex                 // guards what follows
	reading map[moraine.JobID]*reading // downloads under way, which expiry waits for
	running map[moraine.JobID]bool
	// attempts counts, for jobs in progress, how often a store cut them short.
	attempts map[moraine.JobID]int
	asked    map[moraine.JobID]bool // for whose bytes this process has asked to be restored

	rehearsal rehearsal
}

// New assembles a Service and touches nothing.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Retention == 0 {
		cfg.Retention = moraine.Retention
	}
	if cfg.FreeTier == 0 {
		cfg.FreeTier = 10 << 30
	}
	if cfg.Suspect == nil {
		cfg.Suspect = func(moraine.BlobID) {}
	}
	if cfg.Running == nil {
		cfg.Running = func(ctx context.Context, _ *moraine.Job) (context.Context, func(error)) { return ctx, func(error) {} }
	}
	if cfg.Finished == nil {
		cfg.Finished = func() {}
	}
	if cfg.OrphanGrace == 0 {
		cfg.OrphanGrace = 24 * time.Hour
	}
	if cfg.Workers == 0 {
		cfg.Workers = 4
	}
	return &Service{
		cfg: cfg, wake: make(chan struct{}, 1),
		clock: lease.NewClock(cfg.Now), reading: make(map[moraine.JobID]*reading), running: make(map[moraine.JobID]bool), attempts: make(map[moraine.JobID]int),
		asked:     make(map[moraine.JobID]bool),
		rehearsal: rehearsal{delays: cfg.Delays, scarcity: cfg.Scarcity},
	}
}

// now is the instant of an event: UTC, whole milliseconds.
func (s *Service) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Millisecond) }

// dated is the instant of what is dated in a transaction. Alone it is that of
// everything else.
func (s *Service) dated(tx meta.Tx) (time.Time, error) {
	if s.cfg.Expiring == nil {
		return s.now(), nil
	}
	return s.clock.Dated(tx)
}

// Wake makes the engine look at once, for example after the clock was moved.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
