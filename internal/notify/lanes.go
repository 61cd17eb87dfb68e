package notify

import (
	"sync"
	"time"

	"moraine"
)

// Bounds of a lane.
const (
	laneMax   = 4  // attempts on one target at the same time
	queueMax  = 60 // messages that wait for one of them to end
	paceMin   = 10 * time.Millisecond
	tookFirst = 100 * time.Millisecond // how long an attempt takes, before there was one
	putOffMax = 5 * time.Minute        // how far a message is put off that finds no room
	putOff    = 100 * time.Millisecond // those put off to one such span come together
)

// lane is the way to one target, so that one that hangs delays its own messages
// and no others. A few messages are tried at the same time, some wait in memory,
// and those that find no room are put off to when there may be some: the outbox
// is free for messages to other targets that are behind them.
type lane struct {
	sink Sink

	mu      sync.Mutex // guards what follows
	busy    int        // attempts under way
	began   time.Time  // the latest of them
	queue   []moraine.Message
	took    time.Duration // what an attempt takes on average
	horizon time.Time     // when the last message that was put off is to find room
}

func newLane(sink Sink) *lane { return &lane{sink: sink, took: tookFirst} }

// enter takes in a message and reports whether its attempt begins now.
func (l *lane) enter(m moraine.Message, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy == laneMax {
		l.queue = append(l.queue, m)
		return false
	}
	l.busy, l.began = l.busy+1, now
	return true
}

// next ends an attempt that took so long, and returns the message to try next;
// ok is false if none waits.
func (l *lane) next(now time.Time, took time.Duration) (m moraine.Message, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = (3*l.took + min(max(took, 0), attemptTimeout)) / 4
	if len(l.queue) == 0 {
		l.busy--
		return m, false
	}
	m, l.queue, l.began = l.queue[0], l.queue[1:], now
	return m, true
}

// drain ends an attempt after which no other is to begin, and returns what
// waits.
func (l *lane) drain() []moraine.Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy--
	left := l.queue
	l.queue = nil
	return left
}

// prospect is how a lane stands, for a plan that may be thrown away.
type prospect struct {
	room    int           // for messages
	pace    time.Duration // from one message that ends to the next
	horizon time.Time
}

func (l *lane) prospect(now time.Time) prospect {
	l.mu.Lock()
	defer l.mu.Unlock()
	expected := l.took
	if l.busy == laneMax { // they may hang
		expected = max(expected, min(now.Sub(l.began), attemptTimeout))
	}
	return prospect{laneMax + queueMax - l.busy - len(l.queue), max(expected/laneMax, paceMin), l.horizon}
}

// again is when the next message that finds no room is to come again.
func (p *prospect) again(now time.Time) time.Time {
	if p.horizon.Before(now) {
		p.horizon = now
	}
	p.horizon = p.horizon.Add(p.pace)
	if latest := now.Add(putOffMax - putOff); p.horizon.After(latest) {
		p.horizon = latest
	}
	return p.horizon.Truncate(putOff).Add(putOff)
}

// keep remembers how far messages were put off.
func (l *lane) keep(horizon time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.horizon = horizon
}

// plan is what becomes of the messages of a claim.
type plan struct {
	accepted  []moraine.Message
	rest      []moraine.Message    // rows to put back: unrouted, or put off
	prospects map[string]*prospect // of lanes with messages in the claim
	unrouted  []string             // topics
}

// plan decides about a claim. It changes nothing, since the transaction that
// claims may be run again.
func (s *Service) plan(batch []moraine.Message, now time.Time) plan {
	p := plan{prospects: make(map[string]*prospect)}
	for _, m := range batch {
		l := s.lanes[m.Topic]
		if l == nil {
			m.State, m.Next, m.LeaseOwner = moraine.MessageUnrouted, time.Time{}, ""
			p.rest, p.unrouted = append(p.rest, m), append(p.unrouted, m.Topic)
			continue
		}
		way := p.prospects[m.Topic]
		if way == nil {
			fresh := l.prospect(now)
			way = &fresh
			p.prospects[m.Topic] = way
		}
		if way.room > 0 {
			way.room--
			p.accepted = append(p.accepted, m)
			continue
		}
		m.Next, m.LeaseOwner = way.again(now), ""
		p.rest = append(p.rest, m)
	}
	return p
}
