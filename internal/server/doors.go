package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"moraine/internal/config"
)

// Timeouts of the listeners. Bodies of API requests have no fixed one: the
// pace of a body is what the API watches, and an upload may take hours.
const (
	idleTimeout       = 2 * time.Minute
	adminReadTimeout  = 30 * time.Second
	adminWriteTimeout = 5 * time.Minute // profiles take as long as they are asked to
	cutTimeout        = 10 * time.Second
)

// headerSlack is how much more than http.max_header_bytes is read of a header
// block, so that the API refuses it in its own words before net/http does in
// plain text.
const headerSlack = 64 << 10

// doors are the listeners and the HTTP servers behind them.
type doors struct {
	api, admin net.Listener // admin is nil if there is none
	cert       *certificate // nil without TLS

	apiServer, adminServer *http.Server
	requests               *inflight
	cut                    context.CancelFunc // ends the contexts of API requests
}

// open takes the addresses, so that whoever is first at them gets an answer
// when the rest is ready.
func open(ctx context.Context, cfg config.Config, cert *certificate) (*doors, error) {
	d := &doors{requests: newInflight(), cert: cert}
	var lc net.ListenConfig
	var err error
	if d.api, err = lc.Listen(ctx, "tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("the address of listen cannot be used: %w", err)
	}
	if cfg.Admin.Listen == "" {
		return d, nil
	}
	if d.admin, err = lc.Listen(ctx, "tcp", cfg.Admin.Listen); err != nil {
		return nil, errors.Join(fmt.Errorf("the address of admin.listen cannot be used; choose another, or leave it empty for no admin listener: %w", err), d.api.Close())
	}
	return d, nil
}

// Close gives the addresses back. It may be called after the servers did.
func (d *doors) Close() {
	_ = d.api.Close()
	if d.admin != nil {
		_ = d.admin.Close()
	}
}

// serve makes the HTTP servers for n.
func (d *doors) serve(n *node, cfg config.Config, log *slog.Logger) {
	base, cut := context.WithCancel(context.Background())
	d.cut = cut
	complaints := slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	d.apiServer = &http.Server{
		Handler:           d.requests.wrap(n.api),
		ReadHeaderTimeout: cfg.HTTP.ReadHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    int(cfg.HTTP.MaxHeaderBytes) + headerSlack,
		BaseContext:       func(net.Listener) context.Context { return base },
		ErrorLog:          complaints,
	}
	if d.cert != nil {
		d.apiServer.TLSConfig = d.cert.config()
	}
	d.adminServer = &http.Server{
		Handler:           n.adminHandler(cfg),
		ReadHeaderTimeout: cfg.HTTP.ReadHeaderTimeout,
		ReadTimeout:       adminReadTimeout,
		WriteTimeout:      adminWriteTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          complaints,
	}
}

func (d *doors) serveAPI() error {
	if d.cert != nil {
		return closed(d.apiServer.ServeTLS(d.api, "", ""))
	}
	return closed(d.apiServer.Serve(d.api))
}

func (d *doors) serveAdmin() error {
	if d.admin == nil {
		return nil
	}
	return closed(d.adminServer.Serve(d.admin))
}

// watch reads the certificate again when it is told to, until ctx is done.
func (d *doors) watch(ctx context.Context, opts Options) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-opts.Reload:
		}
		if d.cert == nil {
			opts.Log.InfoContext(ctx, "nothing to reload: there is no certificate")
		} else if err := d.cert.reload(); err != nil {
			opts.Log.ErrorContext(ctx, "certificate not reloaded, the old one stays in use", "err", err)
		} else {
			opts.Log.InfoContext(ctx, "certificate reloaded")
		}
	}
}

// drain stops accepting and waits for requests under way; those that take
// longer are cut off. It reports whether all of them finished by themselves.
func (d *doors) drain(timeout time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	finished := d.apiServer.Shutdown(ctx) == nil
	d.cut()
	if !finished {
		_ = d.apiServer.Close()
	}
	// A handler whose connection is gone ends at its next read or write.
	last, cancelLast := context.WithTimeout(context.Background(), cutTimeout)
	defer cancelLast()
	return d.requests.close(last) == nil && finished
}

func (d *doors) closeAdmin() {
	_ = d.adminServer.Close()
}

// adminAddr is the address of the admin listener, "" if there is none.
func (d *doors) adminAddr() string {
	if d.admin == nil {
		return ""
	}
	return d.admin.Addr().String()
}
