//go:build !linux

package main

import "os"

func writeAll(f *os.File, group []*entry, at int64) error {
	for _, e := range group {
		if _, err := f.WriteAt(e.body, at); err != nil {
			return err
		}
		at += int64(len(e.body))
	}
	return nil
}

func syncFile(f *os.File) error { return f.Sync() }
