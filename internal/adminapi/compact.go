package adminapi

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Compact is what operators may ask of the emptying of packs. Both fields are
// required and are called from any goroutine.
type Compact struct {
	Status func() CompactReply
	Start  func()
}

// The paths of compaction.
const (
	CompactPath      = "/compact"
	CompactStartPath = "/compact/start"
)

// compactBodyMax bounds the body of a request, in bytes.
const compactBodyMax = 1 << 10

// CompactReply says how the emptying of packs stands.
type CompactReply struct {
	Started  time.Time   `json:"passStarted,omitzero"` // of the pass under way
	Finished time.Time   `json:"lastPass,omitzero"`    // end of the last that was whole
	Pass     CompactPass `json:"pass"`                 // under way, or the last
	Moved    int64       `json:"moved"`                // blobs, since the start
	Bytes    int64       `json:"bytes"`                // theirs
	Period   string      `json:"period"`
	Rate     int64       `json:"rate"`            // bytes a second, 0 for no bound
	Error    string      `json:"error,omitempty"` // why the last pass ended early
	ErrorAt  time.Time   `json:"errorAt,omitzero"`
}

// CompactPass is what a pass met in packs that are mostly of deleted archives.
type CompactPass struct {
	Blobs       int64 `json:"blobs"`
	Moved       int64 `json:"moved"`
	Bytes       int64 `json:"bytes"` // of those moved
	Quarantined int64 `json:"quarantined"`
	Failed      int64 `json:"failed"`
	Surplus     int64 `json:"surplus"` // copies deleted that no row names
}

// register adds the routes of compaction.
func (c *Compact) register(mux *http.ServeMux) {
	status := func(context.Context) (CompactReply, error) { return c.Status(), nil }
	mux.HandleFunc("GET "+CompactPath, func(w http.ResponseWriter, r *http.Request) { reply(w, r, status) })
	mux.HandleFunc("POST "+CompactStartPath, command(compactBodyMax, func(ctx context.Context, body []byte) (any, error) {
		if err := decode(body, &struct{}{}); err != nil {
			return nil, err
		}
		c.Start()
		return status(ctx)
	}))
}

// compactGauges are the metrics of compaction.
type compactGauges struct {
	status                              func() CompactReply // nil for none
	moved, bytes, failed, finish, broke *prometheus.Desc
}

func newCompactGauges(src Sources) *compactGauges {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("moraine_compact_"+name, help, nil, nil)
	}
	return &compactGauges{
		status: src.Compact,
		moved:  desc("moved_blobs_total", "Blobs copied out of packs that are mostly of deleted archives."),
		bytes:  desc("moved_bytes_total", "Bytes of those."),
		failed: desc("failed_blobs", "Blobs that the pass under way, or the last, could not copy."),
		finish: desc("last_pass_seconds", "When the last whole pass ended; 0 if there was none."),
		broke:  desc("resting", "1 if the last pass ended early, else 0."),
	}
}

// Describe implements prometheus.Collector.
func (g *compactGauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.moved, g.bytes, g.failed, g.finish, g.broke} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g *compactGauges) Collect(ch chan<- prometheus.Metric) {
	if g.status == nil {
		return
	}
	r := g.status()
	ch <- prometheus.MustNewConstMetric(g.moved, prometheus.CounterValue, float64(r.Moved))
	ch <- prometheus.MustNewConstMetric(g.bytes, prometheus.CounterValue, float64(r.Bytes))
	ch <- prometheus.MustNewConstMetric(g.failed, prometheus.GaugeValue, float64(r.Pass.Failed))
	finished := 0.0
	if !r.Finished.IsZero() {
		finished = float64(r.Finished.Unix())
	}
	ch <- prometheus.MustNewConstMetric(g.finish, prometheus.GaugeValue, finished)
	ch <- prometheus.MustNewConstMetric(g.broke, prometheus.GaugeValue, float64(one(r.Error != "")))
}
