package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"moraine/internal/adminapi"
	"moraine/internal/config"
	"moraine/internal/server"
)

const encryptionManual = `

If a server has the data directory, it is asked at --admin-listen; if none has,
the directory is locked and its rows are read. Give the settings that the server
has: every setting of encryption can be a flag here, as of moraine serve.`

func newEncryption(e *env) *cobra.Command {
	parent := &cobra.Command{Use: "encryption", Short: "Look at the keys of encrypted archives, and change them", Args: cobra.NoArgs}
	parent.AddCommand(newEncryptionStatus(e), newEncryptionRotate(e), newEncryptionRewrap(e), newEncryptionKey(e))
	return parent
}

// encryptionFlags gives a command a flag for each setting of encryption. Help
// shows those of key files, and leaves the rest to the manual.
func encryptionFlags(f *pflag.FlagSet) {
	for _, s := range config.Settings() {
		if !strings.HasPrefix(s.Key, config.EncryptionPrefix) {
			continue
		}
		f.String(s.Flag(), s.Default, "as of moraine serve")
		f.Lookup(s.Flag()).Hidden = !strings.HasSuffix(s.Key, ".key_file")
	}
}

// encryptionVerb completes a command on the keys of a data directory.
func encryptionVerb(e *env, cmd *cobra.Command, run func(context.Context, config.Config, server.Options) (adminapi.EncryptionReply, error)) *cobra.Command {
	cmd.Long = strings.TrimSpace(cmd.Long) + encryptionManual
	cmd.Args = cobra.NoArgs
	f := cmd.Flags()
	file := f.String("config", "", "YAML file with settings")
	f.String("data", "./moraine-data", "data directory")
	f.String("admin-listen", "127.0.0.1:8081", "where the server listens for operators")
	f.String("audit-destination", "file", "file, stdout or off: where a change is recorded if no server runs")
	encryptionFlags(f)
	asJSON := f.Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load(e, cmd, *file)
		if err != nil {
			return err
		}
		reply, err := run(cmd.Context(), cfg, server.Options{Log: newLog(e, cfg.Log)})
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(e.stdout, &reply)
		}
		_, err = io.WriteString(e.stdout, describeEncryption(&reply))
		return err
	}
	return cmd
}

func newEncryptionStatus(e *env) *cobra.Command {
	return encryptionVerb(e, &cobra.Command{
		Use:   "status",
		Short: "List the keys of encrypted archives and the masters that wrap them",
		Long: `
List the keys that encrypted archives need, when each was made and by which
master it is wrapped, and say what to do. The newest key of a server that
encrypts is current: new archives are encrypted with it. No key is shown.

Exit status: 0 there is an answer, 2 there is none.`,
	}, func(ctx context.Context, cfg config.Config, opts server.Options) (adminapi.EncryptionReply, error) {
		reply, err := server.EncryptionStatus(ctx, cfg, opts)
		if err != nil {
			err = &exit{exitUsage, err}
		}
		return reply, err
	})
}

func newEncryptionRotate(e *env) *cobra.Command {
	return encryptionVerb(e, &cobra.Command{
		Use:   "rotate",
		Short: "Make a new key for new archives",
		Long: `
Make a new key, have it wrapped by the master, and encrypt archives with it from
now on. Those that are there stay as they are, under the key they have, and no
byte of them is written. The change is recorded in the audit log.

Exit status: 0 done, 1 not done.`,
	}, func(ctx context.Context, cfg config.Config, opts server.Options) (adminapi.EncryptionReply, error) {
		reply, err := server.RotateKey(ctx, cfg, opts)
		return reply, refused(err)
	})
}

func newEncryptionRewrap(e *env) *cobra.Command {
	return encryptionVerb(e, &cobra.Command{
		Use:   "rewrap",
		Short: "Have all keys wrapped again by the master of now",
		Long: `
Have every key wrapped by the master that the settings name, after it has become
another one: the first key of the key file, or another kind. The keys stay the
same, and no byte of an archive is written. The master that wrapped a key until
now must still be at hand: further down in the key file, or named by
encryption.old.*. When this is done it is of use only for backups of the
database from before. The change is recorded in the audit log.

Exit status: 0 done, 1 not done: all keys are as they were, or all as they
should be.`,
	}, func(ctx context.Context, cfg config.Config, opts server.Options) (adminapi.EncryptionReply, error) {
		reply, err := server.RewrapKeys(ctx, cfg, opts)
		return reply, refused(err)
	})
}

func newEncryptionKey(_ *env) *cobra.Command {
	return &cobra.Command{
		Use:   "new-key FILE",
		Short: "Make a key file for encryption.key_file",
		Long: strings.TrimSpace(`
Make a file with a new key for encryption.key_file, readable by its owner alone.
A file that is there is never replaced. Keep copies of it, none of them beside
the data: without it no encrypted archive can be read.

Exit status: 0 made, 1 not made.`),
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return refused(server.NewKeyFile(args[0])) },
	}
}

func describeEncryption(r *adminapi.EncryptionReply) string {
	var b strings.Builder
	fmt.Fprintf(&b, "encryption: %s\n", r.State)
	if r.Master != "" {
		fmt.Fprintf(&b, "master: %s\n", r.Master)
	}
	if r.Old != "" {
		fmt.Fprintf(&b, "old master: %s\n", r.Old)
	}
	for _, k := range r.Keys {
		fmt.Fprintf(&b, "key: %s of %s, wrapped by %s", k.ID, k.Created.Format(time.RFC3339), k.WrappedBy)
		if k.Current {
			b.WriteString(", current")
		}
		b.WriteByte('\n')
	}
	if r.Advice != "" {
		fmt.Fprintf(&b, "what to do: %s\n", r.Advice)
	}
	return b.String()
}
