package main

import (
	"fmt"
	"io"
	"slices"
)

// goal is a figure that Moraine is meant to reach. Nothing fails if it is not:
// the table says so.
type goal struct {
	what    string
	atLeast bool // else at most
	want    float64
	unit    string
	figure  func(*record) float64 // negative: not measured
}

// faster is a goal for the ratio of speeds to the reference.
func faster(want float64, pick func(work) bool, what string) goal {
	return goal{what: what, atLeast: true, want: want, unit: "×", figure: func(r *record) float64 {
		return r.pick(pick, func(own *row) float64 { return ratio(own, r.find(own.work, reference), false) })
	}}
}

// cheaper is a goal for the server's processor time by bytes.
func cheaper(want float64, pick func(work) bool, what string) goal {
	return goal{what: what, want: want, unit: "CPU s/GB", figure: func(r *record) float64 {
		return r.pick(pick, func(own *row) float64 { return own.median((*sample).perGB) })
	}}
}

// sooner is a goal for a duration.
func sooner(want float64, pick func(work) bool, what string) goal {
	return goal{what: what, want: want, unit: "s", figure: func(r *record) float64 {
		return r.pick(pick, func(own *row) float64 { return own.median(func(s *sample) float64 { return s.Elapsed.Seconds() }) })
	}}
}

func isPut(size int64, conns int) func(work) bool {
	return func(w work) bool { return w == work{kind: "put", size: size, conns: conns} }
}

func isKind(kind string) func(work) bool { return func(w work) bool { return w.kind == kind } }

func isGet(cold bool, conns int) func(work) bool {
	return func(w work) bool { return w.kind == "get" && w.cold == cold && w.conns == conns }
}

var goals = []goal{
	faster(3.5, isPut(4<<10, 64), "4 KiB over 64 connections"),
	faster(3, isPut(64<<10, 64), "64 KiB over 64 connections"),
	faster(2.5, isPut(1<<20, 16), "1 MiB over 16 connections"),
	cheaper(1.6, isPut(1<<20, 16), "1 MiB over 16 connections"),
	faster(4, isKind("multipart"), "large object in parts, with its completion"),
	cheaper(1.4, isKind("multipart"), "large object in parts, with its completion"),
	sooner(0.1, isKind("complete"), "completion"),
	faster(1, isGet(false, 1), "retrieval from memory, whole"),
	faster(1, isGet(false, largeConns), "retrieval from memory, by ranges"),
	faster(1.2, isGet(true, 1), "retrieval from disk, whole"),
	faster(1.2, isGet(true, largeConns), "retrieval from disk, by ranges"),
	sooner(10, func(w work) bool { return w.kind == "inventory" && w.size == 1_000_000 }, "inventory of 1,000,000 archives"),
	{what: "peak RSS in any work", want: 200, unit: "MiB", figure: (*record).peak},
}

// pick returns a figure of Moraine's row for the first work that fits.
func (r *record) pick(fits func(work) bool, figure func(*row) float64) float64 {
	i := slices.IndexFunc(r.rows, func(own *row) bool { return own.peer.name == "moraine" && fits(own.work) })
	if i < 0 {
		return -1
	}
	return figure(r.rows[i])
}

// peak is the most memory Moraine held, in MiB.
func (r *record) peak() float64 {
	peak := -1.0
	for _, own := range r.rows {
		for i := range own.samples {
			if s := &own.samples[i]; own.peer.name == "moraine" && s.known {
				peak = max(peak, float64(s.rssPeak>>20))
			}
		}
	}
	return peak
}

// judge prints what is wanted and what was reached.
func (r *record) judge(w io.Writer) {
	t := pipes{{"Goal", "Wanted", "Reached", ""}}
	for _, g := range goals {
		got := g.figure(r)
		sign, verdict := "≤", "no"
		if g.atLeast {
			sign = "≥"
		}
		if g.atLeast && got >= g.want || !g.atLeast && got <= g.want {
			verdict = "yes"
		}
		reached := fmt.Sprintf("%.3g %s", got, g.unit)
		if got < 0 {
			reached, verdict = "not measured", ""
		}
		t = append(t, []string{g.what, fmt.Sprintf("%s %g %s", sign, g.want, g.unit), reached, verdict})
	}
	t.print(w)
}
