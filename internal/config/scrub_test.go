package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/config"
)

func TestScrub(t *testing.T) {
	t.Parallel()
	c, err := load(t, []string{"--scrub-rate=1MiB", "--scrub-topic=arn:aws:sns:us-east-1:210987654321:damage"}, []string{"MORAINE_SCRUB_PERIOD=48h"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(config.Scrub{Period: 48 * time.Hour, Rate: 1 << 20, Topic: "arn:aws:sns:us-east-1:210987654321:damage"}, c.Scrub); diff != "" {
		t.Errorf("scrub (-want +got):\n%s", diff)
	}
	if c, err := load(t, []string{"--scrub-rate=0", "--scrub-period=0s"}, nil, ""); err != nil || c.Scrub != (config.Scrub{}) {
		t.Errorf("no bound and no period: %+v, %v", c.Scrub, err)
	}
	for flag, want := range map[string]string{
		"--scrub-period=59m":   "at least 1h",
		"--scrub-rate=65535B":  "at least 64KiB",
		"--scrub-topic=damage": "write it as in arn:",
	} {
		if _, err := load(t, []string{flag}, nil, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", flag, err, want)
		}
	}
}
