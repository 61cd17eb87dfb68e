package adminapi

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Mirror is how the copies of blobs are.
type Mirror struct {
	// Counted is when every row was last looked at; zero if the first look is
	// not over, and then what is missing is not known.
	Counted    time.Time     `json:"counted,omitzero"`
	Blobs      int64         `json:"blobs"` // that rows named then
	Bytes      int64         `json:"bytes"`
	Places     []MirrorPlace `json:"places"`
	Lost       int64         `json:"lost"`                 // blobs without a good copy
	Doing      string        `json:"doing,omitempty"`      // counting, mending
	Rebuilding []string      `json:"rebuilding,omitempty"` // places on a new disk
	Rate       int64         `json:"rate"`                 // bytes per second read to be copied
	Error      string        `json:"error,omitempty"`      // why copies cannot be made
	ErrorAt    time.Time     `json:"errorAt,omitzero"`
	// Since the start:
	CopiesMade  int64 `json:"copiesMade"`
	BytesMade   int64 `json:"bytesMade"`
	OneCopyPuts int64 `json:"oneCopyPuts"` // uploads acknowledged with one copy
}

// MirrorPlace is one of the places of copies.
type MirrorPlace struct {
	Name         string `json:"name"`
	Missing      int64  `json:"missing"` // copies
	MissingBytes int64  `json:"missingBytes"`
	Failovers    int64  `json:"failovers"`         // reads that the other copy went on with
	Failure      string `json:"failure,omitempty"` // of the last put
}

// serveMirror answers with the state of the copies.
func serveMirror(state func() Mirror) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if state == nil {
			say(w, http.StatusNotFound, "there is no second copy: storage.mirror is not set")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(state()) // a client that went away misses it
	}
}

// mirrorGauges are the metrics of the copies.
type mirrorGauges struct {
	state                                                                             func() Mirror
	blobs, missing, missingBytes, failovers, away, rebuilding, lost, made, bytes, one *prometheus.Desc
}

func newMirrorGauges(state func() Mirror) *mirrorGauges {
	place := []string{"place"}
	desc := func(name, help string, labels []string) *prometheus.Desc {
		return prometheus.NewDesc("moraine_mirror_"+name, help, labels, nil)
	}
	return &mirrorGauges{
		state:        state,
		blobs:        desc("blobs", "Blobs that should have two copies, when all were last counted.", nil),
		missing:      desc("missing_copies", "Copies still to be made, by place.", place),
		missingBytes: desc("missing_bytes", "Bytes of the copies still to be made, by place.", place),
		failovers:    desc("failovers_total", "Reads that another copy had to go on with, by the place that failed.", place),
		away:         desc("away", "1 if the last upload to a place failed, else 0.", place),
		rebuilding:   desc("rebuilding", "1 while a place is being filled anew, else 0.", place),
		lost:         desc("lost_blobs", "Blobs without a good copy.", nil),
		made:         desc("copies_made_total", "Copies made for blobs that lacked one.", nil),
		bytes:        desc("made_bytes_total", "Bytes of the copies made.", nil),
		one:          desc("one_copy_uploads_total", "Uploads acknowledged with one copy.", nil),
	}
}

// Describe implements prometheus.Collector.
func (g *mirrorGauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{g.blobs, g.missing, g.missingBytes, g.failovers, g.away, g.rebuilding, g.lost, g.made, g.bytes, g.one} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. What is not counted yet is absent.
func (g *mirrorGauges) Collect(ch chan<- prometheus.Metric) {
	m := g.state()
	gauge := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	known := !m.Counted.IsZero()
	if known {
		gauge(g.blobs, m.Blobs)
	}
	for _, p := range m.Places {
		if known {
			gauge(g.missing, p.Missing, p.Name)
			gauge(g.missingBytes, p.MissingBytes, p.Name)
		}
		counter(g.failovers, p.Failovers, p.Name)
		gauge(g.away, one(p.Failure != ""), p.Name)
		rebuilding := false
		for _, name := range m.Rebuilding {
			rebuilding = rebuilding || name == p.Name
		}
		gauge(g.rebuilding, one(rebuilding), p.Name)
	}
	gauge(g.lost, m.Lost)
	counter(g.made, m.CopiesMade)
	counter(g.bytes, m.BytesMade)
	counter(g.one, m.OneCopyPuts)
}

func one(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}
