package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"moraine/internal/disk"
)

// Sync says which records are durable when Append returns.
type Sync int

// The ways to sync. Records that are not synced at once are within a second.
const (
	Writes Sync = iota // those of successful calls that change something
	All                // all of them
	Off                // none: the operating system writes when it likes
)

// Times of Run.
const (
	flushEvery = time.Second // how long a record may wait that nobody waits for
	tidyEvery  = time.Minute // how soon Tidy is tried again after a failure, and the reserve made whole
)

// Config is what a Log is made of.
type Config struct {
	FS  disk.FS   // required for files
	Dir string    // of the files; made if it does not exist
	Out io.Writer // if not nil, lines go there and there are no files
	// Region is that of records without one. Zero: "default".
	Region string
	// Sync says which records are durable at once. Zero: Writes.
	Sync Sync
	// FailOpen lets calls succeed whose records cannot be written.
	FailOpen bool
	// DataEvents marks records about the bytes of archives as data events.
	DataEvents bool
	// Reserve is the space kept for a full disk, in bytes. Zero: none.
	Reserve int64
	// Free returns the free space of the disk; the reserve leaves some of it to
	// others. Zero: plenty.
	Free func() (int64, error)
	// Retention is how long files are kept after their hour. Zero: for ever.
	Retention time.Duration
	Now       func() time.Time // zero: time.Now
	Log       *slog.Logger     // zero: discard
}

// Log is the open audit log. Its methods may be called at the same time.
type Log struct {
	cfg     Config
	noise   *noise
	told    *told
	reserve *reserve
	current atomic.Pointer[hour] // the latest hour so far

	truncated []map[string]any // what Open found cut short, for its records

	mu     sync.Mutex // guards what follows
	trails map[string]*trail
	tidied string     // the hour for which Tidy has done its work
	tidy   sync.Mutex // held by Tidy
}

// regionName is what may be part of the name of a file.
var regionName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// defaultRegion names the chain of a log that was given no region.
const defaultRegion = "default"

// trailOf returns the chain for the records of a region.
func (l *Log) trailOf(region string) *trail {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.trails[region]; t != nil {
		return t
	}
	if region == "" || l.cfg.Out != nil || !regionName.MatchString(region) {
		return l.trails[l.cfg.Region]
	}
	t := newTrail(l, region)
	l.trails[region] = t
	return t
}

// all returns the chains in the order of their regions.
func (l *Log) all() []*trail {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*trail
	for _, t := range l.trails {
		out = append(out, t)
	}
	slices.SortFunc(out, func(x, y *trail) int { return compare(x.region, y.region) })
	return out
}

// Append makes a record of r and, as the configuration asks for, waits until
// it is durable. If owner is another account than the recipient of r, that
// account gets a copy of its own. r must not be used afterwards.
//
// An error means that the call must not be reported as a success. What the
// call did is done: the record is made after the commit, since it tells what
// came of the call, and before the reply. The client has to take such an
// answer for what it is, an unknown outcome. The record stays in the queue and
// is written when the disk takes it again.
func (l *Log) Append(r *Record, owner string) error {
	wait := l.cfg.Sync == All || !r.ReadOnly && r.ErrorCode == ""
	t, next, err := l.enqueue(r, owner)
	if err == nil && (wait || l.cfg.Out != nil) {
		err = t.await(next)
	}
	if err == nil || !wait || l.cfg.FailOpen {
		return nil
	}
	return fmt.Errorf("write the audit record: %w", err)
}

// enqueue makes the lines of r and puts them into the queue of their chain. It
// returns the round that will write them.
func (l *Log) enqueue(r *Record, owner string) (*trail, *round, error) {
	t, now := l.trailOf(r.Region), l.cfg.Now()
	text := newBuffer()
	defer text.free()
	if owner == "" || owner == r.RecipientAccountID {
		text.b = r.appendTo(text.b, now, "", l.cfg.DataEvents)
		r.release()
		next, err := t.enqueue(now, text.b)
		return t, next, err
	}
	shared, copied := string(appendID(nil)), newBuffer()
	defer copied.free()
	other := r.forOwner(owner)
	copied.b = other.appendTo(copied.b, now, shared, l.cfg.DataEvents)
	if r.byVault() {
		r.AdditionalEventData = withoutPolicy(r.AdditionalEventData)
	}
	text.b = r.appendTo(text.b, now, shared, l.cfg.DataEvents)
	r.release()
	next, err := t.enqueue(now, text.b, copied.b)
	return t, next, err
}

// Witness is Service for what must not happen without a record: it waits until
// the record is durable, and an error means that it must not happen.
func (l *Log) Witness(name string, details map[string]any) error {
	t, next, err := l.enqueue(service(name, details), "")
	if err == nil {
		err = t.await(next)
	}
	if err == nil || l.cfg.FailOpen {
		return nil
	}
	return fmt.Errorf("write the audit record: %w", err)
}

// buffer holds a text behind its headroom.
type buffer struct{ b []byte }

// bufferMax bounds the buffers that are used again, in bytes.
const bufferMax = 16 << 10

var buffers = sync.Pool{New: func() any { return &buffer{make([]byte, headroom, 4<<10)} }}

func newBuffer() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) free() {
	if cap(b.b) <= bufferMax {
		b.b = b.b[:headroom]
		buffers.Put(b)
	}
}

// Run writes what nobody waits for, and in a goroutine of its own closes and
// compresses the files of past hours, until ctx is done.
func (l *Log) Run(ctx context.Context) error {
	var tidying sync.WaitGroup
	defer tidying.Wait()
	wake := make(chan struct{}, 1)
	tidying.Go(func() { l.tidyWhenWoken(ctx, wake) })
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	var tried time.Time
	for {
		// At once, for what a crash left to do, and whenever an hour has passed.
		if now := time.Now(); l.cfg.Out == nil && (l.untidy() || l.reserve.wanting()) && now.Sub(tried) >= tidyEvery {
			tried = now
			select {
			case wake <- struct{}{}:
			default:
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			l.noise.summarize(l, false)
			// A failure is in the log, and the next tick tries again.
			_ = l.Flush()
		}
	}
}

// untidy reports whether an hour has passed since Tidy did its work.
func (l *Log) untidy() bool {
	h := l.hour(l.cfg.Now())
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tidied < h.name
}

func (l *Log) tidyWhenWoken(ctx context.Context, wake <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		}
		if err := l.Tidy(ctx); err != nil && ctx.Err() == nil {
			l.cfg.Log.ErrorContext(ctx, "files of the audit log not compressed; it will be tried again", "err", err)
		}
	}
}

// Flush makes every record durable that was appended before.
func (l *Log) Flush() error {
	var all []error
	for _, t := range l.all() {
		all = append(all, t.sync())
	}
	return errors.Join(all...)
}

// Close makes every record durable and closes the files. Run has returned.
func (l *Log) Close() error {
	l.noise.summarize(l, true)
	all := []error{l.Flush()}
	for _, t := range l.all() {
		all = append(all, t.close())
	}
	return errors.Join(all...)
}
