//go:build !linux

package main

import "errors"

func syncDisks() {}

func dropCaches(string) error { return errors.ErrUnsupported }
