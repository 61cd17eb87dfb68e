package config

import (
	"strings"
	"time"

	"moraine"
	"moraine/internal/sigv4"
)

// EnvPrefix begins the name of every environment variable of a setting.
const EnvPrefix = "MORAINE_"

// Setting describes one setting. Its names in the three places it can come
// from are derived from Key.
type Setting struct {
	Key     string // in the file: a path with dots
	Default string // as it would be written in the file; "" for none
	Type    string // what a value looks like, for the manual
	EnvOnly bool   // an environment variable alone, for secrets and their kin
	Secret  bool   // the value is never shown
	Doc     string

	set func(c *Config, value string) error
	get func(c *Config) string // of a secret, the secret
}

// Flag is the name of the command-line flag, without dashes.
func (s *Setting) Flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(s.Key) }

// Env is the name of the environment variable.
func (s *Setting) Env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(s.Key, ".", "_"))
}

// Settings returns the table of all settings in the order of the manual.
func Settings() []Setting {
	var all []Setting
	for _, group := range [][]Setting{
		placeSettings(), metaSettings(), bucketSettings(), storageSettings(), identitySettings(), encryptionSettings(), transportSettings(),
		operatorSettings(), scrubSettings(), lifetimeSettings(), notifySettings(), boundSettings(), authSettings(), auditSettings(),
	} {
		all = append(all, group...)
	}
	return all
}

// Values returns all settings by key, secrets included: to be compared, not to
// be shown.
func (c *Config) Values() map[string]string {
	all := make(map[string]string)
	for _, s := range Settings() {
		all[s.Key] = s.get(c)
	}
	return all
}

func placeSettings() []Setting {
	return []Setting{
		text("listen", "127.0.0.1:8080", "host:port",
			"Address of the Glacier API. GET /healthz answers 200 on it when the server is ready.",
			func(c *Config) *string { return &c.Listen }),
		text("data", "./moraine-data", "directory",
			"Data directory, made if it does not exist. One process at a time may use it.",
			func(c *Config) *string { return &c.Data }),
		yesNo("ephemeral",
			"A new data directory below the system's directory for temporary files, removed at exit. Not with data.",
			func(c *Config) *bool { return &c.Ephemeral }),
		yesNo("test_mode",
			"For tests of clients: POST /test/clock and its kin on admin.listen move the clock, change delays and make requests fail. A data directory is for test mode from its first start, or never.",
			func(c *Config) *bool { return &c.TestMode }),
	}
}

func identitySettings() []Setting {
	root := []Setting{
		text("account_id", "", "twelve digits",
			"Account that owns the vaults. Without it an id is generated at the first start and kept in the data directory; a data directory in use never changes its account.",
			func(c *Config) *moraine.AccountID { return &c.Root.Account }),
		text("root_access_key_id", "", "access key id",
			"Access key id of the root identity. Without it a key pair is generated at the first start and kept in the file credentials of the data directory.",
			func(c *Config) *string { return &c.Root.KeyID }),
		{
			Key: "root_secret_access_key", Type: "secret access key", Secret: true,
			Doc: "Secret access key of the root identity. Goes with root_access_key_id.",
			set: func(c *Config, v string) error { c.Root.Secret = append(sigv4.Secret(nil), v...); return nil },
			get: func(c *Config) string { return string(c.Root.Secret) },
		},
	}
	root[1].EnvOnly, root[2].EnvOnly = true, true
	return append(root,
		text("master_key_file", "", "file",
			"File with the master keys that seal the secret access keys in the database. Without it the file master.key of the data directory, made at the first start. Back it up apart from the database.",
			func(c *Config) *string { return &c.MasterKeyFile }),
		text("region", "", "region",
			"Default region, served besides those of regions. Without it the first of regions.",
			func(c *Config) *moraine.Region { return &c.Region }),
		Setting{
			Key: "regions", Default: "us-east-1", Type: "list of regions",
			Doc: "Regions served. Requests signed for another region are refused. If region is set and regions is not, region is the only one.",
			set: func(c *Config, v string) error { c.Regions = parseRegions(v); return nil },
			get: func(c *Config) string { return printRegions(c.Regions) },
		})
}

func transportSettings() []Setting {
	return []Setting{
		text("tls.cert", "", "file",
			"Certificate chain of the API listener, PEM. Read again on SIGHUP; if that fails the old one stays in use.",
			func(c *Config) *string { return &c.TLS.Cert }),
		text("tls.key", "", "file", "Private key that goes with tls.cert, PEM.",
			func(c *Config) *string { return &c.TLS.Key }),
		yesNo("allow_plaintext",
			"Serve HTTP without TLS on an address that is not loopback. Only behind a proxy that ends TLS, or on a network you trust with every byte.",
			func(c *Config) *bool { return &c.AllowPlaintext }),
		{
			Key: "server.trusted_proxies", Type: "list of networks",
			Doc: "Proxies in front, as 10.0.0.0/8 or 192.0.2.7. From them X-Forwarded-For tells the address of a client, the last one there that is not a proxy's, and X-Forwarded-Proto whether it speaks TLS; from anybody else both are ignored.",
			set: func(c *Config, v string) (err error) { c.TrustedProxies, err = parseNetworks(v); return err },
			get: func(c *Config) string { return printNetworks(c.TrustedProxies) },
		},
		duration("drain_delay", "0s",
			"How long requests are still taken after SIGTERM or SIGINT, while GET /readyz on admin.listen says that there should be none: time for load balancers to notice. At most 10m.",
			func(c *Config) *time.Duration { return &c.DrainDelay }),
		duration("drain_timeout", "30s",
			"How long requests under way may take to finish after SIGTERM or SIGINT and drain_delay. What is left then is cut off.",
			func(c *Config) *time.Duration { return &c.DrainTimeout }),
	}
}

func operatorSettings() []Setting {
	return []Setting{
		text("admin.listen", "127.0.0.1:8081", "host:port",
			"Address for operators: /metrics, /healthz, /livez, /readyz and /debug/pprof/, without authentication. Empty: none.",
			func(c *Config) *string { return &c.Admin.Listen }),
		yesNo("allow_remote_admin", "Let admin.listen be an address that is not loopback.",
			func(c *Config) *bool { return &c.Admin.AllowRemote }),
		text("log.format", "text", "text or json", "Form of the log, which goes to standard error.",
			func(c *Config) *string { return &c.Log.Format }),
		{
			Key: "log.level", Default: "info", Type: "debug, info, warn or error", Doc: "Least severity that is logged.",
			set: func(c *Config, v string) error { return setLevel(&c.Log.Level, v) },
			get: func(c *Config) string { return strings.ToLower(c.Log.Level.String()) },
		},
		duration("clock.max_downtime", "504h",
			"How far the system clock may have gone on while no server ran. Further, and time goes on without it until an operator confirms the jump with moraine clock confirm. From 1h to 10 years; for a machine that is off most of the time, give much more than it is off at once.",
			func(c *Config) *time.Duration { return &c.Clock.MaxDowntime }),
	}
}

func lifetimeSettings() []Setting {
	return []Setting{
		{
			Key: "job.delay", Default: "0s", Type: "duration, or tier=duration list",
			Doc: "How long a retrieval job waits before it runs: one duration for all tiers, or a list such as expedited=1m,standard=3h,bulk=5h in which a tier left out waits 0s.",
			set: func(c *Config, v string) (err error) { c.JobDelay, err = parseDelays(v); return err },
			get: func(c *Config) string { return printDelays(c.JobDelay) },
		},
		duration("job.retention", "24h", "How long a finished job and its output are kept. At least 24h.",
			func(c *Config) *time.Duration { return &c.JobRetention }),
		duration("upload.retention", "24h",
			"How long a multipart upload lives without activity, and how long a completed or aborted one is remembered. At least 24h.",
			func(c *Config) *time.Duration { return &c.UploadRetention }),
		yesNo("allow_short_retention", "For tests: let job.retention and upload.retention be less than 24h.",
			func(c *Config) *bool { return &c.AllowShortRetention }),
		duration("inventory.interval", "0s",
			"How often a vault that was written to is inventoried. 0s: inventories and vault figures are always current.",
			func(c *Config) *time.Duration { return &c.InventoryInterval }),
		duration("orphan.grace", "24h",
			"How long bytes must have been found without a row before they are deleted. Crashes leave a few; rows put back from an older backup leave every later archive, so raise it, to 8760h say, before you start on such rows.",
			func(c *Config) *time.Duration { return &c.OrphanGrace }),
		duration("garbage.grace", "0s",
			"How long the bytes of deleted archives are kept before they are removed. A database put back from a backup, or to an instant before a mistake, finds all bytes it names if it is younger than this; give more than the time between backups, and what noticing and restoring take. 0s for a store whose rows and bytes are backed up together.",
			func(c *Config) *time.Duration { return &c.GarbageGrace }),
		size("retrieval.free_tier", "10GiB",
			"What the data retrieval policy FreeTier lets an account retrieve in a region each month; a thirtieth of it each day.",
			func(c *Config) *int64 { return &c.FreeTier }),
		{
			Key: "retrieval.expedited_in_flight", Default: "unlimited", Type: "number or unlimited",
			Doc: "How many Expedited retrievals an account without provisioned capacity may have in progress in a region. More are refused for want of capacity.",
			set: func(c *Config, v string) (err error) { c.Scarcity, err = parseScarcity(v); return err },
			get: func(c *Config) string { return printScarcity(c.Scarcity) },
		},
	}
}

func boundSettings() []Setting {
	return []Setting{
		size("http.max_header_bytes", "64KiB", "Largest header block of a request. Up to 64 KiB more are read to refuse it in the words of the API.",
			func(c *Config) *int64 { return &c.HTTP.MaxHeaderBytes }),
		duration("http.read_header_timeout", "10s", "How long a client may take to send the header block.",
			func(c *Config) *time.Duration { return &c.HTTP.ReadHeaderTimeout }),
		size("http.min_body_rate", "1KiB", "Slowest pace of a request body, per second, measured over 30 s. A slower one is cut off.",
			func(c *Config) *int64 { return &c.HTTP.MinBodyRate }),
		size("http.max_json_body", "1MiB", "Largest JSON body of a request.",
			func(c *Config) *int64 { return &c.HTTP.MaxJSONBody }),
	}
}

func authSettings() []Setting {
	return []Setting{
		duration("auth.max_skew", "5m", "How far the clock of a client may be off: whole minutes, at most 15m.",
			func(c *Config) *time.Duration { return &c.Auth.MaxSkew }),
		duration("auth.admin_max_skew", "15m", "The same for IAM and STS.",
			func(c *Config) *time.Duration { return &c.Auth.AdminMaxSkew }),
		text("auth.unsigned_amz_headers", UnsignedAllow, "allow, tls-only or deny",
			"What to do with x-amz-* headers that are not signed: allow them, allow them over TLS only, or deny the request.",
			func(c *Config) *string { return &c.Auth.UnsignedAmzHeaders }),
		yesNo("auth.debug_signature",
			"Show the canonical request in the error a client gets when its signature does not match. For finding faults in clients; leave it off otherwise.",
			func(c *Config) *bool { return &c.Auth.DebugSignature }),
		text("auth.replay", ReplayLog, "off, log or enforce",
			"What to do with a request that changes something and whose signature was here within ten minutes: nothing, say so in its audit record, or also refuse it, if it is UploadArchive, DeleteArchive, PurchaseProvisionedCapacity, CreateAccessKey, AssumeRole or GetSessionToken and the first one succeeded.",
			func(c *Config) *string { return &c.Auth.Replay }),
		{
			Key: "auth.failure_limit", Default: "10/100", Type: "number, number/burst or unlimited",
			Doc: "How many requests a second with an unknown access key or session token are answered as such for each source address, or network of 64 bits for IPv6, and how many at once. Beyond that, refusals that tell whether there is a key are ThrottlingException; requests that are authentic are served.",
			set: func(c *Config, v string) (err error) { c.Auth.FailureLimit, err = parseRate(v); return err },
			get: func(c *Config) string { return printRate(c.Auth.FailureLimit) },
		},
	}
}
