// Package trace makes spans of requests, transactions, reads and writes of
// bytes, and jobs, and sends them where the OTEL_* variables of the environment
// say. Without them there is no Tracer, and what is not there costs nothing.
//
// It knows OpenTelemetry and the ports that it watches. It must not know what a
// span means, and it is told nothing that is secret: no signature, header, query,
// body or description of an archive gets here.
package trace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"moraine"
)

// Tracer makes spans. A nil Tracer makes none. It is safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   api.Tracer
	parents  propagation.TextMapPropagator
}

// Config is what a Tracer is made of.
type Config struct {
	Getenv  func(string) string // required; what decides whether there are traces
	Version string              // of the program
	Log     *slog.Logger        // zero: discard; hears of spans that cannot be sent
}

// complaintsEvery bounds how often it is logged that spans cannot be sent.
const complaintsEvery = time.Minute

// flushMax bounds how long the last spans may take to be sent.
const flushMax = 5 * time.Second

// asked reports whether the environment asks for traces: it names where they
// go, and does not take it back.
func asked(getenv func(string) string) bool {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	if exporter := getenv("OTEL_TRACES_EXPORTER"); exporter != "" {
		return exporter != "none"
	}
	return getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Open returns a Tracer that sends its spans where the environment says; nil if
// it does not ask for any. Where they go, how they are sampled and how many wait
// is read from the environment by OpenTelemetry itself.
func Open(ctx context.Context, cfg Config) (*Tracer, error) {
	if !asked(cfg.Getenv) {
		return nil, nil //nolint:nilnil // no tracer is what was asked for
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("traces cannot be sent as the OTEL_* variables say: %w", err)
	}
	// The environment has the last word on the name of the service.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(attribute.String("service.name", "moraine"), attribute.String("service.version", cfg.Version)),
		resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, errors.Join(fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES cannot be read: %w", err), exporter.Shutdown(ctx))
	}
	// OpenTelemetry has one place for errors of a process; a process has one
	// Tracer.
	some := &rate.Sometimes{First: 1, Interval: complaintsEvery}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		some.Do(func() { cfg.Log.Warn("spans were not sent", "err", err) })
	}))
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))
	return &Tracer{provider: provider, tracer: provider.Tracer("moraine"), parents: propagation.TraceContext{}}, nil
}

// Close sends the spans that wait, for a while.
func (t *Tracer) Close() error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushMax)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}

// Span is a piece of work under way. A nil Span is none.
type Span struct{ span api.Span }

// Start begins a span below the one of ctx. The returned context is for the
// work of the span.
func (t *Tracer) Start(ctx context.Context, name string) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx, span := t.tracer.Start(ctx, name)
	return ctx, &Span{span}
}

// Text notes a fact.
func (s *Span) Text(key, value string) {
	if s != nil {
		s.span.SetAttributes(attribute.String(key, value))
	}
}

// Number notes a figure.
func (s *Span) Number(key string, value int64) {
	if s != nil {
		s.span.SetAttributes(attribute.Int64(key, value))
	}
}

// End ends the span with the outcome of the work. Of an error its kind is noted
// and no text, which may hold what a client sent.
func (s *Span) End(err error) {
	if s == nil {
		return
	}
	if err != nil {
		s.span.SetAttributes(attribute.String("error.type", moraine.KindOf(err).String()))
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}

// Requests makes a span of each request that next answers, below the one that
// the client names in traceparent. What the request was about is for Answered to
// tell.
func (t *Tracer) Requests(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := t.parents.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := t.tracer.Start(ctx, "request", api.WithSpanKind(api.SpanKindServer))
		defer span.End()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Answer is what is told of a request.
type Answer struct {
	Operation string // names the span; one of a fixed set
	RequestID string
	Status    int
	Code      string // of the error, "" on success
	BytesIn   int64
	BytesOut  int64
}

// Answered completes the span of the request whose context ctx is.
func (t *Tracer) Answered(ctx context.Context, a Answer) {
	if t == nil {
		return
	}
	span := api.SpanFromContext(ctx)
	span.SetName(a.Operation)
	span.SetAttributes(
		attribute.String("moraine.operation", a.Operation), attribute.String("moraine.request_id", a.RequestID),
		attribute.Int("http.response.status_code", a.Status),
		attribute.Int64("http.request.body.size", a.BytesIn), attribute.Int64("http.response.body.size", a.BytesOut),
	)
	if a.Code != "" {
		span.SetAttributes(attribute.String("error.type", a.Code))
	}
	if a.Status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
}
