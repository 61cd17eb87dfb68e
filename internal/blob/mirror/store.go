package mirror

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"moraine"
	"moraine/internal/blob"
)

// Ack says when Put returns.
type Ack int

// When Put returns.
const (
	Both Ack = iota // when both stores hold the blob
	One             // when one does
)

// lagDefault is the zero value of Config.Lag. It is longer than a disk takes
// to wake up, and shorter than clients wait.
const lagDefault = 10 * time.Second

// Config says what a store is made of.
type Config struct {
	Primary Copy // required
	Second  Copy // nil: there is none
	Ack     Ack
	// Lag is how long one store may keep the other waiting, with Ack One, for
	// the next buffer or for its word that all is durable; then it is left
	// behind. With either Ack it is how long Put, when it has failed, waits for a
	// store to come back. Zero: 10 s.
	Lag time.Duration
	// Rebuilding names the stores, Primary or Second, that may lack blobs that
	// references say they have.
	Rebuilding []string
	// Pace is called before each piece that Mend reads, with its length in bytes,
	// and stops it with its error. Zero: no pause.
	Pace func(ctx context.Context, n int) error
	Log  *slog.Logger // zero: discard
}

// Store is a blob.Store over one store or two.
type Store struct {
	cfg        Config
	log        *slog.Logger
	sides      [sidesCount]*side // the second is nil if there is none
	rebuilding [sidesCount]atomic.Bool
	watch      func(Event)
	chunks     [2]sync.Pool // of *chunk: small ones, and those of a leaf
	stats      counters

	// Puts that are under way, and those left behind. closing bars the door
	// before Close waits for them.
	mu      sync.Mutex // guards closing and the step to waiting
	closing bool
	calls   sync.WaitGroup
}

var (
	_ blob.Store     = (*Store)(nil)
	_ blob.Walker    = (*Store)(nil)
	_ blob.Checker   = (*Store)(nil)
	_ blob.Stater    = (*Store)(nil)
	_ blob.Mender    = (*Store)(nil)
	_ blob.Compactor = (*Store)(nil)
)

// New joins the stores, which are open. Close closes them.
func New(cfg Config) *Store {
	if cfg.Lag == 0 {
		cfg.Lag = lagDefault
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Pace == nil {
		cfg.Pace = func(ctx context.Context, _ int) error { return ctx.Err() }
	}
	s := &Store{cfg: cfg, log: cfg.Log, watch: func(Event) {}}
	s.sides[first] = &side{Copy: cfg.Primary, index: first}
	if cfg.Second != nil {
		s.sides[second] = &side{Copy: cfg.Second, index: second}
	}
	for i, place := range places {
		s.rebuilding[i].Store(slices.Contains(cfg.Rebuilding, place))
	}
	return s
}

// Event says that a blob has a copy less than it should have.
type Event struct {
	Blob  moraine.BlobID
	Place string // of the copy that is missing or could not be read
	// Err is why. Its kind is Corrupt or NotFound if the copy is known to be
	// bad, else the store could not be asked.
	Err error
	// Put is set if the copy was not made, else reading it failed.
	Put bool
}

// Watch has fn called for each event, from any goroutine. It must not block.
// Call Watch before anything else.
func (s *Store) Watch(fn func(Event)) { s.watch = fn }

// Rebuilding names the stores whose copies are being made anew.
func (s *Store) Rebuilding() []string {
	var all []string
	for i := range s.rebuilding {
		if s.rebuilding[i].Load() {
			all = append(all, places[i])
		}
	}
	return all
}

// Rebuilt ends the rebuilding: references are believed again.
func (s *Store) Rebuilt() {
	for i := range s.rebuilding {
		s.rebuilding[i].Store(false)
	}
}

// Mirrored reports whether there is a second store.
func (s *Store) Mirrored() bool { return s.sides[second] != nil }

// Close implements blob.Store. It also waits for puts that were left behind.
func (s *Store) Close() error {
	s.mu.Lock()
	again := s.closing
	s.closing = true
	s.mu.Unlock()
	if again {
		return errClosed
	}
	s.calls.Wait()
	err := s.sides[first].Close()
	if s.Mirrored() {
		if second := s.sides[second].Close(); err == nil {
			err = second
		}
	}
	return err
}

var errClosed = moraine.Errorf(moraine.Unavailable, "the store is closed")

// begin enters a call that Close waits for.
func (s *Store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return errClosed
	}
	s.calls.Add(1)
	return nil
}

// Delete implements blob.Store. Every copy is deleted that a store is there for;
// what a store that is gone for good held is gone with it. If one store cannot
// be asked the other has deleted its copy all the same, and Delete is repeated.
func (s *Store) Delete(ctx context.Context, ref moraine.BlobRef) error {
	h, err := parse(ref)
	if err != nil {
		return err
	}
	var bad error
	for i, side := range s.sides {
		if h[i] == "" || side == nil {
			continue
		}
		err := side.stuck()
		if err == nil {
			err = side.Delete(ctx, h[i])
		}
		bad = worse(bad, err)
	}
	return bad
}

// Walk implements blob.Walker.
func (s *Store) Walk(ctx context.Context, fn func(blob.Info) error, damaged func(error)) error {
	if !s.Mirrored() {
		return s.sides[first].Walk(ctx, fn, damaged)
	}
	for _, side := range s.sides {
		err := side.Walk(ctx, func(i blob.Info) error {
			var h halves
			h[side.index] = i.Ref
			i.Ref = h.ref()
			return fn(i)
		}, damaged)
		if err != nil {
			return err
		}
	}
	return nil
}

// worse joins what went wrong with two copies into the error that says most of
// what may be done: one that could not be asked may be asked again.
func worse(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil || rank(a) >= rank(b):
		return a
	}
	return b
}

func rank(err error) int {
	switch moraine.KindOf(err) {
	case moraine.NotFound:
		return 1
	case moraine.Invalid:
		return 2
	case moraine.Corrupt:
		return 3
	}
	return 4
}

// Stats counts what a store did since it was made.
type Stats struct {
	Places     []Place
	Lagging    int64 // puts that returned with one copy
	Mended     int64 // copies made anew
	MendedSize int64 // their bytes
}

// Place is one store in Stats.
type Place struct {
	Name      string
	Failure   error // of the last put; nil if it succeeded
	Failovers int64 // reads that another copy had to go on with
}

type counters struct {
	lagging, mended, mendedSize atomic.Int64
	failovers                   [sidesCount]atomic.Int64
}

// Stats returns the figures of this moment.
func (s *Store) Stats() Stats {
	c := &s.stats
	st := Stats{Lagging: c.lagging.Load(), Mended: c.mended.Load(), MendedSize: c.mendedSize.Load()}
	for i, side := range s.sides {
		if side != nil {
			st.Places = append(st.Places, Place{Name: places[i], Failure: side.failure(), Failovers: c.failovers[i].Load()})
		}
	}
	return st
}
