// Package health asks questions about a running server: each at most once at a
// time, within a bound, and not again while the last answer is fresh.
//
// It knows names, bounds and how to wait. It must not know what is asked, nor
// who wants to know.
package health

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Question is one thing that must be so.
type Question struct {
	Name string
	// Ask returns nil if it is so, else why not. It is called by one goroutine
	// at a time, and its context ends after Config.Bound.
	Ask func(context.Context) error
}

// Answer is how a question was answered last.
type Answer struct {
	Name string
	Err  error // nil: it is so
}

// Config is what a Panel is made of.
type Config struct {
	Questions []Question
	// Bound is how long one answer may take, and how long anybody waits for it.
	// Zero: 2 s.
	Bound time.Duration
	// Fresh is how long an answer is good for. Zero: 1 s.
	Fresh time.Duration
}

// Panel asks its questions. It is safe for concurrent use.
type Panel struct {
	cfg       Config
	questions []*asked

	mu     sync.Mutex // guards closed, and that asking grows only before it
	closed bool
	asking sync.WaitGroup
}

// asked is a question with its last answer.
type asked struct {
	Question
	mu    sync.Mutex    // guards the rest
	under chan struct{} // closed when the answer under way is there; nil if none is
	at    time.Time     // of the last answer; zero if there is none
	err   error         // the last answer
}

// New assembles a Panel and asks nothing.
func New(cfg Config) *Panel {
	if cfg.Bound == 0 {
		cfg.Bound = 2 * time.Second
	}
	if cfg.Fresh == 0 {
		cfg.Fresh = time.Second
	}
	p := &Panel{cfg: cfg}
	for _, q := range cfg.Questions {
		p.questions = append(p.questions, &asked{Question: q})
	}
	return p
}

// Ask returns the answers in the order of the questions, after Config.Bound at
// the latest. A question whose answer does not come counts as a no; it is not
// asked a second time before the first answer is there.
func (p *Panel) Ask(ctx context.Context) []Answer {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.Bound)
	defer cancel()
	waits := make([]<-chan struct{}, len(p.questions))
	for i, q := range p.questions {
		waits[i] = p.begin(q)
	}
	answers := make([]Answer, len(p.questions))
	for i, q := range p.questions {
		answers[i] = Answer{q.Name, q.answer(ctx, waits[i], p.cfg.Bound)}
	}
	return answers
}

// begin has q asked unless its answer is fresh, and returns what to wait for;
// nil for nothing.
func (p *Panel) begin(q *asked) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	if !p.closed && q.under == nil && (q.at.IsZero() || time.Since(q.at) >= p.cfg.Fresh) {
		q.under = make(chan struct{})
		p.asking.Go(func() { q.ask(p.cfg.Bound) })
	}
	return q.under
}

// ask asks q, for everybody who waits: none of them ends it.
func (q *asked) ask(bound time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	err := q.Ask(ctx)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.at, q.err = time.Now(), err
	close(q.under)
	q.under = nil
}

// answer returns the last answer, once wait is over.
func (q *asked) answer(ctx context.Context, wait <-chan struct{}, bound time.Duration) error {
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			if !over(wait) {
				return late(ctx, bound)
			}
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err
}

func over(wait <-chan struct{}) bool {
	select {
	case <-wait:
		return true
	default:
		return false
	}
}

// late is the answer of a question that has none yet.
func late(ctx context.Context, bound time.Duration) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return fmt.Errorf("no answer within %s", bound)
}

// Close waits for answers under way. From then on nothing is asked, and Ask
// returns the last answers.
func (p *Panel) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.asking.Wait()
}
