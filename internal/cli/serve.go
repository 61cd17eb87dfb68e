package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"moraine/internal/config"
	"moraine/internal/server"
)

const serveManual = `Serve the Glacier vault API from a data directory until SIGTERM or SIGINT, then
finish the requests under way and exit with status 0. SIGHUP reads the
certificate again.

With storage.mirror every byte is kept twice, on two disks. When one is lost, put an
empty one in its place and start once with --rebuild primary (the packs of the data
directory) or --rebuild mirror: everything is served at once, and the copies are
made anew meanwhile. Without that word an empty directory is refused.

Servers that share rows and bytes have one root key, and one that is given another
does not start. To change it, start each with the new key, the first of them once
with --new-root-key; those that are not started again keep to the old one.

With --test-mode tests of clients move the clock and make requests fail; the
README shows how. Never use it where something is to be kept.

At the first start the account and its root key are generated and kept in the
data directory, readable by its owner alone; the start-up text shows a command
that uses them. The log goes to standard error.

Every setting can be a flag, an environment variable or a key of the YAML file
that --config or MORAINE_CONFIG names. A flag wins over a variable, a variable
over the file, the file over the default. Names nobody knows are errors. Dots in
a key are levels of the file:

  tls:
    cert: /etc/moraine/cert.pem
    key: /etc/moraine/key.pem

A duration is written as in 30s, 5m or 24h; a size as a number of bytes or as in
64KiB; a list with commas between its items.

Settings:

`

func newServe(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the API; `moraine serve --help` is the manual",
		Long:  serveManual + config.Manual(),
		Args:  cobra.NoArgs,
	}
	file := addSettings(cmd)
	rebuild := cmd.Flags().String("rebuild", "", "primary or mirror: that disk was lost and an empty one is in its place")
	newRoot := cmd.Flags().Bool("new-root-key", false, "the root key given here becomes that of all servers that share the rows")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load(e, cmd, *file)
		if err != nil {
			return err
		}
		if *rebuild != "" && *rebuild != server.Primary && *rebuild != server.Mirror {
			return &exit{exitUsage, fmt.Errorf("--rebuild is %q; choose primary or mirror", *rebuild)}
		}
		ballast := equip(e.environ())
		defer runtime.KeepAlive(ballast)
		// SIGHUP must not end the process, whether or not there is something to
		// reload.
		reload := make(chan os.Signal, 1)
		signal.Notify(reload, syscall.SIGHUP)
		defer signal.Stop(reload)
		opts := server.Options{Out: e.stdout, Log: newLog(e, cfg.Log), Reload: reload, Version: version(), Rebuild: *rebuild, NewRoot: *newRoot}
		if err := supervise(&opts); err != nil {
			return &exit{exitUsage, err}
		}
		err = server.Run(cmd.Context(), cfg, opts)
		if err != nil {
			return &exit{exitFailed, err}
		}
		return nil
	}
	// The manual lists the flags with their variables and keys.
	cmd.SetHelpTemplate(`Usage: {{.UseLine}}

{{.Long}}
`)
	return cmd
}

// supervise has the service manager told, if one asks for it by NOTIFY_SOCKET
// and WATCHDOG_USEC.
func supervise(opts *server.Options) (err error) {
	opts.Notify = func(state string) error {
		_, err := daemon.SdNotify(false, state)
		return err
	}
	if opts.Watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
		return fmt.Errorf("WATCHDOG_USEC and WATCHDOG_PID of the environment: %w", err)
	}
	return nil
}

// addSettings gives cmd a flag per setting, and --config.
func addSettings(cmd *cobra.Command) (file *string) {
	file = cmd.Flags().String("config", "", "YAML file with settings")
	config.AddFlags(cmd.Flags())
	return file
}

// load reads the settings that cmd was given.
func load(e *env, cmd *cobra.Command, file string) (config.Config, error) {
	cfg, err := config.Load(config.Sources{Flags: cmd.Flags(), Environ: e.environ, File: file})
	if err != nil {
		return cfg, &exit{exitUsage, err}
	}
	return cfg, nil
}

func newLog(e *env, cfg config.Log) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.Level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(e.stderr, opts))
	}
	return slog.New(slog.NewTextHandler(e.stderr, opts))
}

func newConfig(e *env) *cobra.Command {
	parent := &cobra.Command{Use: "config", Short: "Look at settings", Args: cobra.NoArgs}
	check := &cobra.Command{
		Use:   "check",
		Short: "Check the settings and print the effective ones, without secrets",
		Long: strings.TrimSpace(`
Read the settings as "moraine serve" would, from the same flags, variables and
file, check them, and print the effective ones as a file that gives them again.
Secrets are not printed. Nothing else is opened.`),
		Args: cobra.NoArgs,
	}
	file := addSettings(check)
	check.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load(e, cmd, *file)
		if err != nil {
			return err
		}
		for _, warning := range cfg.Warnings() {
			cmd.PrintErrln("moraine: warning:", warning)
		}
		_, err = io.WriteString(e.stdout, cfg.Print())
		return err
	}
	parent.AddCommand(check)
	return parent
}
