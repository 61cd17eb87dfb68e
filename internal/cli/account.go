package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"moraine"
	"moraine/internal/account"
	"moraine/internal/server"
)

func newAccount(e *env) *cobra.Command {
	parent := &cobra.Command{Use: "account", Short: "Make accounts, and replace their root keys", Args: cobra.NoArgs}
	parent.AddCommand(newAccountCreate(e), newResetRoot(e))
	return parent
}

func newAccountCreate(e *env) *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make an account with a root key, and print the key once",
		Long: strings.TrimSpace(`
Make an account in a data directory that no server is using, and a root key for
it. The key is printed as a profile of an AWS shared credentials file and shown
this once: the data directory keeps the secret sealed.

Users, groups, roles and policies are made with that key and any client of IAM:

  aws iam create-user --user-name alice --endpoint-url URL`),
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&id, "id", "", "twelve digits; without it an id is drawn")
	printsRoot(e, cmd, func(ctx context.Context, o server.Offline, _ []string) (account.Root, error) {
		return o.CreateAccount(ctx, moraine.AccountID(id))
	})
	return cmd
}

func newResetRoot(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset-root ACCOUNT",
		Short: "Replace the root keys of an account with a new one, and print it once",
		Long: strings.TrimSpace(`
Replace the root keys of an account that "moraine account create" made, in a data
directory that no server is using: when they are lost, or in wrong hands. The
keys it has stop working, and so do the sessions they began.

The first account of a data directory has its root key elsewhere: remove the
file credentials and start the server, or change the variables that give it.`),
		Args: cobra.ExactArgs(1),
	}
	printsRoot(e, cmd, func(ctx context.Context, o server.Offline, args []string) (account.Root, error) {
		return o.ResetRoot(ctx, moraine.AccountID(args[0]))
	})
	return cmd
}

// printsRoot makes cmd print a root key that do returns.
func printsRoot(e *env, cmd *cobra.Command, do func(context.Context, server.Offline, []string) (account.Root, error)) {
	file := cmd.Flags().String("config", "", "YAML file with settings, for data and master_key_file")
	cmd.Flags().String("data", "./moraine-data", "data directory")
	cmd.Flags().String("master-key-file", "", "file with the master keys")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := load(e, cmd, *file)
		if err != nil {
			return err
		}
		root, err := do(cmd.Context(), server.Offline{Data: cfg.Data, Meta: cfg.Meta, MasterKey: cfg.MasterKeyFile, Log: newLog(e, cfg.Log)}, args)
		if err != nil {
			return &exit{exitFailed, err}
		}
		_, err = fmt.Fprintf(e.stdout, "# The root of account %s. Keep this: it is not shown again.\n[moraine-%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n",
			root.Account, root.Account, root.KeyID, string(root.Secret))
		return err
	}
}
