package sqlmeta_test

import (
	"context"
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
