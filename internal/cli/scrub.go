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

const operateManual = `

If a server has the data directory, it is asked at --admin-listen; if none has,
the directory is locked and read. Give the settings that the server has.`

func newScrub(e *env) *cobra.Command {
	parent := &cobra.Command{Use: "scrub", Short: "Look after the reading of everything, and after archives that failed", Args: cobra.NoArgs}
	parent.AddCommand(newScrubStatus(e), newScrubNow(e), newScrubFailed(e), newScrubRelease(e), newScrubDiscard(e))
	return parent
}

// operating adds the flags of a command on a data directory that a server may
// be using, and has it run with the settings.
func operating(e *env, cmd *cobra.Command, run func(context.Context, config.Config, server.Options, []string) error) *cobra.Command {
	cmd.Long = strings.TrimSpace(cmd.Long) + operateManual
	f := cmd.Flags()
	file := f.String("config", "", "YAML file with settings")
	f.String("data", "./moraine-data", "data directory")
	f.String("admin-listen", "127.0.0.1:8081", "where the server listens for operators")
	f.String("audit-destination", "file", "file, stdout or off: where changes are recorded if no server runs")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := load(e, cmd, *file)
		if err != nil {
			return err
		}
		return run(cmd.Context(), cfg, server.Options{Log: newLog(e, cfg.Log), Version: version()}, args)
	}
	return cmd
}

// scrubVerb is operating for a command that prints a reply, as JSON if asked.
func scrubVerb[T any](
	e *env, cmd *cobra.Command, run func(context.Context, config.Config, server.Options, []string) (T, error),
	print func(io.Writer, *T) (status int),
) *cobra.Command {
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	return operating(e, cmd, func(ctx context.Context, cfg config.Config, opts server.Options, args []string) error {
		reply, err := run(ctx, cfg, opts, args)
		if err != nil {
			return refused(err)
		}
		out := e.stdout
		if *asJSON {
			if err := printJSON(out, &reply); err != nil {
				return refused(err)
			}
			out = io.Discard
		}
		if status := print(out, &reply); status != exitOK {
			return &exit{status, nil}
		}
		return nil
	})
}

func newScrubStatus(e *env) *cobra.Command {
	return scrubVerb(e, &cobra.Command{
		Use:   "status",
		Short: "Say how far the reading of everything has come, and what failed",
		Long: `
Say how far the pass under way has come, what the last one found, when the next
one is due, and what to do.

Exit status: 0 all is well, 1 something failed or a pass takes too long, or there
is no answer.`,
		Args: cobra.NoArgs,
	}, func(ctx context.Context, cfg config.Config, opts server.Options, _ []string) (adminapi.ScrubReply, error) {
		return server.ScrubStatus(ctx, cfg, opts)
	}, printScrub)
}

func newScrubNow(e *env) *cobra.Command {
	var q adminapi.VaultQuery
	cmd := scrubVerb(e, &cobra.Command{
		Use:   "now",
		Short: "Begin a pass now, unless one is under way, or read one vault",
		Long: `
Begin a pass now, unless one is under way. With no server it begins at the next
start. With --vault the archives of one vault are read now, beside a pass and at the
same rate, and the command waits for the end and says what it found.

Exit status with --vault: 0 all is well, 1 something failed or there is no answer.`,
		Args: cobra.NoArgs,
	}, func(ctx context.Context, cfg config.Config, opts server.Options, _ []string) (any, error) {
		if q.Vault != "" {
			return server.ScrubVault(ctx, cfg, opts, q)
		}
		return server.StartScrub(ctx, cfg, opts)
	}, func(w io.Writer, r *any) int {
		switch r := (*r).(type) {
		case adminapi.ScrubReply:
			printScrub(w, &r)
		case adminapi.ScrubPass:
			fmt.Fprintf(w, "vault %s: %s\n", q.Vault, tally(&r))
			if r.Failed > 0 {
				return exitFailed
			}
		}
		return exitOK
	})
	cmd.Flags().StringVar(&q.Vault, "vault", "", "name of the vault to read; without it, everything is")
	cmd.Flags().StringVar(&q.Account, "account", "", "account of the vault; without it, that of the data directory")
	cmd.Flags().StringVar(&q.Region, "region", "", "region of the vault; without it, the default one of the server")
	return cmd
}

// printScrub prints how the reading stands. That it is not as it should be is
// the exit status.
func printScrub(w io.Writer, r *adminapi.ScrubReply) int {
	fmt.Fprintf(w, "scrub: %s\n", r.State)
	if r.Pass != nil {
		fmt.Fprintf(w, "pass: began %s, %s\n", stamp(r.Pass.Started), tally(r.Pass))
	}
	if r.Last != nil {
		fmt.Fprintf(w, "last pass: %s to %s, %s\n", stamp(r.Last.Started), stamp(*r.Last.Finished), tally(r.Last))
	}
	if r.Next != nil {
		fmt.Fprintf(w, "next pass: %s\n", stamp(*r.Next))
	}
	fmt.Fprintf(w, "period: %s\nbytes a second: %s\nfailed now: %d\n", r.Period, perSecond(r.Rate), r.Failed)
	if r.Error != "" {
		fmt.Fprintf(w, "error: %s\n", r.Error)
	}
	if r.Advice == "" {
		return exitOK
	}
	fmt.Fprintf(w, "what to do: %s\n", r.Advice)
	return exitFailed
}

func stamp(t time.Time) string { return t.Format(time.RFC3339) }

func perSecond(rate int64) string {
	if rate == 0 {
		return "no bound"
	}
	return fmt.Sprint(rate)
}

func tally(p *adminapi.ScrubPass) string {
	return fmt.Sprintf("%d blobs, %d bytes, %d failed, %d repaired", p.Blobs, p.Bytes, p.Failed, p.Repaired)
}

func newScrubFailed(e *env) *cobra.Command {
	return scrubVerb(e, &cobra.Command{
		Use:   "failed",
		Short: "List the archives that failed their check and are quarantined",
		Long: `
List what failed its check and is quarantined, a line for each piece with tabs
between: vault, archive id, size of the archive, blob, first byte and size of the
piece, when it was checked, and what is wrong. An archive that was deleted from its
vault has "deleted" after its id; a piece of an upload or of an inventory has "-"
for vault and archive.

Exit status: 0 there is none, 1 there are some or there is no answer.`,
		Args: cobra.NoArgs,
	}, func(ctx context.Context, cfg config.Config, opts server.Options, _ []string) (adminapi.FailedReply, error) {
		return server.FailedScrub(ctx, cfg, opts)
	}, printFailed)
}

func printFailed(w io.Writer, r *adminapi.FailedReply) int {
	for _, i := range r.Failed {
		vault, archive := i.Vault, i.Archive
		if vault == "" {
			vault = "-"
		}
		if archive == "" {
			archive = "-"
		}
		if i.Deleted {
			archive += " deleted"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%d\t%s\t%q\n", vault, archive, i.ArchiveSize, i.Blob, i.First, i.Size, stamp(i.Checked), i.Fault)
	}
	if r.More {
		fmt.Fprintln(w, "and more")
	}
	if len(r.Failed) > 0 {
		return exitFailed
	}
	return exitOK
}

func newScrubRelease(e *env) *cobra.Command {
	return scrubVerb(e, &cobra.Command{
		Use:   "release ARCHIVE|BLOB",
		Short: "Check something that failed again, and serve it if it is whole",
		Long: `
Read every byte of an archive's pieces that failed, or of one blob, and serve them
again if all of it is whole, after a disk or a file was put right.

Exit status: 0 all of it is whole, 1 something still fails or there is no such
thing.`,
		Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, cfg config.Config, opts server.Options, args []string) (adminapi.ReleaseReply, error) {
		return server.ReleaseScrub(ctx, cfg, opts, args[0])
	}, func(w io.Writer, r *adminapi.ReleaseReply) int {
		fmt.Fprintf(w, "pieces released: %d\npieces that still fail: %d\n", r.Released, r.Left)
		if r.Left > 0 {
			return exitFailed
		}
		return exitOK
	})
}

func newScrubDiscard(e *env) *cobra.Command {
	return scrubVerb(e, &cobra.Command{
		Use:   "discard ARCHIVE|BLOB",
		Short: "Give up the bytes of a deleted archive that failed",
		Long: `
Give up the bytes of an archive that failed and that was deleted from its vault, so
that their space comes back. What is left of them is lost. An archive that was not
deleted is refused: delete it through the API first, where the vault's lock and
policies decide. So is one that the output of a job still names. The same goes for
a piece of an upload or an inventory, named by its blob.`,
		Args: cobra.ExactArgs(1),
	}, func(ctx context.Context, cfg config.Config, opts server.Options, args []string) (adminapi.DiscardReply, error) {
		return server.DiscardScrub(ctx, cfg, opts, args[0])
	}, func(w io.Writer, r *adminapi.DiscardReply) int {
		fmt.Fprintf(w, "pieces given up: %d\n", r.Pieces)
		return exitOK
	})
}
