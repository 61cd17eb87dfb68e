// Package notify is the service that delivers the messages of the outbox to the
// targets an operator named for their topics.
//
// It knows which messages are due, when to try again and when to give up
// (glacier-api §9.2). It must not know how a target is reached: each is a Sink
// that the assembly chose.
package notify

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"moraine"
	"moraine/internal/lease"
	"moraine/internal/meta"
)

// Sink is a target of messages. Its methods may be called at the same time.
type Sink interface {
	// Deliver hands a message over. When it returns nil, the other side has the
	// message for good. It ends soon after ctx does. The text of its error is
	// kept beside the message and holds no secret.
	Deliver(ctx context.Context, m moraine.Message) error
}

// RetentionDefault is how long messages that nobody got are kept.
const RetentionDefault = 30 * 24 * time.Hour

// Config is what a Service is made of.
type Config struct {
	Meta    meta.Store       // required
	Targets map[string]Sink  // by ARN of the topic; a topic may have none
	Owner   string           // required to run; names this process in leases, never reused
	Now     func() time.Time // zero: time.Now
	Log     *slog.Logger     // zero: discard
	// Retention is how long messages that nobody got are kept after they were
	// made. Zero: thirty days.
	Retention time.Duration
	// Removed hears of each message that is removed because nobody got it. Zero:
	// nobody does.
	Removed func(moraine.Message)
	// Jitter is a random number from 0 to 1, the greater the later the next
	// attempt. Zero: rand.Float64.
	Jitter func() float64
}

// Service delivers messages. Its methods may be called at the same time.
type Service struct {
	cfg   Config
	lanes map[string]*lane // by ARN of the topic; never changes
	wake  chan struct{}    // holds one token when the engine should look again
	clock *lease.Clock     // by which messages are due

	mu       sync.Mutex      // guards unrouted
	unrouted map[string]bool // topics without a target that the log has named
}

// New assembles a Service and touches nothing.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Jitter == nil {
		cfg.Jitter = rand.Float64
	}
	if cfg.Retention == 0 {
		cfg.Retention = RetentionDefault
	}
	if cfg.Removed == nil {
		cfg.Removed = func(moraine.Message) {}
	}
	lanes := make(map[string]*lane, len(cfg.Targets))
	for topic, sink := range cfg.Targets {
		lanes[topic] = newLane(sink)
	}
	return &Service{
		cfg: cfg, lanes: lanes, wake: make(chan struct{}, 1), clock: lease.NewClock(cfg.Now), unrouted: make(map[string]bool),
	}
}

// now is the instant of an event: UTC, whole milliseconds.
func (s *Service) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Millisecond) }

// Wake makes the engine look at once, because there is a new message or the
// clock was moved.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
