package config

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"moraine"
	"moraine/internal/job"
	"moraine/internal/peer"
)

// text makes a setting of a string.
func text[S ~string](key, def, typ, doc string, field func(*Config) *S) Setting {
	return Setting{
		Key: key, Default: def, Type: typ, Doc: doc,
		set: func(c *Config, v string) error { *field(c) = S(strings.TrimSpace(v)); return nil },
		get: func(c *Config) string { return string(*field(c)) },
	}
}

// yesNo makes a setting of a bool that is off by default.
func yesNo(key, doc string, field func(*Config) *bool) Setting {
	return Setting{
		Key: key, Default: "false", Type: "true or false", Doc: doc,
		set: func(c *Config, v string) error {
			b, err := strconv.ParseBool(v)
			if err != nil {
				return fmt.Errorf("%q is neither true nor false", v)
			}
			*field(c) = b
			return nil
		},
		get: func(c *Config) string { return strconv.FormatBool(*field(c)) },
	}
}

// duration makes a setting of a time span that is not negative.
func duration(key, def, doc string, field func(*Config) *time.Duration) Setting {
	return Setting{
		Key: key, Default: def, Type: "duration", Doc: doc,
		set: func(c *Config, v string) (err error) { *field(c), err = parseDuration(v); return err },
		get: func(c *Config) string { return printDuration(*field(c)) },
	}
}

// size makes a setting of a number of bytes that is not negative.
func size(key, def, doc string, field func(*Config) *int64) Setting {
	return Setting{
		Key: key, Default: def, Type: "size", Doc: doc,
		set: func(c *Config, v string) (err error) { *field(c), err = parseSize(v); return err },
		get: func(c *Config) string { return printSize(*field(c)) },
	}
}

// percent makes a setting of a whole number of hundredths.
func percent(key, def, doc string, field func(*Config) *int64) Setting {
	return Setting{
		Key: key, Default: def, Type: "percent", Doc: doc,
		set: func(c *Config, v string) error {
			n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 32)
			if err != nil || n > 100 {
				return fmt.Errorf("%q is not a whole number from 0 to 100", v)
			}
			*field(c) = int64(n)
			return nil
		},
		get: func(c *Config) string { return strconv.FormatInt(*field(c), 10) },
	}
}

// durationMax bounds every duration: ten years, far from overflow in sums.
const durationMax = 10 * 365 * 24 * time.Hour

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(strings.TrimSpace(s))
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not a duration; write it as a number with a unit, for example 30s, 5m or 24h", s)
	case d < 0:
		return 0, fmt.Errorf("%q is negative", s)
	case d > durationMax:
		return 0, fmt.Errorf("%q is more than %s", s, printDuration(durationMax))
	}
	return d, nil
}

// printDuration writes 24h and not 24h0m0s.
func printDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// sizeUnits in falling order, so that printing takes the largest that fits.
var sizeUnits = [...]struct {
	suffix string
	bytes  int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

func parseSize(s string) (int64, error) {
	s = strings.TrimSpace(s)
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(digits), 10, 32)
		if err != nil {
			break
		}
		return int64(n) * u.bytes, nil
	}
	return 0, fmt.Errorf("%q is not a size; write a whole number of bytes, or one with KiB, MiB or GiB", s)
}

func printSize(n int64) string {
	for _, u := range sizeUnits {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return "0"
}

func parseRegions(s string) []moraine.Region {
	var regions []moraine.Region
	for name := range strings.SplitSeq(s, ",") {
		r := moraine.Region(strings.TrimSpace(name))
		if r != "" && !slices.Contains(regions, r) {
			regions = append(regions, r)
		}
	}
	return regions
}

func printRegions(regions []moraine.Region) string {
	names := make([]string, len(regions))
	for i, r := range regions {
		names[i] = string(r)
	}
	return strings.Join(names, ",")
}

// networksMax bounds the list of proxies.
const networksMax = 100

// parseNetworks reads a list of networks and addresses.
func parseNetworks(s string) (peer.Proxies, error) {
	var networks peer.Proxies
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		n, err := netip.ParsePrefix(item)
		if at, noNetwork := netip.ParseAddr(item); noNetwork == nil {
			at = at.Unmap()
			n, err = at.Prefix(at.BitLen())
		}
		switch {
		case err != nil || n.Addr().Zone() != "" || n.Addr().Is4In6():
			return nil, fmt.Errorf("%q is not a network; write it as in 10.0.0.0/8, 2001:db8::/48 or 192.0.2.7", item)
		case len(networks) == networksMax:
			return nil, fmt.Errorf("there are more than %d networks", networksMax)
		}
		networks = append(networks, n.Masked())
	}
	return networks, nil
}

func printNetworks(networks peer.Proxies) string {
	items := make([]string, len(networks))
	for i, n := range networks {
		items[i] = n.String()
	}
	return strings.Join(items, ",")
}

// parseDelays reads one duration for all tiers, or a list of tier=duration.
func parseDelays(s string) (job.Delays, error) {
	if !strings.Contains(s, "=") {
		d, err := parseDuration(s)
		return job.Delays{Expedited: d, Standard: d, Bulk: d}, err
	}
	var out job.Delays
	seen := make(map[string]bool)
	for item := range strings.SplitSeq(s, ",") {
		tier, value, ok := strings.Cut(strings.TrimSpace(item), "=")
		field := map[string]*time.Duration{
			"expedited": &out.Expedited, "standard": &out.Standard, "bulk": &out.Bulk,
		}[strings.ToLower(tier)]
		if !ok || field == nil || seen[tier] {
			return out, fmt.Errorf("%q does not give one of the tiers expedited, standard and bulk its delay, once, as in expedited=1m,standard=3h,bulk=5h", item)
		}
		seen[tier] = true
		d, err := parseDuration(value)
		if err != nil {
			return out, err
		}
		*field = d
	}
	return out, nil
}

func printDelays(d job.Delays) string {
	if d.Expedited == d.Standard && d.Standard == d.Bulk {
		return printDuration(d.Standard)
	}
	return fmt.Sprintf("expedited=%s,standard=%s,bulk=%s",
		printDuration(d.Expedited), printDuration(d.Standard), printDuration(d.Bulk))
}

// unlimited is the number that is none.
const unlimited = "unlimited"

func parseScarcity(s string) (job.Scarcity, error) {
	s = strings.TrimSpace(s)
	if s == unlimited {
		return job.Scarcity{}, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return job.Scarcity{}, fmt.Errorf("%q is neither a whole number nor %s", s, unlimited)
	}
	return job.Scarcity{On: true, InFlight: int64(n)}, nil
}

func printScarcity(s job.Scarcity) string {
	if !s.On {
		return unlimited
	}
	return strconv.FormatInt(s.InFlight, 10)
}

func setLevel(level *slog.Level, v string) error {
	switch v {
	case "debug", "info", "warn", "error":
		return level.UnmarshalText([]byte(v))
	}
	return fmt.Errorf("%q is none of debug, info, warn and error", v)
}
