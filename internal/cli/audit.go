package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"moraine/internal/audit"
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

Closed files are compressed and listed in manifests, which are a chain, too: a
file that is missing or was replaced is found. Records missing at the very end
leave no trace: note the numbers and hashes that are printed somewhere else from
time to time, and compare.

If older files were put away, with the manifests of their hours, say with which
record each region begins, as in --first us-east-1=5321,eu-west-1=77, or take what is
there with --first oldest.

Exit status: 0 all is well, 1 a line or a file is bad or the log cannot be read.`),
		Args: cobra.NoArgs,
	}
	file := verify.Flags().String("config", "", "YAML file with settings, for data")
	verify.Flags().String("data", "./moraine-data", "data directory")
	begin := verify.Flags().StringSlice("first", nil, "number of the first record, of a region's with the region and = before it, or oldest")
	verify.RunE = func(cmd *cobra.Command, _ []string) error {
		first, err := parseFirst(*begin)
		if err != nil {
			return &exit{exitUsage, err}
		}
		cfg, err := load(e, cmd, *file)
		if err != nil {
			return err
		}
		if err := server.VerifyAudit(cfg.Data, first, e.stdout); err != nil {
			return &exit{exitFailed, err}
		}
		return nil
	}
	parent.AddCommand(verify)
	return parent
}

// parseFirst reads where a log begins: oldest, a number, or region=number.
func parseFirst(items []string) (audit.First, error) {
	first := audit.First{Of: make(map[string]int64)}
	for _, item := range items {
		if item == "oldest" {
			first.Oldest = true
			continue
		}
		region, number, named := strings.Cut(item, "=")
		if !named {
			number = item
		}
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 1 || named && region == "" {
			return first, fmt.Errorf("--first: %q is neither oldest nor a number nor region=number", item)
		}
		if named {
			first.Of[region] = n
		} else {
			first.Number = n
		}
	}
	return first, nil
}
