package drill

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"moraine/test/internal/moraineproc"
	"moraine/test/internal/vaultclient"
)

var (
	report  = flag.Bool("report", false, "run the report of what an archive costs")
	uploads = flag.Int("uploads", 5_000, "how many archives of 4 KiB the report is of; a hundredth of that of the larger ones")
)

// load is a kind of archive and how it is uploaded.
type load struct {
	name            string
	n, conns        int
	parts, partSize int // one part: not in parts
}

func loads() []load {
	few := max(*uploads/100, 1)
	return []load{
		{"4 KiB, 32 at a time", *uploads, 32, 1, 4 << 10},
		{"4 KiB, one at a time", few, 1, 1, 4 << 10},
		{"1 MiB, 8 at a time", few, 8, 1, 1 << 20},
		{"1 MiB, one at a time", few, 1, 1, 1 << 20},
		{"4 parts of 1 MiB, one at a time", few / 4, 1, 4, 1 << 20},
		{"16 MiB, one at a time", few / 20, 1, 1, 16 << 20},
	}
}

// costs are running totals.
type costs map[string]float64

// TestCosts prints what an archive costs in both forms: bytes of rows with their
// indexes and of the log of the database, bytes beside its own in packs and in
// the bucket, objects, and requests to the store.
func TestCosts(t *testing.T) {
	if !*report {
		return
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	t.Run("directory", func(t *testing.T) { directoryCosts(t, w) })
	t.Run("database and bucket", func(t *testing.T) { bucketCosts(t, w) })
	if err := w.Flush(); err != nil {
		t.Error(err)
	}
}

// tell prints costs for each archive of a load.
func tell(w *tabwriter.Writer, form string, l load, before, after costs) {
	after["bytes beside its own"] -= float64(l.n * l.parts * l.partSize)
	for _, name := range slices.Sorted(maps.Keys(after)) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%.2f\n", form, l.name, name, (after[name]-before[name])/float64(l.n))
	}
}

func directoryCosts(t *testing.T, w *tabwriter.Writer) {
	h := house{T: t, data: filepath.Join(t.TempDir(), "data")}
	s := h.start("--audit-destination", "off")
	newLedger(t, s)
	measure := func() costs {
		written := diskWrites(t, s.PID())
		// The end of a server leaves nothing in the log of the rows.
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		rows, err := os.Stat(filepath.Join(h.data, "meta.db"))
		if err != nil {
			t.Fatal(err)
		}
		packs, files := sizeOf(t, filepath.Join(h.data, "packs"))
		s = h.start("--audit-destination", "off")
		return costs{"bytes of rows": float64(rows.Size()), "bytes beside its own": packs, "files": files, "bytes written by the server": written}
	}
	for _, l := range loads() {
		before := measure()
		before["bytes written by the server"] = diskWrites(t, s.PID())
		l.run(t, s)
		tell(w, "directory", l, before, measure())
	}
}

func bucketCosts(t *testing.T, w *tabwriter.Writer) {
	e := newEstate(t)
	c := newCounter(t, e.store.URL)
	h := e.house("a", e.pg, database, "live")
	s := h.start("--s3-endpoint", c.server.URL, "--scrub-rate", "0")
	newLedger(t, s)
	conn, err := pgx.Connect(t.Context(), e.pg.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // of no interest
	measure := func() costs {
		all := costs{}
		for name, query := range map[string]string{
			"bytes of log": "SELECT wal_bytes::float8 FROM pg_stat_wal",
			"bytes of log, of them whole pages (8 KiB each)": "SELECT wal_fpi::float8 * 8192 FROM pg_stat_wal",
			"bytes of rows":                              "SELECT sum(pg_relation_size(oid))::float8 FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')",
			"bytes of rows, of them archives":            "SELECT pg_relation_size('archives')::float8",
			"bytes of rows, of them indexes of archives": "SELECT pg_indexes_size('archives')::float8",
			"bytes of rows, of them extents":             "SELECT pg_relation_size('extents')::float8",
			"bytes of rows, of them indexes of extents":  "SELECT pg_indexes_size('extents')::float8",
		} {
			var n float64
			if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
				t.Fatal(err)
			}
			all[name] = n
		}
		all["bytes beside its own"], all["objects"] = sizeOf(t, filepath.Join(e.dir, "buckets", "live"))
		c.mu.Lock()
		defer c.mu.Unlock()
		for kind, n := range c.requests {
			all["requests to the store: "+kind] = n
		}
		return all
	}
	for _, l := range loads() {
		before := measure()
		l.run(t, s)
		tell(w, "database and bucket", l, before, measure())
	}
	tellBackends(t, w, conn)
	tellIdle(t, w, conn)

	// What reading everything asks for.
	blobs := 0
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM extents").Scan(&blobs); err != nil {
		t.Fatal(err)
	}
	before, began := measure(), time.Now()
	if out, status := h.moraine("scrub", "now", "--admin-listen", s.AdminAddr); status != 0 {
		t.Fatal(out)
	}
	reach(t, s, "moraine_scrub_last_pass_seconds", func(v float64) bool { return v > float64(began.Unix()) })
	took := time.Since(began)
	after := measure()
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if n := after[name] - before[name]; n != 0 {
			fmt.Fprintf(w, "database and bucket\tscrub, for each piece\t%s\t%.2f\n", name, n/float64(blobs))
		}
	}
	fmt.Fprintf(w, "database and bucket\tscrub\tpieces a second\t%.0f\n", float64(blobs)/took.Seconds())
}

// idle is how long a server is watched that has nothing to do.
const idle = 2 * time.Minute

// tellIdle prints how often a server asks the database that has nothing to do.
func tellIdle(t *testing.T, w *tabwriter.Writer, conn *pgx.Conn) {
	t.Helper()
	count := func() (n float64) {
		t.Helper()
		err := conn.QueryRow(t.Context(), "SELECT (xact_commit + xact_rollback)::float8 FROM pg_stat_database WHERE datname = current_database()").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	wait := func(d time.Duration) {
		select {
		case <-t.Context().Done():
		case <-time.After(d):
		}
	}
	wait(idle / 2) // until sessions have told what they did before
	before := count()
	wait(idle)
	fmt.Fprintf(w, "database and bucket\tidle\ttransactions a second\t%.2f\n", (count()-before)/idle.Seconds())
}

// tellBackends prints the memory of the connections of a server that others do
// not have too.
func tellBackends(t *testing.T, w *tabwriter.Writer, conn *pgx.Conn) {
	t.Helper()
	rows, err := conn.Query(t.Context(), "SELECT pid FROM pg_stat_activity WHERE application_name = 'moraine'")
	if err != nil {
		t.Fatal(err)
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		t.Fatal(err)
	}
	for i, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			t.Fatal(err)
		}
		var kib int
		_, rest, _ := strings.Cut(string(text), "\nPrivate_Dirty:")
		if _, err := fmt.Sscan(rest, &kib); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(w, "database and bucket\tconnection %d\tKiB of its own\t%d\n", i+1, kib)
	}
}

// run uploads.
func (l load) run(t *testing.T, s *moraineproc.Server) {
	t.Helper()
	left := make(chan int, l.n)
	for i := range l.n {
		left <- i
	}
	close(left)
	var all sync.WaitGroup
	for worker := range l.conns {
		all.Go(func() {
			c := connect(s)
			defer c.Close()
			part := noise(rand.New(rand.NewPCG(3, uint64(worker))), l.partSize)
			pieces := make([][]byte, l.parts)
			for i := range pieces {
				pieces[i] = part
			}
			whole, one := vaultclient.NewPayload(pieces...), vaultclient.NewPayload(part)
			for range left {
				if err := l.upload(t.Context(), c, whole, one); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func (l load) upload(ctx context.Context, c *vaultclient.Client, whole, part vaultclient.Payload) error {
	if l.parts == 1 {
		_, err := c.UploadArchive(ctx, vault, "holiday.tar", whole)
		return err
	}
	id, err := c.InitiateUpload(ctx, vault, "holiday.tar", int64(l.partSize))
	if err != nil {
		return err
	}
	for i := range l.parts {
		if err := c.UploadPart(ctx, vault, id, int64(i*l.partSize), part); err != nil {
			return err
		}
	}
	_, err = c.CompleteUpload(ctx, vault, id, whole.Size, whole.Tree)
	return err
}

// sizeOf is how many bytes the files below a directory have, and how many files
// there are.
func sizeOf(t *testing.T, dir string) (bytes, files float64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		// Space that a file has in advance counts as it is used.
		bytes += min(float64(info.Size()), float64(info.Sys().(*syscall.Stat_t).Blocks)*512)
		files++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes, files
}

// diskWrites is how many bytes a process has had written to disks.
func diskWrites(t *testing.T, pid int) (n float64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nwrite_bytes: ")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// counter stands before a store and counts requests.
type counter struct {
	server *httptest.Server

	mu       sync.Mutex // guards requests
	requests map[string]float64
}

func newCounter(t *testing.T, store string) *counter {
	t.Helper()
	to, err := url.Parse(store)
	if err != nil {
		t.Fatal(err)
	}
	c := &counter{requests: map[string]float64{}}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host
		r.Out.Host = r.In.Host // which is signed
	}}
	c.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.requests[r.Method]++
		c.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(c.server.Close)
	return c
}
