package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"moraine"
	"moraine/internal/server"
)

func newAccount(e *env) *cobra.Command {
	parent := &cobra.Command{Use: "account", Short: "Make accounts", Args: cobra.NoArgs}
	var id string
	create := &cobra.Command{
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
	file := create.Flags().String("config", "", "YAML file with settings, for data and master_key_file")
	create.Flags().String("data", "./moraine-data", "data directory")
	create.Flags().String("master-key-file", "", "file with the master keys")
	create.Flags().StringVar(&id, "id", "", "twelve digits; without it an id is drawn")
	create.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load(e, cmd, *file)
		if err != nil {
			return err
		}
		o := server.Offline{Data: cfg.Data, MasterKey: cfg.MasterKeyFile, Log: newLog(e, cfg.Log)}
		root, err := o.CreateAccount(cmd.Context(), moraine.AccountID(id))
		if err != nil {
			return &exit{exitFailed, err}
		}
		_, err = fmt.Fprintf(e.stdout, "# The root of account %s. Keep this: it is not shown again.\n[moraine-%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n",
			root.Account, root.Account, root.KeyID, string(root.Secret))
		return err
	}
	parent.AddCommand(create)
	return parent
}
