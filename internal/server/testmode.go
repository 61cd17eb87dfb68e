package server

import (
	"sync/atomic"
	"time"

	"moraine"
	"moraine/internal/adminapi"
	"moraine/internal/clock"
	"moraine/internal/config"
	"moraine/internal/job"
)

// hindrance is what tests want to fail.
type hindrance struct {
	throttled atomic.Int64 // requests
	timeouts  atomic.Int64 // uploads
}

// hinder implements api.Config.Hinder.
func (h *hindrance) hinder(upload bool) error {
	if take(&h.throttled) {
		return moraine.Errorf(moraine.Throttled, "Rate exceeded")
	}
	if upload && take(&h.timeouts) {
		return moraine.Errorf(moraine.Timeout, "Request timed out.")
	}
	return nil
}

// take counts n down, and reports whether there was something left.
func take(n *atomic.Int64) bool {
	for {
		left := n.Load()
		if left <= 0 {
			return false
		}
		if n.CompareAndSwap(left, left-1) {
			return true
		}
	}
}

// testMode joins what tests may change to the services. It is nil unless the
// settings ask for it.
func (n *node) testMode(cfg config.Config) *adminapi.TestMode {
	if !cfg.TestMode {
		return nil
	}
	return &adminapi.TestMode{
		Clock:       func() (time.Time, time.Duration) { return n.clock.Now(), n.clock.Ahead() },
		Advance:     n.advance,
		Delays:      n.jobs.Delays,
		SetDelays:   n.jobs.SetDelays,
		FailNextJob: n.jobs.FailNext,
		ScarceExpedited: func(on bool) {
			if on {
				n.jobs.SetScarcity(job.Scarcity{On: true})
			} else {
				n.jobs.SetScarcity(cfg.Scarcity)
			}
		},
		Throttle:          func(requests int) { n.hindrance.throttled.Store(int64(requests)) },
		TimeoutNextUpload: func() { n.hindrance.timeouts.Add(1) },
	}
}

// advance moves the clock and wakes whoever waits for a time that may now have
// come.
func (n *node) advance(by time.Duration) error {
	now, err := n.clock.Advance(by)
	switch {
	case clock.NotSaved(err):
		n.log.Error("clock not moved", "err", err)
		return moraine.Wrap(err, moraine.Unavailable, "the clock was not moved, since its state cannot be saved; see the log of the server")
	case err != nil:
		return err
	}
	n.log.Warn("a test moved the clock", "by", by, "now", now)
	n.wake()
	return nil
}

// wake wakes whoever waits for a time that may have come at once.
func (n *node) wake() {
	n.vaults.Wake()
	n.jobs.Wake()
	n.notify.Wake()
}
