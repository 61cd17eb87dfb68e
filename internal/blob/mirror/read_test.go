package mirror_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/mirror"
	"moraine/internal/treehash"
)

// mend mends and demands success.
func (p *pair) mend(i blob.Info) blob.Mended {
	p.t.Helper()
	m, err := p.store.Mend(p.t.Context(), i)
	if err != nil {
		p.t.Fatalf("mend %s: %v", i.Ref, err)
	}
	return m
}

func (p *pair) corrupt(side int, i blob.Info, off int64) {
	p.t.Helper()
	p.sides[side].Corrupt(half(p.t, i.Ref, side), off)
}

func (p *pair) drop(side int, i blob.Info) {
	p.t.Helper()
	if err := p.sides[side].Delete(context.Background(), half(p.t, i.Ref, side)); err != nil {
		p.t.Fatal(err)
	}
}

// away makes a store fail everything but putting, as a disk does that is gone.
func (p *pair) away(side int) {
	p.sides[side].FailWith(func(op string) error {
		if op == "put" || op == "walk" {
			return nil
		}
		return errDisk
	})
}

// TestReadGoesOnElsewhere spoils one copy in every way and wants the right
// bytes, and a word about the copy.
func TestReadGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	const size = 5<<20 + 77
	data := bytesOf(size)
	for name, spoil := range map[string]func(p *pair, side int, i blob.Info){
		"first leaf": func(p *pair, side int, i blob.Info) { p.corrupt(side, i, 5) },
		"middle":     func(p *pair, side int, i blob.Info) { p.corrupt(side, i, 3<<20+5) },
		"last byte":  func(p *pair, side int, i blob.Info) { p.corrupt(side, i, size-1) },
		"gone":       func(p *pair, side int, i blob.Info) { p.drop(side, i) },
		"away":       func(p *pair, side int, _ blob.Info) { p.away(side) },
	} {
		for side := range 2 {
			t.Run(fmt.Sprintf("%s, side %d", name, side), func(t *testing.T) {
				t.Parallel()
				p := newPair(t, nil)
				i := p.put(data)
				spoil(p, side, i)
				for _, c := range [][2]int64{{0, size}, {3 << 20, 1 << 20}, {1<<20 - 3, 4 << 20}, {size - 1, 1}, {0, 1}} {
					got, err := p.read(i.Ref, c[0], c[1])
					if err != nil || !bytes.Equal(got, data[c[0]:c[0]+c[1]]) {
						t.Errorf("%d bytes from %d: got %d bytes, %v", c[1], c[0], len(got), err)
					}
				}
				leaves, err := p.store.Leaves(t.Context(), i.Ref, 0, 6)
				if err != nil || len(leaves) != 6 {
					t.Errorf("%d leaves, %v", len(leaves), err)
				}
				events := p.heard()
				if st := p.store.Stats(); (len(events) > 0) != (side == 0) || st.Places[0].Failovers != int64(len(events)) {
					t.Errorf("side %d: events %v, stats %+v", side, events, st)
				}
				for _, e := range events {
					if e.Blob != i.ID || e.Place != mirror.Primary || e.Put || e.Err == nil {
						t.Errorf("event %+v", e)
					}
				}
				if n := p.sides[0].Readers() + p.sides[1].Readers(); n != 0 {
					t.Errorf("%d readers were left open", n)
				}
			})
		}
	}
}

// TestBothDamaged damages both copies: in different leaves every byte is read,
// in the same leaf none of it is.
func TestBothDamaged(t *testing.T) {
	t.Parallel()
	const size = 6 << 20
	data := bytesOf(size)
	p := newPair(t, nil)
	i := p.put(data)
	for n, off := range []int64{0, 2 << 20, 5 << 20} {
		p.corrupt(n%2, i, off)
	}
	p.wantBytes(i.Ref, data)
	p.corrupt(0, i, 2<<20)
	got, err := p.read(i.Ref, 0, size)
	if wantKind(t, err, moraine.Corrupt, "reading"); !bytes.Equal(got, data[:2<<20]) {
		t.Errorf("%d bytes came before the error, want those of two leaves", len(got))
	}
	if n := p.sides[0].Readers() + p.sides[1].Readers(); n != 0 {
		t.Errorf("%d readers were left open", n)
	}
}

// TestErrorsOfTwo wants the error that says most of what may be done.
func TestErrorsOfTwo(t *testing.T) {
	t.Parallel()
	gone := func(p *pair, side int, i blob.Info) { p.drop(side, i) }
	away := func(p *pair, side int, _ blob.Info) { p.away(side) }
	bad := func(p *pair, side int, i blob.Info) { p.corrupt(side, i, 0) }
	for n, test := range []struct {
		a, b func(p *pair, side int, i blob.Info)
		want moraine.Kind
	}{
		{gone, gone, moraine.NotFound}, {gone, away, moraine.Unavailable}, {away, gone, moraine.Unavailable},
		{bad, away, moraine.Unavailable}, {away, bad, moraine.Unavailable}, {bad, gone, moraine.Corrupt}, {gone, bad, moraine.Corrupt},
	} {
		p := newPair(t, nil)
		i := p.put(bytesOf(100))
		test.a(p, 0, i)
		test.b(p, 1, i)
		_, err := p.read(i.Ref, 0, 100)
		wantKind(t, err, test.want, fmt.Sprintf("reading, case %d", n))
		if e := p.heard(); len(e) > 0 && test.want == moraine.NotFound {
			t.Errorf("a blob that is gone is no damage: %v", e)
		}
	}
}

// liar ends its readers early, or gives too much.
type liar struct {
	*faulty
	short bool
}

func (l *liar) Open(ctx context.Context, ref moraine.BlobRef, off, n int64) (io.ReadCloser, error) {
	r, err := l.faulty.Open(ctx, ref, off, n)
	if err != nil {
		return nil, err
	}
	if l.short {
		return &lies{io.LimitReader(r, n/2), r}, nil
	}
	return &lies{io.MultiReader(r, bytes.NewReader([]byte("more"))), r}, nil
}

type lies struct {
	io.Reader
	io.Closer
}

func TestLyingReader(t *testing.T) {
	t.Parallel()
	for _, short := range []bool{true, false} {
		p := newPair(t, nil)
		p.store = mirror.New(mirror.Config{Primary: &liar{p.sides[0], short}, Second: p.sides[1]})
		data := bytesOf(4 << 20)
		p.wantBytes(p.put(data).Ref, data)
	}
}

// TestDeleteWithAStoreAway deletes what can be deleted, and the rest later.
func TestDeleteWithAStoreAway(t *testing.T) {
	t.Parallel()
	for side := range 2 {
		p := newPair(t, nil)
		i := p.put([]byte("x"))
		p.away(side)
		wantKind(t, p.store.Delete(t.Context(), i.Ref), moraine.Unavailable, "Delete")
		held := [2]int{}
		held[side] = 1
		p.wantHeld("one store away", held)
		p.sides[side].FailWith(nil)
		for range 2 {
			if err := p.store.Delete(t.Context(), i.Ref); err != nil {
				t.Error(err)
			}
		}
		p.wantHeld("deleted again", [2]int{})
	}
}

// TestMend spoils copies and makes them anew.
func TestMend(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{5, 1 << 20, 4<<20 + 1} {
		for side := range 2 {
			for name, test := range map[string]struct {
				spoil func(p *pair, i *blob.Info)
				drops int
			}{
				"damaged": {func(p *pair, i *blob.Info) { p.corrupt(side, *i, size-1) }, 1},
				"gone":    {func(p *pair, i *blob.Info) { p.drop(side, *i) }, 0},
				"not made": {func(p *pair, i *blob.Info) {
					p.drop(side, *i)
					i.Ref = p.store.Split(i.Ref)[1-side]
				}, 0},
				"another blob": {func(p *pair, i *blob.Info) {
					other := p.put([]byte("other"))
					i.Ref, _ = p.store.Join(i.Ref, p.store.Split(other.Ref)[side])
				}, 1},
			} {
				t.Run(fmt.Sprintf("%s, side %d, %d bytes", name, side, size), func(t *testing.T) {
					t.Parallel()
					var paced int
					p := newPair(t, func(c *mirror.Config) {
						c.Pace = func(_ context.Context, n int) error { paced += n; return nil }
					})
					data := bytesOf(size)
					i := p.put(data)
					test.spoil(p, &i)
					m := p.mend(i)
					if len(m.Made) != 1 || len(m.Drop) != test.drops {
						t.Errorf("mended %+v, want one copy made and %d dropped", m, test.drops)
					}
					if got := half(t, m.Ref, 1-side); got != half(t, i.Ref, 1-side) {
						t.Errorf("the good copy moved from %s to %s", half(t, i.Ref, 1-side), got)
					}
					if paced < int(size) {
						t.Errorf("paced %d bytes of %d", paced, size)
					}
					p.wantBytes(m.Made[0], data)
					for _, ref := range m.Drop {
						if err := p.store.Delete(t.Context(), ref); err != nil {
							t.Error(err)
						}
					}
					i.Ref = m.Ref
					p.wantBytes(i.Ref, data)
					if again := p.mend(i); again.Ref != i.Ref || len(again.Made)+len(again.Drop) != 0 {
						t.Errorf("mended again %+v", again)
					}
					p.away(1 - side)
					p.wantBytes(i.Ref, data)
				})
			}
		}
	}
}

// TestMendBoth makes two good copies of two that are damaged in different
// places.
func TestMendBoth(t *testing.T) {
	t.Parallel()
	data := bytesOf(6 << 20)
	p := newPair(t, nil)
	i := p.put(data)
	p.corrupt(0, i, 1<<20)
	p.corrupt(1, i, 4<<20)
	m := p.mend(i)
	if len(m.Made) != 2 || len(m.Drop) != 2 {
		t.Errorf("mended %+v, want two copies made", m)
	}
	for _, ref := range m.Made {
		p.wantBytes(ref, data)
	}
	for _, ref := range p.store.Split(m.Ref) {
		p.wantBytes(ref, data)
	}
}

// TestMendFails wants an error of the right kind and no copy left behind.
func TestMendFails(t *testing.T) {
	t.Parallel()
	stop := errors.New("stopped")
	for name, test := range map[string]struct {
		spoil func(p *pair, i blob.Info)
		kind  moraine.Kind
		is    error
	}{
		"no good copy":        {func(p *pair, i blob.Info) { p.corrupt(0, i, 5); p.corrupt(1, i, 6) }, moraine.Corrupt, nil},
		"bad and gone":        {func(p *pair, i blob.Info) { p.corrupt(0, i, 5); p.drop(1, i) }, moraine.Corrupt, nil},
		"both gone":           {func(p *pair, i blob.Info) { p.drop(0, i); p.drop(1, i) }, moraine.Corrupt, nil},
		"bad and away":        {func(p *pair, i blob.Info) { p.corrupt(0, i, 5); p.away(1) }, moraine.Unavailable, nil},
		"one away":            {func(p *pair, _ blob.Info) { p.away(0) }, moraine.Unavailable, nil},
		"target fails":        {func(p *pair, i blob.Info) { p.drop(0, i); p.sides[0].onPut(faults["at the end, lost"](p.sides[0])) }, moraine.Unavailable, nil},
		"stopped by the pace": {func(p *pair, i blob.Info) { p.drop(0, i) }, moraine.Internal, stop},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, func(c *mirror.Config) {
				if test.is != nil {
					c.Pace = func(context.Context, int) error { return test.is }
				}
			})
			i := p.put(bytesOf(3 << 20))
			test.spoil(p, i)
			held := p.held()
			m, err := p.store.Mend(t.Context(), i)
			if wantKind(t, err, test.kind, "Mend"); test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("got %v, want %v", err, test.is)
			}
			if m.Ref != "" || len(m.Made)+len(m.Drop) != 0 {
				t.Errorf("an error and %+v", m)
			}
			p.wantHeld("after the failure", held)
		})
	}
}

// TestRebuilding empties a store: reads go on, references are not believed, and
// mending brings it all back.
func TestRebuilding(t *testing.T) {
	t.Parallel()
	for side, place := range []string{mirror.Primary, mirror.Second} {
		p := newPair(t, func(c *mirror.Config) { c.Rebuilding = place })
		data := bytesOf(2<<20 + 3)
		var all []blob.Info
		for range 5 {
			i := p.put(data)
			if missing, err := p.store.Missing(t.Context(), i.Ref); err != nil || len(missing) != 0 {
				t.Errorf("of a new blob %v are missing, %v", missing, err)
			}
			p.drop(side, i)
			all = append(all, i)
		}
		for n, i := range all {
			p.wantBytes(i.Ref, data)
			missing, err := p.store.Missing(t.Context(), i.Ref)
			if err != nil || len(missing) != 1 || missing[0] != place {
				t.Errorf("%v are missing, %v, want %s", missing, err, place)
			}
			all[n].Ref = p.mend(i).Ref
			if missing, err := p.store.Missing(t.Context(), all[n].Ref); err != nil || len(missing) != 0 {
				t.Errorf("of a mended blob %v are missing, %v", missing, err)
			}
		}
		if e := p.heard(); len(e) != 0 {
			t.Errorf("what is being rebuilt is no news: %v", e)
		}
		p.away(side)
		if _, err := p.store.Missing(t.Context(), all[0].Ref); !moraine.IsKind(err, moraine.Unavailable) {
			t.Errorf("a store that is away: %v", err)
		}
		p.store.Rebuilt()
		if missing, err := p.store.Missing(t.Context(), all[0].Ref); err != nil || len(missing) != 0 || p.store.Rebuilding() != "" {
			t.Errorf("after the end of it %v are missing, %v", missing, err)
		}
	}
}

// TestCheckNamesCopies wants a verdict on each copy.
func TestCheckNamesCopies(t *testing.T) {
	t.Parallel()
	p := newPair(t, nil)
	i := p.put(bytesOf(3 << 20))
	p.corrupt(0, i, 2<<20)
	buf := make([]byte, treehash.LeafSize)
	found, err := p.store.Check(t.Context(), i, buf, func(int) error { return nil })
	if err != nil || len(found) != 2 || found[0].Place != mirror.Primary || found[1].Place != mirror.Second {
		t.Fatalf("Check finds %v, %v", found, err)
	}
	if wantKind(t, found[0].Err, moraine.Corrupt, "the first copy"); found[1].Err != nil {
		t.Errorf("the second copy: %v", found[1].Err)
	}
	i.Ref = p.store.Split(i.Ref)[1]
	p.away(1)
	if found, err = p.store.Check(t.Context(), i, buf, func(int) error { return nil }); err != nil {
		t.Fatal(err)
	}
	wantKind(t, found[0].Err, moraine.NotFound, "a copy that was not made")
	wantKind(t, found[1].Err, moraine.Unavailable, "a copy in a store that is away")
}
