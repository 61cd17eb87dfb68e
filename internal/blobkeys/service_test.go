package blobkeys_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/crypt"
	"moraine/internal/blob/mem"
	"moraine/internal/blobkeys"
	"moraine/internal/blobkeys/keyfile"
	"moraine/internal/meta"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/seal"
)

// rows is a store of rows whose updates the test makes fail.
type rows struct {
	meta.Store
	fail    error // of the next updates; nil: none
	persist bool  // they take effect all the same
}

func (r *rows) Update(ctx context.Context, fn func(meta.Tx) error) error {
	if r.fail == nil {
		return r.Store.Update(ctx, fn)
	}
	if r.persist {
		if err := r.Store.Update(ctx, fn); err != nil {
			return err
		}
	}
	return r.fail
}

func newRows(t testing.TB) *rows {
	t.Helper()
	s, err := sqlmeta.Open(t.Context(), sqlmeta.Config{Path: filepath.Join(t.TempDir(), "meta.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rows{Store: s}
}

func (r *rows) list(t testing.TB) (list []moraine.BlobKey) {
	t.Helper()
	err := r.View(t.Context(), func(tx meta.Tx) (err error) {
		list, err = tx.BlobKeys().List()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (r *rows) save(t testing.TB, k moraine.BlobKey) {
	t.Helper()
	if err := r.Store.Update(t.Context(), func(tx meta.Tx) error { return tx.BlobKeys().Save(k) }); err != nil {
		t.Fatal(err)
	}
}

// newMaster is a master with a new key.
func newMaster(t testing.TB) *keyfile.Master { t.Helper(); return masterOf(t, seal.Generate("")) }

func masterOf(t testing.TB, text string) *keyfile.Master {
	t.Helper()
	ring, err := seal.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return keyfile.New(ring)
}

// renamed is a master of another kind.
type renamed struct {
	blobkeys.Master
	name string
}

func (m renamed) Name() string { return m.name }

// place is a store of blobs with a service that keeps its keys.
type place struct {
	t     testing.TB
	blobs *crypt.Store
	*blobkeys.Service
	put map[moraine.BlobRef][]byte
}

// newPlace makes a service on rows whose keys a new store over inner uses.
func newPlace(t testing.TB, cfg blobkeys.Config, inner blob.Store) *place {
	p := &place{t: t, blobs: crypt.New(inner, nil), put: map[moraine.BlobRef][]byte{}}
	cfg.Use = p.blobs.SetRing
	p.Service = blobkeys.New(cfg)
	return p
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// store puts a blob, which must from then on be readable.
func (p *place) store() moraine.BlobRef {
	p.t.Helper()
	data := []byte(fmt.Sprintf("blob %d", len(p.put)))
	ref, err := p.blobs.Put(p.t.Context(), moraine.NewBlobID(time.Now()), bytes.NewReader(data), int64(len(data)))
	p.must(err)
	p.put[ref] = data
	return ref
}

// readable reads every blob that was put in any of the places.
func (p *place) readable(others ...*place) {
	p.t.Helper()
	for _, from := range append(others, p) {
		for ref, data := range from.put {
			if got, err := read(p.blobs, ref, len(data)); err != nil || !bytes.Equal(got, data) {
				p.t.Errorf("%s reads %q, %v", ref, got, err)
			}
		}
	}
}

func read(s blob.Store, ref moraine.BlobRef, n int) ([]byte, error) {
	r, err := s.Open(context.Background(), ref, 0, int64(n))
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(r)
	return got, errors.Join(err, r.Close())
}

func (p *place) status() blobkeys.Status {
	p.t.Helper()
	st, err := p.Status(p.t.Context())
	p.must(err)
	return st
}

func TestFirstKey(t *testing.T) {
	t.Parallel()
	db, inner, master := newRows(t), mem.New(), newMaster(t)
	a := newPlace(t, blobkeys.Config{Meta: db, Master: master}, inner)
	a.must(a.Open(t.Context()))
	if ref := a.store(); !strings.HasPrefix(string(ref), "k1:") {
		t.Errorf("the blob at %s is not encrypted", ref)
	}
	list := db.list(t)
	if len(list) != 1 || list[0].WrappedBy != master.Name() {
		t.Errorf("rows: %+v", list)
	}
	again := newPlace(t, blobkeys.Config{Meta: db, Master: master}, inner)
	again.must(again.Open(t.Context()))
	again.readable(a)
	want := blobkeys.Status{Master: master.Name(), Keys: []blobkeys.Key{{ID: list[0].ID, Created: list[0].Created, WrappedBy: master.Name(), Current: true}}}
	if diff := cmp.Diff(want, again.status()); diff != "" || len(db.list(t)) != 1 {
		t.Errorf("after another start (-want +got):\n%s", diff)
	}
}

// TestNoMaster has no master at hand: fine where there are no keys, refused
// where there are.
func TestNoMaster(t *testing.T) {
	t.Parallel()
	db, inner := newRows(t), mem.New()
	plain := newPlace(t, blobkeys.Config{Meta: db}, inner)
	plain.must(plain.Open(t.Context()))
	if ref := plain.store(); strings.HasPrefix(string(ref), "k1:") || len(db.list(t)) > 0 {
		t.Errorf("without a master the blob at %s is encrypted", ref)
	}
	if _, err := plain.Rotate(t.Context()); !moraine.IsKind(err, moraine.Invalid) {
		t.Errorf("Rotate: %v", err)
	}
	if _, err := plain.Rewrap(t.Context()); !moraine.IsKind(err, moraine.Invalid) {
		t.Errorf("Rewrap: %v", err)
	}
	master := newMaster(t)
	on := newPlace(t, blobkeys.Config{Meta: db, Master: master}, inner)
	on.must(on.Open(t.Context()))
	on.store()
	on.readable(plain)
	var unknown *blobkeys.UnknownMasterError
	off := newPlace(t, blobkeys.Config{Meta: db}, inner)
	if err := off.Open(t.Context()); !errors.As(err, &unknown) || unknown.WrappedBy != master.Name() {
		t.Errorf("keys and no master: %v", err)
	}
	other := newPlace(t, blobkeys.Config{Meta: db, Master: renamed{newMaster(t), "kms:x"}}, inner)
	if err := other.Open(t.Context()); !errors.As(err, &unknown) || len(db.list(t)) != 1 {
		t.Errorf("keys and a master of another kind: %v", err)
	}
	wrong := newPlace(t, blobkeys.Config{Meta: db, Master: newMaster(t)}, inner)
	if err := wrong.Open(t.Context()); !moraine.IsKind(err, moraine.Corrupt) {
		t.Errorf("keys and another file: %v", err)
	}
	// Turned off: the old master reads, and nothing new is encrypted.
	reads := newPlace(t, blobkeys.Config{Meta: db, Old: master}, inner)
	reads.must(reads.Open(t.Context()))
	reads.readable(on, plain)
	if ref := reads.store(); strings.HasPrefix(string(ref), "k1:") {
		t.Errorf("turned off, the blob at %s is encrypted", ref)
	}
	if st := reads.status(); len(st.Keys) != 1 || st.Keys[0].Current || st.Old != master.Name() {
		t.Errorf("turned off: %+v", st)
	}
}

// TestOpenReadOnly reads and changes nothing.
func TestOpenReadOnly(t *testing.T) {
	t.Parallel()
	db, inner, master := newRows(t), mem.New(), newMaster(t)
	early := newPlace(t, blobkeys.Config{Meta: db, Master: master}, inner)
	early.must(early.OpenReadOnly(t.Context()))
	if ref := early.store(); strings.HasPrefix(string(ref), "k1:") || len(db.list(t)) > 0 {
		t.Errorf("a key was made, and the blob at %s is encrypted", ref)
	}
	p := newPlace(t, blobkeys.Config{Meta: db, Master: master}, inner)
	p.must(p.Open(t.Context()))
	p.store()
	late := newPlace(t, blobkeys.Config{Meta: db, Master: master}, inner)
	late.must(late.OpenReadOnly(t.Context()))
	late.readable(p, early)
	if ref := late.store(); strings.HasPrefix(string(ref), "k1:") {
		t.Errorf("the blob at %s is encrypted", ref)
	}
	var unknown *blobkeys.UnknownMasterError
	if err := newPlace(t, blobkeys.Config{Meta: db}, inner).OpenReadOnly(t.Context()); !errors.As(err, &unknown) {
		t.Errorf("without a master: %v", err)
	}
}

func TestRotate(t *testing.T) {
	t.Parallel()
	db, inner, master := newRows(t), mem.New(), newMaster(t)
	now := time.Unix(1_800_000_000, 0)
	p := newPlace(t, blobkeys.Config{Meta: db, Master: master, Now: func() time.Time { return now }}, inner)
	p.must(p.Open(t.Context()))
	p.store()
	now = now.Add(-time.Hour) // set back: the newest key is still the last
	for range 3 {
		id, err := p.Rotate(t.Context())
		p.must(err)
		if st := p.status(); st.Keys[len(st.Keys)-1].ID != id || !st.Keys[len(st.Keys)-1].Current || st.Keys[0].Current {
			t.Errorf("after a rotation to %s: %+v", id, st)
		}
		p.blobs.SetRing(ringFor(t, db, master, id))
		p.store() // must open with the new key alone
		p.must(p.Open(t.Context()))
	}
	again := newPlace(t, blobkeys.Config{Meta: db, Master: master}, inner)
	again.must(again.Open(t.Context()))
	again.readable(p)
	if len(again.status().Keys) != 4 {
		t.Errorf("keys: %+v", again.status())
	}
}

// TestRefresh rotates in one process. Another that shares rows and blobs cannot
// read what is encrypted with the new key until it looks, and then can.
func TestRefresh(t *testing.T) {
	t.Parallel()
	db, inner, master := newRows(t), mem.New(), newMaster(t)
	one := newPlace(t, blobkeys.Config{Meta: db, Master: master}, inner)
	two := newPlace(t, blobkeys.Config{Meta: db, Master: master}, inner)
	reader := newPlace(t, blobkeys.Config{Meta: db, Old: master}, inner)
	one.must(one.Open(t.Context()))
	two.must(two.Open(t.Context()))
	reader.must(reader.Open(t.Context()))
	id, err := one.Rotate(t.Context())
	one.must(err)
	data := []byte("encrypted with the new key")
	ref, err := one.blobs.Put(t.Context(), moraine.NewBlobID(time.Now()), bytes.NewReader(data), int64(len(data)))
	one.must(err)
	for _, p := range []*place{two, reader} {
		if _, err := read(p.blobs, ref, len(data)); !moraine.IsKind(err, moraine.Unavailable) {
			t.Errorf("read without the key: %v", err)
		}
		p.must(p.Refresh(t.Context()))
		if got, err := read(p.blobs, ref, len(data)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("read %q, %v", got, err)
		}
	}
	if st := two.status(); st.Keys[len(st.Keys)-1].ID != id || !st.Keys[len(st.Keys)-1].Current {
		t.Errorf("the new key is not current for the other process: %+v", st)
	}
}

// ringFor is a ring of the one key with an id.
func ringFor(t testing.TB, db *rows, master blobkeys.Master, id string) *crypt.Ring {
	t.Helper()
	for _, row := range db.list(t) {
		if row.ID != id {
			continue
		}
		raw, err := master.Unwrap(t.Context(), id, row.Wrapped)
		if err != nil {
			t.Fatal(err)
		}
		key, err := crypt.NewKey(raw)
		if err != nil {
			t.Fatal(err)
		}
		ring, err := crypt.NewRing(key)
		if err != nil {
			t.Fatal(err)
		}
		return ring
	}
	t.Fatalf("there is no key %s", id)
	return nil
}

// TestRewrap moves from one master to another: both are at hand, then one.
func TestRewrap(t *testing.T) {
	t.Parallel()
	one, two := seal.Generate(""), seal.Generate("")
	for _, row := range []struct {
		name     string
		from, to blobkeys.Master
		old      bool // from must be named as the old one
	}{
		{"to another kind", masterOf(t, one), renamed{masterOf(t, two), "kms:x"}, true},
		{"to another of its kind", renamed{masterOf(t, one), "kms:x"}, renamed{masterOf(t, two), "kms:y"}, true},
		{"to one of the same name", renamed{masterOf(t, one), "vault:x"}, renamed{masterOf(t, two), "vault:x"}, true},
		{"to a new first key of the file", masterOf(t, one), masterOf(t, two+one), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			db, inner := newRows(t), mem.New()
			before := newPlace(t, blobkeys.Config{Meta: db, Master: row.from}, inner)
			before.must(before.Open(t.Context()))
			before.store()
			_, err := before.Rotate(t.Context())
			before.must(err)
			before.store()

			cfg := blobkeys.Config{Meta: db, Master: row.to}
			if row.old {
				cfg.Old = row.from
			}
			between := newPlace(t, cfg, inner)
			between.must(between.Open(t.Context()))
			between.readable(before)
			between.store() // under a key that the old master wrapped
			st := between.status()
			if n := st.Elsewhere(); n != 2 && row.from.Name() != row.to.Name() {
				t.Errorf("%d keys are wrapped elsewhere", n)
			}
			n, err := between.Rewrap(t.Context())
			if err != nil || n != 2 {
				t.Fatalf("%d keys are wrapped again: %v", n, err)
			}
			between.readable(before)
			between.store()

			after := newPlace(t, blobkeys.Config{Meta: db, Master: row.to}, inner)
			after.must(after.Open(t.Context()))
			after.readable(before, between)
			if st := after.status(); st.Elsewhere() != 0 || len(st.Keys) != 2 {
				t.Errorf("after: %+v", st)
			}
		})
	}
}

var errDisk = moraine.Errorf(moraine.Unavailable, "the disk says no")

// TestFaults makes the commit of each change fail, lost and persisted. No blob
// may be put under a key that a new start does not find.
func TestFaults(t *testing.T) {
	t.Parallel()
	one, two := masterOf(t, seal.Generate("")), renamed{newMaster(t), "kms:x"}
	for _, persist := range []bool{false, true} {
		for name, change := range map[string]func(p *place) error{
			"rotate": func(p *place) error { _, err := p.Rotate(p.t.Context()); return err },
			"rewrap": func(p *place) error { _, err := p.Rewrap(p.t.Context()); return err },
		} {
			t.Run(fmt.Sprintf("%s, persisted=%v", name, persist), func(t *testing.T) {
				t.Parallel()
				db, inner := newRows(t), mem.New()
				first := newPlace(t, blobkeys.Config{Meta: db, Master: one}, inner)
				first.must(first.Open(t.Context()))
				first.store()
				p := newPlace(t, blobkeys.Config{Meta: db, Master: two, Old: one}, inner)
				p.must(p.Open(t.Context()))
				p.store()
				current := p.status().Keys[0].ID

				db.fail, db.persist = errDisk, persist
				if err := change(p); !errors.Is(err, errDisk) {
					t.Errorf("got %v", err)
				}
				p.store()
				for _, k := range p.status().Keys {
					if k.Current != (k.ID == current) {
						t.Errorf("after a failure the current key is another: %+v", p.status())
					}
				}
				db.fail = nil
				restarted := newPlace(t, blobkeys.Config{Meta: db, Master: two, Old: one}, inner)
				restarted.must(restarted.Open(t.Context()))
				restarted.readable(first, p)
				restarted.store()
				// Done again, in the process that failed.
				p.must(change(p))
				p.store()
				last := newPlace(t, blobkeys.Config{Meta: db, Master: two, Old: one}, inner)
				last.must(last.Open(t.Context()))
				last.readable(first, p, restarted)
			})
		}
	}
}

// TestFirstKeyFaults makes the commit of the first key fail: there is no start
// without it, and the next start makes it or finds it.
func TestFirstKeyFaults(t *testing.T) {
	t.Parallel()
	for _, persist := range []bool{false, true} {
		t.Run(fmt.Sprintf("persisted=%v", persist), func(t *testing.T) {
			t.Parallel()
			db, inner, master := newRows(t), mem.New(), newMaster(t)
			db.fail, db.persist = errors.New("a fault that no retry helps"), persist
			p := newPlace(t, blobkeys.Config{Meta: db, Master: master}, inner)
			if err := p.Open(t.Context()); !errors.Is(err, db.fail) {
				t.Errorf("got %v", err)
			}
			if ref := p.store(); strings.HasPrefix(string(ref), "k1:") {
				t.Error("a blob is encrypted with a key that may be lost")
			}
			db.fail = nil
			next := newPlace(t, blobkeys.Config{Meta: db, Master: master}, inner)
			next.must(next.Open(t.Context()))
			next.store()
			if list := db.list(t); len(list) != 1 {
				t.Errorf("there are %d keys", len(list))
			}
			last := newPlace(t, blobkeys.Config{Meta: db, Master: master}, inner)
			last.must(last.Open(t.Context()))
			last.readable(p, next)
		})
	}
}

// odd is a master that misbehaves.
type odd struct {
	blobkeys.Master
	wrap   func(wrapped []byte, err error) ([]byte, error)
	unwrap func(raw []byte, err error) ([]byte, error)
}

func (m odd) Wrap(ctx context.Context, id string, key []byte) ([]byte, error) {
	wrapped, err := m.Master.Wrap(ctx, id, key)
	if m.wrap != nil {
		return m.wrap(wrapped, err)
	}
	return wrapped, err
}

func (m odd) Unwrap(ctx context.Context, id string, wrapped []byte) ([]byte, error) {
	raw, err := m.Master.Unwrap(ctx, id, wrapped)
	if m.unwrap != nil {
		return m.unwrap(raw, err)
	}
	return raw, err
}

// TestOddMasters has masters that cannot be relied on make the first key: no row
// is written, and a later start with a good one begins anew.
func TestOddMasters(t *testing.T) {
	t.Parallel()
	denied := func([]byte, error) ([]byte, error) { return nil, moraine.Errorf(moraine.Denied, "no") }
	for _, row := range []struct {
		name string
		odd  odd
		kind moraine.Kind
	}{
		{"may not wrap", odd{wrap: denied}, moraine.Denied},
		{"may wrap and not unwrap", odd{unwrap: denied}, moraine.Denied},
		{"wraps to nothing", odd{wrap: func([]byte, error) ([]byte, error) { return nil, nil }}, moraine.Corrupt},
		{"wraps to too much", odd{wrap: func(w []byte, _ error) ([]byte, error) { return append(w, make([]byte, 8<<10)...), nil }}, moraine.Corrupt},
		{"unwraps to another key", odd{unwrap: func(raw []byte, _ error) ([]byte, error) { return bytes.Repeat([]byte{1}, 32), nil }}, moraine.Corrupt},
		{"unwraps to less", odd{unwrap: func(raw []byte, _ error) ([]byte, error) { return raw[:31], nil }}, moraine.Corrupt},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			db := newRows(t)
			row.odd.Master = newMaster(t)
			p := newPlace(t, blobkeys.Config{Meta: db, Master: row.odd}, mem.New())
			if err := p.Open(t.Context()); !moraine.IsKind(err, row.kind) {
				t.Errorf("got %v (%v), want %v", err, moraine.KindOf(err), row.kind)
			}
			if n := len(db.list(t)); n != 0 {
				t.Errorf("%d rows are left", n)
			}
		})
	}
	// The same for a rewrap: the rows stay as they are.
	db, inner, master := newRows(t), mem.New(), newMaster(t)
	p := newPlace(t, blobkeys.Config{Meta: db, Master: odd{renamed{newMaster(t), "kms:x"}, nil, denied}, Old: master}, inner)
	first := newPlace(t, blobkeys.Config{Meta: db, Master: master}, inner)
	first.must(first.Open(t.Context()))
	before := db.list(t)
	p.must(p.Open(t.Context()))
	if _, err := p.Rewrap(t.Context()); !moraine.IsKind(err, moraine.Denied) {
		t.Errorf("rewrap under a master that does not unwrap: %v", err)
	}
	if diff := cmp.Diff(before, db.list(t)); diff != "" {
		t.Errorf("rows changed:\n%s", diff)
	}
}

// TestDamagedRows swaps and damages rows.
func TestDamagedRows(t *testing.T) {
	t.Parallel()
	master := newMaster(t)
	for name, damage := range map[string]func(a, b *moraine.BlobKey){
		"swapped": func(a, b *moraine.BlobKey) { a.Wrapped, b.Wrapped = b.Wrapped, a.Wrapped },
		"changed": func(a, _ *moraine.BlobKey) { a.Wrapped[20] ^= 1 },
		"empty":   func(a, _ *moraine.BlobKey) { a.Wrapped = []byte{} },
		"no id":   func(a, _ *moraine.BlobKey) { a.ID = "x" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newRows(t)
			p := newPlace(t, blobkeys.Config{Meta: db, Master: master}, mem.New())
			p.must(p.Open(t.Context()))
			_, err := p.Rotate(t.Context())
			p.must(err)
			list := db.list(t)
			damage(&list[0], &list[1])
			db.save(t, list[0])
			db.save(t, list[1])
			again := newPlace(t, blobkeys.Config{Meta: db, Master: master}, mem.New())
			if err := again.Open(t.Context()); !moraine.IsKind(err, moraine.Corrupt) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestAway has a master that is away at the start, for a while or for good.
func TestAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := newRows(t)
		asked, good := 0, newMaster(t)
		away := func(until int, kind moraine.Kind) odd {
			asked = 0
			return odd{Master: good, wrap: func(w []byte, err error) ([]byte, error) {
				if asked++; asked < until {
					return nil, moraine.Errorf(kind, "away")
				}
				return w, err
			}}
		}
		for _, row := range []struct {
			name  string
			until int
			kind  moraine.Kind
			asked int
			took  time.Duration
			err   bool
		}{
			{"for good", 1000, moraine.Unavailable, 7, 61 * time.Second, true},
			{"refused", 1000, moraine.Denied, 1, 0, true},
			{"for a while", 4, moraine.Unavailable, 4, 7 * time.Second, false},
		} {
			began := time.Now()
			p := newPlace(t, blobkeys.Config{Meta: db, Master: away(row.until, row.kind)}, mem.New())
			err := p.Open(t.Context())
			if row.err != moraine.IsKind(err, row.kind) || asked != row.asked || time.Since(began) != row.took {
				t.Errorf("%s: %v after %s and %d questions", row.name, err, time.Since(began), asked)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		unwrap := odd{Master: good, unwrap: func([]byte, error) ([]byte, error) {
			return nil, moraine.Errorf(moraine.Unavailable, "away")
		}}
		p := newPlace(t, blobkeys.Config{Meta: db, Master: unwrap}, mem.New())
		if err := p.Open(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("told to stop: %v", err)
		}
	})
}

// TestTwoAtOnce has two services on the same rows, as two processes would be.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	db, inner, master := newRows(t), mem.New(), newMaster(t)
	a := newPlace(t, blobkeys.Config{Meta: db, Master: master}, inner)
	a.must(a.Open(t.Context()))
	// While b has its new key wrapped, a rotates.
	var meddle func()
	b := newPlace(t, blobkeys.Config{Meta: db, Master: odd{Master: master, wrap: func(w []byte, err error) ([]byte, error) {
		if meddle != nil {
			meddle()
		}
		return w, err
	}}}, inner)
	b.must(b.Open(t.Context()))
	meddle = func() { _, err := a.Rotate(t.Context()); a.must(err) }
	for name, change := range map[string]func() error{
		"rotate": func() error { _, err := b.Rotate(t.Context()); return err },
		"rewrap": func() error { _, err := b.Rewrap(t.Context()); return err },
	} {
		if err := change(); !moraine.IsKind(err, moraine.Unavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	meddle = nil
	a.store()
	_, err := b.Rotate(t.Context())
	b.must(err)
	b.store()
	b.readable(a)
}

// TestRotateWhilePutting rotates and rewraps while blobs are put and read.
func TestRotateWhilePutting(t *testing.T) {
	t.Parallel()
	db, inner, master := newRows(t), mem.New(), newMaster(t)
	p := newPlace(t, blobkeys.Config{Meta: db, Master: master}, inner)
	p.must(p.Open(t.Context()))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				data := []byte("some bytes")
				ref, err := p.blobs.Put(t.Context(), moraine.NewBlobID(time.Now()), bytes.NewReader(data), int64(len(data)))
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := read(p.blobs, ref, len(data)); err != nil || !bytes.Equal(got, data) {
					t.Errorf("read %q, %v", got, err)
					return
				}
			}
		})
	}
	for range 5 {
		if _, err := p.Rotate(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := p.Rewrap(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	wg.Wait()
	// A new start opens all of them.
	again := newPlace(t, blobkeys.Config{Meta: db, Master: master}, inner)
	again.must(again.Open(t.Context()))
	err := again.blobs.Walk(t.Context(), func(i blob.Info) error {
		_, err := blob.Resolve(t.Context(), again.blobs, i)
		return err
	}, nil)
	if err != nil || len(db.list(t)) != 6 {
		t.Errorf("%d keys: %v", len(db.list(t)), err)
	}
}
