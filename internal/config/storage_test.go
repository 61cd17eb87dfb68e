package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moraine/internal/config"
)

func TestStorage(t *testing.T) {
	t.Parallel()
	c, err := load(t, nil, []string{"MORAINE_STORAGE_MIRROR_RATE=unlimited"}, "storage:\n  mirror: /mnt/second\n  mirror_ack: one\n")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Storage{Mirror: "/mnt/second", MirrorAck: config.AckOne, Bucket: c.Storage.Bucket}
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
