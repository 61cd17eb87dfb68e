package server

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"moraine"
	"moraine/internal/adminapi"
	"moraine/internal/blob"
	"moraine/internal/blob/mirror"
	"moraine/internal/mend"
)

// newMend joins the service that makes missing copies; nil without a mirror.
func (n *node) newMend(opts Options, s *stores, pending *blob.Pending) *mend.Service {
	if !s.copies.Mirrored() {
		return nil
	}
	m := mend.New(mend.Config{
		Meta: s.rows, Blobs: s.blobs, Pending: pending, Pacer: s.pacer, Now: opts.Now, Log: opts.Log,
		Whole: func(ctx context.Context) error { return s.rebuilt(ctx, opts.Log) },
	})
	some := &rate.Sometimes{First: loggedFirst, Interval: loggedEvery}
	s.copies.Watch(func(e mirror.Event) {
		m.Hint(e.Blob)
		attrs := []any{"blob", e.Blob.String(), "place", e.Place, "err", e.Err}
		switch {
		case e.Put:
			some.Do(func() { n.log.Warn("stored with one copy; the other is made later", attrs...) })
		case moraine.IsKind(e.Err, moraine.Corrupt):
			n.log.Error("damage found while reading; the other copy served", attrs...)
		default:
			some.Do(func() { n.log.Warn("read went on from the other copy", attrs...) })
		}
	})
	return m
}

// A disk that is away is no news with every request: after the first few words
// about it there is one for each span.
const (
	loggedFirst = 10
	loggedEvery = 10 * time.Second
)

// rebuilt notes that every blob has its copies.
func (s *stores) rebuilt(ctx context.Context, log *slog.Logger) error {
	was := s.storage.rebuilding()
	if len(was) == 0 {
		return nil
	}
	if err := s.storage.rebuilt(); err != nil {
		return err
	}
	// On record now: references are to be believed. A crash before this goes
	// through all rows once more.
	s.copies.Rebuilt()
	log.InfoContext(ctx, "rebuilt", "places", was)
	return nil
}

// runMend makes missing copies until ctx is done.
func (n *node) runMend(ctx context.Context) error {
	if n.mend == nil {
		return nil
	}
	return n.mend.Run(ctx)
}

// mirrorStatus says how the copies are; nil without a mirror.
func (n *node) mirrorStatus(s *stores) func() adminapi.Mirror {
	if n.mend == nil {
		return nil
	}
	return func() adminapi.Mirror {
		st, made := n.mend.Status(), s.copies.Stats()
		m := adminapi.Mirror{
			Counted: st.Counted, Blobs: st.Blobs, Bytes: st.Bytes, Lost: st.Lost, Doing: st.Doing,
			Rebuilding: s.copies.Rebuilding(), Rate: int64(st.Rate), Error: st.Error, ErrorAt: st.At,
			CopiesMade: made.Mended, BytesMade: made.MendedSize, OneCopyPuts: made.Lagging,
		}
		for _, p := range made.Places {
			place := adminapi.MirrorPlace{Name: p.Name, Failovers: p.Failovers}
			if p.Failure != nil {
				place.Failure = p.Failure.Error()
			}
			for _, missing := range st.Missing {
				if missing.Place == p.Name {
					place.Missing, place.MissingBytes = missing.Copies, missing.Bytes
				}
			}
			m.Places = append(m.Places, place)
		}
		return m
	}
}
