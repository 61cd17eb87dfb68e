package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"moraine/internal/adminapi"
	"moraine/internal/config"
	"moraine/internal/server"
)

// Names that follow that of a report.
const (
	lineSuffix      = ".sha512"
	signatureSuffix = ".sha512.sig"
)

// signedMax bounds what is read of a line, a signature or a key.
const signedMax = 64 << 10

func newFixity(e *env) *cobra.Command {
	parent := &cobra.Command{Use: "fixity", Short: "Make and check reports that prove what was stored and when it was last read", Args: cobra.NoArgs}
	parent.AddCommand(newFixityKey(e), newFixityReport(e), newFixityVerify(e))
	return parent
}

func newFixityKey(e *env) *cobra.Command {
	return operating(e, &cobra.Command{
		Use:   "key",
		Short: "Print the public key that reports are signed for",
		Long: `
Print the public key that reports are signed for, in PEM form. The private key is
made at its first use and kept in the data directory as fixity.key. Hand the public
key to auditors by a way they trust.`,
		Args: cobra.NoArgs,
	}, func(ctx context.Context, cfg config.Config, opts server.Options, _ []string) error {
		text, err := server.FixityKey(ctx, cfg, opts)
		if err == nil {
			_, err = e.stdout.Write(text)
		}
		return refused(err)
	})
}

func newFixityReport(e *env) *cobra.Command {
	var q adminapi.ReportQuery
	cmd := &cobra.Command{
		Use:   "report --vault VAULT FILE",
		Short: "Write a signed report on the archives of a vault",
		Long: `
Write a report on every archive of a vault to FILE: id, size, tree hash, when it was
made, when every byte of it was last read and compared, and with what result. All
of it is of one instant. FILE.sha512 gets its checksum, and FILE.sha512.sig the
Ed25519 signature of that. Files that exist are not replaced.`,
		Args: cobra.ExactArgs(1),
	}
	operating(e, cmd, func(ctx context.Context, cfg config.Config, opts server.Options, args []string) error {
		q.Name = filepath.Base(args[0])
		return refused(writeReport(args[0], func(w io.Writer) (server.Report, error) {
			return server.FixityReport(ctx, cfg, opts, q, w)
		}))
	})
	cmd.Flags().StringVar(&q.Vault, "vault", "", "name of the vault")
	cmd.Flags().StringVar(&q.Account, "account", "", "account of the vault; without it, that of the data directory")
	cmd.Flags().StringVar(&q.Region, "region", "", "region of the vault; without it, the default one of the server")
	cmd.Flags().StringVar(&q.Format, "format", "json", "json or csv")
	if err := cmd.MarkFlagRequired("vault"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// writeReport writes the three files of a report, or none.
func writeReport(name string, report func(io.Writer) (server.Report, error)) (err error) {
	var made []string
	defer func() {
		if err == nil {
			return
		}
		for _, name := range made {
			err = errors.Join(err, os.Remove(name))
		}
	}()
	put := func(name string, write func(io.Writer) error) error {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		made = append(made, name)
		return errors.Join(write(f), f.Close())
	}
	text := func(s []byte) func(io.Writer) error {
		return func(w io.Writer) error {
			_, err := w.Write(s)
			return err
		}
	}
	var r server.Report
	err = put(name, func(w io.Writer) (err error) {
		r, err = report(w)
		return err
	})
	if err != nil {
		return err
	}
	if err := put(name+lineSuffix, text([]byte(r.Line))); err != nil {
		return err
	}
	return put(name+signatureSuffix, text(r.Signature))
}

func newFixityVerify(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify --key PUBLICKEY FILE",
		Short: "Check that a report is as it was signed",
		Long: strings.TrimSpace(`
Check that the report FILE has the checksum in FILE.sha512, and that FILE.sha512.sig
is the signature of that by the key whose public part is in the file PUBLICKEY. It
needs neither a server nor a data directory.

Exit status: 0 nothing was changed, 1 something was, or a file cannot be read.`),
		Args: cobra.ExactArgs(1),
	}
	key := cmd.Flags().String("key", "", "file with the public key, as moraine fixity key prints it")
	if err := cmd.MarkFlagRequired("key"); err != nil {
		panic(err) // the flag is defined above
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if err := verifyReport(args[0], *key); err != nil {
			return refused(err)
		}
		_, err := fmt.Fprintf(e.stdout, "%s: as it was signed\n", args[0])
		return refused(err)
	}
	return cmd
}

func verifyReport(name, keyFile string) (err error) {
	key, err := readSigned(keyFile)
	if err != nil {
		return err
	}
	line, err := readSigned(name + lineSuffix)
	if err != nil {
		return err
	}
	signature, err := readSigned(name + signatureSuffix)
	if err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := server.VerifyFixity(f, string(line), signature, key); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func readSigned(name string) (text []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, signedMax))
}
