package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// buffersMax is how many buffers the kernel takes in one call (IOV_MAX).
const buffersMax = 1024

func writeAll(f *os.File, group []*entry, at int64) error {
	buffers := make([][]byte, len(group))
	for i, e := range group {
		buffers[i] = e.body
	}
	for len(buffers) > 0 {
		n, err := unix.Pwritev(int(f.Fd()), buffers[:min(len(buffers), buffersMax)], at)
		if err != nil {
			return err
		}
		if n == 0 {
			return io.ErrShortWrite
		}
		at += int64(n)
		buffers = after(buffers, n)
	}
	return nil
}

// after drops the first n bytes.
func after(buffers [][]byte, n int) [][]byte {
	for len(buffers) > 0 && n >= len(buffers[0]) {
		n -= len(buffers[0])
		buffers = buffers[1:]
	}
	if n > 0 {
		buffers[0] = buffers[0][n:]
	}
	return buffers
}

func syncFile(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }
