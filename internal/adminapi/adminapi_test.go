package adminapi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"moraine"
	"moraine/internal/adminapi"
	"moraine/internal/health"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	m := adminapi.NewMetrics(adminapi.Sources{
		Fsyncs:   func() int64 { return 7 },
		DiskFree: func() (int64, error) { return 1 << 30, nil },
		Census: func(context.Context) (adminapi.Census, error) {
			return adminapi.Census{OpenUploads: 3, Jobs: map[string]int64{"InProgress": 2, "Failed": 0}}, nil
		},
		Version: "v1", Node: "one",
	})
	m.Observe(adminapi.Request{Operation: "UploadArchive", Status: 201, BytesIn: 100, BytesOut: 5, Duration: time.Millisecond})
	m.Observe(adminapi.Request{Operation: "UploadArchive", Status: 201, BytesIn: -1})
	m.Removed(moraine.Message{State: moraine.MessageDead})
	m.Began()
	m.Began()
	m.Ended()
	m.Transacted(adminapi.Update, 3*time.Millisecond)
	m.Swept("garbage", 4)
	srv := httptest.NewServer(adminapi.New(adminapi.Config{Metrics: m}))
	defer srv.Close()

	status, body := get(t, srv.URL+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d: %s", status, body)
	}
	for _, want := range []string{
		`moraine_requests_total{operation="UploadArchive",status="201"} 2`,
		`moraine_request_bytes_total{operation="UploadArchive"} 100`,
		`moraine_response_bytes_total{operation="UploadArchive"} 5`,
		`moraine_request_seconds_count{operation="UploadArchive"} 2`,
		`moraine_fsyncs_total 7`,
		`moraine_disk_free_bytes 1.073741824e+09`,
		`moraine_open_uploads 3`,
		`moraine_jobs{state="InProgress"} 2`,
		`moraine_jobs{state="Failed"} 0`,
		`moraine_messages_removed_total{state="dead"} 1`,
		`moraine_messages_removed_total{state="unrouted"} 0`,
		`moraine_build_info{go="` + runtime.Version() + `",node="one",version="v1"} 1`,
		`moraine_requests_in_flight 1`,
		`moraine_rows_seconds_bucket{transaction="update",le="0.005"} 1`,
		`moraine_swept_total{step="garbage"} 4`,
		`moraine_sweep_last_seconds `,
		`go_goroutines `,
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("the metrics lack %q", want)
		}
	}
}

func TestMetricsSurviveAFailingSource(t *testing.T) {
	t.Parallel()
	m := adminapi.NewMetrics(adminapi.Sources{
		Fsyncs: func() int64 { return 7 },
		Census: func(context.Context) (adminapi.Census, error) { return adminapi.Census{}, errors.New("store is away") },
	})
	srv := httptest.NewServer(adminapi.New(adminapi.Config{Metrics: m}))
	defer srv.Close()
	status, body := get(t, srv.URL+"/metrics")
	if status != http.StatusOK || !strings.Contains(body, "moraine_fsyncs_total 7") {
		t.Errorf("status %d, want 200 with the figures that could be had; got %s", status, body)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(adminapi.New(adminapi.Config{
		Metrics: adminapi.NewMetrics(adminapi.Sources{}),
		Ready: func(context.Context) []health.Answer {
			return []health.Answer{{Name: "rows"}, {Name: "bytes", Err: errors.New("full\nvery full")}}
		},
	}))
	defer srv.Close()
	for _, tc := range []struct {
		path   string
		status int
		body   string
	}{
		{"/healthz", http.StatusOK, "ok\n"},
		{"/livez", http.StatusOK, "alive\n"},
		{"/readyz", http.StatusServiceUnavailable, "not ready\nrows: ok\nbytes: full; very full\n"},
		{"/debug/pprof/goroutine?debug=1", http.StatusOK, "goroutine profile"},
		{"/", http.StatusNotFound, "404"},
	} {
		status, body := get(t, srv.URL+tc.path)
		if status != tc.status || !strings.HasPrefix(body, tc.body) {
			t.Errorf("GET %s: %d %q, want %d %q", tc.path, status, body, tc.status, tc.body)
		}
	}
}
