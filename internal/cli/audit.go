package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"moraine/internal/server"
)

func newAudit(e *env) *cobra.Command {
	parent := &cobra.Command{Use: "audit", Short: "Look into the audit log", Args: cobra.NoArgs}
	verify := &cobra.Command{
		Use:   "verify",
		Short: "Check that no audit record was altered, removed or moved",
		Long: strings.TrimSpace(`
Follow the chain of hashes through all files of the audit log of a data
directory and name the first line that is not as it was written. A server may be
running.

Records missing at the very end leave no trace in the chain: note the number and
the hash of the last record somewhere else from time to time, and compare.

Exit status: 0 all is well, 1 a line is bad or the log cannot be read.`),
		Args: cobra.NoArgs,
	}
	file := verify.Flags().String("config", "", "YAML file with settings, for data")
	verify.Flags().String("data", "./moraine-data", "data directory")
	first := verify.Flags().Int64("first", 1, "number of the first record, if older files were put away")
	verify.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load(e, cmd, *file)
		if err != nil {
			return err
		}
		if err := server.VerifyAudit(cfg.Data, *first, e.stdout); err != nil {
			return &exit{exitFailed, err}
		}
		return nil
	}
	parent.AddCommand(verify)
	return parent
}
