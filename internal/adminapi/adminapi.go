// Package adminapi is the surface for the people who run a server: health,
// metrics, profiles, the clock, the keys and the reading of everything.
//
// It knows HTTP, the Prometheus text format and the names of the metrics. It
// must not know where figures come from: the assembly hands them in. It asks
// nobody who they are, so its listener belongs on the loopback interface.
package adminapi

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config is what the handler is made of.
type Config struct {
	Metrics *Metrics // required
	// Ready returns nil while the server takes requests, else why it does not.
	Ready func(context.Context) error // zero: always ready
	Log   *slog.Logger                // zero: discard
	// Mirror says how the copies of blobs are. Zero: there is no mirror.
	Mirror func() Mirror
	// TestMode is what tests may change. Zero: nothing, as there is no test mode.
	TestMode *TestMode
	// Clock is what operators may ask of the clock. Zero: nothing.
	Clock *Clock
	// Scrub is what operators may ask of the reading of everything. Zero: nothing.
	Scrub *Scrub
	// Fixity is what operators may ask for auditors. Zero: nothing.
	Fixity *Fixity
	// Encryption is what operators may ask of the keys. Zero: nothing.
	Encryption *Encryption
}

// scrapesMax bounds how many scrapes are gathered at the same time, and
// scrapeTimeout how long one may take.
const (
	scrapesMax    = 4
	scrapeTimeout = 10 * time.Second
)

// New returns the handler of the admin listener.
func New(cfg Config) http.Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Metrics.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: scrapesMax,
		Timeout:             scrapeTimeout,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		line := "ok"
		if cfg.Clock != nil {
			line = cfg.Clock.health()
		}
		say(w, http.StatusOK, line)
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if cfg.Ready == nil {
			say(w, http.StatusOK, "ready")
		} else if err := cfg.Ready(r.Context()); err != nil {
			say(w, http.StatusServiceUnavailable, err.Error())
		} else {
			say(w, http.StatusOK, "ready")
		}
	})
	mux.HandleFunc("GET /mirror", serveMirror(cfg.Mirror))
	if cfg.TestMode != nil {
		cfg.TestMode.register(mux)
	}
	if cfg.Clock != nil {
		cfg.Clock.register(mux)
	}
	if cfg.Scrub != nil {
		cfg.Scrub.register(mux)
	}
	if cfg.Fixity != nil {
		cfg.Fixity.register(mux, cfg.Log)
	}
	if cfg.Encryption != nil {
		cfg.Encryption.register(mux)
	}
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// say answers with text. A client that went away misses it.
func say(w http.ResponseWriter, status int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, line+"\n")
}
