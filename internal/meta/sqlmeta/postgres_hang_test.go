package sqlmeta_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/pgtest"
)

// cable is a way to a server that can be cut so that neither side hears of it:
// what is sent is lost, and nothing arrives.
type cable struct{ cut atomic.Bool }

func (c *cable) wrap(conn net.Conn) net.Conn { return &cabled{conn, c} }

type cabled struct {
	net.Conn
	cable *cable
}

func (c *cabled) Write(p []byte) (int, error) {
	if c.cable.cut.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *cabled) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.cable.cut.Load() {
			return n, err
		}
	}
}

// TestPostgresSilent cuts the way to the server without a word, under many who
// wait: all of them are told within a bound that does not grow with their
// number, and when the way is there again all goes on.
func TestPostgresSilent(t *testing.T) {
	t.Parallel()
	const (
		callers = 40
		prompt  = 500 * time.Millisecond
	)
	c := new(cable)
	url := pgtest.With(migrated(t), "connect_timeout", "1")
	s := openAt(t, sqlmeta.Prompt(sqlmeta.Wrap(sqlmeta.Config{URL: url, Views: 2}, c.wrap), prompt))
	get := func(tx meta.Tx) error {
		_, err := tx.Archives().Get("archive 000000")
		return err
	}
	if _, err := insertPlain(s, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.View(t.Context(), get); err != nil {
		t.Fatal(err)
	}
	for round := range 2 { // with connections that were good, and without any
		c.cut.Store(true)
		began := time.Now()
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				if _, err := insertPlain(s, 100*(round+1)+i); !moraine.IsKind(err, moraine.Unavailable) {
					t.Errorf("update on a way that is cut: %v", err)
				}
			})
			wg.Go(func() {
				if err := s.View(context.Background(), get); !moraine.IsKind(err, moraine.Unavailable) {
					t.Errorf("view on a way that is cut: %v", err)
				}
			})
		}
		wg.Wait()
		// An Update that is under way tries four times, for a second each.
		if d := time.Since(began); d > 8*time.Second {
			t.Errorf("round %d: %d callers waited %v", round, 2*callers, d)
		}
	}
	c.cut.Store(false)
	deadline := time.Now().Add(20 * time.Second)
	for s.View(t.Context(), get) != nil && time.Now().Before(deadline) {
		<-time.After(20 * time.Millisecond)
	}
	if err := s.View(t.Context(), get); err != nil {
		t.Errorf("view when the way is there again: %v", err)
	}
	if _, err := insertPlain(s, 1); err != nil {
		t.Errorf("update when the way is there again: %v", err)
	}
}

// TestPostgresCheckWaits checks a database that sends nothing for longer than any
// View would wait.
func TestPostgresCheckWaits(t *testing.T) {
	t.Parallel()
	url := migrated(t)
	s := openAt(t, sqlmeta.Stall(sqlmeta.Config{URL: url, Views: 1}, 200*time.Millisecond))
	locked := make(chan error, 1)
	go func() {
		locked <- pgtest.Exec(url, "BEGIN; LOCK TABLE archives IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(2); COMMIT")
	}()
	// It is locked once nobody else can have it at once.
	for deadline := time.Now().Add(20 * time.Second); pgtest.Exec(url, "BEGIN; LOCK TABLE archives IN ACCESS SHARE MODE NOWAIT; COMMIT") == nil; {
		if time.Now().After(deadline) {
			t.Fatal("the table is never locked")
		}
	}
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	if err := <-locked; err != nil {
		t.Error(err)
	}
}

// TestPostgresRestartIdle restarts the server under a store all of whose
// connections are idle: no View notices.
func TestPostgresRestartIdle(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	s := openAt(t, sqlmeta.Config{URL: c.URL("postgres"), Views: 6})
	if err := sqlmeta.FillViews(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Shutdown(), c.Run()); err != nil {
		t.Fatal(err)
	}
	for i := range 12 {
		err := s.View(t.Context(), func(tx meta.Tx) error {
			_, err := tx.Archives().Get("none")
			return err
		})
		if !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("view %d after a restart: %v", i, err)
		}
	}
}

// TestPostgresTurnStuck has somebody who fell asleep keep the turn for which nodes
// wait that got into each other's way: the others go on without.
func TestPostgresTurnStuck(t *testing.T) {
	t.Parallel()
	url := pgtest.With(migrated(t), "lock_timeout", "300ms")
	one, other := openAt(t, sqlmeta.Config{URL: url}), openAt(t, sqlmeta.Config{URL: url})
	addVault(t, one, "photos")
	write := func(tx meta.Tx) error {
		_, err := upload(tx, "photos", benchTime)
		return err
	}
	if err := one.Update(t.Context(), write); err != nil {
		t.Fatal(err)
	}
	raced := false
	err := one.Update(t.Context(), func(tx meta.Tx) error {
		if err := write(tx); err != nil || raced {
			return err
		}
		raced = true
		return other.Update(t.Context(), write)
	})
	if err != nil || one.Retries() != 1 {
		t.Fatalf("no race after %d retries: %v", one.Retries(), err)
	}
	release, err := sqlmeta.HoldTurn(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	began := time.Now()
	for range 20 {
		if err := one.Update(t.Context(), write); err != nil {
			t.Fatalf("update while somebody else has the turn: %v", err)
		}
	}
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("20 updates waited %v for one who sleeps", d)
	}
}
