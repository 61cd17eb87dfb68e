package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Storage is where the bytes are, besides the data directory.
type Storage struct {
	Blobs  string // s3://bucket/prefix; empty for packs in the data directory
	Bucket Bucket // how buckets are reached

	Mirror     string // directory of the second copy, or s3://bucket/prefix; empty for none
	MirrorAck  string // one of the Ack constants
	MirrorRate int64  // bytes per second that are read to make copies; 0 for no bound
}

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
			set: func(c *Config, v string) (err error) { c.Storage.MirrorRate, err = parseByteRate(v); return err },
			get: func(c *Config) string { return printByteRate(c.Storage.MirrorRate) },
		},
	}
}

func parseByteRate(s string) (int64, error) {
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
