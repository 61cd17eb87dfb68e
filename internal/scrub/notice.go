package scrub

import (
	"encoding/json"
	"fmt"
	"time"

	"moraine"
	"moraine/internal/meta"
)

// noticesMax bounds the messages of one pass, and of what is looked at out of turn
// until the next: a disk that dies has a finding for every blob on it.
const noticesMax = 100

// notice is the body of a message about a finding. Format: sent, never change.
type notice struct {
	Event   moraine.Event
	Blob    string
	Body    string
	First   int64 // byte of the body
	Size    int64
	Checked time.Time
	Fault   string   `json:",omitempty"`
	Copies  []string `json:",omitempty"` // that failed, each with the reason
}

// event is what a finding is told as, "" if it is no news of damage.
func (f *Finding) event() moraine.Event {
	switch {
	case f.Extent.Fault != "":
		return moraine.ScrubFailure
	case f.Repaired:
		return moraine.ScrubRepaired
	}
	return ""
}

// tell writes messages about findings into the outbox, in the transaction that
// records them: a finding that is on record has its message, whatever crashes. It
// returns how many.
func (s *Service) tell(tx meta.Tx, news []Finding, room int) (told int, err error) {
	if s.cfg.Topic == "" {
		return 0, nil
	}
	for _, f := range news {
		event := f.event()
		if event == "" || told >= room {
			continue
		}
		e := f.Extent
		body, err := json.Marshal(notice{event, e.Blob.String(), string(f.Body), e.First, e.Size, e.Verified, e.Fault, f.Copies})
		if err != nil {
			return told, fmt.Errorf("describe finding: %w", err)
		}
		err = tx.Outbox().Save(moraine.Message{
			ID: moraine.NewMessageID(e.Verified), Topic: s.cfg.Topic, Source: s.cfg.Source, Event: event,
			Body: string(body), State: moraine.MessagePending, Created: e.Verified, Next: e.Verified,
		})
		if err != nil {
			return told, fmt.Errorf("write message: %w", err)
		}
		told++
	}
	return told, nil
}

// noticesLeft is how many messages may be written before the next pass begins.
func (s *Service) noticesLeft() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return noticesMax - s.told
}

func (s *Service) noticed(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.told
	if s.told += n; before < noticesMax && s.told >= noticesMax {
		s.cfg.Log.Warn("no more messages about damage before the next pass; moraine scrub failed lists all of it", "topic", s.cfg.Topic)
	}
}

// noticesAgain lets messages be written, since a pass begins.
func (s *Service) noticesAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = 0
}
