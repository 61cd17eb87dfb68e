package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"

	"moraine/internal/access"
	"moraine/internal/account"
	"moraine/internal/audit"
	"moraine/internal/config"
	"moraine/internal/disk"
	"moraine/internal/peer"
	"moraine/internal/sigv4"
)

// auditDir is in the data directory. Format: never change.
const auditDir = "audit"

// openAudit opens the audit log; nil if there is none.
func (d *data) openAudit(cfg config.Config, opts Options) (*audit.Log, error) {
	c := audit.Config{
		FS: d.fsys, Dir: d.path(auditDir), FailOpen: !cfg.Audit.FailClosed, Now: opts.Now, Log: opts.Log,
	}
	switch cfg.Audit.Sync {
	case config.SyncAll:
		c.Sync = audit.All
	case config.SyncOff:
		c.Sync = audit.Off
	}
	switch cfg.Audit.Destination {
	case config.AuditOff:
		return nil, nil //nolint:nilnil // no log is what was asked for
	case config.AuditStdout:
		c.Out = os.Stdout
	}
	return audit.Open(c)
}

// runAudit writes what no call waits for, until ctx is done.
func runAudit(ctx context.Context, log *audit.Log) error {
	if log == nil {
		return nil
	}
	return log.Run(ctx)
}

func closeAudit(log *audit.Log) error {
	if log == nil {
		return nil
	}
	return log.Close()
}

// newThrottle makes a limit by the system clock; nil if there is none.
func newThrottle(limit config.RateLimit, opts Options) *access.Throttle {
	if !limit.On() {
		return nil
	}
	return access.NewThrottle(limit.PerSecond, limit.Burst, opts.system)
}

// tooMany returns what limits the failures of each source, for all verifiers
// together.
func tooMany(cfg config.Config, failures *access.Throttle) func(*http.Request, bool) bool {
	return func(r *http.Request, unknown bool) bool {
		source := peer.Network(cfg.TrustedProxies.Client(r).Source)
		if unknown {
			return !failures.Spend(source)
		}
		return !failures.Left(source)
	}
}

// claimed returns a function that tells whom a long-term key belongs to, for
// records of calls that proved nothing.
func claimed(accounts *account.Service) func(context.Context, string) (access.Principal, bool) {
	return func(ctx context.Context, keyID string) (access.Principal, bool) {
		key, err := accounts.Lookup(ctx, keyID, "")
		if err != nil {
			return access.Principal{}, false
		}
		// As of a temporary key, so that it does not count as a use.
		p, err := accounts.Principal(&sigv4.Result{KeyID: keyID, Subject: key.Subject, Temporary: true})
		return p, err == nil
	}
}

// VerifyAudit checks the audit log of a data directory, which a server may be
// using, and says what it found. The first record has the number first.
func VerifyAudit(dir string, first int64, out io.Writer) error {
	d := &data{dir: dir, fsys: disk.NewOS()}
	r, err := audit.Verify(d.fsys, d.path(auditDir), first)
	if r.Records > 0 {
		fmt.Fprintf(out, "files: %d\nrecords whole: %d (%d to %d)\nlast hash: %s\n", r.Files, r.Records, r.First, r.Last, r.Hash)
	}
	return err
}
