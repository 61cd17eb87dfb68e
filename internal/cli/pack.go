package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"moraine/internal/adminapi"
	"moraine/internal/config"
	"moraine/internal/server"
)

func newPack(e *env) *cobra.Command {
	parent := &cobra.Command{Use: "pack", Short: "Look into packs, and empty those that are mostly of deleted archives", Args: cobra.NoArgs}
	parent.AddCommand(&cobra.Command{
		Use:   "dump FILE...",
		Short: "Print the records of pack files",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			for _, name := range files {
				if err := server.DumpPack(cmd.Context(), name, e.stdout); err != nil {
					return &exit{exitFailed, err}
				}
			}
			return nil
		},
	}, newPackStatus(e), newPackCompact(e))
	return parent
}

func newPackStatus(e *env) *cobra.Command {
	return scrubVerb(e, &cobra.Command{
		Use:   "status",
		Short: "Say how the emptying of packs stands",
		Long: `
Say when packs were last looked for that are mostly of deleted archives, and what
was copied out of them since the server started.

Exit status: 0 all is well, 1 the last pass ended early, or there is no answer.`,
		Args: cobra.NoArgs,
	}, func(ctx context.Context, cfg config.Config, opts server.Options, _ []string) (adminapi.CompactReply, error) {
		return server.CompactStatus(ctx, cfg, opts)
	}, printCompact)
}

func newPackCompact(e *env) *cobra.Command {
	return packFlags(scrubVerb(e, &cobra.Command{
		Use:   "compact",
		Short: "Empty the packs that are mostly of deleted archives, now",
		Long: `
Copy what is left in packs of which deleted archives take up the most, checking
each byte by its digest, so that the packs can go. Their places are given back
after storage.compact_grace, by the server. A running server begins a pass and
answers at once, see moraine pack status. With no server the pass is made here.`,
		Args: cobra.NoArgs,
	}, func(ctx context.Context, cfg config.Config, opts server.Options, _ []string) (adminapi.CompactReply, error) {
		return server.StartCompact(ctx, cfg, opts)
	}, func(w io.Writer, r *adminapi.CompactReply) int {
		printCompact(w, r)
		return exitOK
	}))
}

// packFlags adds the settings that matter where no server runs.
func packFlags(cmd *cobra.Command) *cobra.Command {
	f := cmd.Flags()
	f.String("storage-mirror", "", "directory of the second copy")
	f.String("storage-compact-dead", "50", "percent of a pack from which on it is emptied, on a file system without holes")
	f.String("storage-compact-dead-holes", "90", "the same on a file system with holes")
	f.String("storage-compact-rate", "20MiB", "bytes a second that are copied, or unlimited")
	return cmd
}

// printCompact prints how the emptying of packs stands. That it is not as it
// should be is the exit status.
func printCompact(w io.Writer, r *adminapi.CompactReply) int {
	if r.Started.IsZero() {
		fmt.Fprintln(w, "compaction: idle")
	} else {
		fmt.Fprintf(w, "compaction: copying, pass began %s\n", stamp(r.Started))
	}
	if !r.Finished.IsZero() {
		fmt.Fprintf(w, "last pass: %s\n", stamp(r.Finished))
	}
	fmt.Fprintf(w, "blobs in packs to be emptied: %d, moved %d (%d bytes), quarantined %d, failed %d, surplus copies removed %d\n",
		r.Pass.Blobs, r.Pass.Moved, r.Pass.Bytes, r.Pass.Quarantined, r.Pass.Failed, r.Pass.Surplus)
	fmt.Fprintf(w, "moved since the start: %d (%d bytes)\nperiod: %s\nbytes a second: %s\n", r.Moved, r.Bytes, r.Period, perSecond(r.Rate))
	if r.Error == "" {
		return exitOK
	}
	fmt.Fprintf(w, "error: %s, %s\n", stamp(r.ErrorAt), r.Error)
	return exitFailed
}
