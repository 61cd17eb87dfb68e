// Command moraine serves the Amazon S3 Glacier vault API on storage its users
// own. Run `moraine --help`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"moraine/internal/cli"
)

func main() {
	// Whatever a library creates is readable by its owner alone.
	syscall.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// The first signal asks for an orderly end; the second one ends the process.
	context.AfterFunc(ctx, stop)
	os.Exit(cli.Main(ctx, os.Args[1:], os.Environ, os.Stdout, os.Stderr))
}
