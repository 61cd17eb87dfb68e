package sqlmeta_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/pgtest"
)

// wire is a way to a server that breaks on demand.
type wire struct {
	word   atomic.Pointer[[]byte] // the message that holds it is the last one; nil for none
	before atomic.Bool            // the server does not get it
}

// cut breaks the connection that sends word next, before the server has it or
// after it has answered.
func (w *wire) cut(word string, before bool) {
	text := []byte(word)
	w.before.Store(before)
	w.word.Store(&text)
}

func (w *wire) wrap(conn net.Conn) net.Conn { return &wired{conn, w} }

type wired struct {
	net.Conn
	wire *wire
}

func (c *wired) Write(p []byte) (int, error) {
	word := c.wire.word.Load()
	if word == nil || !bytes.Contains(p, *word) || !c.wire.word.CompareAndSwap(word, nil) {
		return c.Conn.Write(p)
	}
	defer c.Conn.Close()
	if c.wire.before.Load() {
		return 0, net.ErrClosed
	}
	n, err := c.Conn.Write(p)
	if err == nil {
		_, err = c.Conn.Read(make([]byte, 4096)) // the answer, which nobody gets
	}
	return n, err
}

// wholeAt checks the database and opens it again.
func wholeAt(t *testing.T, s *sqlmeta.Store, url string) *sqlmeta.Store {
	t.Helper()
	if err := s.Check(t.Context()); err != nil {
		t.Fatalf("check: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	s = openAt(t, sqlmeta.Config{URL: url})
	if err := s.Check(t.Context()); err != nil {
		t.Fatalf("check after reopening: %v", err)
	}
	return s
}

// TestPostgresCommitCut loses the connection with the commit of each step: it is
// told as open, nothing runs again, and all of its rows are the old ones or all
// are the new ones.
func TestPostgresCommitCut(t *testing.T) {
	t.Parallel()
	for _, step := range steps {
		for name, before := range map[string]bool{"and lost": true, "but persisted": false} {
			t.Run(step.name+" "+name, func(t *testing.T) {
				t.Parallel()
				url, w := migrated(t), &wire{}
				s := openAt(t, sqlmeta.Wrap(sqlmeta.Config{URL: url}, w.wrap))
				if err := s.Update(t.Context(), step.before); err != nil {
					t.Fatal(err)
				}
				runs := 0
				w.cut("COMMIT", before)
				err := s.Update(t.Context(), func(tx meta.Tx) error {
					runs++
					return step.change(tx)
				})
				if !moraine.IsKind(err, moraine.Unavailable) || runs != 1 || s.Retries() != 0 {
					t.Errorf("commit that was cut, after %d runs and %d retries: %v", runs, s.Retries(), err)
				}
				want := step.to
				if before {
					want = step.from
				}
				wantState(t, s, step.state, want)
				s = wholeAt(t, s, url)
				wantState(t, s, step.state, want)
			})
		}
	}
}

// TestPostgresCutBeforeCommit loses the connection in the middle of a batch:
// nothing was committed, and all of it runs again.
func TestPostgresCutBeforeCommit(t *testing.T) {
	t.Parallel()
	for _, before := range []bool{true, false} {
		t.Run(fmt.Sprint(before), func(t *testing.T) {
			t.Parallel()
			url, w := migrated(t), &wire{}
			s := openAt(t, sqlmeta.Wrap(sqlmeta.Config{URL: url}, w.wrap))
			if _, err := insertPlain(s, 1); err != nil {
				t.Fatal(err)
			}
			w.cut("cut here", before)
			runs := 0
			err := s.Update(t.Context(), func(tx meta.Tx) error {
				runs++
				return tx.Archives().Insert(moraine.Archive{ID: "second", Vault: "v", Body: "b", Created: benchTime, Description: "cut here"})
			})
			if err != nil || runs != 2 || s.Retries() != 1 {
				t.Errorf("after %d runs and %d retries: %v", runs, s.Retries(), err)
			}
			s = wholeAt(t, s, url)
			wantArchive(t, s, "second", true)
		})
	}
}

// insertPlain inserts an archive.
func insertPlain(s *sqlmeta.Store, n int) (moraine.ArchiveID, error) {
	id := moraine.ArchiveID(fmt.Sprintf("archive %06d", n))
	return id, s.Update(context.Background(), func(tx meta.Tx) error {
		return tx.Archives().Insert(moraine.Archive{ID: id, Vault: "v", Body: "b", Size: 1, Created: benchTime})
	})
}

// TestPostgresRefused has one Update of a batch refused: it fails alone.
func TestPostgresRefused(t *testing.T) {
	t.Parallel()
	s := openAt(t, sqlmeta.Config{URL: migrated(t)})
	id, err := insertPlain(s, 1)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			switch i % 3 {
			case 0:
				if _, err := insertPlain(s, 1); moraine.KindOf(err) != moraine.Internal {
					t.Errorf("an id for the second time: %v", err)
				}
			case 1: // PostgreSQL knows no such text
				bad := []moraine.ArchiveID{"zero \x00", "not UTF-8 \xff"}[i%2]
				err := s.Update(t.Context(), func(tx meta.Tx) error {
					if _, err := tx.Archives().Get(bad); !errors.Is(err, meta.ErrNotFound) {
						t.Errorf("to ask for %q: %v", bad, err)
					}
					return tx.Archives().Insert(moraine.Archive{ID: bad, Vault: "v", Body: "b", Created: benchTime})
				})
				if moraine.KindOf(err) != moraine.Internal {
					t.Errorf("to insert %q: %v", bad, err)
				}
			default:
				if _, err := insertPlain(s, 100+i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	wantArchive(t, s, id, true)
	for i := range 30 {
		wantArchive(t, s, moraine.ArchiveID(fmt.Sprintf("archive %06d", 100+i)), i%3 == 2)
	}
}

// TestPostgresAway stops the server under a store: it says so within a bound, and
// recovers by itself.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	url := c.URL("postgres")
	s := openAt(t, sqlmeta.Config{URL: url})
	if _, err := insertPlain(s, 0); err != nil {
		t.Fatal(err)
	}
	get := func(tx meta.Tx) error {
		_, err := tx.Archives().Get("archive 000000")
		return err
	}
	for round := range 3 {
		if err := c.Shutdown(); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for i := range 20 {
			if _, err := insertPlain(s, 1000*(round+1)+i); !moraine.IsKind(err, moraine.Unavailable) {
				t.Fatalf("update without a server: %v", err)
			}
			if err := s.View(t.Context(), get); !moraine.IsKind(err, moraine.Unavailable) {
				t.Fatalf("view without a server: %v", err)
			}
		}
		if d := time.Since(began); d > 20*time.Second {
			t.Errorf("20 refusals took %v", d)
		}
		if s, err := sqlmeta.Open(t.Context(), sqlmeta.Config{URL: url}); !moraine.IsKind(err, moraine.Unavailable) {
			t.Errorf("open without a server: %v, %v", s, err)
		}
		if err := c.Run(); err != nil {
			t.Fatal(err)
		}
		if err := s.View(t.Context(), get); err != nil {
			t.Errorf("view when the server is back: %v", err)
		}
		if _, err := insertPlain(s, round+1); err != nil {
			t.Errorf("update when the server is back: %v", err)
		}
	}
	// A server that ends between two transactions is not even noticed.
	if err := errors.Join(c.Shutdown(), c.Run()); err != nil {
		t.Fatal(err)
	}
	for range 20 { // more often than there are connections
		if err := s.View(t.Context(), get); err != nil {
			t.Errorf("view after a restart: %v", err)
		}
	}
	if _, err := insertPlain(s, 9); err != nil {
		t.Errorf("update after a restart: %v", err)
	}
}

// TestPostgresCrash kills the server under load: what was acknowledged is there
// afterwards, and what was refused for good is not.
func TestPostgresCrash(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	s := openAt(t, sqlmeta.Config{URL: c.URL("postgres")})
	v := addVault(t, s, "photos")
	var acknowledged, open atomic.Int64
	ids := make(chan moraine.ArchiveID, 100_000)
	for round := range 3 {
		var wg sync.WaitGroup
		enough := make(chan struct{})
		var done atomic.Int64
		for worker := range 8 {
			wg.Go(func() {
				for i := range 2000 {
					now := benchTime.Add(time.Duration(worker*10_000+i) * time.Millisecond)
					var id moraine.ArchiveID
					err := s.Update(context.Background(), func(tx meta.Tx) (err error) {
						id, err = upload(tx, "photos", now)
						return err
					})
					if err != nil {
						if !moraine.IsKind(err, moraine.Unavailable) {
							t.Errorf("round %d: %v", round, err)
						}
						open.Add(1)
						return
					}
					acknowledged.Add(1)
					ids <- id
					if done.Add(1) == 200 {
						close(enough)
					}
				}
			})
		}
		<-enough
		if err := c.Crash(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if err := c.Run(); err != nil {
			t.Fatal(err)
		}
	}
	close(ids)
	s = wholeAt(t, s, c.URL("postgres"))
	for id := range ids {
		wantArchive(t, s, id, true)
	}
	// Figures and rows agree, and no more is there than was open at a crash.
	err := s.View(t.Context(), func(tx meta.Tx) error {
		got, err := tx.Vaults().ByID(v.ID)
		if err != nil {
			return err
		}
		var n int64
		err = tx.Archives().Scan(meta.Scan{Vault: v.ID, At: benchTime.Add(time.Hour)}, func(moraine.Archive) error {
			n++
			return nil
		})
		if got.Live.Archives != n || n < acknowledged.Load() || n > acknowledged.Load()+open.Load() {
			t.Errorf("%d archives counted, %d there; %d were acknowledged and %d open", got.Live.Archives, n, acknowledged.Load(), open.Load())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPostgresNodes has two stores on one database, as two nodes do, count in
// the same rows: every count is there.
func TestPostgresNodes(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	nodes := []*sqlmeta.Store{openAt(t, sqlmeta.Config{URL: url}), openAt(t, sqlmeta.Config{URL: url})}
	v := addVault(t, nodes[0], "photos")
	const workers, each = 4, 50
	var wg sync.WaitGroup
	for i, s := range nodes {
		for worker := range workers {
			wg.Go(func() {
				for n := range each {
					now := benchTime.Add(time.Duration(i*1000_000+worker*1000+n) * time.Millisecond)
					if err := s.Update(t.Context(), func(tx meta.Tx) error {
						_, err := upload(tx, "photos", now)
						return err
					}); err != nil {
						t.Errorf("node %d: %v", i, err)
					}
				}
			})
		}
	}
	wg.Wait()
	err := nodes[0].View(t.Context(), func(tx meta.Tx) error {
		got, err := tx.Vaults().ByID(v.ID)
		if got.Live.Archives != 2*workers*each || got.Live.Bytes != 2*workers*each<<20 {
			t.Errorf("counted %v, want %d", got.Live, 2*workers*each)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestPostgresRace lets another node change the row that an Update has read: the
// Update runs again, and counts on from there.
func TestPostgresRace(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	one, other := openAt(t, sqlmeta.Config{URL: url}), openAt(t, sqlmeta.Config{URL: url})
	v := addVault(t, one, "photos")
	first := func(tx meta.Tx) error { // the second upload and later ones write the vault last
		_, err := upload(tx, "photos", benchTime)
		return err
	}
	if err := one.Update(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		runs := 0
		err := one.Update(t.Context(), func(tx meta.Tx) error {
			if _, err := upload(tx, "photos", benchTime); err != nil {
				return err
			}
			if runs++; runs > 1 {
				return nil
			}
			return other.Update(t.Context(), func(tx meta.Tx) error {
				_, err := upload(tx, "photos", benchTime)
				return err
			})
		})
		if err != nil || runs != 2 || one.Retries() != uint64(round)+1 {
			t.Fatalf("after %d runs and %d retries: %v", runs, one.Retries(), err)
		}
		err = one.View(t.Context(), func(tx meta.Tx) error {
			got, err := tx.Vaults().ByID(v.ID)
			if want := int64(2*(round+1) + 1); got.Live.Archives != want {
				t.Errorf("counted %d, want %d", got.Live.Archives, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestPostgresRaceEndless lets another node win every time: there is a bound.
func TestPostgresRaceEndless(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	one, other := openAt(t, sqlmeta.Config{URL: url}), openAt(t, sqlmeta.Config{URL: url})
	addVault(t, one, "photos")
	err := other.Update(t.Context(), func(tx meta.Tx) error {
		_, err := upload(tx, "photos", benchTime)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	runs := 0
	err = one.Update(t.Context(), func(tx meta.Tx) error {
		runs++
		_, err := upload(tx, "photos", benchTime)
		return errors.Join(err, other.Update(t.Context(), func(tx meta.Tx) error {
			_, err := upload(tx, "photos", benchTime)
			return err
		}))
	})
	if !moraine.IsKind(err, moraine.Unavailable) || runs != sqlmeta.RacesMax || one.Retries() != sqlmeta.RacesMax-1 {
		t.Errorf("after %d runs and %d retries: %v", runs, one.Retries(), err)
	}
}

// TestPostgresClaims has two nodes claim jobs and messages at the same time: each
// goes to one of them, and no claim takes more than its limit.
func TestPostgresClaims(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	nodes := []*sqlmeta.Store{openAt(t, sqlmeta.Config{URL: url}), openAt(t, sqlmeta.Config{URL: url})}
	const n = 60
	err := nodes[0].Update(t.Context(), func(tx meta.Tx) error {
		for i := range n {
			j, m := pairJob(moraine.InProgress), pairMessage
			j.ID, m.ID = moraine.JobID(fmt.Sprintf("job %03d", i)), moraine.MessageID(fmt.Sprintf("message %03d", i))
			if err := errors.Join(tx.Jobs().Save(j), tx.Outbox().Save(m)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	owners := map[string]string{} // guarded by mu
	var wg sync.WaitGroup
	for i, s := range nodes {
		for worker := range 2 {
			wg.Go(func() {
				owner := fmt.Sprintf("node %d.%d", i, worker)
				for {
					var got []string
					err := s.Update(t.Context(), func(tx meta.Tx) error {
						jobs, err := tx.Jobs().Claim(owner, benchTime.Add(time.Second), benchTime.Add(time.Hour), 4)
						messages, err2 := tx.Outbox().Claim(owner, benchTime.Add(time.Second), benchTime.Add(time.Hour), 4)
						if len(jobs) > 4 || len(messages) > 4 {
							t.Errorf("%s claimed %d jobs and %d messages", owner, len(jobs), len(messages))
						}
						got = got[:0]
						for _, j := range jobs {
							got = append(got, string(j.ID))
						}
						for _, m := range messages {
							got = append(got, string(m.ID))
						}
						return errors.Join(err, err2)
					})
					if err != nil {
						t.Error(err)
						return
					}
					if len(got) == 0 {
						return
					}
					mu.Lock()
					for _, id := range got {
						if other := owners[id]; other != "" {
							t.Errorf("%s went to %s and to %s", id, other, owner)
						}
						owners[id] = owner
					}
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	if len(owners) != 2*n {
		t.Errorf("%d were claimed, want %d", len(owners), 2*n)
	}
}

// TestPostgresOpenTogether starts several nodes on an empty database.
func TestPostgresOpenTogether(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			s, err := sqlmeta.Open(t.Context(), sqlmeta.Config{URL: url, Views: 1})
			if err != nil {
				t.Errorf("node %d: %v", i, err)
				return
			}
			if _, err := insertPlain(s, i); err != nil {
				t.Errorf("node %d: %v", i, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := openAt(t, sqlmeta.Config{URL: url})
	for i := range 4 {
		wantArchive(t, s, moraine.ArchiveID(fmt.Sprintf("archive %06d", i)), true)
	}
}

// TestPostgresWindow opens databases that other programs left behind.
func TestPostgresWindow(t *testing.T) {
	t.Parallel()
	later := "INSERT INTO schema_steps (version_id, is_applied) VALUES (99901, true); ALTER TABLE archives ADD COLUMN later TEXT"
	for _, tc := range []struct{ name, change, want string }{
		{"a later one that only added", later, ""},
		{"a later one that shuts this one out", later + "; UPDATE schema_window SET oldest_step = 99901", "use a later program"},
		{"no window", later + "; DELETE FROM schema_window", "use a later program"},
		{"a step is missing", "DELETE FROM schema_steps WHERE version_id = 810", "lacks step 810"},
		{"the last step is missing", "DELETE FROM schema_steps WHERE version_id = 1601; DROP TABLE agreed", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			url := migrated(t)
			if err := pgtest.Exec(url, tc.change); err != nil {
				t.Fatal(err)
			}
			s, err := sqlmeta.Open(t.Context(), sqlmeta.Config{URL: url})
			if err == nil {
				if _, err := insertPlain(s, 1); err != nil {
					t.Error(err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("open: %v, want %q", err, tc.want)
			}
		})
	}
}

// TestPostgresRefuses opens databases that would not keep what they commit, or
// not as it is.
func TestPostgresRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, change, want string }{
		{"read-only", "ALTER DATABASE %s SET default_transaction_read_only TO on", "read-only"},
		{"another encoding", "DROP DATABASE %[1]s; CREATE DATABASE %[1]s TEMPLATE template0 ENCODING SQL_ASCII LOCALE 'C'", "SQL_ASCII"},
		{"no such database", "ALTER DATABASE %[1]s RENAME TO %[1]s_other", "does not exist"},
		{"asynchronous commits", "ALTER DATABASE %s SET synchronous_commit TO off", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.Database(t)
			name, _, _ := strings.Cut(url[strings.LastIndex(url, "@/")+2:], "?")
			admin := strings.Replace(url, name, "postgres", 1)
			for part := range strings.SplitSeq(fmt.Sprintf(tc.change, name), "; ") {
				if err := pgtest.Exec(admin, part); err != nil {
					t.Fatal(err)
				}
			}
			if tc.name == "no such database" {
				t.Cleanup(func() {
					if err := pgtest.Exec(admin, fmt.Sprintf("ALTER DATABASE %[1]s_other RENAME TO %[1]s", name)); err != nil {
						t.Error(err)
					}
				})
			}
			s, err := sqlmeta.Open(t.Context(), sqlmeta.Config{URL: url})
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("open: %v, want %q", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got, err := sqlmeta.Show(s, "synchronous_commit"); got != "on" || err != nil {
				t.Errorf("commits are %q, %v", got, err)
			}
		})
	}
}

// TestPostgresSecrecy looks for the password in what is said of a server that is
// not there.
func TestPostgresSecrecy(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://moraine:sesame@127.0.0.1:1/moraine?connect_timeout=1",
		"postgres://moraine:sesame@[broken/moraine",
		"postgres://moraine:sesame@127.0.0.1:1/moraine?sslmode=perhaps",
	} {
		s, err := sqlmeta.Open(t.Context(), sqlmeta.Config{URL: url})
		if err == nil {
			s.Close()
			t.Fatalf("%s was opened", url)
		}
		if strings.Contains(err.Error(), "sesame") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

// TestPostgresViewStops ends Views in the middle of a long result, more of them
// than there are connections.
func TestPostgresViewStops(t *testing.T) {
	t.Parallel()
	s := openAt(t, sqlmeta.Config{URL: migrated(t)})
	v := fillArchives(t, s, 3000)
	mine := errors.New("enough")
	for range 10 {
		rows := 0
		err := s.View(t.Context(), func(tx meta.Tx) error {
			return tx.Archives().Scan(meta.Scan{Vault: v.ID, At: benchTime.Add(time.Hour)}, func(moraine.Archive) error {
				rows++
				return mine
			})
		})
		if err != mine || rows != 1 {
			t.Errorf("after %d rows: %v", rows, err)
		}
	}
}
