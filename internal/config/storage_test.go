package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/config"
)

func TestStorage(t *testing.T) {
	t.Parallel()
	c, err := load(t, nil, []string{"MORAINE_STORAGE_MIRROR_RATE=unlimited"}, "storage:\n  mirror: /mnt/second\n  mirror_ack: one\n")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Storage{Mirror: "/mnt/second", MirrorAck: config.AckOne, Bucket: c.Storage.Bucket, Compact: config.Compact{
		Period: 24 * time.Hour, Dead: 50, DeadHoles: 90, Rate: 20 << 20, Grace: 24 * time.Hour,
	}}
	if diff := cmp.Diff(want, c.Storage); diff != "" {
		t.Errorf("storage (-want +got):\n%s", diff)
	}
	if text := c.Print(); !strings.Contains(text, "mirror_rate: unlimited") {
		t.Errorf("printed:\n%s", text)
	}
	for flag, want := range map[string]string{
		"--storage-mirror-ack=none":        "choose both or one",
		"--storage-mirror-rate=0":          "zero would copy nothing",
		"--storage-mirror-rate=fast":       `"fast" is not a size`,
		"--storage-mirror=./moraine-data/": "another disk",
	} {
		if _, err := load(t, []string{flag}, nil, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", flag, err, want)
		}
	}
}

// TestCompact checks the bounds of the settings of packs that are mostly empty.
func TestCompact(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want string // in the error; "" for none
	}{
		"never, without a bound":     {"compact_period: 0s\n  compact_rate: unlimited", ""},
		"too often":                  {"compact_period: 10m", "storage.compact_period is 10m"},
		"everything":                 {"compact_dead: 5", "give at least 10"},
		"everything with holes":      {"compact_dead_holes: 0", "give at least 10"},
		"more than all":              {"compact_dead: 101", "not a whole number from 0 to 100"},
		"no number":                  {"compact_dead: most", "not a whole number from 0 to 100"},
		"under downloads":            {"compact_grace: 5m", "storage.compact_grace is 5m"},
		"under downloads, in a test": {"compact_grace: 1s\nallow_short_retention: true", ""},
		"all the time, in a test":    {"compact_period: 1s\nallow_short_retention: true", ""},
		"no bytes a second":          {"compact_rate: 0", "a rate of zero would copy nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, nil, nil, "storage:\n  "+test.text+"\n")
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
