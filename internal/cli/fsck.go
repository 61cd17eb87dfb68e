package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"moraine/internal/server"
)

func newFsck(e *env) *cobra.Command {
	f := server.Fsck{Out: e.stdout}
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Check a data directory: read every byte that a row names",
		Long: strings.TrimSpace(`
Check a data directory that no server is using. The rows are examined, the
records in the packs are gone through, and every byte of every archive, upload
and inventory is read and compared with its digests.

Encrypted blobs are checked as they are stored and once more as what they decrypt
to, for which the settings of encryption must be those of the server; each can be
a flag here, as of moraine serve. With --without-keys only what is stored is
checked, which finds damage of a disk and nothing else.

Blobs that nothing names are counted and are no damage: a crash leaves them, and
the server removes them. So are those of deleted archives that wait for it.

With --rebuild-index, a reference in the rows that leads nowhere is corrected if
the packs hold the blob elsewhere. Nothing else is changed.

With storage.mirror both copies are checked. A copy that is missing or damaged is
reported; the bytes are there as long as one is whole, and a running server makes
the other anew. The damaged copy that it replaced is kept for a day, for those who
read it; it is counted and is no damage.

Exit status: 0 all is well, 1 something is lost or damaged, 2 the check could
not be finished.`),
		Args: cobra.NoArgs,
	}
	file := directories(cmd)
	encryptionFlags(cmd.Flags())
	cmd.Flags().BoolVar(&f.WithoutKeys, "without-keys", false, "check encrypted blobs only as they are stored")
	cmd.Flags().BoolVar(&f.Rebuild, "rebuild-index", false, "correct references that lead nowhere")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := load(e, cmd, *file)
		if err != nil {
			return err
		}
		f.Blobs, f.Bucket = cfg.Storage.Blobs, cfg.Storage.Bucket
		f.Meta = cfg.Meta
		f.Data, f.Mirror, f.Encryption, f.Log = cfg.Data, cfg.Storage.Mirror, cfg.Encryption, newLog(e, cfg.Log)
		res, err := f.Run(cmd.Context())
		if err != nil {
			return &exit{exitUsage, fmt.Errorf("the check could not be finished: %w", err)}
		}
		fmt.Fprintf(e.stdout, "blobs whole: %d (%d bytes)\nplaces damaged: %d\n", res.Blobs, res.Bytes, res.Places)
		if res.Garbage > 0 {
			fmt.Fprintf(e.stdout, "deleted and not yet removed: %d (%d bytes)\n", res.Garbage, res.GarbageBytes)
		}
		fmt.Fprintf(e.stdout, "orphans: %d (%d bytes)\nreferences mended: %d\n", res.Orphans, res.OrphanBytes, res.Mended)
		fmt.Fprintf(e.stdout, "extents present: %d\nextents missing: %d\nextents damaged: %d\n", res.Extents, res.Missing, res.Damaged)
		fmt.Fprintf(e.stdout, "archives complete: %d\narchives incomplete: %d\n", res.Archives, res.Incomplete)
		if res.Decrypted > 0 {
			fmt.Fprintf(e.stdout, "blobs decrypted: %d\n", res.Decrypted)
		}
		if res.Encrypted > 0 {
			fmt.Fprintf(e.stdout, "extents not decrypted: %d, of which only the stored bytes were checked\n", res.Encrypted)
		}
		if res.Unread > 0 {
			fmt.Fprintf(e.stdout, "blobs not read, in a cold class: %d\n", res.Unread)
		}
		if res.Mirrored {
			fmt.Fprintf(e.stdout, "copies missing: %d\ncopies damaged: %d\ncopies surplus: %d (%d bytes)\n",
				res.CopiesMissing, res.CopiesDamaged, res.Surplus, res.SurplusBytes)
		}
		if res.Superseded > 0 {
			fmt.Fprintf(e.stdout, "copies damaged and replaced: %d\n", res.Superseded)
		}
		if res.Missing+res.Damaged+res.Incomplete == 0 && res.Places+res.CopiesDamaged > 0 {
			return &exit{exitFailed, errors.New("something is damaged, see above, but nothing is lost: it belongs to no archive, or there is a good copy")}
		}
		if !res.Clean() {
			return &exit{exitFailed, errors.New("something is lost or damaged, see above; restore it from a backup")}
		}
		return nil
	}
	return cmd
}
