package sqlmeta_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/pgtest"
)

var (
	scaleArchives = flag.Int("archives", 10_000, "archives in the database whose polling queries are explained")
	scaleReport   = flag.Bool("report", false, "print what each polling query reads")
)

// crowd fills a database: archives in a hundred vaults, a twentieth of them
// deleted of which a fifth waits for its grace, finished jobs, jobs whose lease
// runs and jobs that are not yet due, messages to be tried later, uploads.
const crowd = `
INSERT INTO vaults (vault_id, account, region, name, archives, bytes, inventory_archives, inventory_bytes, inventory_due_ms)
SELECT 'v' || n, '210987654321', 'eu-north-1', 'vault' || n, 0, 0, 0, 0, 4e12 FROM generate_series(1, 100) AS n;
INSERT INTO archives (vault_id, created_ms, archive_id, body_id, size, deleted_ms, tree_hash, description)
SELECT 'v' || n %% 100 + 1, 1700000000000 + n, md5(n::text) || repeat('a', 106), 'b' || md5(n::text), 4096, CASE WHEN n %% 20 = 0 THEN 1 END, decode(repeat('00', 32), 'hex'), 'holiday.tar'
FROM generate_series(1, %[1]d) AS n;
INSERT INTO extents (body_id, first_byte, size, blob_id, ref, tree_hash)
SELECT 'b' || md5(n::text), 0, 4096, decode(md5('x' || n), 'hex'), 's1:' || repeat('0', 48) || ':20:4000:1000', decode(repeat('00', 32), 'hex')
FROM generate_series(1, %[1]d) AS n WHERE n %% 20 <> 0;
INSERT INTO garbage (blob_id, ref, size, since_ms) SELECT decode(md5('x' || n), 'hex'), 's1:' || repeat('0', 48) || ':20:4000:1000', 4096, 1700000000000 + n
FROM generate_series(100, %[1]d, 100) AS n;
INSERT INTO jobs (job_id, vault_id, body_id, action, state, tier, description, sns_topic, created_ms, due_ms, completed_ms, expires_ms, output_size, lease_owner, lease_until_ms, ready_ms)
SELECT md5(n::text), 'v1', 'b' || md5(n::text), 'ArchiveRetrieval', CASE WHEN n %% 50 > 1 THEN 'Succeeded' ELSE 'InProgress' END, 'Standard', '', '', 1, CASE WHEN n %% 50 = 1 THEN 4e12 ELSE 1 END,
CASE WHEN n %% 50 > 1 THEN 1 END, CASE WHEN n %% 50 > 1 THEN 4e12 END, 1, CASE WHEN n %% 1000 = 0 THEN 'other' ELSE '' END, CASE WHEN n %% 1000 = 0 THEN 4e12 END, CASE WHEN n %% 50 <= 1 THEN 4e12 END
FROM generate_series(1, %[1]d / 10) AS n WHERE n %% 50 <> 0 OR n %% 1000 = 0 AND n <= 100000;
INSERT INTO outbox (message_id, topic, source, event, job_id, body, state, created_ms, next_ms, lease_owner, attempts, error)
SELECT md5(n::text), 't', 's', 'e', 'j', 'b', 'pending', 1, 4e12, '', 0, '' FROM generate_series(1, %[1]d / 100) AS n;
INSERT INTO uploads (upload_id, vault_id, body_id, part_size, state, created_ms, active_ms, description, archive_id, size)
SELECT md5(n::text), 'v1', 'u' || n, 1048576, CASE WHEN n %% 2 = 0 THEN 'open' ELSE 'completed' END, 1, 4e12, '', '', 0 FROM generate_series(1, %[1]d / 10) AS n;
INSERT INTO leases (lease_name, owner, number, until_ms) VALUES ('sweep', 'other', 1, 4e12);
ANALYZE`

// pagesMax is how many pages of 8 KiB a look for work may read, however many
// archives there are.
const pagesMax = 60

// TestPollsAtScale looks at what the queries read that every server asks again
// and again.
func TestPollsAtScale(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := openAt(t, sqlmeta.Config{URL: url})
	if err := pgtest.Exec(url, fmt.Sprintf(crowd, *scaleArchives)); err != nil {
		t.Fatal(err)
	}
	if err := pgtest.Exec(url, "VACUUM"); err != nil {
		t.Fatal(err)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "query\tpages\tms\tby")
	for _, p := range sqlmeta.Polls() {
		lines, err := sqlmeta.Explain(s, p)
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		plan := strings.Join(lines, "\n")
		pages := pagesRead(plan)
		most := pagesMax
		if p.Rows > 0 {
			most += p.Rows // each may be on a page of its own
		}
		if p.All {
			most = 1 << 30
		}
		if pages > most || !p.All && strings.Contains(plan, "Seq Scan") {
			t.Errorf("%s reads %d pages of a database with %d archives, at most %d are allowed:\n%s", p.Name, pages, *scaleArchives, most, plan)
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", p.Name, pages, match(plan, `Execution Time: ([0-9.]+)`), match(plan, `((?:Index|Seq|Bitmap)[A-Za-z ]* Scan[^(]*)\(`))
	}
	if !*scaleReport {
		return
	}
	if err := w.Flush(); err != nil {
		t.Error(err)
	}
	// What an inventory reads.
	n, began := 0, time.Now()
	err := s.View(t.Context(), func(tx meta.Tx) error {
		for vault := range 100 {
			err := tx.Archives().Scan(meta.Scan{Vault: moraine.VaultID(fmt.Sprintf("v%d", vault+1)), At: time.Now()}, func(moraine.Archive) error {
				n++
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	fmt.Printf("archives of inventories: %d, %.0f a second\n", n, float64(n)/time.Since(began).Seconds())
}

func match(text, pattern string) string {
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if found == nil {
		return "-"
	}
	return strings.TrimSpace(found[1])
}

// pagesRead is how many pages the topmost node of a plan has touched.
func pagesRead(plan string) (sum int) {
	found := regexp.MustCompile(`Buffers: shared([^\n]*)`).FindStringSubmatch(plan)
	if found == nil {
		return 0
	}
	for _, n := range regexp.MustCompile(`(?:hit|read)=([0-9]+)`).FindAllStringSubmatch(found[1], -1) {
		v, _ := strconv.Atoi(n[1]) //nolint:errcheck // digits
		sum += v
	}
	return sum
}
