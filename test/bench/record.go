package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"moraine/test/internal/load"
)

// reference is the peer that ratios are of.
const reference = "versitygw"

// work is one kind of request under one load.
type work struct {
	kind  string
	size  int64 // of a body; of inventories the number of archives
	conns int
	cold  bool
}

func (w work) String() string {
	var s string
	switch w.kind {
	case "put":
		s = "upload of " + sizeText(w.size)
	case "parts":
		s = "parts of " + sizeText(w.size)
	case "multipart":
		return "upload in parts with completion, " + sizeText(w.size)
	case "complete":
		return "completion of " + sizeText(w.size)
	case "prepare":
		return "retrieval job of " + sizeText(w.size)
	case "get":
		s = "retrieval by " + sizeText(w.size) + " from " + map[bool]string{false: "memory", true: "disk"}[w.cold]
	default:
		return fmt.Sprintf("%s of %d archives", w.kind, w.size)
	}
	return fmt.Sprintf("%s, %d conn", s, w.conns)
}

func sizeText(n int64) string {
	for _, u := range []struct {
		shift int
		name  string
	}{{30, "GiB"}, {20, "MiB"}, {10, "KiB"}} {
		if n >= 1<<u.shift && n%(1<<u.shift) == 0 {
			return fmt.Sprintf("%d %s", n>>u.shift, u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

// sample is one measurement.
type sample struct {
	load.Result
	cost
	sync time.Duration // of everything that was left in the page cache
}

func (s *sample) rate() float64 { return float64(s.Ops()) / s.Elapsed.Seconds() }

func (s *sample) bytes() int64 { return s.Sent + s.Received }

// row is all samples of one work and one server.
type row struct {
	work    work
	peer    *peer
	samples []sample
}

// median of a figure over the samples; negative values are unknown.
func (r *row) median(figure func(*sample) float64) float64 {
	var known []float64
	for i := range r.samples {
		if v := figure(&r.samples[i]); v >= 0 {
			known = append(known, v)
		}
	}
	return median(known)
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return -1
	}
	slices.Sort(v)
	if len(v)%2 == 1 {
		return v[len(v)/2]
	}
	return (v[len(v)/2-1] + v[len(v)/2]) / 2
}

// record is the rows of a run, in order of first appearance.
type record struct{ rows []*row }

func (r *record) find(w work, peer string) *row {
	for _, row := range r.rows {
		if row.work == w && row.peer.name == peer {
			return row
		}
	}
	return nil
}

func (r *record) add(w work, p *peer, s sample) {
	found := r.find(w, p.name)
	if found == nil {
		found = &row{work: w, peer: p}
		r.rows = append(r.rows, found)
	}
	found.samples = append(found.samples, s)
	fmt.Fprintf(os.Stderr, "%s %-50s %-10s %8.0f/s %6.0f MB/s %7.3f CPU ms/op\n", time.Now().Format(time.TimeOnly), w, p.name,
		s.rate(), float64(s.bytes())/1e6/s.Elapsed.Seconds(), s.cpu.Seconds()*1000/float64(max(1, s.Ops())))
}

// ratio is the median over the rounds of how many times faster a row was than
// another in the same round; with cpu, of how many times less processor time it
// took.
func ratio(r, base *row, cpu bool) float64 {
	if r == nil || base == nil {
		return -1
	}
	var all []float64
	for i := range min(len(r.samples), len(base.samples)) {
		a, b := r.samples[i].rate(), base.samples[i].rate()
		if cpu {
			a, b = base.samples[i].perOp(), r.samples[i].perOp()
		}
		if a > 0 && b > 0 {
			all = append(all, a/b)
		}
	}
	return median(all)
}

// perOp is the server's processor time for one request, in milliseconds.
func (s *sample) perOp() float64 {
	if !s.known || s.Ops() == 0 {
		return -1
	}
	return s.cpu.Seconds() * 1000 / float64(s.Ops())
}

// perGB is the server's processor time for 10⁹ bytes, in seconds.
func (s *sample) perGB() float64 {
	if !s.known || s.bytes() == 0 {
		return -1
	}
	return s.cpu.Seconds() / (float64(s.bytes()) / 1e9)
}

// print writes the table and what is required of it.
func (r *record) print(w io.Writer, o options) {
	fmt.Fprintf(w, "%s %s/%s, %d processors, median of %d rounds of %v\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), o.rounds, o.duration)
	t := pipes{{
		"Work", "Server", "Durable", "ops/s", "Spread", "MB/s", "p50 ms", "p99 ms", "CPU ms/op", "CPU s/GB", "Stolen",
		"Peak RSS MiB", "Fsyncs/op", "Allocs/op", "Alloc KiB/op", "Sync after s", "Client ms/op", "× " + reference, "× its CPU",
	}}
	rows := slices.Clone(r.rows)
	slices.SortStableFunc(rows, func(a, b *row) int { return cmp.Compare(r.first(a.work), r.first(b.work)) })
	for _, row := range rows {
		t = append(t, r.cells(row))
	}
	t.print(w)
	r.judge(w)
}

// first is where a work appears.
func (r *record) first(w work) int {
	return slices.IndexFunc(r.rows, func(o *row) bool { return o.work == w })
}

func (r *record) cells(row *row) []string {
	num := func(format string, figure func(*sample) float64) string {
		if v := row.median(figure); v >= 0 {
			return fmt.Sprintf(format, v)
		}
		return ""
	}
	times := func(v float64) string {
		if v < 0 || row.peer.name == reference {
			return ""
		}
		return fmt.Sprintf("%.2f", v)
	}
	base := r.find(row.work, reference)
	return []string{
		row.work.String(), row.peer.name, row.peer.durable,
		num("%.4g", (*sample).rate),
		spread(row),
		num("%.4g", func(s *sample) float64 { return positive(float64(s.bytes()) / 1e6 / s.Elapsed.Seconds()) }),
		num("%.2f", func(s *sample) float64 { return s.Percentile(0.50).Seconds() * 1000 }),
		num("%.2f", func(s *sample) float64 { return s.Percentile(0.99).Seconds() * 1000 }),
		num("%.3f", (*sample).perOp),
		num("%.2f", (*sample).perGB),
		num("%.0f%%", func(s *sample) float64 { return 100 * s.stolen }),
		num("%.0f", func(s *sample) float64 { return float64(s.rssPeak >> 20) }),
		num("%.3f", func(s *sample) float64 { return s.fsyncs / float64(max(1, s.Ops())) }),
		num("%.0f", func(s *sample) float64 { return s.allocs / float64(max(1, s.Ops())) }),
		num("%.0f", func(s *sample) float64 { return s.memory / 1024 / float64(max(1, s.Ops())) }),
		num("%.2f", func(s *sample) float64 { return positive(s.sync.Seconds()) }),
		num("%.3f", func(s *sample) float64 { return positive(s.ClientCPU.Seconds() * 1000 / float64(max(1, s.Ops()))) }),
		times(ratio(row, base, false)), times(ratio(row, base, true)),
	}
}

// positive makes zero unknown.
func positive(v float64) float64 {
	if v == 0 {
		return -1
	}
	return v
}

// spread is how far the fastest and the slowest round are apart, in percent of
// the median.
func spread(r *row) string {
	low, high := r.samples[0].rate(), r.samples[0].rate()
	for i := range r.samples {
		low, high = min(low, r.samples[i].rate()), max(high, r.samples[i].rate())
	}
	return fmt.Sprintf("%.0f%%", 100*(high-low)/r.median((*sample).rate))
}

// pipes is a table in Markdown, its heading first.
type pipes [][]string

func (t pipes) print(w io.Writer) {
	width := make([]int, len(t[0]))
	for _, row := range t {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(row []string, fill string) {
		for i, cell := range row {
			fmt.Fprintf(w, "| %s%s ", cell, strings.Repeat(fill, width[i]-utf8.RuneCountInString(cell)))
		}
		fmt.Fprintln(w, "|")
	}
	line(t[0], " ")
	line(make([]string, len(width)), "-")
	for _, row := range t[1:] {
		line(row, " ")
	}
	fmt.Fprintln(w)
}
