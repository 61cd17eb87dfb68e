package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"moraine/internal/iamclient"
)

func newUser(e *env) *cobra.Command {
	parent := &cobra.Command{Use: "user", Short: "Make, list and remove users of an account", Args: cobra.NoArgs}
	parent.AddCommand(newUserCreate(e), newUserList(e), newUserRemove(e))
	return parent
}

func newUserCreate(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "create NAME", Short: "Make a user", Args: cobra.ExactArgs(1)}
	path := cmd.Flags().String("path", "", "path of the user, as in /ops/")
	newAsking(e, cmd, func(a *asking, c *iamclient.Client, args []string) error {
		u, err := c.CreateUser(cmd.Context(), args[0], *path)
		if err != nil {
			return refused(err)
		}
		return a.say(u, u.Arn+"\n")
	})
	return cmd
}

func newUserList(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Short: "List the users, with the time each was made", Args: cobra.NoArgs}
	newAsking(e, cmd, func(a *asking, c *iamclient.Client, _ []string) error {
		list, err := c.Users(cmd.Context())
		if err != nil {
			return refused(err)
		}
		var text strings.Builder
		for _, u := range list {
			fmt.Fprintf(&text, "%s %s %s\n", u.UserName, u.CreateDate, u.Arn)
		}
		return a.say(list, text.String())
	})
	return cmd
}

func newUserRemove(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "rm NAME", Short: "Remove a user that has no keys, policies or groups left", Args: cobra.ExactArgs(1)}
	newAsking(e, cmd, func(a *asking, c *iamclient.Client, args []string) error {
		if err := c.DeleteUser(cmd.Context(), args[0]); err != nil {
			return refused(err)
		}
		return a.say(struct{}{}, "")
	})
	return cmd
}
