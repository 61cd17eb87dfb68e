package trace_test

import (
	"context"
	"net/http"
	"testing"

	"moraine/internal/housetest"
	"moraine/internal/meta"
	"moraine/internal/trace"
)

// open returns a Tracer for an environment.
func open(t testing.TB, environ map[string]string) *trace.Tracer {
	t.Helper()
	tracer, err := trace.Open(t.Context(), trace.Config{Getenv: func(name string) string { return environ[name] }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tracer.Close(); err != nil {
			t.Error(err)
		}
	})
	return tracer
}

func TestWhoAsksForTraces(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		environ map[string]string
		want    bool
	}{
		{"nobody", nil, false},
		{"no destination", map[string]string{"OTEL_SERVICE_NAME": "store"}, false},
		{"an endpoint", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, true},
		{"an endpoint of traces", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, true},
		{"an exporter", map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		{"no exporter", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}, false},
		{"disabled", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "TRUE"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := open(t, tc.environ) != nil; got != tc.want {
				t.Errorf("traced %v, want %v", got, tc.want)
			}
		})
	}
}

// TestOffCostsNothing holds what is not asked for to no allocation and nothing
// in between.
func TestOffCostsNothing(t *testing.T) {
	tracer, rows := open(t, nil), housetest.Rows(t)
	if got := tracer.Rows(rows); got != meta.Store(rows) {
		t.Errorf("the rows are behind a %T", got)
	}
	handler := http.NewServeMux()
	if got := tracer.Requests(handler); got != http.Handler(handler) {
		t.Errorf("the handler is behind a %T", got)
	}
	if n := testing.AllocsPerRun(100, func() { work(t.Context(), tracer) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// work is what a request costs in spans.
func work(ctx context.Context, tracer *trace.Tracer) {
	ctx, span := tracer.Start(ctx, "bytes.Put")
	span.Number("moraine.size", 1)
	span.Text("moraine.state", "Succeeded")
	span.End(nil)
	tracer.Answered(ctx, trace.Answer{Operation: "UploadArchive", Status: http.StatusCreated})
}

func BenchmarkOff(b *testing.B) {
	tracer := open(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		work(b.Context(), tracer)
	}
}
