package server

import (
	"context"
	"errors"
	"time"

	"moraine"
	"moraine/internal/adminapi"
	"moraine/internal/adminclient"
	"moraine/internal/audit"
	"moraine/internal/clock"
	"moraine/internal/config"
)

// clockEvent is what the audit log calls whatever happens to the clock. Format:
// never change.
const clockEvent = "ClockJump"

// clockConfig joins a clock to the settings and to an audit log, which is nil
// for none.
func clockConfig(cfg config.Config, opts Options, log func() *audit.Log) clock.Config {
	return clock.Config{
		System: opts.Now, Elapsed: opts.Elapsed, MaxDowntime: cfg.Clock.MaxDowntime, Movable: cfg.TestMode, Log: opts.Log,
		Tell: func(n clock.Notice) {
			if log := log(); log != nil {
				log.Service(clockEvent, clockDetails(n.Phase, n.Jump, n.By))
			}
		},
	}
}

func clockDetails(p clock.Phase, j clock.Jump, by time.Duration) map[string]any {
	return map[string]any{
		"phase": string(p), "time": j.From.Format(time.RFC3339Nano), "systemClock": j.To.Format(time.RFC3339Nano),
		"seconds": by.Seconds(),
	}
}

// confirm confirms the jump with a name, as an operator of the running server.
func (n *node) confirm(name time.Time) error {
	done, err := confirmClock(n.clock, n.audit, name)
	if err != nil {
		n.log.Error("jump of the clock not confirmed", "err", err)
		return err
	}
	n.log.Warn("an operator confirmed a jump of the system clock", "from", done.From, "to", done.To)
	n.wake()
	return nil
}

// confirmClock has the confirmation on record before it has any effect: whoever
// makes archives old leaves a trace. What is on record and was not saved is
// recorded as well.
func confirmClock(clk *clock.Clock, log *audit.Log, name time.Time) (clock.Jump, error) {
	details := func(p clock.Phase, j clock.Jump) map[string]any { return clockDetails(p, j, j.To.Sub(j.From)) }
	var asked clock.Jump
	done, err := clk.Confirm(name, func(j clock.Jump) error {
		asked = j
		if log == nil {
			return nil
		}
		if err := log.Witness(clockEvent, details(clock.Confirmed, j)); err != nil {
			return moraine.Wrap(err, moraine.Unavailable, "the jump was not confirmed, since that cannot be recorded")
		}
		return nil
	})
	if clock.NotSaved(err) {
		if log != nil {
			log.Service(clockEvent, details(clock.NotConfirmed, asked))
		}
		err = moraine.Wrap(err, moraine.Unavailable, "the jump was not confirmed, since that cannot be saved; see the log of the server")
	}
	return done, err
}

// ClockStatus asks how the clock of a data directory stands: the server that is
// using it, or if there is none the state that is kept.
func ClockStatus(ctx context.Context, cfg config.Config, opts Options) (adminapi.ClockReply, error) {
	return operateClock(ctx, cfg, opts,
		func(_ *adminclient.Client, st adminapi.ClockReply) (adminapi.ClockReply, error) { return st, nil },
		func(_ *data, clk *clock.Clock) (adminapi.ClockReply, error) {
			return adminapi.NewClockReply(clk.Status(), ""), nil
		})
}

// ConfirmClock confirms the pending jump with a name, in the same places.
func ConfirmClock(ctx context.Context, cfg config.Config, opts Options, name time.Time) (adminapi.ClockReply, error) {
	return operateClock(ctx, cfg, opts,
		func(c *adminclient.Client, _ adminapi.ClockReply) (adminapi.ClockReply, error) {
			return c.ConfirmClock(ctx, name)
		},
		func(d *data, clk *clock.Clock) (_ adminapi.ClockReply, err error) {
			log, err := d.openAudit(cfg, opts)
			if err != nil {
				return adminapi.ClockReply{}, err
			}
			defer func() { err = errors.Join(err, closeAudit(log)) }()
			if _, err := confirmClock(clk, log, name); err != nil {
				return adminapi.ClockReply{}, err
			}
			return adminapi.NewClockReply(clk.Status(), ""), nil
		})
}

// operateClock finds who has the clock of a data directory: a server, which is
// asked through its admin listener, or nobody.
func operateClock(
	ctx context.Context, cfg config.Config, opts Options,
	running func(*adminclient.Client, adminapi.ClockReply) (adminapi.ClockReply, error),
	stopped func(*data, *clock.Clock) (adminapi.ClockReply, error),
) (reply adminapi.ClockReply, err error) {
	opts.fill()
	d, err := openExisting(cfg.Data, cfg.Meta)
	var used *inUseError
	if errors.As(err, &used) {
		// Who answers is who has the directory: two servers of one machine see the
		// same jump in the same second.
		client, st, err := findRunning(ctx, cfg, used)
		if err != nil {
			return reply, err
		}
		return running(client, st)
	}
	if err != nil {
		return reply, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	clk, err := d.openClock(clockConfig(cfg, opts, func() *audit.Log { return nil }))
	if err != nil {
		return reply, err
	}
	if st := clk.Status(); !st.Pending.IsZero() {
		// It is written down, so that a confirmation can be held to its name. A
		// jump that the next start will believe is left to that start.
		clk.Check(ctx)
	}
	return stopped(d, clk)
}
