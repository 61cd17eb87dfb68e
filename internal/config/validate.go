package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"time"

	"moraine"
	"moraine/internal/account"
)

// Bounds of the settings.
const (
	headerBytesMin = 4 << 10
	headerBytesMax = 1 << 20
	jsonBodyMin    = 32 << 10
	jsonBodyMax    = 64 << 20
	maxSkewMax     = 15 * time.Minute
	regionsMax     = 100
	downtimeMin    = time.Hour
	drainDelayMax  = 10 * time.Minute
)

// regionName is what a credential scope may call a region.
var regionName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)

// Validate reports everything that is wrong with c, one sentence per fault.
// It looks at nothing but c.
func (c *Config) Validate() error { return errors.Join(c.validateUnserved(), c.checkShared()) }

// validateUnserved is Validate for settings by which nobody serves.
func (c *Config) validateUnserved() error {
	return errors.Join(
		c.checkListen(), c.checkMeta(), c.checkStorage(), c.checkAdmin(), c.checkTLS(), c.checkRoot(), c.checkRegions(), c.checkScrub(),
		c.checkLifetimes(), c.checkNotify(), c.checkBounds(), c.checkChoices(), c.checkAudit(), c.checkEncryption(),
	)
}

func (c *Config) checkListen() error {
	loopback, err := IsLoopback(c.Listen)
	switch {
	case err != nil:
		return fmt.Errorf("listen: %w", err)
	case c.Data == "" && !c.Ephemeral:
		return errors.New("data is empty; name the data directory")
	case !loopback && !c.TLS.On() && !c.AllowPlaintext:
		return fmt.Errorf("listening on %s without TLS would send every archive in the clear; set tls.cert and tls.key, listen on 127.0.0.1, or set allow_plaintext if a proxy in front ends TLS", c.Listen)
	}
	return nil
}

func (c *Config) checkAdmin() error {
	if c.Admin.Listen == "" {
		if c.TestMode {
			return errors.New("test_mode is steered through admin.listen, which is empty; name an address, as in 127.0.0.1:8081")
		}
		return nil
	}
	loopback, err := IsLoopback(c.Admin.Listen)
	switch {
	case err != nil:
		return fmt.Errorf("admin.listen: %w", err)
	case !loopback && !c.Admin.AllowRemote:
		return fmt.Errorf("the admin listener asks nobody who they are, so %s needs allow_remote_admin; better listen on 127.0.0.1", c.Admin.Listen)
	case c.Admin.Listen == c.Listen && port(c.Listen) != 0:
		return fmt.Errorf("listen and admin.listen are both %s; give them different ports", c.Listen)
	}
	return nil
}

func (c *Config) checkTLS() error {
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		return errors.New("tls.cert and tls.key go together; set both or neither")
	}
	return nil
}

func (c *Config) checkRoot() error {
	if (c.Root.KeyID == "") != (len(c.Root.Secret) == 0) {
		return errors.New("MORAINE_ROOT_ACCESS_KEY_ID and MORAINE_ROOT_SECRET_ACCESS_KEY go together; set both or neither")
	}
	// What the operator left open is generated, and needs no check.
	root := account.Generate()
	if c.Root.Account != "" {
		root.Account = c.Root.Account
	}
	if c.Root.KeyID != "" {
		root.KeyID, root.Secret = c.Root.KeyID, c.Root.Secret
	}
	return root.Validate()
}

func (c *Config) checkRegions() error {
	if len(c.Regions) == 0 || len(c.Regions) > regionsMax {
		return fmt.Errorf("%d regions are listed; name 1 to %d", len(c.Regions), regionsMax)
	}
	for _, r := range c.Regions {
		if !regionName.MatchString(string(r)) {
			return fmt.Errorf("region %q is not of small letters, digits and hyphens; name it as in us-east-1", r)
		}
	}
	return nil
}

func (c *Config) checkLifetimes() error {
	if c.AllowShortRetention {
		if c.JobRetention < time.Millisecond || c.UploadRetention < time.Millisecond {
			return errors.New("job.retention and upload.retention cannot be zero; give at least 1ms")
		}
		return nil
	}
	if c.JobRetention < moraine.Retention || c.UploadRetention < moraine.Retention {
		return fmt.Errorf("job.retention is %s and upload.retention %s; both must be at least %s",
			printDuration(c.JobRetention), printDuration(c.UploadRetention), printDuration(moraine.Retention))
	}
	return nil
}

func (c *Config) checkBounds() error {
	switch {
	case c.OrphanGrace < time.Hour:
		return fmt.Errorf("orphan.grace is %s; give at least 1h, so that a mistake with a backup is noticed in time", printDuration(c.OrphanGrace))
	case c.Clock.MaxDowntime < downtimeMin:
		return fmt.Errorf("clock.max_downtime is %s; give at least %s, or every restart needs an operator", printDuration(c.Clock.MaxDowntime), printDuration(downtimeMin))
	case c.DrainDelay > drainDelayMax:
		return fmt.Errorf("drain_delay is %s; give at most %s", printDuration(c.DrainDelay), printDuration(drainDelayMax))
	case c.HTTP.MaxHeaderBytes < headerBytesMin || c.HTTP.MaxHeaderBytes > headerBytesMax:
		return fmt.Errorf("http.max_header_bytes is %s; give %s to %s", printSize(c.HTTP.MaxHeaderBytes), printSize(headerBytesMin), printSize(headerBytesMax))
	case c.HTTP.MaxJSONBody < jsonBodyMin || c.HTTP.MaxJSONBody > jsonBodyMax:
		return fmt.Errorf("http.max_json_body is %s; give %s to %s", printSize(c.HTTP.MaxJSONBody), printSize(jsonBodyMin), printSize(jsonBodyMax))
	case c.HTTP.ReadHeaderTimeout <= 0:
		return errors.New("http.read_header_timeout is zero; give for example 10s")
	case c.HTTP.MinBodyRate < 1:
		return errors.New("http.min_body_rate is zero, which would let a stalled client hold on for ever; give at least 1B")
	case c.FreeTier < 1:
		return errors.New("retrieval.free_tier is zero; give at least 1B, or let accounts choose what they retrieve")
	case c.Auth.MaxSkew < time.Minute || c.Auth.MaxSkew > maxSkewMax || c.Auth.MaxSkew%time.Minute != 0:
		return fmt.Errorf("auth.max_skew is %s; give whole minutes from 1m to %s", printDuration(c.Auth.MaxSkew), printDuration(maxSkewMax))
	case c.Auth.AdminMaxSkew < time.Minute || c.Auth.AdminMaxSkew > maxSkewMax || c.Auth.AdminMaxSkew%time.Minute != 0:
		return fmt.Errorf("auth.admin_max_skew is %s; give whole minutes from 1m to %s", printDuration(c.Auth.AdminMaxSkew), printDuration(maxSkewMax))
	}
	return nil
}

func (c *Config) checkChoices() error {
	switch c.Log.Format {
	case "text", "json":
	default:
		return fmt.Errorf("log.format is %q; choose text or json", c.Log.Format)
	}
	switch c.Auth.Replay {
	case ReplayOff, ReplayLog, ReplayEnforce:
	default:
		return fmt.Errorf("auth.replay is %q; choose off, log or enforce", c.Auth.Replay)
	}
	switch c.Auth.UnsignedAmzHeaders {
	case UnsignedAllow, UnsignedTLSOnly, UnsignedDeny:
		return nil
	}
	return fmt.Errorf("auth.unsigned_amz_headers is %q; choose allow, tls-only or deny", c.Auth.UnsignedAmzHeaders)
}

// Warnings returns what an operator should know about settings that are
// accepted.
func (c *Config) Warnings() []string {
	var all []string
	loopback, err := IsLoopback(c.Listen)
	if err == nil && !loopback && !c.TLS.On() {
		all = append(all, "serving without TLS beyond the loopback interface")
		if c.Auth.UnsignedAmzHeaders == UnsignedAllow {
			all = append(all, "unsigned x-amz headers are allowed without TLS; set auth.unsigned_amz_headers to tls-only unless a proxy ends TLS")
		}
	}
	for _, n := range c.TrustedProxies {
		if n.Bits() == 0 {
			all = append(all, fmt.Sprintf("server.trusted_proxies has %s, so every client may say where it comes from; name the proxies alone", n))
		}
	}
	if c.AllowShortRetention {
		all = append(all, "allow_short_retention is for tests: jobs and uploads may end before clients are done with them")
	}
	if c.TestMode {
		all = append(all, "TEST MODE: whoever reaches admin.listen can move the clock, which expires jobs, uploads and locks, and can make requests fail; keep nothing here that you want back")
	}
	if c.Encryption.Old.On() && !c.Encryption.On() {
		all = append(all, "encryption.old names a master and encryption none: new archives are not encrypted")
	}
	if c.Ephemeral {
		all = append(all, "ephemeral: everything stored here is removed at exit")
	}
	if c.Auth.DebugSignature {
		all = append(all, "auth.debug_signature shows clients the canonical request; turn it off when the fault is found")
	}
	return all
}

// IsLoopback reports whether host:port listens on the loopback interface only.
// A name other than localhost counts as not.
func IsLoopback(address string) (bool, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil || port(address) < 0 {
		return false, fmt.Errorf("%q is not host:port with a port from 0 to 65535; write it as in 127.0.0.1:8080", address)
	}
	if host == "localhost" {
		return true, nil
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback(), nil
}

// port returns the port of host:port, -1 if there is none.
func port(address string) int {
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		return -1
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return -1
	}
	return int(n)
}
