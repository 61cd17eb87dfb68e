package scrub

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"moraine"
	"moraine/internal/blob"
	"moraine/internal/lease"
	"moraine/internal/meta"
	"moraine/internal/treehash"
)

// Config is what a Service is made of.
type Config struct {
	Meta  meta.Store       // required
	Blobs blob.Store       // required
	Now   func() time.Time // zero: time.Now
	Log   *slog.Logger     // zero: discard

	// Period is from the begin of a pass to that of the next. Zero: a pass
	// begins only when asked for.
	Period time.Duration
	// Rate is how many bytes are read in a second. Zero: no limit.
	Rate int64
	// Mend makes the damaged copies of a blob anew and moves its row, and returns
	// what it made: nothing, with the reference of i, if the row is another by
	// now. Zero: nobody can.
	Mend func(ctx context.Context, i blob.Info) (blob.Mended, error)
	// Lease is that of the passes. Nil: no other process shares the rows.
	Lease *lease.Lease
	// Found hears of what is news, once it is durable. A crash before that is
	// all that keeps it from hearing. Zero: nobody.
	Found func(context.Context, []Finding)
	// Topic is the ARN of the topic that gets a message about each blob that is found
	// damaged, or was made anew, up to 100 in a pass, and Source the resource that
	// the messages are from. Zero: there are no messages.
	Topic, Source string
}

// Finding is something wrong with a blob, or no longer wrong.
type Finding struct {
	Body   moraine.BodyID
	Extent moraine.Extent // with the fault, "" if there is none any more
	// Copies says of each copy that failed which and why.
	Copies   []string
	Repaired bool // a copy was made anew
}

const (
	// batchBlobs and batchTime bound what a crash makes a pass do again.
	batchBlobs = 256
	batchTime  = 10 * time.Second
	// hintsMax bounds the blobs that wait to be looked at out of turn.
	hintsMax = 1024
	// retryPause is how long a pass rests after an error that is not a blob's.
	retryPause = time.Minute
	// lookEvery is how late is noticed that another process was asked for a pass,
	// or has left one.
	lookEvery = lease.Time
)

// Service reads everything now and then. Its methods may be called at the same
// time.
type Service struct {
	cfg   Config
	pace  *rate.Limiter // nil for none
	now   chan struct{} // holds one token when a pass was asked for
	hints chan moraine.BlobID
	late  time.Time // begin of the pass that Run has said takes long; of Run alone

	mu     sync.Mutex
	broken error // why the pass under way rests; guarded by mu
	told   int   // messages since the pass began; guarded by mu
}

// New assembles a Service and touches nothing.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Found == nil {
		cfg.Found = func(context.Context, []Finding) {}
	}
	s := &Service{cfg: cfg, now: make(chan struct{}, 1), hints: make(chan moraine.BlobID, hintsMax)}
	if cfg.Rate > 0 {
		s.pace = rate.NewLimiter(rate.Limit(cfg.Rate), int(max(cfg.Rate, treehash.LeafSize)))
	}
	return s
}

// time is the instant of an event: UTC, whole milliseconds.
func (s *Service) time() time.Time { return s.cfg.Now().UTC().Truncate(time.Millisecond) }

// Ask has a pass begin now, unless one is under way. That it has begun is
// durable: it goes on at the next Run if there is none.
func (s *Service) Ask(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	select {
	case s.now <- struct{}{}:
	default:
	}
	return nil
}

// Suspect has a blob looked at soon. It never waits: what does not fit is
// found by the next pass.
func (s *Service) Suspect(id moraine.BlobID) {
	select {
	case s.hints <- id:
	default:
	}
}

// Run reads until ctx is done and returns nil when the blob under way has been
// given up.
func (s *Service) Run(ctx context.Context) error {
	buf := make([]byte, treehash.LeafSize)
	for {
		wait, err := s.work(ctx, buf)
		if ctx.Err() != nil {
			return nil
		}
		s.rest(err)
		if err != nil {
			s.cfg.Log.ErrorContext(ctx, "scrub rests", "err", err, "for", retryPause)
			wait = retryPause
		}
		if !s.pause(ctx, buf, wait) {
			return nil
		}
	}
}

func (s *Service) rest(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

// Resting is why the pass under way has stopped for a while, nil if it has not.
func (s *Service) Resting() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// pause waits, looking at suspects meanwhile, until d is over or a pass is
// asked for, and reports whether to go on.
func (s *Service) pause(ctx context.Context, buf []byte, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-s.now:
			return ctx.Err() == nil
		case id := <-s.hints:
			if err := s.CheckBlob(ctx, id, buf); err != nil && ctx.Err() == nil {
				s.cfg.Log.WarnContext(ctx, "suspected blob not checked", "blob", id.String(), "err", err)
			}
		}
	}
}

// work does what there is of a pass, unless another process is at it, and returns
// how long to wait before the next look.
func (s *Service) work(ctx context.Context, buf []byte) (time.Duration, error) {
	state, err := s.State(ctx)
	if err != nil {
		return 0, err
	}
	if state.Started.IsZero() {
		wait := s.untilNext(&state)
		if wait != 0 {
			return soon(wait), nil
		}
		if err := s.begin(ctx); err != nil {
			return 0, err
		}
	}
	held, err := s.cfg.Lease.Take(ctx)
	if err == nil {
		state, err = s.pass(ctx, buf, held)
		err = errors.Join(err, held.Release(ctx))
	}
	if errors.Is(err, lease.ErrElsewhere) {
		return lookEvery, nil
	}
	return soon(s.untilNext(&state)), err
}

// soon is how long to wait for what is due after wait, negative for never.
func soon(wait time.Duration) time.Duration {
	if wait < 0 {
		return lookEvery
	}
	return min(wait, lookEvery)
}

// pass goes on with the pass under way to its end. It returns the state after
// that.
func (s *Service) pass(ctx context.Context, buf []byte, held *lease.Held) (moraine.ScrubState, error) {
	state, err := s.State(ctx)
	if err != nil {
		return state, err
	}
	for done := state.Started.IsZero(); !done; {
		s.watch(ctx, &state)
		if done, err = s.batch(ctx, buf, held); err != nil {
			return state, err
		}
		s.suspects(ctx, buf)
		if err := ctx.Err(); err != nil {
			return state, err
		}
		if state, err = s.State(ctx); err != nil {
			return state, err
		}
	}
	return state, nil
}

// watch says once of a pass that it takes longer than a period.
func (s *Service) watch(ctx context.Context, state *moraine.ScrubState) {
	if !s.Late(state) || s.late.Equal(state.Started) {
		return
	}
	s.late = state.Started
	s.cfg.Log.WarnContext(ctx, "a pass of scrub takes longer than scrub.period; raise scrub.rate or the period", "started", state.Started, "blobs", state.Tally.Blobs, "bytes", state.Tally.Bytes)
}

// Late reports whether a pass takes, or the last one took, longer than a period.
func (s *Service) Late(state *moraine.ScrubState) bool {
	began, end := state.LastStarted, state.Finished
	if !state.Started.IsZero() {
		began, end = state.Started, s.time()
	}
	return s.cfg.Period > 0 && end.Sub(began) > s.cfg.Period
}

// untilNext is how long until the next pass is due, negative if it never is.
func (s *Service) untilNext(state *moraine.ScrubState) time.Duration {
	switch {
	case s.cfg.Period == 0:
		return -1
	case state.Finished.IsZero():
		return 0
	}
	return max(0, state.Next(s.cfg.Period).Sub(s.time()))
}

// State returns how far the reading has come.
func (s *Service) State(ctx context.Context) (state moraine.ScrubState, err error) {
	err = s.cfg.Meta.View(ctx, func(tx meta.Tx) error {
		state, err = tx.Scrub().State()
		return err
	})
	return state, err
}

// begin begins a pass unless one is under way.
func (s *Service) begin(ctx context.Context) error {
	return s.cfg.Meta.Update(ctx, func(tx meta.Tx) error {
		state, err := tx.Scrub().State()
		if err != nil || !state.Started.IsZero() {
			return err
		}
		state.Started, state.Cursor, state.Tally = s.time(), moraine.BlobID{}, moraine.Tally{}
		s.noticesAgain()
		return tx.Scrub().Save(state)
	})
}

// suspects looks at those that wait, between two batches of a pass.
func (s *Service) suspects(ctx context.Context, buf []byte) {
	for {
		select {
		case id := <-s.hints:
			if err := s.CheckBlob(ctx, id, buf); err != nil && ctx.Err() == nil {
				s.cfg.Log.WarnContext(ctx, "suspected blob not checked", "blob", id.String(), "err", err)
			}
		default:
			return
		}
	}
}

// batch checks the next blobs of the pass under way and reports whether it was
// the last batch.
func (s *Service) batch(ctx context.Context, buf []byte, held *lease.Held) (done bool, err error) {
	var state moraine.ScrubState
	var list []moraine.Extent
	err = s.cfg.Meta.View(ctx, func(tx meta.Tx) (err error) {
		if state, err = tx.Scrub().State(); err != nil {
			return err
		}
		list, err = tx.Bodies().Blobs(state.Cursor, batchBlobs)
		return err
	})
	if err != nil {
		return false, err
	}
	done = len(list) < batchBlobs
	var verdicts []verdict
	for began := time.Now(); len(list) > 0; list = list[1:] {
		if time.Since(began) > batchTime {
			done = false
			break
		}
		v, err := s.check(ctx, list[0], buf, held.Keep)
		if err != nil {
			return false, err
		}
		verdicts = append(verdicts, v)
	}
	judgeUnread(verdicts)
	// What was found and how far the pass has come are durable together. A
	// crash before loses both, and the batch is read again. So does a process
	// that has lost the lease: another goes on from the same place.
	return done, s.keep(ctx, verdicts, held, func(state *moraine.ScrubState) {
		if len(verdicts) > 0 {
			state.Cursor = verdicts[len(verdicts)-1].extent.Blob
		}
		for _, v := range verdicts {
			state.Tally.Add(v.tally())
		}
		if done {
			state.Finished, state.Last = s.time(), state.Tally
			state.LastStarted, state.Started, state.Cursor = state.Started, time.Time{}, moraine.BlobID{}
		}
	})
}

// keep notes verdicts, and the state of the pass if it changes, which wants the
// lease.
func (s *Service) keep(ctx context.Context, verdicts []verdict, held *lease.Held, change func(*moraine.ScrubState)) error {
	var news []Finding
	told, room := 0, s.noticesLeft()
	err := s.cfg.Meta.Update(ctx, func(tx meta.Tx) (err error) {
		news = news[:0]
		if change != nil {
			if err := held.Check(tx); err != nil {
				return err
			}
		}
		for _, v := range verdicts {
			f, err := v.note(tx)
			if err != nil {
				return err
			}
			if f != nil {
				news = append(news, *f)
			}
		}
		// Durable with the commit: the findings, their messages, and how far the pass
		// has come. A crash before loses all of it, and the batch is read again.
		if told, err = s.tell(tx, news, room); err != nil || change == nil {
			return err
		}
		state, err := tx.Scrub().State()
		if err != nil {
			return err
		}
		change(&state)
		return tx.Scrub().Save(state)
	})
	if err != nil {
		return err
	}
	s.noticed(told)
	if len(news) > 0 {
		s.cfg.Found(ctx, news)
	}
	return nil
}

// CheckBlob checks one blob now and notes what it finds. A blob that no row
// names is no error. buf holds at least one leaf.
func (s *Service) CheckBlob(ctx context.Context, id moraine.BlobID, buf []byte) error {
	var e moraine.Extent
	err := s.cfg.Meta.View(ctx, func(tx meta.Tx) (err error) {
		_, e, err = tx.Bodies().ByBlob(id)
		return err
	})
	if errors.Is(err, meta.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	v, err := s.check(ctx, e, buf, nil)
	if err != nil {
		return err
	}
	return s.keep(ctx, []verdict{v}, nil, nil)
}
