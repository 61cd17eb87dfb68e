package node_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/vaultclient"
)

// receiver is where traces go: OTLP over HTTP.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex // guards the rest
	spans []*otlp.Span
	text  strings.Builder // all that came, to be searched
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := new(receiver)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		var in collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &in)
		}
		if err != nil || req.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", req.URL.Path, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.text.WriteString(in.String())
		for _, rs := range in.GetResourceSpans() {
			for _, ss := range rs.GetScopeSpans() {
				r.spans = append(r.spans, ss.GetSpans()...)
			}
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(r.Close)
	return r
}

// named returns the spans with a name.
func (r *receiver) named(name string) (list []*otlp.Span) {
	for _, s := range r.spans {
		if s.GetName() == name {
			list = append(list, s)
		}
	}
	return list
}

// below returns the names of the children of a span.
func (r *receiver) below(parent *otlp.Span) map[string]int {
	names := make(map[string]int)
	for _, s := range r.spans {
		if string(s.GetParentSpanId()) == string(parent.GetSpanId()) {
			names[s.GetName()]++
			if string(s.GetTraceId()) != string(parent.GetTraceId()) {
				names["another trace"]++
			}
		}
	}
	return names
}

func attributes(s *otlp.Span) map[string]string {
	all := make(map[string]string)
	for _, kv := range s.GetAttributes() {
		all[kv.GetKey()] = strings.TrimSpace(strings.SplitN(kv.GetValue().String(), ":", 2)[1])
	}
	return all
}

func TestTraces(t *testing.T) {
	t.Parallel()
	const (
		traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
		spanID  = "00f067aa0ba902b7"
		private = "what nobody else may read"
	)
	r := newReceiver(t)
	s := start(t, moraineproc.Config{Env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + r.URL, "OTEL_SERVICE_NAME=cold-store", "OTEL_TRACES_SAMPLER=always_on"}})
	c := client(t, s)
	if err := c.CreateVault(t.Context(), "v"); err != nil {
		t.Fatal(err)
	}
	upload := vaultclient.UploadRequest("v", private, vaultclient.NewPayload([]byte("only copy")))
	upload.Set("traceparent", "00-"+traceID+"-"+spanID+"-01")
	resp, err := c.Do(t.Context(), upload, nil)
	if err != nil || resp.Status != http.StatusCreated {
		t.Fatalf("%v %+v", err, resp)
	}
	id, err := c.InitiateJob(t.Context(), "v", vaultclient.JobRequest{Type: "archive-retrieval", ArchiveId: resp.Get("x-amz-archive-id")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AwaitJob(t.Context(), "v", id); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DescribeVault(t.Context(), "none"); err == nil {
		t.Fatal("there is a vault none")
	}
	if err := s.Stop(t.Context()); err != nil { // sends what waits
		t.Fatal(err)
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	uploads := r.named("UploadArchive")
	if len(uploads) != 1 {
		t.Fatalf("%d spans of the upload", len(uploads))
	}
	span := uploads[0]
	if got := hex.EncodeToString(span.GetTraceId()) + " " + hex.EncodeToString(span.GetParentSpanId()); got != traceID+" "+spanID {
		t.Errorf("the upload is below %s", got)
	}
	if span.GetKind() != otlp.Span_SPAN_KIND_SERVER {
		t.Errorf("the upload is %s", span.GetKind())
	}
	facts := attributes(span)
	if facts["moraine.request_id"] != `"`+resp.Get("x-amzn-requestid")+`"` || facts["http.response.status_code"] != "201" || facts["http.request.body.size"] != "9" {
		t.Errorf("the upload says %v", facts)
	}
	if got := r.below(span); got["bytes.Put"] != 1 || got["rows.Update"] != 1 || got["another trace"] != 0 {
		t.Errorf("below the upload are %v", got)
	}
	jobs := r.named("job ArchiveRetrieval")
	if len(jobs) != 1 || attributes(jobs[0])["moraine.job"] != `"`+id+`"` {
		t.Fatalf("the spans of jobs are %v", jobs)
	}
	if got := r.below(jobs[0]); got["rows.View"] != 1 || got["rows.Update"] != 1 {
		t.Errorf("below the job are %v", got)
	}
	for _, refused := range r.named("DescribeVault") {
		if attributes(refused)["error.type"] != `"ResourceNotFoundException"` {
			t.Errorf("what was refused says %v", attributes(refused))
		}
	}
	for _, update := range r.named("rows.Update") {
		if attributes(update)["moraine.tries"] != "1" {
			t.Errorf("a transaction says %v", attributes(update))
		}
	}
	all := r.text.String()
	if !strings.Contains(all, "cold-store") {
		t.Error("the service has another name")
	}
	for _, secret := range []string{private, moraineproc.Secret, "Signature", moraineproc.KeyID} {
		if strings.Contains(all, secret) {
			t.Errorf("the traces tell %q", secret)
		}
	}
}

// TestNoTraces sends nothing that is not asked for.
func TestNoTraces(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	s := start(t, moraineproc.Config{Env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + r.URL, "OTEL_SDK_DISABLED=true"}})
	if err := client(t, s).CreateVault(t.Context(), "v"); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.spans) != 0 {
		t.Errorf("%d spans were sent", len(r.spans))
	}
}
