package mend

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"moraine"
)

// Status is what is known of the copies.
type Status struct {
	// Counted is when every row was last looked at; zero if the first look is
	// not over. Blobs and Bytes are what the rows named then.
	Counted      time.Time
	Blobs, Bytes int64
	// Missing are the copies that were missing then and were not made since.
	Missing []Missing
	// Lost is how many blobs had no good copy when the last was to be mended.
	Lost int64
	// Doing is "counting" or "mending", "" when there is nothing to do.
	Doing string
	// Error is the last failure and At when that was; "" if there was none since
	// the last success.
	Error string
	At    time.Time
	// Rate is how many bytes a second are read to be copied, Read how many were.
	Rate float64
	Read int64
}

// Missing counts copies.
type Missing struct {
	Place  string
	Copies int64
	Bytes  int64
}

// Status returns what is known now.
func (s *Service) Status() Status {
	s.mu.Lock()
	st := s.status
	st.Missing = slices.Clone(st.Missing)
	s.mu.Unlock()
	if s.cfg.Pacer != nil {
		st.Rate, st.Read = s.cfg.Pacer.Rate()
	}
	return st
}

// tally adds copies of so many bytes to those missing at a place.
func tally(list []Missing, place string, copies, size int64) []Missing {
	i := slices.IndexFunc(list, func(m Missing) bool { return m.Place == place })
	if i < 0 {
		list = append(list, Missing{Place: place})
		i = len(list) - 1
	}
	// What is mended may not have been there when all was counted.
	list[i].Copies = max(0, list[i].Copies+copies)
	list[i].Bytes = max(0, list[i].Bytes+copies*size)
	return list
}

// made notes that the copies of a blob at some places were made.
func (s *Service) made(places []string, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, place := range places {
		s.status.Missing = tally(s.status.Missing, place, -1, size)
	}
	s.status.Error, s.status.At = "", time.Time{}
}

// whole notes that there is nothing left to do.
func (s *Service) whole() { s.made(nil, 0) }

// counted publishes the figures of a pass.
func (s *Service) counted(p *pass) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Counted = s.now()
	s.status.Blobs, s.status.Bytes = p.blobs, p.bytes
	s.status.Missing = slices.Clone(p.missing)
}

func (s *Service) doing(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Doing = what
}

func (s *Service) lost(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Lost = n
}

// errorMax bounds the text of an error that is kept, in bytes.
const errorMax = 512

// shortened is the text of an error.
func shortened(err error) string {
	text := err.Error()
	return strings.ToValidUTF8(text[:min(len(text), errorMax)], "")
}

// failed notes a failure that time may cure.
func (s *Service) failed(ctx context.Context, err error, pause time.Duration) {
	if errors.Is(err, errLeft) {
		return // what failed has been noted, each for itself
	}
	s.cfg.Log.WarnContext(ctx, "copies cannot be made now", "err", err, "pause", pause)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Error = shortened(err)
	s.status.At = s.now()
}

// hinted returns some of the blobs to look at soon.
func (s *Service) hinted(limit int) []moraine.BlobID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []moraine.BlobID
	for id := range s.hints {
		if len(ids) == limit {
			break
		}
		ids = append(ids, id)
	}
	return ids
}

// settled forgets a hint.
func (s *Service) settled(id moraine.BlobID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.hints, id)
}

// hintTries is how often a hint is tried that fails. A blob that can never be
// read must not occupy the worker for ever.
const hintTries = 5

// putOff keeps a hint for another time, if there is to be one.
func (s *Service) putOff(id moraine.BlobID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hints[id]++; s.hints[id] >= hintTries {
		delete(s.hints, id)
		s.missed = true
	}
}

// takeMissed reports, once, whether hints were forgotten.
func (s *Service) takeMissed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	missed := s.missed
	s.missed = false
	return missed
}
