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
	"moraine/internal/policy"
	"moraine/internal/sigv4"
)

// auditDir is in the data directory. Format: never change.
const auditDir = "audit"

// openAudit opens the audit log; nil if there is none.
func (d *data) openAudit(cfg config.Config, opts Options) (*audit.Log, error) {
	c := audit.Config{
		FS: d.fsys, Dir: d.path(auditDir), Region: string(cfg.Region), FailOpen: !cfg.Audit.FailClosed,
		DataEvents: cfg.Audit.DataEvents, Reserve: cfg.Audit.Reserve, Retention: cfg.Audit.Retention,
		Free: d.free, Now: opts.Now, Log: opts.Log,
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

func flushAudit(log *audit.Log) error {
	if log == nil {
		return nil
	}
	return log.Flush()
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

// newReplays makes the memory for signatures; nil if there is none.
func newReplays(cfg config.Config, opts Options) *sigv4.Replays {
	if cfg.Auth.Replay == config.ReplayOff {
		return nil
	}
	return sigv4.NewReplays(cfg.Auth.Replay == config.ReplayEnforce, opts.system)
}

// unparsable returns what records that a stored policy does not parse, once for
// each.
func unparsable(log *audit.Log) func(string, policy.Decision) {
	return func(resource string, d policy.Decision) {
		for _, m := range d.Statements {
			details := map[string]any{"resource": resource, "policySource": audit.Source(&m)}
			key := m.Policy
			if m.Kind == policy.AccessPolicy || m.Kind == policy.LockPolicy {
				key += " " + resource // those of all vaults have the same name
			}
			log.ServiceOnce(audit.PolicyUnparsable, key, details)
		}
	}
}

// VerifyAudit checks the audit log of a data directory, which a server may be
// using, and says what it found.
func VerifyAudit(dir string, first audit.First, out io.Writer) error {
	d := &data{dir: dir, fsys: disk.NewOS()}
	r, err := audit.Verify(d.fsys, d.path(auditDir), first)
	if r.Records > 0 {
		fmt.Fprintf(out, "files: %d\nrecords whole: %d\n", r.Files, r.Records)
	}
	for _, c := range r.Chains {
		region := c.Region
		if region == "" {
			region = "all regions, version 1"
		}
		fmt.Fprintf(out, "%s: %d to %d, last hash %s\n", region, c.First, c.Last, c.Hash)
	}
	if m := r.Manifests; m.Last > 0 {
		fmt.Fprintf(out, "manifests: %d to %d, last hash %s\n", m.First, m.Last, m.Hash)
	}
	return err
}
