//go:build !linux

package disk

// transferKernel is nothing where no file is a Transferer.
type transferKernel struct{}

func (transferKernel) setup(int) {}

func (transferKernel) destroy() error { return nil }

func (transferKernel) await([]slot) {}
