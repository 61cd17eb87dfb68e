package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"moraine/internal/iamclient"
)

func newRole(e *env) *cobra.Command {
	parent := &cobra.Command{Use: "role", Short: "End the sessions of roles", Args: cobra.NoArgs}
	parent.AddCommand(newRevokeSessions(e))
	return parent
}

func newRevokeSessions(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "revoke-sessions NAME", Short: "End all sessions of a role that have begun; new ones may begin", Args: cobra.ExactArgs(1)}
	newAsking(e, cmd, func(a *asking, c *iamclient.Client, args []string) error {
		before, err := c.RevokeSessions(cmd.Context(), args[0])
		if err != nil {
			return refused(err)
		}
		return a.say(struct{ RevokeBefore string }{before}, fmt.Sprintf("Sessions of %s that began before %s are over.\n", args[0], before))
	})
	return cmd
}
