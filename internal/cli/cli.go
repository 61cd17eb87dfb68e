// Package cli is the command line: it reads arguments, calls package server and
// turns what comes back into text and an exit status.
//
// It knows flags, exit statuses and how to log. It must not know how a server
// is put together, nor any rule of the service.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // it ran and failed; for fsck: there is damage
	exitUsage  = 2 // it could not begin: wrong arguments or settings, or fsck could not run
)

// exit is an error that asks for a certain exit status. A nil cause has been
// reported already.
type exit struct {
	status int
	cause  error
}

func (e *exit) Error() string {
	if e.cause == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.cause.Error()
}

func (e *exit) Unwrap() error { return e.cause }

// env is the process as a command sees it.
type env struct {
	environ        func() []string
	stdout, stderr io.Writer
}

// Main runs one command and returns the exit status. ctx ends when the process
// is asked to stop.
func Main(ctx context.Context, args []string, environ func() []string, stdout, stderr io.Writer) int {
	e := &env{environ: environ, stdout: stdout, stderr: stderr}
	root := newRoot(e)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var asked *exit
	if !errors.As(err, &asked) {
		asked = &exit{exitUsage, err} // cobra refused the arguments
	}
	if asked.cause != nil {
		// One line per fault.
		for line := range strings.Lines(asked.cause.Error()) {
			fmt.Fprintf(stderr, "moraine: %s\n", strings.TrimSuffix(line, "\n"))
		}
	}
	return asked.status
}

func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:           "moraine",
		Short:         "The Amazon S3 Glacier vault API on storage you own",
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newServe(e), newConfig(e), newHealth(e), newFsck(e), newMirror(e), newScrub(e), newFixity(e), newPack(e), newAccount(e), newNotify(e), newUser(e), newKey(e), newPolicy(e), newRole(e), newAudit(e), newClock(e), newEncryption(e), newMigrate(e), newVersion(e))
	return root
}
