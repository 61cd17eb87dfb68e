package scrub_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/blob/mem"
	"moraine/internal/housetest"
	"moraine/internal/lease"
	"moraine/internal/meta"
	"moraine/internal/scrub"
	"moraine/internal/treehash"
)

// moody is a store of which the test says what a check finds.
type moody struct {
	blob.Store
	mu     sync.Mutex // guards the rest
	bad    map[moraine.BlobID]error
	checks int
	before func(moraine.BlobID)
	mended bool // there is another copy
}

func (m *moody) Check(ctx context.Context, i blob.Info, _ []byte, step func(int) error) ([]blob.Copy, error) {
	if m.before != nil {
		m.before(i.ID)
	}
	if err := step(int(min(i.Size, treehash.LeafSize))); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.checks++
	copies := []blob.Copy{{Place: "primary", Err: m.bad[i.ID]}}
	if m.mended {
		copies = append(copies, blob.Copy{Place: "mirror"})
	}
	return copies, nil
}

// house is a Service on rows and a store in memory, with some blobs.
type house struct {
	*testing.T
	rows  meta.Store
	store *moody
	blobs []moraine.Extent
	found []scrub.Finding
	now   time.Time
	clock *housetest.Clock // of the rows
}

var noon = time.Date(2024, 3, 15, 12, 0, 0, 0, time.UTC)

func newHouse(t *testing.T, blobs int) *house {
	t.Helper()
	clock := housetest.NewClock(noon)
	h := &house{T: t, rows: housetest.RowsAt(t, clock.Now), clock: clock, store: &moody{Store: mem.New(), bad: map[moraine.BlobID]error{}}, now: noon}
	for n := range blobs {
		data := fmt.Appendf(nil, "blob %d", n)
		id := moraine.NewBlobID(noon.Add(time.Duration(n) * time.Second))
		ref, err := h.store.Put(t.Context(), id, bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		h.blobs = append(h.blobs, moraine.Extent{Size: int64(len(data)), Blob: id, Ref: ref, TreeHash: treehash.Leaf(data)})
	}
	h.update(func(tx meta.Tx) error {
		for n, e := range h.blobs {
			if err := tx.Bodies().Put(moraine.BodyID(fmt.Sprint("body ", n)), e, noon); err != nil {
				return err
			}
		}
		return nil
	})
	return h
}

func (h *house) update(fn func(tx meta.Tx) error) {
	h.Helper()
	if err := h.rows.Update(h.Context(), fn); err != nil {
		h.Fatal(err)
	}
}

// mend makes the copy of a blob anew, as a store with two copies does.
func (h *house) mend(ctx context.Context, i blob.Info) (blob.Mended, error) {
	h.store.mu.Lock()
	defer h.store.mu.Unlock()
	delete(h.store.bad, i.ID)
	m := blob.Mended{Ref: i.Ref + "'", Drop: []moraine.BlobRef{i.Ref}}
	return m, h.rows.Update(ctx, func(tx meta.Tx) error { return tx.Bodies().Move(i.ID, m.Ref) })
}

func (h *house) service(change func(*scrub.Config)) *scrub.Service {
	c := scrub.Config{
		Meta: h.rows, Blobs: h.store, Now: func() time.Time { return h.now }, Period: time.Hour,
		Found: func(_ context.Context, f []scrub.Finding) { h.found = append(h.found, f...) },
		Mend:  h.mend,
	}
	if change != nil {
		change(&c)
	}
	return scrub.New(c)
}

// pass runs s until it has finished another pass.
func (h *house) pass(s *scrub.Service) moraine.ScrubState {
	h.Helper()
	before := h.state(s)
	ctx, cancel := context.WithCancel(h.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	var state moraine.ScrubState
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(3 * time.Minute); ; <-tick.C {
		if state = h.state(s); state.Started.IsZero() && state.Finished.After(before.Finished) {
			break
		}
		if time.Now().After(deadline) {
			h.Errorf("no pass is finished: %+v", state)
			break
		}
	}
	cancel()
	if err := <-ended; err != nil {
		h.Errorf("Run: %v", err)
	}
	return state
}

func (h *house) state(s *scrub.Service) moraine.ScrubState {
	h.Helper()
	state, err := s.State(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return state
}

func (h *house) faulty() (list []meta.Placed) {
	h.Helper()
	h.update(func(tx meta.Tx) (err error) {
		list, err = tx.Bodies().Faulty(moraine.BlobID{}, 1000)
		return err
	})
	return list
}

func corrupt(text string) error { return moraine.Errorf(moraine.Corrupt, "%s", text) }

// TestPass damages blobs, finds them, finds them again without news, and finds
// them whole when they are.
func TestPass(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 600) // several batches
	h.store.bad[h.blobs[5].Blob] = corrupt("leaf 0 of it")
	h.store.bad[h.blobs[599].Blob] = moraine.Errorf(moraine.NotFound, "no such file")
	h.store.bad[h.blobs[300].Blob] = moraine.Errorf(moraine.Unavailable, "disk is away")
	s := h.service(nil)
	bytes := int64(0)
	for _, e := range h.blobs {
		bytes += e.Size
	}
	for turn := range 2 {
		h.now = h.now.Add(2 * time.Hour)
		state := h.pass(s)
		want := moraine.Tally{Blobs: 600, Bytes: bytes, Faulty: 2}
		if state.Last != want {
			t.Errorf("pass %d: %+v, want %+v", turn, state.Last, want)
		}
		list := h.faulty()
		if len(list) != 2 || list[0].Blob != h.blobs[5].Blob || list[0].Body != "body 5" || list[0].Fault != "primary: leaf 0 of it" ||
			!list[0].Verified.Equal(h.now) || list[1].Blob != h.blobs[599].Blob {
			t.Errorf("pass %d: faulty are %+v", turn, list)
		}
		if len(h.found) != 2 {
			t.Errorf("pass %d: %d findings so far, want 2", turn, len(h.found))
		}
	}
	clear(h.store.bad)
	h.now = h.now.Add(2 * time.Hour)
	if state := h.pass(s); state.Last.Faulty != 0 || len(h.faulty()) != 0 || len(h.found) != 4 {
		t.Errorf("when all is well: %+v, %d faulty, %d findings", state, len(h.faulty()), len(h.found))
	}
}

// TestUnreadable has places that the medium does not give. They are damaged as far
// as anybody can tell, unless nothing else can be read either, and whole again when
// they can be read.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	bad := moraine.Wrap(blob.ErrUnreadable, moraine.Unavailable, "storage failed")
	for name, tt := range map[string]struct {
		bad  map[int]error
		want int
	}{
		"one of three":     {map[int]error{1: bad}, 1},
		"two of three":     {map[int]error{0: bad, 2: bad}, 2},
		"all":              {map[int]error{0: bad, 1: bad, 2: bad}, 0},
		"not the medium":   {map[int]error{1: moraine.Errorf(moraine.Unavailable, "asleep")}, 0},
		"others are worse": {map[int]error{0: bad, 1: corrupt("a leaf"), 2: bad}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, 3)
			for n, err := range tt.bad {
				h.store.bad[h.blobs[n].Blob] = err
			}
			s := h.service(nil)
			state := h.pass(s)
			if got := h.faulty(); len(got) != tt.want || state.Last.Faulty != int64(tt.want) {
				t.Errorf("%d pieces with a fault, %+v; want %d", len(got), state.Last, tt.want)
			}
			clear(h.store.bad)
			h.now = h.now.Add(2 * time.Hour)
			h.pass(s)
			if got := h.faulty(); len(got) != 0 {
				t.Errorf("%d pieces have a fault when all can be read", len(got))
			}
		})
	}
}

// TestRestart stops a pass in the middle: the next process goes on after the
// last batch that was kept.
func TestRestart(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 700)
	ctx, cancel := context.WithCancel(t.Context())
	h.store.before = func(id moraine.BlobID) {
		if id == h.blobs[300].Blob {
			cancel()
		}
	}
	s := h.service(nil)
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	state := h.state(s)
	if state.Started.IsZero() || state.Cursor != h.blobs[255].Blob || state.Tally.Blobs != 256 {
		t.Fatalf("after the stop: %+v", state)
	}
	h.store.before, h.store.checks = nil, 0
	state = h.pass(h.service(nil))
	if state.Last.Blobs != 700 || h.store.checks != 700-256 {
		t.Errorf("after the restart: %+v, %d checks", state.Last, h.store.checks)
	}
}

// TestMend repairs a copy that fails while another is good.
func TestMend(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 3)
	h.store.mended = true
	bad := h.blobs[1]
	h.store.bad[bad.Blob] = corrupt("leaf 0")
	state := h.pass(h.service(nil))
	var e moraine.Extent
	h.update(func(tx meta.Tx) (err error) {
		_, e, err = tx.Bodies().ByBlob(bad.Blob)
		return err
	})
	if state.Last.Repaired != 1 || state.Last.Faulty != 0 || e.Ref != bad.Ref+"'" || e.Fault != "" || !e.Verified.Equal(noon) {
		t.Errorf("%+v, %+v", state.Last, e)
	}
	if len(h.found) != 1 || !h.found[0].Repaired || len(h.found[0].Copies) != 1 {
		t.Errorf("findings: %+v", h.found)
	}
}

// TestDeletedMeanwhile removes a blob while it is being checked: that it is
// gone is no fault.
func TestDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 3)
	gone := h.blobs[1]
	h.store.bad[gone.Blob] = moraine.Errorf(moraine.NotFound, "gone")
	h.store.before = func(id moraine.BlobID) {
		if id != gone.Blob {
			return
		}
		h.update(func(tx meta.Tx) error {
			if err := tx.Bodies().Condemn("body 1", noon); err != nil {
				return err
			}
			_, err := tx.Sweeps().Release(noon, 10)
			return err
		})
	}
	state := h.pass(h.service(nil))
	if len(h.faulty()) != 0 || len(h.found) != 0 || state.Last.Blobs != 3 {
		t.Errorf("%+v, findings %+v", state.Last, h.found)
	}
}

// TestQuarantine lists what failed, and lets go of it only if it is whole again
// or deleted.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 4)
	v := moraine.Vault{ID: "v", Account: "123456789012", Region: "us-east-1", Name: "vault", Created: noon}
	h.update(func(tx meta.Tx) error {
		if err := tx.Vaults().Save(v); err != nil {
			return err
		}
		for n := range 3 { // blob 3 is an upload's
			a := moraine.Archive{ID: moraine.ArchiveID(fmt.Sprint("archive ", n)), Vault: v.ID, Body: moraine.BodyID(fmt.Sprint("body ", n)), Size: 6, Created: noon}
			if err := tx.Archives().Insert(a); err != nil {
				return err
			}
		}
		return nil
	})
	for _, n := range []int{1, 2, 3} {
		h.store.bad[h.blobs[n].Blob] = corrupt("leaf 0")
	}
	s := h.service(nil)
	h.pass(s)
	list, more, err := s.Failed(t.Context())
	if err != nil || more || len(list) != 3 {
		t.Fatalf("failed: %+v, %v, %v", list, more, err)
	}
	if list[0].Archive == nil || list[0].Archive.ID != "archive 1" || list[0].Vault.Name != "vault" || list[0].Fault == "" || list[2].Archive != nil {
		t.Errorf("failed: %+v", list)
	}
	if owners, err := s.Owners(t.Context(), h.found[:1]); err != nil || len(owners) != 1 || owners[0].Archive.ID != "archive 1" {
		t.Errorf("owners: %+v, %v", owners, err)
	}
	// What exists stays, whoever asks.
	for _, name := range []string{"archive 1", h.blobs[1].Blob.String(), h.blobs[3].Blob.String()} {
		if _, err := s.Discard(t.Context(), name); !moraine.IsKind(err, moraine.Invalid) {
			t.Errorf("discarding %s: %v", name, err)
		}
	}
	for _, name := range []string{"archive 0", "", h.blobs[0].Blob.String()} {
		if _, err := s.Discard(t.Context(), name); !moraine.IsKind(err, moraine.NotFound) {
			t.Errorf("discarding %q, which is whole: %v", name, err)
		}
		if _, _, err := s.Release(t.Context(), name); !moraine.IsKind(err, moraine.NotFound) {
			t.Errorf("releasing %q, which is whole: %v", name, err)
		}
	}
	if yes, no, err := s.Release(t.Context(), "archive 2"); yes != 0 || no != 1 || err != nil {
		t.Errorf("releasing what is still bad: %d, %d, %v", yes, no, err)
	}
	delete(h.store.bad, h.blobs[2].Blob)
	if yes, no, err := s.Release(t.Context(), "archive 2"); yes != 1 || no != 0 || err != nil {
		t.Errorf("releasing what is whole: %d, %d, %v", yes, no, err)
	}
	h.update(func(tx meta.Tx) error { return tx.Archives().MarkDeleted("archive 1", noon) })
	if n, err := s.Discard(t.Context(), "archive 1"); n != 1 || err != nil {
		t.Errorf("discarding what is deleted: %d, %v", n, err)
	}
	h.update(func(tx meta.Tx) error {
		if list, err := tx.Sweeps().Garbage(10); err != nil || len(list) != 1 || list[0].Blob != h.blobs[1].Blob {
			t.Errorf("garbage: %+v, %v", list, err)
		}
		return nil
	})
	if n, err := s.CountFailed(t.Context()); n != 1 || err != nil {
		t.Errorf("%d failed, %v", n, err)
	}
}

// TestLate says of a pass that it takes longer than a period.
func TestLate(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 1)
	s := h.service(nil)
	for _, c := range []struct {
		state moraine.ScrubState
		late  bool
	}{
		{moraine.ScrubState{}, false},
		{moraine.ScrubState{Started: noon.Add(-time.Hour)}, false},
		{moraine.ScrubState{Started: noon.Add(-time.Hour - 1)}, true},
		{moraine.ScrubState{LastStarted: noon.Add(-9 * time.Hour), Finished: noon.Add(-8*time.Hour + 1)}, true},
		{moraine.ScrubState{LastStarted: noon.Add(-9 * time.Hour), Finished: noon.Add(-8 * time.Hour)}, false},
		{moraine.ScrubState{Started: noon, LastStarted: noon.Add(-9 * time.Hour), Finished: noon}, false},
	} {
		if got := s.Late(&c.state); got != c.late {
			t.Errorf("%+v: %v", c.state, got)
		}
	}
}

// TestRoot compares the digests beside a blob with its row.
func TestRoot(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 2)
	wrong := h.blobs[1]
	wrong.TreeHash[0] ^= 1
	h.update(func(tx meta.Tx) error { return tx.Bodies().Put("body 1", wrong, noon) })
	h.pass(h.service(nil))
	if list := h.faulty(); len(list) != 1 || list[0].Blob != wrong.Blob {
		t.Errorf("faulty: %+v", list)
	}
}

// TestAsked runs a pass that is not due.
func TestAsked(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 3)
	s := h.service(func(c *scrub.Config) { c.Period = 0 })
	for range 2 {
		if err := s.Ask(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if state := h.pass(s); state.Last.Blobs != 3 {
		t.Errorf("%+v", state)
	}
}

// TestSuspects looks at a blob out of turn, with no pass due.
func TestSuspects(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 3)
	told := make(chan scrub.Finding, 1)
	s := h.service(func(c *scrub.Config) {
		c.Period = 0
		c.Found = func(_ context.Context, f []scrub.Finding) { told <- f[0] }
	})
	h.store.bad[h.blobs[2].Blob] = corrupt("leaf 0")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	s.Suspect(moraine.BlobID{9}) // nobody's
	s.Suspect(h.blobs[2].Blob)
	if f := <-told; f.Extent.Blob != h.blobs[2].Blob || f.Body != "body 2" {
		t.Errorf("finding: %+v", f)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if state := h.state(s); !state.Started.IsZero() || !state.Finished.IsZero() {
		t.Errorf("a pass nobody asked for: %+v", state)
	}
	for range 5000 {
		s.Suspect(h.blobs[0].Blob) // nobody listens: it must not wait
	}
}

// TestPace reads at the rate that is set, by the clock.
func TestPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		leaf := moraine.Extent{Size: treehash.LeafSize, Blob: moraine.BlobID{1}}
		s := scrub.New(scrub.Config{Blobs: &moody{Store: mem.New()}, Meta: oneBlob{e: leaf}, Rate: treehash.LeafSize})
		began := time.Now()
		for range 11 {
			if err := s.CheckBlob(t.Context(), leaf.Blob, nil); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(began); d < 10*time.Second || d > 11*time.Second {
			t.Errorf("11 MiB at 1 MiB/s took %v", d)
		}
	})
}

// oneBlob is rows with one extent, of which nothing is noted.
type oneBlob struct {
	meta.Store
	e moraine.Extent
}

func (o oneBlob) View(_ context.Context, fn func(meta.Tx) error) error { return fn(oneTx{e: o.e}) }

func (o oneBlob) Update(context.Context, func(meta.Tx) error) error { return nil }

type oneTx struct {
	meta.Tx
	e moraine.Extent
}

func (o oneTx) Bodies() meta.Bodies { return oneBody{e: o.e} }

type oneBody struct {
	meta.Bodies
	e moraine.Extent
}

func (o oneBody) ByBlob(moraine.BlobID) (moraine.BodyID, moraine.Extent, error) { return "b", o.e, nil }

var errRows = errors.New("rows are away")

// TestCommitFaults loses the commit of a batch, and lets one persist that is
// reported lost: nothing is missed, and the place is right.
func TestCommitFaults(t *testing.T) {
	t.Parallel()
	for _, persist := range []bool{false, true} {
		h := newHouse(t, 300)
		h.store.bad[h.blobs[10].Blob] = corrupt("leaf 0")
		h.store.bad[h.blobs[290].Blob] = corrupt("leaf 0")
		rows := &failing{Store: h.rows, at: 2, persist: persist}
		ctx, cancel := context.WithCancel(t.Context())
		rows.failed = cancel
		s := h.service(func(c *scrub.Config) { c.Meta = rows })
		if err := s.Run(ctx); err != nil {
			t.Fatal(err)
		}
		state := h.pass(h.service(nil))
		if state.Last.Blobs != 300 || len(h.faulty()) != 2 {
			t.Errorf("persist %v: %+v, %d faulty", persist, state.Last, len(h.faulty()))
		}
	}
}

// failing fails one Update.
type failing struct {
	meta.Store
	at, n   int
	persist bool
	failed  func()
}

func (f *failing) Update(ctx context.Context, fn func(meta.Tx) error) error {
	if f.n++; f.n != f.at {
		return f.Store.Update(ctx, fn)
	}
	defer f.failed()
	if f.persist {
		if err := f.Store.Update(ctx, fn); err != nil {
			return err
		}
	}
	return moraine.Wrap(errRows, moraine.Unavailable, "the commit failed")
}

// counted are rows that count updates.
type counted struct {
	meta.Store
	updates atomic.Int64
}

func (c *counted) Update(ctx context.Context, fn func(tx meta.Tx) error) error {
	defer c.updates.Add(1)
	return c.Store.Update(ctx, fn)
}

// TestTwoNodes has one of two processes fall asleep in a pass. The other one does
// the pass when the lease is over, and the first changes nothing when it wakes
// up. While the lease lasts the other one does nothing.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 3)
	rows := &counted{Store: h.rows}
	one := h.service(func(c *scrub.Config) { c.Meta, c.Lease = rows, lease.New(h.rows, "scrub", "one") })
	two := h.service(func(c *scrub.Config) { c.Lease = lease.New(h.rows, "scrub", "two") })
	var done moraine.ScrubState
	var asleep atomic.Bool
	woken := make(chan int64, 1)
	h.store.before = func(moraine.BlobID) {
		if !asleep.CompareAndSwap(false, true) {
			return
		}
		h.clock.Advance(lease.Time - time.Millisecond)
		_, err := lease.New(h.rows, "scrub", "two").Take(t.Context())
		if !errors.Is(err, lease.ErrElsewhere) {
			t.Errorf("the lease of one is had by two: %v", err)
		}
		h.clock.Advance(time.Millisecond)
		done = h.pass(two)
		woken <- rows.updates.Load()
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- one.Run(ctx) }()
	for seen := <-woken; rows.updates.Load() == seen; runtime.Gosched() {
		if t.Context().Err() != nil {
			t.Fatal("it does not wake up")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if done.Last.Blobs != 3 {
		t.Errorf("two has read %d blobs", done.Last.Blobs)
	}
	if diff := cmp.Diff(done, h.state(one)); diff != "" {
		t.Errorf("the state after two (-) and after one woke up (+):\n%s", diff)
	}
	if one.Resting() != nil {
		t.Errorf("that another has the lease is taken for a failure: %v", one.Resting())
	}
}
