package sqlmeta_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
)

// together runs all fns as Updates of one batch, in order, and returns their
// errors.
func together(t *testing.T, s *sqlmeta.Store, fns ...func(meta.Tx) error) []error {
	t.Helper()
	errs := make([]error, len(fns))
	var wg sync.WaitGroup
	start := func(i int, fn func(meta.Tx) error) {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("panic: %v", p)
				}
			}()
			errs[i] = s.Update(context.Background(), fn)
		})
	}
	entered, enough := make(chan struct{}, 2), make(chan struct{})
	start(0, func(tx meta.Tx) error {
		entered <- struct{}{}
		<-enough
		return fns[0](tx)
	})
	<-entered
	for i, fn := range fns[1:] {
		start(i+1, fn)
		for sqlmeta.Waiting(s) < i+1 {
			runtime.Gosched()
		}
	}
	close(enough)
	wg.Wait()
	return errs
}

// TestSpoiledBatch lets members of a batch fail in every way, before and after
// they wrote: what the others did is kept, exactly once, and nothing else.
func TestSpoiledBatch(t *testing.T) {
	t.Parallel()
	mine := errors.New("mine")
	const name = "photos"
	add := func(n int, end func() error) func(meta.Tx) error {
		return func(tx meta.Tx) error {
			if _, err := upload(tx, name, benchTime.Add(time.Duration(n)*time.Millisecond)); err != nil {
				return err
			}
			return end()
		}
	}
	ok := func() error { return nil }
	fail := func() error { return mine }
	blow := func() error { panic("boom") }
	early := func(tx meta.Tx) error {
		_, err := tx.Vaults().Get(benchAccount, benchRegion, name)
		return errors.Join(err, mine)
	}
	refused := func(tx meta.Tx) error {
		v, err := tx.Vaults().Get(benchAccount, benchRegion, name)
		v.Live.Archives = -1
		_ = tx.Vaults().Save(v) // refused by the table: dooms this transaction, whatever it says
		return err
	}
	figures := func(tx meta.Tx) error { // wrote nothing but figures
		v, err := tx.Vaults().Get(benchAccount, benchRegion, name)
		v.Live.Archives += 1000
		return errors.Join(err, tx.Vaults().Save(v), mine)
	}
	for title, c := range map[string]struct {
		fns  []func(meta.Tx) error
		want int64 // uploads kept
	}{
		"all well":             {[]func(meta.Tx) error{add(1, ok), add(2, ok), add(3, ok)}, 3},
		"fails early":          {[]func(meta.Tx) error{add(1, ok), early, add(3, ok)}, 2},
		"fails late":           {[]func(meta.Tx) error{add(1, ok), add(2, fail), add(3, ok)}, 2},
		"first fails late":     {[]func(meta.Tx) error{add(1, fail), add(2, ok), add(3, ok)}, 2},
		"last fails late":      {[]func(meta.Tx) error{add(1, ok), add(2, ok), add(3, fail)}, 2},
		"panics late":          {[]func(meta.Tx) error{add(1, ok), add(2, blow), add(3, ok)}, 2},
		"refused by the table": {[]func(meta.Tx) error{add(1, ok), refused, add(3, ok)}, 2},
		"figures undone":       {[]func(meta.Tx) error{add(1, ok), figures, add(3, ok)}, 2},
		"everything": {[]func(meta.Tx) error{
			add(1, fail), early, add(3, ok), figures, add(5, blow), refused, add(7, ok), add(8, fail), add(9, ok),
		}, 3},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			path := rowsPath(t)
			s := openFor(t, path)
			v := addVault(t, s, name)
			kept := int64(0)
			for i, err := range together(t, s, c.fns...) {
				if err == nil {
					kept++
				} else if moraine.IsKind(err, moraine.Unavailable) {
					t.Errorf("update %d: %v", i, err)
				}
			}
			s = whole(t, s, path)
			var rows int64
			err := s.View(t.Context(), func(tx meta.Tx) error {
				var err error
				if v, err = tx.Vaults().ByID(v.ID); err != nil {
					return err
				}
				return tx.Archives().Scan(meta.Scan{Vault: v.ID, At: benchTime.Add(time.Hour)}, func(moraine.Archive) error {
					rows++
					return nil
				})
			})
			if err != nil || kept != c.want || rows != c.want || v.Live.Archives != c.want || v.Live.Bytes != c.want<<20 {
				t.Errorf("%v: %d updates kept, %d archives, figures %+v; want %d", err, kept, rows, v.Live, c.want)
			}
		})
	}
}

// TestHeldVault reads and saves a vault in every way within one batch: what is
// read is what was saved last, however it is asked for.
func TestHeldVault(t *testing.T) {
	t.Parallel()
	s := openFor(t, rowsPath(t))
	v := addVault(t, s, "photos")
	read := func(tx meta.Tx) (byName, byID, listed moraine.Vault, due int) {
		var errs [4]error
		var list, dues []moraine.Vault
		byName, errs[0] = tx.Vaults().Get(benchAccount, benchRegion, "photos")
		byID, errs[1] = tx.Vaults().ByID(v.ID)
		list, errs[2] = tx.Vaults().List(benchAccount, benchRegion, "", 9)
		dues, errs[3] = tx.Sweeps().DueInventories(benchTime.Add(time.Hour), 9)
		if err := errors.Join(errs[:]...); err != nil || len(list) != 1 {
			t.Errorf("%d vaults listed: %v", len(list), err)
			return byName, byID, byName, len(dues)
		}
		return byName, byID, list[0], len(dues)
	}
	steps := []func(v *moraine.Vault){
		func(v *moraine.Vault) { v.Live = moraine.Figures{Archives: 1, Bytes: 10} },
		func(v *moraine.Vault) { v.LastWrite, v.FirstWrite = benchTime.Add(1), benchTime.Add(time.Millisecond) },
		func(v *moraine.Vault) { v.Live.Archives++; v.LastWrite = benchTime.Add(3*time.Millisecond + 1) },
		func(v *moraine.Vault) { v.TakeInventory(benchTime.Add(time.Minute)) },
		func(v *moraine.Vault) { v.Revision = 77 },
		func(v *moraine.Vault) { v.Created = benchTime.Add(-time.Hour) },
	}
	var fns []func(meta.Tx) error
	want := v
	for i, change := range steps {
		fns = append(fns, func(tx meta.Tx) error {
			got, err := tx.Vaults().Get(benchAccount, benchRegion, "photos")
			change(&got)
			change(&want)
			want.Created, want.FirstWrite = want.Created.Truncate(time.Millisecond), want.FirstWrite.Truncate(time.Millisecond)
			want.LastWrite = want.LastWrite.Truncate(time.Millisecond)
			if err := errors.Join(err, tx.Vaults().Save(got)); err != nil {
				return err
			}
			byName, err := tx.Vaults().Get(benchAccount, benchRegion, "photos")
			if diff := cmp.Diff(want, byName); diff != "" || err != nil {
				t.Errorf("step %d, held: %v\n%s", i, err, diff)
			}
			byName, byID, listed, due := read(tx)
			wantDue := 0
			if i >= 1 && i < 3 {
				wantDue = 1
			}
			if diff := cmp.Diff([]moraine.Vault{want, want, want}, []moraine.Vault{byName, byID, listed}); diff != "" || due != wantDue {
				t.Errorf("step %d: %d due, want %d\n%s", i, due, wantDue, diff)
			}
			return nil
		})
	}
	fns = append(fns, func(tx meta.Tx) error {
		if err := tx.Vaults().Delete(v.ID); err != nil {
			return err
		}
		if _, err := tx.Vaults().Get(benchAccount, benchRegion, "photos"); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("deleted vault: %v", err)
		}
		return nil
	})
	if err := errors.Join(together(t, s, fns...)...); err != nil {
		t.Error(err)
	}
}
