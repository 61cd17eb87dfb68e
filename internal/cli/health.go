package cli

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"moraine/internal/server"
)

// healthMax bounds one look: a probe is asked every few seconds.
const healthMax = 10 * time.Second

func newHealth(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Say whether the running server is ready for requests",
		Long: strings.TrimSpace(`
Ask the admin listener of a running server whether requests may be sent to it,
and print what it says: one line for each thing that must be so. With --live ask
only whether the process is alive.

It is for the health checks of containers, which bring no other program along.

Exit status: 0 yes, 1 no or no answer, 2 wrong arguments.`),
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	file := f.String("config", "", "YAML file with settings")
	f.String("admin-listen", "127.0.0.1:8081", "where the server listens for operators")
	live := f.Bool("live", false, "ask only whether the process is alive")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load(e, cmd, *file)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), healthMax)
		defer cancel()
		yes, text, err := server.Health(ctx, cfg, *live)
		if err != nil {
			return &exit{exitFailed, err}
		}
		if _, err := io.WriteString(e.stdout, text); err != nil {
			return err
		}
		if !yes {
			return &exit{exitFailed, nil}
		}
		return nil
	}
	return cmd
}
