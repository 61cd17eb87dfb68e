// Package vault is the service of vaults, archives and multipart uploads, of
// the tags, policies and locks of vaults, and of the sweep that gives bytes
// back.
//
// It knows every rule of glacier-api §3 to §5, §9.1 and §10.3 to §10.5: what is
// admitted, in which order things are refused and in which words, what is
// durable when. It must not know HTTP, SQL text or file paths: values come in
// as the client sent them, bytes as a reader, rows through package meta, blobs
// through package blob.
package vault

import (
	"log/slog"
	"sync"
	"time"

	"moraine"
	"moraine/internal/access"
	"moraine/internal/blob"
	"moraine/internal/lease"
	"moraine/internal/meta"
)

// Config is what a Service is made of.
type Config struct {
	Meta    meta.Store        // required
	Blobs   blob.Store        // required
	Pending *blob.Pending     // required; shared with everyone who puts blobs
	Access  *access.Authority // required
	Now     func() time.Time  // zero: time.Now
	Log     *slog.Logger      // zero: discard

	// Notice is told what the service does by itself that belongs on record. Zero:
	// nobody.
	Notice func(event string, details map[string]any)

	// Swept is told how many rows a step of the sweep changed, which may be none.
	// Zero: nobody.
	Swept func(step string, rows int)

	// Hastened is told that jobs may have become due. Zero: nobody.
	Hastened func()

	// InventoryInterval is how often a vault is inventoried. Zero: figures
	// are current at every instant (§8.1).
	InventoryInterval time.Duration
	// Retention is how long an open upload lives without activity, and how
	// long an ended one is remembered. Zero: moraine.Retention.
	Retention time.Duration
	// OrphanGrace is how long a blob must have been found without a row before
	// it is deleted, and twice as long as a body may take from its end to its
	// row. The same for all processes on one store. Zero: 24 hours.
	OrphanGrace time.Duration
	// GarbageGrace is how long the bytes of a blob are kept after the last row
	// that named it went. Rows put back from a backup name such blobs again. Zero:
	// not at all.
	GarbageGrace time.Duration
	// Sweeping and Searching are the leases of the sweep and of the search for
	// orphans. Nil: no other process shares rows or blobs.
	Sweeping, Searching *lease.Lease
}

// Service answers the vault, archive and multipart operations. Its methods may
// be called at the same time.
type Service struct {
	cfg  Config
	wake chan struct{} // holds one token when the sweep should look again

	recent recent       // who may upload
	clock  *lease.Clock // of the store

	suspectsMu sync.Mutex
	suspects   map[moraine.BlobID]time.Time // blobs without a row, and since when we know; guarded by suspectsMu
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
	if cfg.Notice == nil {
		cfg.Notice = func(string, map[string]any) {}
	}
	if cfg.Swept == nil {
		cfg.Swept = func(string, int) {}
	}
	if cfg.Hastened == nil {
		cfg.Hastened = func() {}
	}
	if cfg.OrphanGrace == 0 {
		cfg.OrphanGrace = 24 * time.Hour
	}
	return &Service{cfg: cfg, wake: make(chan struct{}, 1), clock: lease.NewClock(cfg.Now)}
}

// now is the instant of an event: UTC, whole milliseconds.
func (s *Service) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Millisecond) }

// dated is the instant of what is dated in a transaction. Alone it is that of
// everything else.
func (s *Service) dated(tx meta.Tx) (time.Time, error) {
	if s.cfg.Sweeping == nil {
		return s.now(), nil
	}
	return s.clock.Dated(tx)
}

// Wake makes the sweep look at once, for example after the clock was moved.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
