package pgtest

import "syscall"

// attributes makes a process run as somebody else, and end when the thread ends
// that started it.
func attributes(runAs *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: runAs, Pdeathsig: syscall.SIGQUIT}
}
