//go:build !linux

package disk

// directFile is nothing where there are no direct writes.
type directFile struct{}

func (*directFile) close() error { return nil }
