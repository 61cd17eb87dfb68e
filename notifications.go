package moraine

import (
	"slices"
	"strings"
	"time"
)

// Event is something that a message is about. A vault may send messages about the
// ends of its jobs (§9.1), the operator is told of what scrub finds.
type Event string

// The events. Format: stored, never change.
const (
	ArchiveRetrievalCompleted   Event = "ArchiveRetrievalCompleted"
	InventoryRetrievalCompleted Event = "InventoryRetrievalCompleted"
	ScrubFailure                Event = "ScrubFailure"
	ScrubRepaired               Event = "ScrubRepaired"
)

// Completed is the event of a job that ends.
func (a JobAction) Completed() Event { return Event(a) + "Completed" }

// ValidTopic reports whether s may be the ARN of a topic: it begins with "arn:"
// and has six parts. Whether there is such a topic is not asked (§7.2, §9.1).
func ValidTopic(s string) bool { return strings.HasPrefix(s, "arn:") && strings.Count(s, ":") >= 5 }

// Notifications are the configuration of a vault's messages.
type Notifications struct {
	Topic  string  // ARN
	Events []Event // distinct, in the order they were set
}

// Enabled reports whether messages are sent about an event.
func (n *Notifications) Enabled(e Event) bool { return slices.Contains(n.Events, e) }

// MessageState is where a message of the outbox is in its life.
type MessageState string

// The states of a message; one that was delivered has no row. Format: stored,
// never change.
const (
	MessagePending  MessageState = "pending"  // to be delivered, or tried again
	MessageUnrouted MessageState = "unrouted" // no target was named for its topic
	MessageDead     MessageState = "dead"     // tried for as long as messages are
)

// Message is a notice to a topic that waits in the outbox (§9.2).
type Message struct {
	ID      MessageID
	Topic   string // ARN
	Source  string // ARN of the vault, or of all vaults
	Event   Event
	Job     JobID  // "" if it is not about a job
	Body    string // the description of the job or the finding, as it is delivered
	State   MessageState
	Created time.Time

	// Next is when the message is due, or when the lease of whoever holds it
	// is over; zero unless it is pending.
	Next       time.Time
	LeaseOwner string // who claimed it last, "" if nobody

	Attempts int64     // that failed
	Tried    time.Time // the first attempt that failed; zero if none
	Error    string    // of the last attempt, "" if none
}
