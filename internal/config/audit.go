package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Audit is how the audit log is written.
type Audit struct {
	Destination string // one of the Audit constants
	Sync        string // one of the Sync constants
	FailClosed  bool   // a call whose record cannot be written is no success
	DataEvents  bool   // calls about the bytes of archives are marked
	Reserve     int64  // bytes kept for a full disk
	Retention   time.Duration
}

// Where the audit log goes.
const (
	AuditFile   = "file"
	AuditStdout = "stdout"
	AuditOff    = "off"
)

// Which records are durable before the reply.
const (
	SyncWrites = "writes"
	SyncAll    = "all"
	SyncOff    = "off"
)

// Bounds of the settings.
const (
	auditReserveMax   = 16 << 30
	auditRetentionMin = 24 * time.Hour
)

// RateLimit bounds the requests of each principal. The zero value does not.
type RateLimit struct {
	PerSecond float64
	Burst     int // requests at once; at least 1 if PerSecond is not zero
}

// On reports whether there is a limit.
func (r RateLimit) On() bool { return r.PerSecond > 0 }

func auditSettings() []Setting {
	return []Setting{
		text("audit.destination", AuditFile, "file, stdout or off",
			"Where one record of every call goes: files in the directory audit of the data directory, standard output, or nowhere.",
			func(c *Config) *string { return &c.Audit.Destination }),
		text("audit.sync", SyncWrites, "writes, all or off",
			"Which records are on disk before the client hears of success: those of calls that change something, all, or none. The others are within a second.",
			func(c *Config) *string { return &c.Audit.Sync }),
		{
			Key: "audit.fail_closed", Default: "true", Type: "true or false",
			Doc: "Answer ServiceUnavailableException when the record of a call that changed something cannot be written. The call has taken effect all the same.",
			set: func(c *Config, v string) error {
				b, err := strconv.ParseBool(v)
				if err != nil {
					return fmt.Errorf("%q is neither true nor false", v)
				}
				c.Audit.FailClosed = b
				return nil
			},
			get: func(c *Config) string { return strconv.FormatBool(c.Audit.FailClosed) },
		},
		yesNo("audit.data_events",
			"Mark the records of UploadArchive, DeleteArchive, UploadMultipartPart and GetJobOutput as data events: eventCategory Data, managementEvent false.",
			func(c *Config) *bool { return &c.Audit.DataEvents }),
		size("audit.reserve", "16MiB", "Space the audit log keeps for itself, so that calls can be recorded when the disk is full. 0: none.",
			func(c *Config) *int64 { return &c.Audit.Reserve }),
		duration("audit.retention", "0s",
			"How long files of the audit log are kept after their hour; older ones are removed. 0s: for ever, until the operator moves them away.",
			func(c *Config) *time.Duration { return &c.Audit.Retention }),
		{
			Key: "rate_limit", Default: unlimited, Type: "number, number/burst or unlimited",
			Doc: "How many requests a second each principal may make, and how many at once: 50/200, say. The burst is the number rounded up if it is left out. More are answered with ThrottlingException.",
			set: func(c *Config, v string) (err error) { c.RateLimit, err = parseRate(v); return err },
			get: func(c *Config) string { return printRate(c.RateLimit) },
		},
	}
}

// rateMax bounds both numbers of a rate limit.
const rateMax = 1_000_000

func parseRate(s string) (RateLimit, error) {
	s = strings.TrimSpace(s)
	if s == unlimited {
		return RateLimit{}, nil
	}
	number, burst, given := strings.Cut(s, "/")
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !(n >= 0.001 && n <= rateMax) {
		return RateLimit{}, fmt.Errorf("%q is neither %s nor a number from 0.001 to %d, with or without a burst, as in 50/200", s, unlimited, rateMax)
	}
	r := RateLimit{PerSecond: n, Burst: int(n)}
	if float64(r.Burst) < n {
		r.Burst++
	}
	if given {
		b, err := strconv.Atoi(burst)
		if err != nil || b < 1 || b > rateMax {
			return RateLimit{}, fmt.Errorf("the burst %q is not a whole number from 1 to %d", burst, rateMax)
		}
		r.Burst = b
	}
	return r, nil
}

func printRate(r RateLimit) string {
	if !r.On() {
		return unlimited
	}
	return strconv.FormatFloat(r.PerSecond, 'f', -1, 64) + "/" + strconv.Itoa(r.Burst)
}

func (c *Config) checkAudit() error {
	switch c.Audit.Destination {
	case AuditFile, AuditStdout, AuditOff:
	default:
		return fmt.Errorf("audit.destination is %q; choose file, stdout or off", c.Audit.Destination)
	}
	switch {
	case c.Audit.Reserve > auditReserveMax:
		return fmt.Errorf("audit.reserve is %s; give at most %s", printSize(c.Audit.Reserve), printSize(auditReserveMax))
	case c.Audit.Retention != 0 && c.Audit.Retention < auditRetentionMin:
		return fmt.Errorf("audit.retention is %s; give at least %s, or 0s for ever", printDuration(c.Audit.Retention), printDuration(auditRetentionMin))
	}
	switch c.Audit.Sync {
	case SyncWrites, SyncAll, SyncOff:
		return nil
	}
	return fmt.Errorf("audit.sync is %q; choose writes, all or off", c.Audit.Sync)
}
