// Package config holds the settings of a server: what they are called, where
// they come from, what they mean and whether they make sense together.
//
// It knows flags, MORAINE_* variables and the YAML file, and it decides from
// values alone. It must not know how a server is assembled, and it opens
// nothing but the settings file.
package config

import (
	"log/slog"
	"time"

	"moraine"
	"moraine/internal/account"
	"moraine/internal/job"
	"moraine/internal/peer"
)

// Config is the settings of one server. The table in settings.go gives each
// its name, default and description.
type Config struct {
	Listen string // host:port of the Glacier API
	Data   string // data directory; empty if Ephemeral

	Meta    Meta
	Storage Storage

	Ephemeral bool // a data directory for this process alone
	TestMode  bool // tests may move the clock and make requests fail

	// Root is the root identity as far as the operator fixed it. Empty fields
	// are read from the data directory, or generated at the first start.
	Root account.Root
	// MasterKeyFile holds the master keys; "" means master.key in the data
	// directory.
	MasterKeyFile string
	Region        moraine.Region   // the default one; after Load always one of Regions
	Regions       []moraine.Region // those served, the default one first

	TLS            TLS
	AllowPlaintext bool // HTTP without TLS beyond the loopback interface
	TrustedProxies peer.Proxies
	DrainDelay     time.Duration
	DrainTimeout   time.Duration

	Log   Log
	Admin Admin
	Clock Clock
	Scrub Scrub

	JobDelay            job.Delays
	JobRetention        time.Duration
	UploadRetention     time.Duration
	InventoryInterval   time.Duration
	OrphanGrace         time.Duration
	GarbageGrace        time.Duration
	AllowShortRetention bool // for tests

	FreeTier int64        // bytes a month
	Scarcity job.Scarcity // of Expedited retrievals

	Notify Notify

	HTTP HTTP
	Auth Auth

	Encryption Encryption // of archives

	Audit     Audit
	RateLimit RateLimit // of each principal
}

// TLS names the certificate of the API listener; both empty for plain HTTP.
type TLS struct {
	Cert, Key string // PEM files
}

// On reports whether the API listener speaks TLS.
func (t TLS) On() bool { return t.Cert != "" }

// Log is how the log is written.
type Log struct {
	Format string // "text" or "json"
	Level  slog.Level
}

// Admin is the listener for operators.
type Admin struct {
	Listen      string // host:port; empty for none
	AllowRemote bool
}

// Clock is what is believed of the system clock.
type Clock struct {
	MaxDowntime time.Duration // how far it may have jumped at a start
}

// HTTP bounds what a client may send.
type HTTP struct {
	MaxHeaderBytes    int64
	ReadHeaderTimeout time.Duration
	MinBodyRate       int64 // bytes per second over BodyRateWindow
	MaxJSONBody       int64 // bytes
}

// BodyRateWindow is the time over which HTTP.MinBodyRate is measured.
const BodyRateWindow = 30 * time.Second

// Auth is how requests are authenticated.
type Auth struct {
	MaxSkew            time.Duration
	AdminMaxSkew       time.Duration // of IAM and STS
	UnsignedAmzHeaders string        // one of the Unsigned constants
	DebugSignature     bool
	Replay             string    // one of the Replay constants
	FailureLimit       RateLimit // of unknown keys, for each source
}

// What may be done with x-amz-* headers that the signature does not cover.
const (
	UnsignedAllow   = "allow"
	UnsignedTLSOnly = "tls-only"
	UnsignedDeny    = "deny"
)

// What is done about requests whose signature was here before.
const (
	ReplayOff     = "off"
	ReplayLog     = "log"
	ReplayEnforce = "enforce"
)
