package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// mount makes a small disk: a file with an ext4 file system.
func mount(ctx context.Context, dir string, size int64) (where string, unmount func() error, err error) {
	if os.Geteuid() != 0 {
		return "", nil, errors.New("mounting a disk takes root; name a small one with -dir")
	}
	image := filepath.Join(dir, "disk")
	where = filepath.Join(dir, "mnt")
	f, err := os.Create(image)
	if err != nil {
		return "", nil, err
	}
	if err := errors.Join(f.Truncate(size), f.Close(), os.Mkdir(where, 0o700)); err != nil {
		return "", nil, err
	}
	if err := command(ctx, "mkfs.ext4", "-q", "-m", "0", image); err != nil {
		return "", nil, err
	}
	if err := command(ctx, "mount", "-o", "loop", image, where); err != nil {
		return "", nil, err
	}
	return where, func() error { return command(context.Background(), "umount", where) }, nil
}

func command(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
