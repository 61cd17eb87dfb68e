//go:build !linux

package disk

import "os"

const flagDirectory = 0

// fdatasync is a full sync where there is no cheaper one.
func fdatasync(f *os.File) error { return f.Sync() }

func adviseLarge([]byte) {}
