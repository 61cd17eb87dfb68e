package audit

import "sync"

// Service events: what the server does or notices by itself (access-control
// §8.3). Each is the name of a record with its details in additionalEventData.
const (
	Opened               = "AuditOpened"          // a start
	Truncated            = "AuditTruncated"       // a crash had cut a line short
	RecordsDropped       = "AuditRecordsDropped"  // a disk took nothing for long
	FilesRemoved         = "AuditFilesRemoved"    // files whose retention has ended
	UnauthenticatedCalls = "UnauthenticatedCalls" // calls without a record of their own
	LockExpired          = "LockExpired"          // a lock was not completed in time
	LockSwept            = "LockSwept"            // the row of such a lock is gone
	ConfigChange         = "ConfigChange"         // settings differ from those of the last start
	KeyRotation          = "KeyRotation"          // the first master key, or the root's key, is another one
	PolicyUnparsable     = "PolicyUnparsable"     // a stored policy does not parse
	ScrubFailure         = "ScrubFailure"         // stored bytes are damaged
	ScrubRepaired        = "ScrubRepaired"        // damaged bytes are whole again
	ScrubDiscarded       = "ScrubDiscarded"       // an operator gave up damaged bytes
	ClockJump            = "ClockJump"            // the system clock jumped
)

// Service records something that the server did or noticed by itself. It does
// not wait. A nil log records nothing.
func (l *Log) Service(name string, details map[string]any) {
	if l == nil {
		return
	}
	// It waits for the next flush; a full queue is counted and logged there.
	_, _, _ = l.enqueue(service(name, details), "", false)
}

// ServiceOnce is Service for what would come up again and again: of those with
// the same name and key only the first is recorded, as long as it is
// remembered.
func (l *Log) ServiceOnce(name, key string, details map[string]any) {
	if l != nil && l.told.first(name+" "+key) {
		l.Service(name, details)
	}
}

// toldMax bounds what is remembered of events that are recorded once.
const toldMax = 1024

// told remembers what was recorded already.
type told struct {
	mu   sync.Mutex // guards keys
	keys map[string]struct{}
}

func newTold() *told { return &told{keys: make(map[string]struct{})} }

// first reports whether a key is new.
func (t *told) first(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.keys[key]; ok {
		return false
	}
	if len(t.keys) >= toldMax {
		clear(t.keys)
	}
	t.keys[key] = struct{}{}
	return true
}
