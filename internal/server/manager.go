package server

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// stopSlack is how long closing everything may take after the requests are done.
const stopSlack = 30 * time.Second

// manager tells the service manager how the server is, in the words of
// sd_notify(3).
type manager struct {
	notify func(string) error // nil: nobody listens
	log    *slog.Logger

	stop   context.CancelFunc
	beatOn sync.WaitGroup
}

// newManager begins to tell the service manager that the process is alive,
// until Close: also while it starts and while it drains.
func newManager(opts Options) *manager {
	m := &manager{notify: opts.Notify, log: opts.Log}
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	if m.notify != nil && opts.Watchdog > 0 {
		m.beatOn.Go(func() { m.beat(ctx, opts.Watchdog/2) })
	}
	return m
}

// beat says that the process is alive as often as is wanted.
func (m *manager) beat(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			m.tell(daemon.SdNotifyWatchdog)
		}
	}
}

func (m *manager) serving(address string) {
	m.tell(fmt.Sprintf("%s\nSTATUS=serving on %s", daemon.SdNotifyReady, address))
}

// draining also says how long the end may take, whatever the manager's own
// timeout is.
func (m *manager) draining(most time.Duration) {
	m.tell(fmt.Sprintf("%s\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=%d", daemon.SdNotifyStopping, (most + stopSlack).Microseconds()))
}

// tell passes a state on. A manager that cannot be told finds out in its own
// way, so a failure is worth a line and nothing else.
func (m *manager) tell(state string) {
	if m.notify == nil {
		return
	}
	if err := m.notify(state); err != nil {
		m.log.Warn("the service manager was not told", "err", err)
	}
}

// Close ends the beat.
func (m *manager) Close() {
	m.stop()
	m.beatOn.Wait()
}
