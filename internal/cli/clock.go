package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moraine/internal/adminapi"
	"moraine/internal/config"
	"moraine/internal/server"
)

func newClock(e *env) *cobra.Command {
	parent := &cobra.Command{Use: "clock", Short: "Look at the clock that retention goes by, and confirm that it jumped", Args: cobra.NoArgs}
	parent.AddCommand(newClockStatus(e), newClockConfirm(e))
	return parent
}

// clockVerb completes a command on the clock of a data directory.
func clockVerb(e *env, cmd *cobra.Command, run func(context.Context, config.Config, server.Options, []string) (adminapi.ClockReply, error)) *cobra.Command {
	cmd.Long = strings.TrimSpace(cmd.Long) + operateManual
	f := cmd.Flags()
	file := f.String("config", "", "YAML file with settings")
	f.String("data", "./moraine-data", "data directory")
	f.String("admin-listen", "127.0.0.1:8081", "where the server listens for operators")
	f.String("clock-max-downtime", "504h", "how far the system clock may have gone on while no server ran")
	f.String("audit-destination", "file", "file, stdout or off: where a confirmation is recorded if no server runs")
	asJSON := f.Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := load(e, cmd, *file)
		if err != nil {
			return err
		}
		reply, err := run(cmd.Context(), cfg, server.Options{Log: newLog(e, cfg.Log)}, args)
		if err != nil {
			return err
		}
		return printClock(e.stdout, &reply, *asJSON)
	}
	return cmd
}

func newClockStatus(e *env) *cobra.Command {
	return clockVerb(e, &cobra.Command{
		Use:   "status",
		Short: "Say what time it is for retention and locks, and whether a jump is pending",
		Long: `
Say what time it is for retention, locks and expiry, how the clock stands, and
what to do.

The clock is following the system clock; or standing, because the system clock
was set back; or held, because the system clock jumped further ahead than is
believed. What is held goes on without the jump until an operator confirms it.

Exit status: 0 following, 1 standing or held, 2 there is no answer.`,
		Args: cobra.NoArgs,
	}, func(ctx context.Context, cfg config.Config, opts server.Options, _ []string) (adminapi.ClockReply, error) {
		reply, err := server.ClockStatus(ctx, cfg, opts)
		if err != nil {
			err = &exit{exitUsage, err}
		}
		return reply, err
	})
}

func newClockConfirm(e *env) *cobra.Command {
	return clockVerb(e, &cobra.Command{
		Use:   "confirm JUMP",
		Short: "Believe the system clock, after looking at it",
		Long: `
Believe the system clock although it jumped far ahead. JUMP is the name of the
pending jump, as status prints it: the reading of the system clock at which it
was found. If another jump is pending by now, or none, nothing is changed.

Look at the system clock first. What is confirmed cannot be taken back: archives
are older by the jump from then on, and jobs, uploads and locks in progress whose
time is over end. The confirmation is recorded in the audit log.

Exit status: 0 confirmed, 1 refused, 2 JUMP is not a time.`,
		Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, cfg config.Config, opts server.Options, args []string) (adminapi.ClockReply, error) {
		name, err := time.Parse(time.RFC3339, args[0])
		if err != nil {
			return adminapi.ClockReply{}, &exit{exitUsage, fmt.Errorf("%q is not the name of a jump; it is a time as in 2027-01-01T00:00:00Z, and moraine clock status prints it", args[0])}
		}
		reply, err := server.ConfirmClock(ctx, cfg, opts, name)
		return reply, refused(err)
	})
}

// printClock prints how the clock stands. That it is not as it should be is the
// exit status.
func printClock(w io.Writer, r *adminapi.ClockReply, asJSON bool) error {
	var err error
	if asJSON {
		err = printJSON(w, r)
	} else {
		_, err = io.WriteString(w, describeClock(r))
	}
	if err == nil && r.Advice != "" {
		err = &exit{exitFailed, nil}
	}
	return err
}

func describeClock(r *adminapi.ClockReply) string {
	var b strings.Builder
	fmt.Fprintf(&b, "clock: %s\ntime: %s\n", r.State, r.Now.Format(time.RFC3339))
	fmt.Fprintf(&b, "system clock: %s", r.System.Format(time.RFC3339))
	switch skew := r.System.Sub(r.Now).Round(time.Second); {
	case skew > 0:
		fmt.Fprintf(&b, ", %s ahead", skew)
	case skew < 0:
		fmt.Fprintf(&b, ", %s behind", -skew)
	}
	b.WriteByte('\n')
	if r.Pending != nil {
		fmt.Fprintf(&b, "pending jump: %s, found at %s\n", r.Pending.To.Format(time.RFC3339), r.Pending.From.Format(time.RFC3339))
	}
	if r.Advice != "" {
		fmt.Fprintf(&b, "what to do: %s\n", r.Advice)
	}
	return b.String()
}
