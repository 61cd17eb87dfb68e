package adminapi

import (
	"context"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"moraine"
	"moraine/internal/clock"
)

// Sources are where the figures of a scrape come from. Each may be nil, then
// its metric is absent; they are called from any goroutine.
type Sources struct {
	Fsyncs   func() int64          // syncs to disk since the start
	Retries  func() int64          // commits of rows that were tried again since the start; nil if none ever is
	DiskFree func() (int64, error) // bytes that may still be written to the data directory
	Mirror   func() Mirror         // how the copies of blobs are
	// Census counts rows.
	Census  func(context.Context) (Census, error)
	Clock   func() clock.Status
	Scrub   func(context.Context) (ScrubReply, error)
	Compact func() CompactReply
	Version string // of the program
	Node    string // the name of the machine
}

// Census is how much unfinished work there is.
type Census struct {
	OpenUploads int64
	Jobs        map[string]int64 // by state, those with none included
	Messages    map[string]int64 // of the outbox, likewise
}

// censusTimeout bounds one counting of rows.
const censusTimeout = 5 * time.Second

// Metrics counts requests and gathers the rest when asked.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	bytesIn  *prometheus.CounterVec
	bytesOut *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	removed  *prometheus.CounterVec
	findings *prometheus.CounterVec
	underway prometheus.Gauge
	rows     *prometheus.HistogramVec
	swept    *prometheus.CounterVec
	sweep    prometheus.Gauge
}

// NewMetrics assembles the metrics of one server.
func NewMetrics(src Sources) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "moraine_requests_total", Help: "Requests answered, by operation and HTTP status.",
		}, []string{"operation", "status"}),
		bytesIn: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "moraine_request_bytes_total", Help: "Bytes of request bodies read, by operation.",
		}, []string{"operation"}),
		bytesOut: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "moraine_response_bytes_total", Help: "Bytes of response bodies written, by operation.",
		}, []string{"operation"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "moraine_request_seconds", Help: "Time from the end of the request's header block to the end of the answer, by operation.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
		}, []string{"operation"}),
		findings: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "moraine_scrub_findings_total", Help: "What checks of stored bytes found since the start: failed, repaired from another copy, or found whole again.",
		}, []string{"kind"}),
	}
	m.underway = prometheus.NewGauge(prometheus.GaugeOpts{Name: "moraine_requests_in_flight", Help: "Requests under way."})
	m.rows = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "moraine_rows_seconds", Help: "Time that transactions on the rows took, with the wait for their turn and the sync: view or update.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
	}, []string{"transaction"})
	m.swept = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "moraine_swept_total", Help: "Rows that the sweep changed, by step: blobs deleted are garbage.",
	}, []string{"step"})
	m.sweep = prometheus.NewGauge(prometheus.GaugeOpts{Name: "moraine_sweep_last_seconds", Help: "When the sweep last did a step, in seconds since 1970."})
	for _, kind := range []Finding{FoundFailed, FoundRepaired, FoundWhole} {
		m.findings.WithLabelValues(string(kind))
	}
	m.removed = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "moraine_messages_removed_total", Help: "Messages about jobs that nobody got and that were removed, by state.",
	}, []string{"state"})
	for _, state := range []moraine.MessageState{moraine.MessageUnrouted, moraine.MessageDead} {
		m.removed.WithLabelValues(string(state)) // is 0 before the first
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "moraine_build_info", Help: "Always 1; the labels name the version, the Go release it was built with, and the node.",
		ConstLabels: prometheus.Labels{"version": src.Version, "go": runtime.Version(), "node": src.Node},
	})
	build.Set(1)
	m.registry.MustRegister(
		m.requests, m.bytesIn, m.bytesOut, m.seconds, m.removed, m.findings, m.underway, m.rows, m.swept, m.sweep, build, newGauges(src), newClockGauges(src), newScrubGauges(src), newCompactGauges(src),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	if src.Mirror != nil {
		m.registry.MustRegister(newMirrorGauges(src.Mirror))
	}
	return m
}

// Request is one answered request.
type Request struct {
	Operation string // one of a fixed set, never a client's choice
	Status    int
	BytesIn   int64
	BytesOut  int64
	Duration  time.Duration
}

// Observe counts a request.
func (m *Metrics) Observe(r Request) {
	m.requests.WithLabelValues(r.Operation, strconv.Itoa(r.Status)).Inc()
	m.bytesIn.WithLabelValues(r.Operation).Add(float64(max(r.BytesIn, 0)))
	m.bytesOut.WithLabelValues(r.Operation).Add(float64(max(r.BytesOut, 0)))
	m.seconds.WithLabelValues(r.Operation).Observe(r.Duration.Seconds())
}

// Began and Ended count the requests under way.
func (m *Metrics) Began() { m.underway.Inc() }

// Ended is the end of what Began.
func (m *Metrics) Ended() { m.underway.Dec() }

// Transaction is a kind of transaction on the rows.
type Transaction string

// The kinds of transaction.
const (
	View   Transaction = "view"
	Update Transaction = "update"
)

// Transacted counts a transaction.
func (m *Metrics) Transacted(kind Transaction, took time.Duration) {
	m.rows.WithLabelValues(string(kind)).Observe(took.Seconds())
}

// Swept counts the rows of a step of the sweep, one of a fixed set.
func (m *Metrics) Swept(step string, rows int) {
	m.swept.WithLabelValues(step).Add(float64(rows))
	m.sweep.SetToCurrentTime()
}

// Removed counts a message that was removed.
func (m *Metrics) Removed(message moraine.Message) {
	m.removed.WithLabelValues(string(message.State)).Inc()
}

// gauges asks its sources at every scrape.
type gauges struct {
	src                                              Sources
	fsyncs, retries, diskFree, uploads, job, message *prometheus.Desc
}

func newGauges(src Sources) *gauges {
	return &gauges{
		src:      src,
		retries:  prometheus.NewDesc("moraine_rows_retries_total", "Transactions on rows that ran again since the start, after a race with another node or a lost connection.", nil, nil),
		fsyncs:   prometheus.NewDesc("moraine_fsyncs_total", "Syncs to disk since the start: of files and directories, and one for each commit of rows.", nil, nil),
		diskFree: prometheus.NewDesc("moraine_disk_free_bytes", "Bytes that may still be written to the file system of the data directory.", nil, nil),
		uploads:  prometheus.NewDesc("moraine_open_uploads", "Multipart uploads that are neither completed nor aborted.", nil, nil),
		job:      prometheus.NewDesc("moraine_jobs", "Jobs that have not expired, by state.", []string{"state"}, nil),
		message:  prometheus.NewDesc("moraine_messages", "Messages about jobs that were not delivered, by state.", []string{"state"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.fsyncs, g.retries, g.diskFree, g.uploads, g.job, g.message} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. A figure that cannot be had is
// reported as an error of the scrape, which shows the others.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	if g.src.Retries != nil {
		ch <- prometheus.MustNewConstMetric(g.retries, prometheus.CounterValue, float64(g.src.Retries()))
	}
	if g.src.Fsyncs != nil {
		ch <- prometheus.MustNewConstMetric(g.fsyncs, prometheus.CounterValue, float64(g.src.Fsyncs()))
	}
	if g.src.DiskFree != nil {
		if free, err := g.src.DiskFree(); err != nil {
			ch <- prometheus.NewInvalidMetric(g.diskFree, err)
		} else {
			ch <- prometheus.MustNewConstMetric(g.diskFree, prometheus.GaugeValue, float64(free))
		}
	}
	if g.src.Census != nil {
		g.collectCensus(ch)
	}
}

func (g *gauges) collectCensus(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), censusTimeout)
	defer cancel()
	census, err := g.src.Census(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(g.uploads, err)
		return
	}
	ch <- prometheus.MustNewConstMetric(g.uploads, prometheus.GaugeValue, float64(census.OpenUploads))
	for state, n := range census.Jobs {
		ch <- prometheus.MustNewConstMetric(g.job, prometheus.GaugeValue, float64(n), state)
	}
	for state, n := range census.Messages {
		ch <- prometheus.MustNewConstMetric(g.message, prometheus.GaugeValue, float64(n), state)
	}
}

// clockGauges asks the clock at every scrape.
type clockGauges struct {
	status                     func() clock.Status // nil for none
	now, skew, pending, events *prometheus.Desc
}

func newClockGauges(src Sources) *clockGauges {
	return &clockGauges{
		status:  src.Clock,
		now:     prometheus.NewDesc("moraine_clock_seconds", "The time that retention, locks and expiry go by, in seconds since 1970.", nil, nil),
		skew:    prometheus.NewDesc("moraine_clock_skew_seconds", "How far the system clock is ahead of that time; negative if it is behind.", nil, nil),
		pending: prometheus.NewDesc("moraine_clock_pending_jump_seconds", "Size of the jump of the system clock that waits for moraine clock confirm; 0 if none does.", nil, nil),
		events:  prometheus.NewDesc("moraine_clock_jumps_total", "Jumps of the system clock since the start: forward ones believed, held or confirmed, and those back.", []string{"kind"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (g *clockGauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.now, g.skew, g.pending, g.events} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g *clockGauges) Collect(ch chan<- prometheus.Metric) {
	if g.status == nil {
		return
	}
	s := g.status()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	gauge(g.now, float64(s.Now.UnixMilli())/1000)
	gauge(g.skew, s.System.Sub(s.Now).Seconds())
	pending := 0.0
	if !s.Pending.IsZero() {
		pending = s.Pending.To.Sub(s.Pending.From).Seconds()
	}
	gauge(g.pending, pending)
	for kind, n := range map[string]int64{"believed": s.Counts.Believed, "held": s.Counts.Held, "confirmed": s.Counts.Confirmed, "back": s.Counts.Back} {
		ch <- prometheus.MustNewConstMetric(g.events, prometheus.CounterValue, float64(n), kind)
	}
}

// Finding is what a check of stored bytes found that was not known before.
type Finding string

// The findings.
const (
	FoundFailed   Finding = "failed"
	FoundRepaired Finding = "repaired"
	FoundWhole    Finding = "whole"
)

// Found counts a finding.
func (m *Metrics) Found(f Finding) { m.findings.WithLabelValues(string(f)).Inc() }

// scrubGauges asks scrub at every scrape.
type scrubGauges struct {
	status                                             func(context.Context) (ScrubReply, error) // nil for none
	failed, late, resting, started, bytes, blobs, last *prometheus.Desc
}

func newScrubGauges(src Sources) *scrubGauges {
	return &scrubGauges{
		status:  src.Scrub,
		failed:  prometheus.NewDesc("moraine_scrub_failed", "Pieces of archives that failed their last check and are quarantined, up to 10,000.", nil, nil),
		late:    prometheus.NewDesc("moraine_scrub_late", "1 if a pass takes longer than scrub.period.", nil, nil),
		resting: prometheus.NewDesc("moraine_scrub_resting", "1 if the pass under way cannot go on.", nil, nil),
		started: prometheus.NewDesc("moraine_scrub_pass_started_seconds", "When the pass under way began, in seconds since 1970; 0 if none is.", nil, nil),
		bytes:   prometheus.NewDesc("moraine_scrub_pass_bytes", "Bytes that the pass under way has read.", nil, nil),
		blobs:   prometheus.NewDesc("moraine_scrub_pass_blobs", "Blobs that the pass under way has read.", nil, nil),
		last:    prometheus.NewDesc("moraine_scrub_last_pass_seconds", "When the last whole pass ended, in seconds since 1970; 0 if there was none.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (g *scrubGauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.failed, g.late, g.resting, g.started, g.bytes, g.blobs, g.last} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g *scrubGauges) Collect(ch chan<- prometheus.Metric) {
	if g.status == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), censusTimeout)
	defer cancel()
	s, err := g.status(ctx)
	if err != nil {
		ch <- prometheus.NewInvalidMetric(g.failed, err)
		return
	}
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	truth := map[bool]float64{true: 1}
	gauge(g.failed, float64(s.Failed))
	gauge(g.late, truth[s.Late])
	gauge(g.resting, truth[s.Error != ""])
	var pass ScrubPass
	var started, last float64
	if s.Pass != nil {
		pass, started = *s.Pass, float64(s.Pass.Started.UnixMilli())/1000
	}
	if s.Last != nil && s.Last.Finished != nil {
		last = float64(s.Last.Finished.UnixMilli()) / 1000
	}
	gauge(g.started, started)
	gauge(g.bytes, float64(pass.Bytes))
	gauge(g.blobs, float64(pass.Blobs))
	gauge(g.last, last)
}
