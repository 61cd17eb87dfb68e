// Package adminapi is the surface for the people who run a server: health,
// metrics, profiles, the clock, the keys and the reading of everything.
//
// It knows HTTP, the Prometheus text format and the names of the metrics. It
// must not know where figures come from: the assembly hands them in. It asks
// nobody who they are, so its listener belongs on the loopback interface.
package adminapi

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"moraine/internal/health"
)

// Config is what the handler is made of.
type Config struct {
	Metrics *Metrics // required
	// Ready says what must be so for requests to be sent here, and whether it is.
	Ready func(context.Context) []health.Answer // zero: always ready
	Log   *slog.Logger                          // zero: discard
	// Mirror says how the copies of blobs are. Zero: there is no mirror.
	Mirror func() Mirror
	// TestMode is what tests may change. Zero: nothing, as there is no test mode.
	TestMode *TestMode
	// Clock is what operators may ask of the clock. Zero: nothing.
	Clock *Clock
	// Scrub is what operators may ask of the reading of everything. Zero: nothing.
	Scrub *Scrub
	// Compact is what operators may ask of the emptying of packs. Zero: nothing.
	Compact *Compact
	// Fixity is what operators may ask for auditors. Zero: nothing.
	Fixity *Fixity
	// Encryption is what operators may ask of the keys. Zero: nothing.
	Encryption *Encryption
	// Migrate copies bytes to another house. Zero: it does not.
	Migrate Migrate
}

// scrapesMax bounds how many scrapes are gathered at the same time, and
// scrapeTimeout how long one may take.
const (
	scrapesMax    = 4
	scrapeTimeout = 10 * time.Second
)

// Where probes ask.
const (
	LivePath  = "/livez"  // is the process alive
	ReadyPath = "/readyz" // may requests be sent here
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
	mux.HandleFunc("GET "+LivePath, func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "alive") })
	mux.HandleFunc("GET "+ReadyPath, func(w http.ResponseWriter, r *http.Request) {
		var answers []health.Answer
		if cfg.Ready != nil {
			answers = cfg.Ready(r.Context())
		}
		status, text := readiness(answers)
		say(w, status, text)
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
	if cfg.Compact != nil {
		cfg.Compact.register(mux)
	}
	if cfg.Fixity != nil {
		cfg.Fixity.register(mux, cfg.Log)
	}
	if cfg.Encryption != nil {
		cfg.Encryption.register(mux)
	}
	if cfg.Migrate != nil {
		cfg.Migrate.register(mux)
	}
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// readiness is the reply to a list of answers: a verdict, then one line each.
func readiness(answers []health.Answer) (status int, text string) {
	status, text = http.StatusOK, "ready"
	var lines strings.Builder
	for _, a := range answers {
		if a.Err == nil {
			fmt.Fprintf(&lines, "\n%s: ok", a.Name)
			continue
		}
		status, text = http.StatusServiceUnavailable, "not ready"
		fmt.Fprintf(&lines, "\n%s: %s", a.Name, strings.ReplaceAll(a.Err.Error(), "\n", "; "))
	}
	return status, text + lines.String()
}

// say answers with text. A client that went away misses it.
func say(w http.ResponseWriter, status int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, line+"\n")
}
