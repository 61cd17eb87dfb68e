//go:build !linux

package pgtest

import "syscall"

// attributes makes a process run as somebody else.
func attributes(runAs *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: runAs}
}
