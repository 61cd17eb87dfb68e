package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moraine/internal/server"
)

func newMirror(e *env) *cobra.Command {
	parent := &cobra.Command{Use: "mirror", Short: "Look after the second copy", Args: cobra.NoArgs}
	parent.AddCommand(newMirrorStatus(e), newMirrorDetach(e))
	return parent
}

// directories adds the flags of a command that reads the directories of a server,
// and returns the file with settings.
func directories(cmd *cobra.Command) (file *string) {
	file = cmd.Flags().String("config", "", "YAML file with settings")
	cmd.Flags().String("data", "./moraine-data", "data directory")
	cmd.Flags().String("storage-mirror", "", "directory or bucket of the second copy")
	cmd.Flags().String("blobs", "", "bucket of the first copy, if it is not in the data directory")
	cmd.Flags().String("s3-endpoint", "", "URL of the store of the buckets; empty for AWS")
	cmd.Flags().String("s3-region", "", "region of the buckets")
	cmd.Flags().Bool("s3-path-style", false, "name the bucket in the path of requests")
	return file
}

func newMirrorStatus(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say which copies are whole and which are missing",
		Long: strings.TrimSpace(`
Say how many blobs have both copies, how many copies are missing in each place,
how fast they are being made, and why not if they are not. A running server is
asked through its admin listener; it knows also of copies that were lost with a
disk. Of a data directory that no server is using the rows are read, which say
what was never made.

Exit status: 0 every blob has two copies, 1 copies are missing or not counted yet,
2 the question cannot be answered.`),
		Args: cobra.NoArgs,
	}
	file := directories(cmd)
	cmd.Flags().String("admin-listen", "127.0.0.1:8081", "admin listener of the running server")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load(e, cmd, *file)
		if err != nil {
			return err
		}
		st, err := server.MirrorStatus(cmd.Context(), cfg, newLog(e, cfg.Log))
		if err != nil {
			return &exit{exitUsage, err}
		}
		printMirror(e.stdout, st)
		if !st.Whole() {
			return &exit{exitFailed, nil}
		}
		return nil
	}
	return cmd
}

func printMirror(w io.Writer, st server.MirrorReport) {
	state := "not running"
	if st.Running {
		state = "running"
	}
	fmt.Fprintf(w, "server: %s\n", state)
	for _, p := range st.Places {
		fmt.Fprintf(w, "%s: %s\n", p.Name, p.State)
	}
	if !st.Known() {
		fmt.Fprintln(w, "copies: not counted yet")
	} else {
		fmt.Fprintf(w, "blobs: %d (%d bytes), counted %s\n", st.Blobs, st.Bytes, st.Counted.UTC().Format(time.RFC3339))
		for _, p := range st.Places {
			fmt.Fprintf(w, "missing in %s: %d copies (%d bytes)\n", p.Name, p.Missing, p.MissingBytes)
		}
	}
	if st.Lost > 0 {
		fmt.Fprintf(w, "blobs without a good copy: %d\n", st.Lost)
	}
	if st.Doing != "" {
		fmt.Fprintf(w, "doing: %s, %d bytes/s\n", st.Doing, st.Rate)
	}
	if st.Error != "" {
		fmt.Fprintf(w, "last error: %s, %s\n", st.ErrorAt.UTC().Format(time.RFC3339), st.Error)
	}
}

func newMirrorDetach(e *env) *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use:   "detach",
		Short: "Go on with one copy, in a data directory that no server is using",
		Long: strings.TrimSpace(`
Forget the second copy, so that the next start needs no storage.mirror. Its
directory is not touched, and not needed; while it is kept it can be named again
and goes on where it stopped.

Refused while there are blobs that only the second copy has, unless --force gives
them up.`),
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&force, "force", false, "also if blobs are lost by it")
	open := offline(e, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		o, _, err := open()
		if err != nil {
			return err
		}
		alone, err := o.DetachMirror(cmd.Context(), force)
		if err != nil {
			return &exit{exitFailed, err}
		}
		fmt.Fprintf(e.stdout, "detached; blobs given up: %d\n", alone)
		return nil
	}
	return cmd
}
