package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/vaultclient"
)

// The server's own counts: of its fsyncs, of what it allocated and of how many
// bytes that was.
const (
	fsyncMetric  = "moraine_fsyncs_total"
	allocsMetric = "go_memstats_mallocs_total"
	allocMetric  = "go_memstats_alloc_bytes_total"
)

// reading is the state of the server at one moment. Unknown figures are
// negative.
type reading struct {
	usage                  moraineproc.Usage
	fsyncs, allocs, memory float64
	used, stolen           float64 // of the machine
	known                  bool
}

// read looks at the server; a peak begins anew when reset is set.
func (b *bench) read(ctx context.Context, reset bool) reading {
	r := reading{fsyncs: -1, used: -1, stolen: -1}
	if b.server == nil {
		return r
	}
	if reset {
		// 5 resets VmHWM; without the right to do so the peak is of the whole run.
		_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", b.server.PID()), []byte("5"), 0)
	}
	if u, err := b.server.Usage(); err == nil {
		r.usage, r.known = u, true
	}
	if v, ok := b.server.Metric(ctx, fsyncMetric); ok {
		r.fsyncs = v
	}
	return r
}

// cost is what lies between two readings.
type cost struct {
	cpu     time.Duration
	rssPeak int64
	known   bool
	// Negative: unknown.
	fsyncs, allocs, memory float64 // memory is the bytes of the allocations
	// The share of the processors' time that other machines of the host took,
	// from 0 to 1. Some of it is counted as the server's.
	stolen float64
}

func between(before, after reading) cost {
	c := cost{cpu: after.usage.CPU - before.usage.CPU, rssPeak: after.usage.RSSPeak, known: before.known && after.known}
	c.fsyncs = since(before.fsyncs, after.fsyncs)
	c.allocs = since(before.allocs, after.allocs)
	c.memory = since(before.memory, after.memory)
	c.stolen = -1
	if used, stolen := since(before.used, after.used), since(before.stolen, after.stolen); used+stolen > 0 {
		c.stolen = stolen / (used + stolen)
	}
	return c
}

func since(before, after float64) float64 {
	if before < 0 || after < 0 {
		return -1
	}
	return after - before
}

func (c cost) cpuText() string {
	if !c.known {
		return "?"
	}
	return fmt.Sprintf("%.2f", c.cpu.Seconds())
}

func (c cost) rssText() string {
	if !c.known {
		return "?"
	}
	return fmt.Sprintf("%d", c.rssPeak>>20)
}

func (c cost) fsyncsPer(ops int) string {
	if c.fsyncs < 0 || ops == 0 {
		return "?"
	}
	return fmt.Sprintf("%.3f", c.fsyncs/float64(ops))
}

// drive runs op from n connections until the time is over or the count is
// reached, and returns the latencies of all operations. Zero means no bound,
// and one of the two must be given.
func (b *bench) drive(ctx context.Context, n int, duration time.Duration, count int, op func(ctx context.Context, c *vaultclient.Client, i int) error) ([]time.Duration, time.Duration, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	all := make([][]time.Duration, n)
	began := time.Now()
	for w := range n {
		wg.Go(func() {
			c := b.client()
			defer c.Close()
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if count > 0 && i >= count || duration > 0 && time.Since(began) >= duration {
					return
				}
				start := time.Now()
				if err := op(ctx, c, i); err != nil {
					cancel(err)
					return
				}
				all[w] = append(all[w], time.Since(start))
			}
		})
	}
	wg.Wait()
	return slices.Concat(all...), time.Since(began), context.Cause(ctx)
}

// percentile of sorted latencies.
func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}

// table prints rows under a heading, aligned.
type table struct{ w *tabwriter.Writer }

func newTable(heading ...any) *table {
	t := &table{tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)}
	t.row(heading...)
	return t
}

func (t *table) row(cells ...any) {
	for _, c := range cells {
		fmt.Fprintf(t.w, "%v\t", c)
	}
	fmt.Fprintln(t.w)
}

func (t *table) flush() { _ = t.w.Flush() } // standard output

func randomBuffer(n int) []byte {
	r := rand.NewChaCha8([32]byte{'b', 'e', 'n', 'c', 'h'})
	b := make([]byte, n)
	_, _ = r.Read(b) // it never fails
	return b
}

// payloads cuts n different bodies of one size and hashes them.
func (b *bench) payloads(n int, size int64) []vaultclient.Payload {
	out := make([]vaultclient.Payload, n)
	for i := range out {
		stamp := binary.BigEndian.AppendUint64(make([]byte, 0, 8), uint64(i)+1)
		if size <= 8 {
			out[i] = vaultclient.NewPayload(stamp[8-size:])
			continue
		}
		at := i * 8 % (len(b.base) - int(size) + 9)
		out[i] = vaultclient.NewPayload(stamp, b.base[at:at+int(size)-8])
	}
	return out
}

func mbps(bytes int64, d time.Duration) string {
	return fmt.Sprintf("%.0f", float64(bytes)/1e6/d.Seconds())
}

func perGB(cpu time.Duration, bytes int64) string {
	return fmt.Sprintf("%.2f", cpu.Seconds()/(float64(bytes)/1e9))
}
