// Package server assembles a server from its settings and runs it: it opens
// the data directory, joins adapters, services and surfaces, listens, and on
// the way out closes all of it in order.
//
// It alone knows which adapters stand behind the ports. It must not know any
// rule of the service, and the command line is not its business.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"moraine/internal/audit"
	"moraine/internal/config"
	"moraine/internal/sha256x"
	"moraine/internal/trace"
)

// Options are what a server needs besides its settings.
type Options struct {
	Out     io.Writer            // the start-up text; zero: discard
	Log     *slog.Logger         // zero: discard
	Now     func() time.Time     // the system clock; zero: time.Now
	Elapsed func() time.Duration // a clock that nobody can set, since any instant; zero: that of the process
	Reload  <-chan os.Signal     // each value means: read the certificate again
	Version string               // for metrics
	// Notify tells the service manager how the server is, in the words of
	// sd_notify. Zero: nobody is told.
	Notify func(state string) error
	// Watchdog is within which time the service manager wants to hear from the
	// server again. Zero: it does not.
	Watchdog time.Duration
	// Rebuild is primary or mirror if that directory of blobs is an empty disk in
	// place of one that was lost, and to be filled from the other. Zero: neither.
	Rebuild string
	// NewRoot has the root key that is given become that of all servers that share
	// the rows. Zero: another one than theirs is refused.
	NewRoot bool
	Place   Place // what the data directory is on

	system     func() time.Time // Now as given, where Now has become the server's clock
	bodyWindow time.Duration    // over which the pace of a body is taken; zero: config.BodyRateWindow
}

func (o *Options) fill() {
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.bodyWindow == 0 {
		o.bodyWindow = config.BodyRateWindow
	}
	o.system = o.Now
}

// Run serves until ctx is cancelled, then drains and returns nil. It returns
// an error if the server cannot start or one of its parts fails.
func Run(ctx context.Context, cfg config.Config, opts Options) (err error) {
	opts.fill()
	manager := newManager(opts)
	defer manager.Close() // the last thing done
	var cert *certificate
	if cfg.TLS.On() {
		if cert, err = loadCertificate(cfg.TLS); err != nil {
			return err
		}
	}
	tracer, err := trace.Open(ctx, trace.Config{Getenv: os.Getenv, Version: opts.Version, Log: opts.Log})
	if err != nil {
		return err
	}
	defer func() {
		if err := tracer.Close(); err != nil {
			opts.Log.WarnContext(ctx, "spans were lost", "err", err)
		}
	}()
	sinks, err := openTargets(cfg.Notify, opts.Now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sinks.Close()) }()
	if cfg.Ephemeral {
		remove, failed := ephemeral(&cfg)
		if failed != nil {
			return failed
		}
		// Deferred first, so that it runs when everything is closed.
		defer func() { err = errors.Join(err, remove()) }()
	}
	// The lock comes before the addresses: a second server on the directory is
	// told so, and not that an address is in use.
	data, err := opts.Place.open(cfg.Data, cfg.Meta)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	doors, err := open(ctx, cfg, cert)
	if err != nil {
		return err
	}
	defer doors.Close()
	if err := data.settleMode(cfg.TestMode); err != nil {
		return err
	}
	var s *stores // open before the clock has anything to tell
	clk, err := data.openClock(clockConfig(cfg, opts, func() *audit.Log { return s.audit }))
	if err != nil {
		return err
	}
	identity, err := data.settle(cfg.Root)
	if err != nil {
		return err
	}
	for _, text := range append(cfg.Warnings(), identity.warnings...) {
		opts.Log.WarnContext(ctx, "check the settings", "warning", text)
	}
	want := wanted(cfg.Storage, opts.Rebuild)
	want.tracer = tracer
	// Asked when it is needed: where rows are shared the clock comes from them.
	now := func() time.Time { return clk.Now() }
	if s, err = data.openStores(ctx, opts.Log, now, want); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.agreeMode(ctx, cfg.TestMode); err != nil {
		return err
	}
	if err := s.agreeGrace(ctx, cfg.OrphanGrace); err != nil {
		return err
	}
	if err := s.agreeTime(ctx, opts.system, cfg.TestMode); err != nil {
		return err
	}
	if clk, err = data.joinClock(ctx, s, clk, clockConfig(cfg, opts, func() *audit.Log { return s.audit })); err != nil {
		return err
	}
	if err := settleHouse(ctx, s.rows, data.dir); err != nil {
		return err
	}
	if s.audit, err = data.openAudit(cfg, opts); err != nil {
		return err
	}
	if err := data.startKeys(ctx, cfg.Encryption, s, clk.Now, opts.Log); err != nil {
		return err
	}
	keyring, warnings, err := data.settleMaster(ctx, s.rows, cfg.MasterKeyFile)
	if err != nil {
		return err
	}
	identity.keyring = keyring
	for _, text := range warnings {
		opts.Log.WarnContext(ctx, "check the settings", "warning", text)
	}
	for _, text := range s.storage.notes {
		opts.Log.WarnContext(ctx, "check the settings", "warning", text)
	}
	n := newNode(cfg, opts, data, s, identity, clk, sinks, tracer)
	if err := n.accounts.Open(ctx); err != nil {
		return fmt.Errorf("open accounts: %w", err)
	}
	data.recordChanges(cfg, identity, s.audit, opts.Log)
	doors.serve(n, cfg, opts.Log)
	fmt.Fprint(opts.Out, welcome(cfg, data, identity, doors, clk.Status()))
	hash, _ := sha256x.Chosen() // a refusal was logged with the stores
	opts.Log.InfoContext(ctx, "serving", "listen", doors.api.Addr().String(), "admin", doors.adminAddr(),
		"data", data.dir, "account", identity.root.Account, "hash", hash, "version", opts.Version)
	n.manager = manager
	return n.run(ctx, doors, cfg, opts)
}

// run serves until ctx is cancelled or a part fails, then takes things down:
// first the word that this node is ready, then the requests, then the
// background work, last the admin listener, so that operators can watch the
// end.
func (n *node) run(ctx context.Context, doors *doors, cfg config.Config, opts Options) error {
	defer n.health.Close()
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	n.ready.Store(true)
	n.manager.serving(cfg.Listen)
	parts, failed := errgroup.WithContext(background)
	parts.Go(func() error { return doors.serveAPI() })
	parts.Go(func() error { return doors.serveAdmin() })
	parts.Go(func() error { return named("clock", n.clock.Run(failed)) })
	parts.Go(func() error { n.shareClock(failed); return nil })
	parts.Go(func() error { return named("vault", n.vaults.Run(failed)) })
	parts.Go(func() error { return named("job", n.jobs.Run(failed)) })
	parts.Go(func() error { return named("notify", n.notify.Run(failed)) })
	parts.Go(func() error { return named("mend", n.runMend(failed)) })
	parts.Go(func() error { return named("compaction", n.compaction.Run(failed)) })
	parts.Go(func() error { return named("scrub", n.scrub.scrub.Run(failed)) })
	parts.Go(func() error { return named("account", n.accounts.Run(failed)) })
	parts.Go(func() error { return named("keys", n.keys.Run(failed)) })
	parts.Go(func() error { return named("audit", runAudit(failed, n.audit)) })
	parts.Go(func() error { doors.watch(failed, opts); return nil })

	select {
	case <-ctx.Done():
		opts.Log.InfoContext(ctx, "draining", "delay", cfg.DrainDelay, "timeout", cfg.DrainTimeout)
		n.ready.Store(false)
		n.manager.draining(cfg.DrainDelay + cfg.DrainTimeout)
		linger(failed, cfg.DrainDelay)
	case <-failed.Done():
		n.ready.Store(false)
	}
	if !doors.drain(cfg.DrainTimeout) {
		opts.Log.WarnContext(ctx, "requests were cut off", "timeout", cfg.DrainTimeout)
	}
	stop()
	doors.closeAdmin()
	err := parts.Wait()
	opts.Log.InfoContext(ctx, "stopped")
	return err
}

// linger waits for a while, or until ctx is done.
func linger(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// named says which part an error comes from.
func named(part string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("%s: %w", part, err)
}

// closed turns the error of a server that was told to stop into nil.
func closed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
