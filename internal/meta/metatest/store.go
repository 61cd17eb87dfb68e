package metatest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"moraine"
	"moraine/internal/meta"
)

var storeTests = []test{
	{"update is seen by later views", in(testVisible)},
	{"update sees its own writes", in(testOwnWrites)},
	{"error of fn undoes its writes", in(testUndo)},
	{"swallowed error of a statement undoes", in(testSwallowed)},
	{"view is a snapshot", in(testSnapshot)},
	{"views do not wait for an update", in(testViewDuringUpdate)},
	{"context ends the wait, not fn", in(testContext)},
	{"durable across reopening", testDurable},
	{"close waits", in(testCloseWaits)},
	{"closed store refuses", in(testClosed)},
}

func saveVault(v moraine.Vault) func(tx meta.Tx) error {
	return func(tx meta.Tx) error { return tx.Vaults().Save(v) }
}

func getVault(id moraine.VaultID) func(tx meta.Tx) (moraine.Vault, error) {
	return func(tx meta.Tx) (moraine.Vault, error) { return tx.Vaults().ByID(id) }
}

func testVisible(t *testing.T, s meta.Store) {
	for n := range 20 {
		update(t, s, saveVault(vault(n)))
		want(t, s, vault(n), getVault(vault(n).ID))
	}
}

func testOwnWrites(t *testing.T, s meta.Store) {
	update(t, s, func(tx meta.Tx) error {
		v := vault(1)
		if err := tx.Vaults().Save(v); err != nil {
			return err
		}
		v.Live.Archives = 7
		if err := tx.Vaults().Save(v); err != nil {
			return err
		}
		got, err := tx.Vaults().Get(v.Account, v.Region, v.Name)
		if err != nil {
			return err
		}
		if diff := diff(v, got); diff != "" {
			t.Errorf("want (-), got (+):\n%s", diff)
		}
		return nil
	})
}

func testUndo(t *testing.T, s meta.Store) {
	update(t, s, saveVault(vault(1)))
	mine := errors.New("mine")
	err := s.Update(t.Context(), func(tx meta.Tx) error {
		if err := tx.Vaults().Save(vault(2)); err != nil {
			return err
		}
		if err := tx.Vaults().Delete(vault(1).ID); err != nil {
			return err
		}
		return mine
	})
	if err != mine {
		t.Errorf("Update returned %v, want the error of fn as it is", err)
	}
	want(t, s, vault(1), getVault(vault(1).ID))
	wantNone(t, s, getVault(vault(2).ID))
	if err := s.View(t.Context(), func(meta.Tx) error { return mine }); err != mine {
		t.Errorf("View returned %v, want the error of fn as it is", err)
	}
}

// testSwallowed inserts the same archive twice and keeps quiet about it.
func testSwallowed(t *testing.T, s meta.Store) {
	v := vault(1)
	err := s.Update(t.Context(), func(tx meta.Tx) error {
		a := archive(v.ID, 1)
		if err := tx.Archives().Insert(a); err != nil {
			return err
		}
		if err := tx.Archives().Insert(a); err == nil {
			t.Error("second Insert of one id succeeded")
		}
		return nil
	})
	if err == nil {
		t.Error("Update returned nil after a statement that failed")
	}
	wantNone(t, s, func(tx meta.Tx) (moraine.Archive, error) { return tx.Archives().Get(archive(v.ID, 1).ID) })
	update(t, s, saveVault(v)) // others are not harmed
}

func testSnapshot(t *testing.T, s meta.Store) {
	v := vault(1)
	update(t, s, saveVault(v))
	view(t, s, func(tx meta.Tx) error {
		for n := range 10 {
			got, err := tx.Vaults().ByID(v.ID)
			if err != nil {
				return err
			}
			if got.Live.Archives != 0 {
				t.Errorf("read %d saw a later update: %v", n, got)
			}
			if _, err := tx.Vaults().ByID(vault(2).ID); !errors.Is(err, meta.ErrNotFound) {
				t.Errorf("read %d saw a later vault: %v", n, err)
			}
			later := v
			later.Live.Archives = int64(n) + 1
			update(t, s, saveVault(later))
			update(t, s, saveVault(vault(2)))
		}
		return nil
	})
	later := v
	later.Live.Archives = 10
	want(t, s, later, getVault(v.ID))
}

func testViewDuringUpdate(t *testing.T, s meta.Store) {
	update(t, s, saveVault(vault(1)))
	update(t, s, func(tx meta.Tx) error {
		if err := tx.Vaults().Save(vault(2)); err != nil {
			return err
		}
		want(t, s, vault(1), getVault(vault(1).ID))
		wantNone(t, s, getVault(vault(2).ID))
		return nil
	})
}

func testContext(t *testing.T, s meta.Store) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	never := func(meta.Tx) error {
		t.Error("fn ran under a context that had ended")
		return nil
	}
	if err := s.Update(ended, never); !errors.Is(err, context.Canceled) {
		t.Errorf("Update under an ended context: %v", err)
	}
	if err := s.View(ended, never); !errors.Is(err, context.Canceled) {
		t.Errorf("View under an ended context: %v", err)
	}

	update(t, s, func(meta.Tx) error { // while this turn lasts, another waits
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Update(ctx, never) }()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Update that stopped waiting: %v", err)
		}
		return nil
	})

	ctx, cancel := context.WithCancel(t.Context())
	err := s.Update(ctx, func(tx meta.Tx) error {
		cancel()
		return tx.Vaults().Save(vault(1))
	})
	if err != nil {
		t.Errorf("Update whose context ended while fn ran: %v", err)
	}
	want(t, s, vault(1), getVault(vault(1).ID))
}

func testDurable(t *testing.T, open Open) {
	s := open(t)
	for n := range 10 {
		update(t, s, saveVault(vault(n)))
	}
	update(t, s, func(tx meta.Tx) error { return tx.Archives().Insert(archive(vault(1).ID, 1)) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t)
	for n := range 10 {
		want(t, s, vault(n), getVault(vault(n).ID))
	}
	want(t, s, archive(vault(1).ID, 1), func(tx meta.Tx) (moraine.Archive, error) {
		return tx.Archives().Get(archive(vault(1).ID, 1).ID)
	})
	update(t, s, saveVault(vault(11)))
}

func testCloseWaits(t *testing.T, s meta.Store) {
	inside, release := make(chan struct{}), make(chan struct{})
	updated := make(chan error, 1)
	go func() {
		updated <- s.Update(t.Context(), func(tx meta.Tx) error {
			close(inside)
			<-release
			return tx.Vaults().Save(vault(1))
		})
	}()
	<-inside
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	select {
	case err := <-closed:
		t.Fatalf("Close returned %v during an Update", err)
	default:
	}
	close(release)
	if err := <-updated; err != nil {
		t.Errorf("Update during Close: %v", err)
	}
	if err := <-closed; err != nil {
		t.Errorf("Close: %v", err)
	}
}

func testClosed(t *testing.T, s meta.Store) {
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	nothing := func(meta.Tx) error { return nil }
	if err := s.Update(t.Context(), nothing); !moraine.IsKind(err, moraine.Unavailable) {
		t.Errorf("Update of a closed store: %v", err)
	}
	if err := s.View(t.Context(), nothing); !moraine.IsKind(err, moraine.Unavailable) {
		t.Errorf("View of a closed store: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close of a closed store: %v", err)
	}
}

// Many Updates at once.
var sharedTests = []test{
	{"each is undone alone", in(testUndoneAlone)},
	{"no update is lost", in(testNoLostUpdate)},
	{"views see whole updates", in(testWholeUpdates)},
}

// testUndoneAlone runs 64 Updates at once, of which a third return an error, a
// third panic and a third succeed.
func testUndoneAlone(t *testing.T, s meta.Store) {
	const n = 64
	mine := errors.New("mine")
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			defer func() {
				if got := recover(); (got != nil) != (i%3 == 1) || got != nil && got != any(i) {
					t.Errorf("update %d: recovered %v", i, got)
				}
			}()
			err := s.Update(t.Context(), func(tx meta.Tx) error {
				if err := tx.Vaults().Save(vault(i)); err != nil {
					return err
				}
				switch i % 3 {
				case 0:
					return mine
				case 1:
					panic(i)
				}
				return nil
			})
			if (err != nil) != (i%3 == 0) || err != nil && err != mine {
				t.Errorf("update %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for i := range n {
		if i%3 == 2 {
			want(t, s, vault(i), getVault(vault(i).ID))
		} else {
			wantNone(t, s, getVault(vault(i).ID))
		}
	}
}

func testNoLostUpdate(t *testing.T, s meta.Store) {
	const workers, each = 16, 25
	update(t, s, saveVault(vault(1)))
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				err := s.Update(t.Context(), func(tx meta.Tx) error {
					v, err := tx.Vaults().ByID(vault(1).ID)
					if err != nil {
						return err
					}
					v.Live.Archives++
					return tx.Vaults().Save(v)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	v := vault(1)
	v.Live.Archives = workers * each
	want(t, s, v, getVault(v.ID))
}

// testWholeUpdates moves figures between two vaults whose sum stays the same.
func testWholeUpdates(t *testing.T, s meta.Store) {
	const sum = 1000
	update(t, s, func(tx meta.Tx) error {
		a, b := vault(1), vault(2)
		a.Live.Archives = sum
		return errors.Join(tx.Vaults().Save(a), tx.Vaults().Save(b))
	})
	both := func(tx meta.Tx) (a, b moraine.Vault, err error) {
		if a, err = tx.Vaults().ByID(vault(1).ID); err == nil {
			b, err = tx.Vaults().ByID(vault(2).ID)
		}
		return a, b, err
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if err := s.Update(t.Context(), func(tx meta.Tx) error {
					a, b, err := both(tx)
					if err != nil {
						return err
					}
					a.Live.Archives--
					b.Live.Archives++
					return errors.Join(tx.Vaults().Save(a), tx.Vaults().Save(b))
				}); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range 50 {
				if err := s.View(t.Context(), func(tx meta.Tx) error {
					a, b, err := both(tx)
					if err == nil && a.Live.Archives+b.Live.Archives != sum {
						err = fmt.Errorf("a view saw %d and %d", a.Live.Archives, b.Live.Archives)
					}
					return err
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
