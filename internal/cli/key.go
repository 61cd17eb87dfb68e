package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"moraine/internal/iamclient"
)

const keyOwner = "user the key belongs to; without it, whoever asks"

func newKey(e *env) *cobra.Command {
	parent := &cobra.Command{Use: "key", Short: "Make, list, stop and remove access keys", Args: cobra.NoArgs}
	parent.AddCommand(
		newKeyCreate(e), newKeyList(e),
		newKeyChange(e, "deactivate KEYID", "Stop a key from working, from the next request on", func(a *asking, c *iamclient.Client, keyID string) error {
			return c.SetKeyActive(a.cmd.Context(), a.user, keyID, false)
		}),
		newKeyChange(e, "activate KEYID", "Let a key work again", func(a *asking, c *iamclient.Client, keyID string) error {
			return c.SetKeyActive(a.cmd.Context(), a.user, keyID, true)
		}),
		newKeyChange(e, "rm KEYID", "Remove a key", func(a *asking, c *iamclient.Client, keyID string) error {
			return c.DeleteKey(a.cmd.Context(), a.user, keyID)
		}),
	)
	return parent
}

func newKeyCreate(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "create", Short: "Make an access key and print it, this once, as a profile", Args: cobra.NoArgs}
	newAsking(e, cmd, func(a *asking, c *iamclient.Client, _ []string) error {
		k, err := c.CreateKey(cmd.Context(), a.user)
		if err != nil {
			return refused(err)
		}
		owner, profile := "root", "moraine"
		if k.UserName != "" {
			owner, profile = "user "+k.UserName, "moraine-"+k.UserName
		}
		return a.say(k, fmt.Sprintf("# A key of %s. Keep this: it is not shown again.\n[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n",
			owner, profile, k.AccessKeyId, k.SecretAccessKey))
	}).forUser(keyOwner)
	return cmd
}

func newKeyList(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Short: "List access keys, without their secrets", Args: cobra.NoArgs}
	newAsking(e, cmd, func(a *asking, c *iamclient.Client, _ []string) error {
		list, err := c.Keys(cmd.Context(), a.user)
		if err != nil {
			return refused(err)
		}
		var text strings.Builder
		for _, k := range list {
			fmt.Fprintf(&text, "%s %s %s\n", k.AccessKeyId, k.Status, k.CreateDate)
		}
		return a.say(list, text.String())
	}).forUser(keyOwner)
	return cmd
}

func newKeyChange(e *env, use, short string, do func(*asking, *iamclient.Client, string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1)}
	newAsking(e, cmd, func(a *asking, c *iamclient.Client, args []string) error {
		if err := do(a, c, args[0]); err != nil {
			return refused(err)
		}
		return a.say(struct{}{}, "")
	}).forUser(keyOwner)
	return cmd
}
