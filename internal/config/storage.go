package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// Storage is where the bytes are, besides the data directory.
type Storage struct {
	Blobs  string // s3://bucket/prefix; empty for packs in the data directory
	Bucket Bucket // how buckets are reached

	Mirror     string // directory of the second copy, or s3://bucket/prefix; empty for none
	MirrorAck  string // one of the Ack constants
	MirrorRate int64  // bytes per second that are read to make copies; 0 for no bound
	Compact    Compact
}

// Compact is how packs that are mostly of deleted archives are emptied.
type Compact struct {
	Period    time.Duration // from the begin of a pass to that of the next; 0 for no passes
	Dead      int64         // percent of a pack from which on it is emptied
	DeadHoles int64         // the same where the file system gives the space of holes back
	Rate      int64         // bytes per second that are copied; 0 for no bound
	Grace     time.Duration // how long the old place is kept
}

// Bounds of Compact.
const (
	compactPeriodMin = time.Hour
	compactDeadMin   = 10
	compactGraceMin  = time.Hour
)

// When an upload is acknowledged.
const (
	AckBoth = "both"
	AckOne  = "one"
)

func storageSettings() []Setting {
	return []Setting{
		text("storage.mirror", "", "directory or s3://bucket/prefix",
			"Directory for a second copy of all bytes, on another disk, made if it does not exist; or a bucket. What one copy lost is served and made anew from the other. Once set up it is named at every start; `moraine mirror detach` gives it up.",
			func(c *Config) *string { return &c.Storage.Mirror }),
		text("storage.mirror_ack", AckBoth, "both or one",
			"When an upload is acknowledged: when both copies are on disk, or when one is. With one, an upload is held up by the slower disk for 10s at most, and the copy that is missing is made later.",
			func(c *Config) *string { return &c.Storage.MirrorAck }),
		{
			Key: "storage.mirror_rate", Default: "100MiB", Type: "size or unlimited",
			Doc: "How many bytes a second are read to make missing copies.",
			set: func(c *Config, v string) (err error) { c.Storage.MirrorRate, err = ParseByteRate(v); return err },
			get: func(c *Config) string { return printByteRate(c.Storage.MirrorRate) },
		},
		duration("storage.compact_period", "24h",
			"How often packs are looked for of which deleted archives take up the most, to copy what is left in them and remove them. 0s: only when moraine pack compact asks for it. Otherwise at least 1h.",
			func(c *Config) *time.Duration { return &c.Storage.Compact.Period }),
		percent("storage.compact_dead", "50",
			"From which share of deleted bytes on a pack is emptied, in percent, on a file system that does not give the space of holes in files back. At least 10.",
			func(c *Config) *int64 { return &c.Storage.Compact.Dead }),
		percent("storage.compact_dead_holes", "90",
			"The same on a file system that does, as ext4, XFS, Btrfs and ZFS do: there the space is back already, and this bounds how many files are left. At least 10.",
			func(c *Config) *int64 { return &c.Storage.Compact.DeadHoles }),
		{
			Key: "storage.compact_rate", Default: "20MiB", Type: "size or unlimited",
			Doc: "How many bytes a second are copied for that.",
			set: func(c *Config, v string) (err error) { c.Storage.Compact.Rate, err = ParseByteRate(v); return err },
			get: func(c *Config) string { return printByteRate(c.Storage.Compact.Rate) },
		},
		duration("storage.compact_grace", "24h",
			"How long the place that an archive was copied from is kept, for downloads that read there. At least 1h.",
			func(c *Config) *time.Duration { return &c.Storage.Compact.Grace }),
	}
}

// ParseByteRate reads a number of bytes per second; 0 stands for no bound, which
// is written as unlimited.
func ParseByteRate(s string) (int64, error) {
	if strings.TrimSpace(s) == unlimited {
		return 0, nil
	}
	n, err := parseSize(s)
	if err == nil && n == 0 {
		err = errors.New("a rate of zero would copy nothing; give a size, or unlimited")
	}
	return n, err
}

func printByteRate(n int64) string {
	if n == 0 {
		return unlimited
	}
	return printSize(n)
}

func (c *Config) checkStorage() error {
	return errors.Join(c.checkMirror(), c.checkCompact())
}

func (c *Config) checkCompact() error {
	k := &c.Storage.Compact
	switch {
	case k.Period != 0 && k.Period < compactPeriodMin && !c.AllowShortRetention:
		return fmt.Errorf("storage.compact_period is %s; give 0s for never, or at least %s", printDuration(k.Period), printDuration(compactPeriodMin))
	case k.Dead < compactDeadMin || k.DeadHoles < compactDeadMin:
		return fmt.Errorf("storage.compact_dead is %d and storage.compact_dead_holes %d; give at least %d, or everything is copied again and again", k.Dead, k.DeadHoles, compactDeadMin)
	case k.Grace < compactGraceMin && !c.AllowShortRetention:
		return fmt.Errorf("storage.compact_grace is %s; give at least %s, so that downloads keep what they read", printDuration(k.Grace), printDuration(compactGraceMin))
	}
	return nil
}

func (c *Config) checkMirror() error {
	st := &c.Storage
	switch st.MirrorAck {
	case AckBoth, AckOne:
	default:
		return fmt.Errorf("storage.mirror_ack is %q; choose both or one", st.MirrorAck)
	}
	if st.Mirror != "" && c.Ephemeral {
		return errors.New("ephemeral and storage.mirror exclude each other; what is to be kept twice is not removed at exit")
	}
	if err := c.checkBuckets(); err != nil {
		return err
	}
	if st.Mirror != "" && c.Data != "" && filepath.Clean(st.Mirror) == filepath.Clean(c.Data) {
		return fmt.Errorf("storage.mirror and data are both %s; name a directory on another disk", st.Mirror)
	}
	return nil
}
