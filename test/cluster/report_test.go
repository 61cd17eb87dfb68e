package cluster

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"moraine/test/internal/vaultclient"
)

// TestReport prints how many small archives a second one, two and three nodes
// store on this machine, in one vault and in a vault for each client, how many
// transactions ran again, and who used the processors.
func TestReport(t *testing.T) {
	if !*report {
		return
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "vaults\tnodes\tarchives/s\tretries for each\tprocessors: nodes\tPostgreSQL\tstore\tall")
	for _, vaults := range []int{1, loops} {
		for n := 1; n <= 3; n++ {
			t.Run(fmt.Sprintf("%d vaults, %d nodes", vaults, n), func(t *testing.T) { measure(t, w, n, vaults) })
		}
	}
	if err := w.Flush(); err != nil {
		t.Error(err)
	}
}

// Load of a measurement: closed loops of small uploads.
const (
	loops = 32
	small = 4 << 10
)

func measure(t *testing.T, w *tabwriter.Writer, n, vaults int) {
	d := deploy(t, n)
	l := newLedger(d)
	names := make([]string, vaults)
	for i := range names {
		names[i] = fmt.Sprintf("%s-%d", vault, i)
		c := l.client()
		if err := c.CreateVault(t.Context(), names[i]); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	var stored atomic.Int64
	var stop atomic.Bool
	var all sync.WaitGroup
	for i := range loops {
		all.Go(func() {
			// One connection for each, and so one node.
			c := l.client()
			defer c.Close()
			p := vaultclient.NewPayload(noise(rand.New(rand.NewPCG(2, uint64(i))), small))
			for !stop.Load() {
				if _, err := c.UploadArchive(t.Context(), names[i%vaults], "small", p); err != nil {
					t.Error(err)
					return
				}
				stored.Add(1)
			}
		})
	}
	pause(t.Context(), time.Second)
	before, again, began, first := d.usage(), d.retries(), time.Now(), stored.Load()
	pause(t.Context(), *loadFor)
	after, took, count := d.usage(), time.Since(began).Seconds(), stored.Load()-first
	again = d.retries() - again
	stop.Store(true)
	all.Wait()
	part := func(i int) float64 { return (after[i] - before[i]) / took }
	fmt.Fprintf(w, "%d\t%d\t%.0f\t%.3f\t%.2f\t%.2f\t%.2f\t%.2f\n",
		vaults, n, float64(count)/took, again/float64(max(count, 1)), part(0), part(1), part(2), part(0)+part(1)+part(2))
}

// retries is how many transactions of all nodes ran again.
func (d *deployment) retries() (sum float64) {
	for _, n := range d.nodes {
		again, _ := n.server.Metric(d.Context(), "moraine_rows_retries_total")
		sum += again
	}
	return sum
}

// usage is processor time in seconds: of the nodes, the database, the store.
func (d *deployment) usage() (u [3]float64) {
	for _, n := range d.nodes {
		u[0] += processTime(n.server.PID())
	}
	u[2] = processTime(d.store.PID())
	entries, err := os.ReadDir("/proc")
	if err != nil {
		d.Error(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// The database is its first process and the children of that.
		if pid == d.pg.PID() || parent(pid) == d.pg.PID() {
			u[1] += processTime(pid)
		}
	}
	return u
}

// ticks is how many clock ticks the kernel counts a second.
const ticks = 100

// status are the fields of a process's stat after its name.
func status(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil // it is gone
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return strings.Fields(rest)
}

// parent is the process that started another, 0 if that is gone.
func parent(pid int) int {
	fields := status(pid)
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(fields[1]) //nolint:errcheck // a number, by the kernel's word
	return n
}

// processTime is the processor time of a process so far, in seconds.
func processTime(pid int) float64 {
	fields := status(pid)
	if len(fields) < 13 {
		return 0
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	if err1 != nil || err2 != nil {
		return 0
	}
	return (user + system) / ticks
}
