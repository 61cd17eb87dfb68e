package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moraine/internal/adminapi"
	"moraine/internal/config"
	"moraine/internal/server"
)

func newMigrate(e *env) *cobra.Command {
	var m server.Migration
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Move everything to other stores, while it is served",
		Long: strings.TrimSpace(`
Move rows and bytes to other stores: another directory, another disk, another
database, another store of blobs, in any direction. Each side is named by a data
directory, if the defaults hold for the rest, or by the file with the settings of
its server; MORAINE_ variables are not read. Ids, dates, policies, locks, keys and
jobs are kept. Every leaf is compared with its digest on the way.

While a server is using the old house, it copies the bytes and goes on serving.
Run that as often as you like: what has arrived is not copied again; with
--bytes-only the move does not end even if the server happens to be down. Then stop
the server, or all that share the house, and run it without: it copies what came
meanwhile and all rows, and the move is over. From then on the old house refuses to be served, and
the new one no longer does. Whatever is cut off is simply repeated.

The audit log stays where it is. With encryption the new settings name the same
master as the old ones.

Exit status: 0 moved, or copied and to be repeated; 1 something is damaged and did
not move; 2 it could not be done.`),
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&m.From, "from", "", "data directory or file with settings of the old house")
	f.StringVar(&m.To, "to", "", "the same of the new house")
	f.StringVar(&m.AdminListen, "admin-listen", "", "where the server of the old house listens for operators, if its settings do not say")
	rate := f.String("rate", "unlimited", "bytes per second that are read at most, as 100MiB")
	f.BoolVar(&m.ReadBack, "read-back", false, "read each copy again from its medium")
	f.BoolVar(&m.LeaveDamaged, "leave-damaged", false, "end the move although some bytes are damaged; what they belong to is quarantined in the new house")
	f.BoolVar(&m.BytesOnly, "bytes-only", false, "copy bytes and do not end the move, though no server is using the old house")
	asJSON := f.Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if m.From == "" || m.To == "" {
			return &exit{exitUsage, errors.New("say from where to where: --from and --to, each a data directory or a file with settings")}
		}
		var err error
		if m.Rate, err = config.ParseByteRate(*rate); err != nil {
			return &exit{exitUsage, fmt.Errorf("--rate: %w", err)}
		}
		reply, err := server.Migrate(cmd.Context(), m, server.Options{Log: newLog(e, config.Log{})})
		if reply.Blobs > 0 || err == nil {
			printed := printMigration
			if *asJSON {
				printed = func(w io.Writer, r adminapi.MigrateReply) error { return printJSON(w, &r) }
			}
			err = cmp.Or(err, printed(e.stdout, reply))
		}
		switch {
		case err != nil && reply.Damaged > 0:
			return &exit{exitFailed, err}
		case err != nil:
			return &exit{exitUsage, err}
		case reply.Damaged > 0 && !reply.Done:
			return &exit{exitFailed, fmt.Errorf("%d blobs are damaged and were not copied; repair them before the move is to end", reply.Damaged)}
		}
		return nil
	}
	cmd.AddCommand(newMigrateReopen(e))
	return cmd
}

func printMigration(w io.Writer, r adminapi.MigrateReply) error {
	fmt.Fprintf(w, "blobs: %d (%d bytes)\ncopied now: %d (%d bytes)\nthere before: %d\n", r.Blobs, r.Bytes, r.Copied, r.CopiedBytes, r.Present)
	if r.Removed > 0 {
		fmt.Fprintf(w, "removed again: %d\n", r.Removed)
	}
	fmt.Fprintf(w, "damaged: %d\n", r.Damaged)
	for _, line := range r.DamagedBlobs {
		fmt.Fprintf(w, "  %s\n", line)
	}
	for _, table := range slices.Sorted(maps.Keys(r.Rows)) {
		fmt.Fprintf(w, "rows of %s: %d\n", table, r.Rows[table])
	}
	last := "The move is not over, and the old house is the one to be served. To end it stop all servers and run this again, without --bytes-only."
	if r.Done {
		last = "Moved. Start the server with the new settings."
	}
	_, err := fmt.Fprintln(w, last)
	return err
}

func newMigrateReopen(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reopen",
		Short: "Serve again what was moved away, in the state of that day",
		Long: strings.TrimSpace(`
Have a house that was moved out of served again, because the new one is lost. What
was written in the new one since is not there. See to it that the new house is
never served again: two servers would give away the same ids for different bytes.`),
		Args: cobra.NoArgs,
	}
	house := cmd.Flags().String("house", "", "data directory or file with settings")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *house == "" {
			return &exit{exitUsage, errors.New("say which house: --house, a data directory or a file with settings")}
		}
		h, err := server.ReopenHouse(cmd.Context(), *house, server.Options{Log: newLog(e, config.Log{})})
		if err != nil {
			return &exit{exitUsage, err}
		}
		_, err = fmt.Fprintf(e.stdout, "open again as of %s; never serve %s again\n", h.Since.Format(time.RFC3339), h.Other)
		return err
	}
	return cmd
}
