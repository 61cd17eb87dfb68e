package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"moraine/internal/iamclient"
)

func newPolicy(e *env) *cobra.Command {
	parent := &cobra.Command{Use: "policy", Short: "Give policies to users, and ask what policies decide", Args: cobra.NoArgs}
	parent.AddCommand(newPolicyPut(e), newPolicyGet(e), newPolicyRemove(e), newPolicyList(e), newSimulate(e))
	return parent
}

// ofUser makes a command about one inline policy of a user.
func ofUser(e *env, cmd *cobra.Command, run func(*asking, *iamclient.Client, iamclient.Policy, []string) error) *cobra.Command {
	var name string
	newAsking(e, cmd, func(a *asking, c *iamclient.Client, args []string) error {
		return run(a, c, iamclient.Policy{UserName: a.user, PolicyName: name}, args)
	}).forUser("user the policy belongs to")
	cmd.Flags().StringVar(&name, "name", "", "name of the policy")
	must(cmd.MarkFlagRequired("user"))
	must(cmd.MarkFlagRequired("name"))
	return cmd
}

// must is for flags that were defined on the line above.
func must(err error) {
	if err != nil {
		panic("cli: " + err.Error())
	}
}

func newPolicyPut(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "put --user USER --name NAME FILE", Short: "Give a user a policy from a file, or from - for standard input", Args: cobra.ExactArgs(1)}
	return ofUser(e, cmd, func(a *asking, c *iamclient.Client, p iamclient.Policy, args []string) error {
		text, err := readPolicy(args[0])
		if err != nil {
			return &exit{exitUsage, err}
		}
		p.PolicyDocument = text
		if err := c.PutPolicy(cmd.Context(), p); err != nil {
			return refused(err)
		}
		return a.say(struct{}{}, "")
	})
}

func newPolicyGet(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "get --user USER --name NAME", Short: "Print a policy of a user, byte for byte as it was put", Args: cobra.NoArgs}
	return ofUser(e, cmd, func(a *asking, c *iamclient.Client, p iamclient.Policy, _ []string) error {
		p, err := c.Policy(cmd.Context(), p.UserName, p.PolicyName)
		if err != nil {
			return refused(err)
		}
		return a.say(p, p.PolicyDocument)
	})
}

func newPolicyRemove(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "rm --user USER --name NAME", Short: "Remove a policy of a user", Args: cobra.NoArgs}
	return ofUser(e, cmd, func(a *asking, c *iamclient.Client, p iamclient.Policy, _ []string) error {
		if err := c.DeletePolicy(cmd.Context(), p.UserName, p.PolicyName); err != nil {
			return refused(err)
		}
		return a.say(struct{}{}, "")
	})
}

func newPolicyList(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "ls --user USER", Short: "List the names of the policies of a user", Args: cobra.NoArgs}
	newAsking(e, cmd, func(a *asking, c *iamclient.Client, _ []string) error {
		list, err := c.Policies(cmd.Context(), a.user)
		if err != nil {
			return refused(err)
		}
		text := ""
		if len(list) > 0 {
			text = strings.Join(list, "\n") + "\n"
		}
		return a.say(list, text)
	}).forUser("user the policies belong to")
	must(cmd.MarkFlagRequired("user"))
	return cmd
}
