package disk

import "os"

// MkdirTemp makes a new directory below the system's directory for temporary
// files, readable by its owner alone. Nothing about it is durable.
func MkdirTemp(prefix string) (dir string, err error) { return os.MkdirTemp("", prefix+"*") }

// RemoveAll removes a directory that MkdirTemp made, with all it holds.
func RemoveAll(dir string) error { return os.RemoveAll(dir) }
