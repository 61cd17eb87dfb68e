package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5"

	gateway "moraine/internal/gatewaytest"
	"moraine/internal/pgtest"
	"moraine/test/internal/moraineproc"
)

const (
	database = "moraine"
	prefix   = "archives/"
)

// estate is a database, a store with buckets, and what servers on them need.
type estate struct {
	*testing.T
	dir   string // holds everything but the database
	wal   string // where the database puts its log
	pg    *pgtest.Cluster
	store *gateway.Server
	api   *s3.Client
}

func newEstate(t *testing.T) *estate {
	t.Helper()
	e := &estate{T: t, dir: t.TempDir()}
	// The owner of the cluster is somebody else.
	e.wal = filepath.Join(e.dir, "wal")
	for _, dir := range []string{"wal", "buckets", "buckets/live"} {
		if err := os.Mkdir(filepath.Join(e.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(filepath.Dir(e.dir), 0o755), os.Chmod(e.dir, 0o755), os.Chmod(e.wal, 0o777)); err != nil {
		t.Fatal(err)
	}
	e.pg = pgtest.Start(t)
	for _, statement := range []string{
		"CREATE DATABASE " + database,
		"ALTER SYSTEM SET archive_mode = on",
		fmt.Sprintf("ALTER SYSTEM SET archive_command = 'test ! -f %[1]s/%%f && cp %%p %[1]s/%%f.part && mv %[1]s/%%f.part %[1]s/%%f'", e.wal),
	} {
		if err := e.pg.Do(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(e.pg.Shutdown(), e.pg.Run()); err != nil {
		t.Fatal(err)
	}
	var err error
	if e.store, err = gateway.Start(t.Context(), storeBinary, filepath.Join(e.dir, "buckets")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.store.Stop)
	e.api = s3.New(s3.Options{
		BaseEndpoint: aws.String(e.store.URL), UsePathStyle: true, Region: moraineproc.Region,
		Credentials: credentials.NewStaticCredentialsProvider(gateway.KeyID, gateway.Secret, ""),
	})
	if err := os.WriteFile(filepath.Join(e.dir, "master.key"), []byte("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return e
}

// house is one with an empty data directory whose servers use a database of a
// cluster and a bucket.
func (e *estate) house(name string, pg *pgtest.Cluster, database, bucket string) house {
	e.Helper()
	h := house{
		T: e.T, data: filepath.Join(e.dir, name), settings: filepath.Join(e.dir, name+".yaml"),
		env: []string{"MORAINE_S3_ACCESS_KEY_ID=" + gateway.KeyID, "MORAINE_S3_SECRET_ACCESS_KEY=" + gateway.Secret},
	}
	settings := fmt.Sprintf(`meta: %s
blobs: s3://%s/%s
s3: {endpoint: "%s", region: %s, path_style: true}
master_key_file: %s
audit: {destination: "off"}
log: {level: warn}
garbage.grace: 24h
`, pg.URL(database), bucket, prefix, e.store.URL, moraineproc.Region, filepath.Join(e.dir, "master.key"))
	if err := errors.Join(os.Mkdir(h.data, 0o700), os.WriteFile(h.settings, []byte(settings), 0o600)); err != nil {
		e.Fatal(err)
	}
	return h
}

// objects lists what is in a bucket.
func (e *estate) objects(bucket string) (keys []string) {
	e.Helper()
	pages := s3.NewListObjectsV2Paginator(e.api, &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(e.Context())
		if err != nil {
			e.Fatal(err)
		}
		for _, o := range page.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
	}
	return keys
}

func (e *estate) get(bucket, key string) []byte {
	e.Helper()
	out, err := e.api.GetObject(e.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		e.Fatal(err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		e.Fatal(err)
	}
	return body
}

func (e *estate) put(bucket, key string, body []byte) {
	e.Helper()
	_, err := e.api.PutObject(e.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String(key), Body: bytes.NewReader(body)})
	if err != nil {
		e.Fatal(err)
	}
}

// sync copies the objects that another bucket lacks, one after the other, as
// tools do that copy buckets.
func (e *estate) sync(from, to string) (copied int) {
	e.Helper()
	if err := os.MkdirAll(filepath.Join(e.dir, "buckets", to), 0o700); err != nil {
		e.Fatal(err)
	}
	there := map[string]bool{}
	for _, key := range e.objects(to) {
		there[key] = true
	}
	for _, key := range e.objects(from) {
		if !there[key] {
			e.put(to, key, e.get(from, key))
			copied++
		}
	}
	return copied
}

// restore loads a dump into a new database.
func (e *estate) restore(pg *pgtest.Cluster, database, dump string) {
	e.Helper()
	if err := pg.Do("CREATE DATABASE " + database + " ENCODING 'UTF8' TEMPLATE template0"); err != nil {
		e.Fatal(err)
	}
	if err := pg.Tool("pg_restore", "--dbname", database, "--exit-on-error", "--no-owner", dump); err != nil {
		e.Fatal(err)
	}
	// Servers that are gone hold leases in the dump, for half a minute.
	if err := pgtest.Exec(pg.URL(database), "UPDATE leases SET until_ms = NULL"); err != nil {
		e.Fatal(err)
	}
}

// TestDatabaseAndBucket loses what servers on a database and a bucket may lose,
// and puts it back.
func TestDatabaseAndBucket(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	a, b := e.house("a", e.pg, database, "live"), e.house("b", e.pg, database, "live")
	first, second := a.start(), b.start()
	l := newLedger(t, first)
	l.store(*archives, first, second)
	base := filepath.Join(e.wal, "base")
	if err := e.pg.Tool("pg_basebackup", "-D", base, "-c", "fast"); err != nil {
		t.Fatal(err)
	}

	second = e.lostDirectory(l, b, second)
	e.lostObject(l, a, first)

	e.sync("live", "early")
	early := time.Now()
	l.store(*archives, first, second)
	dump := filepath.Join(e.wal, "dump")
	var backup span
	l.whileStoring(first, func() {
		backup = during(func() {
			if err := e.pg.Tool("pg_dump", "-Fc", "-f", dump, database); err != nil {
				t.Fatal(err)
			}
		})
	}, func() { e.sync("live", "late") })
	// Somebody deletes what nobody should have.
	before := span{time.Now(), time.Now()}
	for _, id := range l.some(5, early, backup.from) {
		l.remove(second, id)
	}
	e.archiveLog()
	first.Kill()
	second.Kill()
	if err := e.pg.Crash(); err != nil {
		t.Fatal(err)
	}

	fresh := pgtest.Start(t)
	t.Run("a lost database, from a dump", func(t *testing.T) { e.on(t).fromDump(l.on(t), fresh, dump, backup) })
	t.Run("a dump that is newer than the bucket", func(t *testing.T) { e.on(t).wrongOrder(l.on(t), fresh, dump, backup, early) })
	t.Run("a dump that is older than deletions", func(t *testing.T) { e.on(t).olderThan(l.on(t), fresh, dump, backup, early) })
	t.Run("a mistake, undone to an instant", func(t *testing.T) { e.on(t).toAnInstant(l.on(t), base, before) })
}

// on is the same with another test.
func (e *estate) on(t *testing.T) *estate {
	other := *e
	other.T = t
	return &other
}

func (l *ledger) on(t *testing.T) *ledger {
	return &ledger{T: t, archives: l.archives, seed: l.seed + 1000}
}

// always is the span of a backup that has everything that was acknowledged.
func always() span { return span{time.Now(), time.Now()} }

// lostDirectory has a server lose all it has.
func (e *estate) lostDirectory(l *ledger, h house, s *moraineproc.Server) *moraineproc.Server {
	e.Helper()
	s.Kill()
	if err := os.RemoveAll(h.data); err != nil {
		e.Fatal(err)
	}
	h = h.at("b-again")
	s = h.start()
	same, _ := l.compare(s, always(), nil)
	e.Logf("a lost data directory: a server with an empty one served all %d archives, ready after %v", same, s.StartTook.Round(time.Millisecond))
	return s
}

// lostObject has the bucket lose an object, and get it back.
func (e *estate) lostObject(l *ledger, h house, s *moraineproc.Server) {
	e.Helper()
	var lost string
	for _, key := range e.objects("live") {
		if strings.HasPrefix(key, prefix+"v1/") {
			lost = key
		}
	}
	body := e.get("live", lost)
	if _, err := e.api.DeleteObject(e.Context(), &s3.DeleteObjectInput{Bucket: aws.String("live"), Key: aws.String(lost)}); err != nil {
		e.Fatal(err)
	}
	figures := h.at("operator").fsck(1)
	missing := figures["extents missing"]
	if missing == 0 {
		e.Error("fsck does not miss a lost object")
	}
	ask := func(want int, args ...string) string {
		e.Helper()
		out, status := h.moraine(append(args, "--admin-listen", s.AdminAddr)...)
		if status != want {
			e.Fatalf("%s: status %d, want %d\n%s", strings.Join(args, " "), status, want, out)
		}
		return out
	}
	ask(0, "scrub", "now")
	reach(e.T, s, "moraine_scrub_failed", func(v float64) bool { return int(v) == missing })
	hit := map[string]bool{}
	for line := range strings.Lines(ask(1, "scrub", "failed")) {
		if fields := strings.Split(line, "\t"); len(fields) > 1 {
			hit[fields[1]] = true
		}
	}
	same, _ := l.compare(s, always(), hit)
	e.Logf("a lost object: %d pieces missing, %d archives quarantined and refused, %d others served", missing, len(hit), same)
	if same+len(hit) != l.count() {
		e.Errorf("%d archives served and %d quarantined of %d", same, len(hit), l.count())
	}
	e.put("live", lost, body)
	for id := range hit {
		ask(0, "scrub", "release", id)
	}
	same, _ = l.compare(s, always(), nil)
	e.Logf("the object put back, and released: %d archives served", same)
}

// archiveLog waits until all that is committed is in the archive of the log.
func (e *estate) archiveLog() {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, e.pg.URL("postgres"))
	if err != nil {
		e.Fatal(err)
	}
	defer conn.Close(ctx)
	var file string
	if err := conn.QueryRow(ctx, "SELECT pg_walfile_name(pg_switch_wal())").Scan(&file); err != nil {
		e.Fatal(err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(filepath.Join(e.wal, file)); err == nil {
			return
		}
		select {
		case <-ctx.Done():
			e.Fatal("the log is not archived")
		case <-tick.C:
		}
	}
}

// fromDump restores a dump beside a copy of the bucket that was made after it.
func (e *estate) fromDump(l *ledger, pg *pgtest.Cluster, dump string, backup span) {
	e.Helper()
	e.restore(pg, "dumped", dump)
	h := e.house("dumped", pg, "dumped", "late")
	figures := h.fsck(0)
	s := h.start()
	same, missing := l.compare(s, backup, nil)
	e.Logf("%d of %d archives are there and the same, %d that came later are not found", same, l.count(), missing)
	if missing == 0 || figures["archives complete"] != same {
		e.Errorf("%d archives missing, %d complete", missing, figures["archives complete"])
	}
	if figures["orphans"] == 0 {
		e.Error("no blob came after the dump and before its copy")
	}
	if !strings.Contains(s.Log(), "blobs without a row found; they are deleted after the grace") {
		e.Errorf("the server says nothing of the orphans:\n%s", s.Log())
	}
}

// wrongOrder restores a dump beside a copy of the bucket that was made before it.
func (e *estate) wrongOrder(l *ledger, pg *pgtest.Cluster, dump string, backup span, early time.Time) {
	e.Helper()
	e.restore(pg, "wrong", dump)
	h := e.house("wrong", pg, "wrong", "early")
	lacking := map[string]bool{}
	least := 0
	for id, a := range l.archives {
		if a.begun.After(early) {
			lacking[id] = true
			if a.acked.Before(backup.from) {
				least += a.pieces
			}
		}
	}
	missing := h.fsck(1)["extents missing"]
	if missing < least {
		e.Errorf("fsck misses %d pieces, and %d were stored after the copy", missing, least)
	}
	s := h.start()
	ask := func(want int, args ...string) {
		e.Helper()
		if out, status := h.moraine(append(args, "--admin-listen", s.AdminAddr)...); status != want {
			e.Fatalf("%s: status %d, want %d\n%s", strings.Join(args, " "), status, want, out)
		}
	}
	ask(0, "scrub", "now")
	reach(e.T, s, "moraine_scrub_failed", func(v float64) bool { return int(v) == missing })
	same, absent := l.compare(s, backup, lacking)
	e.Logf("%d pieces of %d archives are missing and quarantined, %d others served", missing, l.count()-same-absent, same)
	// The old bucket is still there.
	copied := e.sync("live", "early")
	ask(0, "scrub", "now")
	reach(e.T, s, "moraine_scrub_failed", func(v float64) bool { return v == 0 })
	same, _ = l.compare(s, backup, nil)
	e.Logf("%d objects copied again: %d archives served, none quarantined", copied, same)
}

// olderThan puts the database back to before a deletion that has been swept. If
// the grace was long enough, the bytes are there.
func (e *estate) olderThan(l *ledger, pg *pgtest.Cluster, dump string, backup span, early time.Time) {
	e.Helper()
	for _, c := range []struct {
		name, grace, step string
		lost              bool
	}{{"kept", "24h", "condemned_bodies", false}, {"swept", "0s", "garbage", true}} {
		if c.lost && !*long {
			break
		}
		e.sync("late", c.name)
		e.restore(pg, c.name, dump)
		s := e.house(c.name, pg, c.name, c.name).start("--garbage-grace", c.grace)
		gone := map[string]bool{}
		pieces := 0
		// Jobs hold the bytes of what was retrieved, so what was not is deleted.
		for _, id := range l.some(3, early, backup.from) {
			l.remove(s, id)
			gone[id] = c.lost
			pieces += l.archives[id].pieces
		}
		reach(e.T, s, "moraine_swept_total", func(float64) bool { return swept(e.Context(), s, c.step) >= pieces })
		if err := s.Stop(e.Context()); err != nil {
			e.Error(err)
		}
		again := c.name + "_again"
		e.restore(pg, again, dump)
		h := e.house(again, pg, again, c.name)
		want := 0
		if c.lost {
			want = 1
		}
		figures := h.fsck(want)
		if c.lost != (figures["extents missing"] == pieces) {
			e.Errorf("with a grace of %s fsck misses %d pieces, and %d were deleted", c.grace, figures["extents missing"], pieces)
		}
		same, _ := l.compare(h.start(), backup, gone)
		e.Logf("garbage.grace %s: %d archives (%d pieces) were deleted after the dump; %d archives of it are served", c.grace, len(gone), pieces, same)
	}
}

// swept is how many rows a step of the sweep of a server has changed.
func swept(ctx context.Context, s *moraineproc.Server, step string) (n int) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.AdminAddr+"/metrics", nil)
	if err != nil {
		return 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), fmt.Sprintf("\nmoraine_swept_total{step=%q} ", step))
	_, _ = fmt.Sscan(rest, &n) // there may be none yet
	return n
}

// toAnInstant recovers a base backup and the log up to before a mistake. The
// bucket is the one in use, which has kept the bytes of what was deleted.
func (e *estate) toAnInstant(l *ledger, base string, at span) {
	e.Helper()
	pg := pgtest.Restore(e.T, func(data string) error {
		command(e.T, "cp", "-a", base, data)
		settings, err := os.OpenFile(filepath.Join(data, "postgresql.auto.conf"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		// Connections are refused until all is recovered.
		fmt.Fprintf(settings, "archive_mode = off\nhot_standby = off\nrestore_command = 'cp %s/%%f %%p'\nrecovery_target_time = '%s'\nrecovery_target_action = promote\n",
			e.wal, at.from.UTC().Format("2006-01-02 15:04:05.999999+00"))
		return errors.Join(settings.Close(), os.WriteFile(filepath.Join(data, "recovery.signal"), nil, 0o644))
	})
	h := e.house("instant", pg, database, "live")
	h.fsck(0)
	same, missing := l.compare(h.start(), at, nil)
	e.Logf("%d of %d archives are there and the same, those too that were deleted", same, l.count())
	if missing != 0 {
		e.Errorf("%d archives are missing", missing)
	}
}
