package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"moraine"
	"moraine/internal/clock"
	"moraine/internal/notify"
)

// Messages calls fn for each message of the outbox that was not delivered, with
// the time when it is removed if it is kept for so long; zero if it may still be
// delivered.
func (o Offline) Messages(ctx context.Context, retention time.Duration, fn func(m moraine.Message, removed time.Time) error) error {
	return o.outbox(ctx, retention, func(s *notify.Service) error {
		return s.Each(ctx, func(m moraine.Message) error { return fn(m, s.RemovedAt(m)) })
	})
}

// RetryMessage makes a message due at the next start.
func (o Offline) RetryMessage(ctx context.Context, id moraine.MessageID) error {
	return o.outbox(ctx, 0, func(s *notify.Service) error { return s.Retry(ctx, id) })
}

// outbox runs fn on the messages of the directory.
func (o Offline) outbox(ctx context.Context, retention time.Duration, fn func(*notify.Service) error) (err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d, err := openExisting(o.Data, o.Meta)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	// What is due is due by the clock of the server, which may be behind or
	// moved. A jump that a start would believe is of no account here.
	clk, err := d.openClock(clock.Config{Log: o.Log})
	if err != nil {
		return err
	}
	rows, err := d.openRows(ctx, o.Log, clk.Now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	return fn(notify.New(notify.Config{Meta: rows, Now: clk.Now, Log: o.Log, Retention: retention}))
}
