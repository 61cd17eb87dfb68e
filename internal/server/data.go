package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"moraine/internal/audit"
	"moraine/internal/blob/crypt"
	"moraine/internal/blob/mirror"
	"moraine/internal/blob/pack"
	"moraine/internal/blobkeys"
	"moraine/internal/config"
	"moraine/internal/disk"
	"moraine/internal/lease"
	"moraine/internal/mend"
	"moraine/internal/meta/sqlmeta"
	"moraine/internal/sha256x"
)

// Names in the data directory. Format: never change.
const (
	lockFile        = "lock"
	accountFile     = "account-id"
	credentialsFile = "credentials"
	masterKeyFile   = "master.key"
	fixityKeyFile   = "fixity.key"
	modeFile        = "mode"
	clockFile       = "clock"
	rowsFile        = "meta.db"
	databaseFile    = "database"
	packsDir        = "packs"
)

// data is a data directory that this process has to itself.
type data struct {
	dir   string // absolute
	place Place
	fsys  fileSystem
	lock  held
	rows  config.Meta // where the rows are, if not in it
	used  bool        // there were rows when it was opened
	// shared is set if rows and bytes are where other servers have them too.
	shared   bool
	moving   bool // no other process may use the rows, wherever they are
	testMode bool
}

// inUseError says that another process has the directory.
type inUseError struct{ dir, holder string }

func (e *inUseError) Error() string {
	return fmt.Sprintf("the data directory %s is in use by %s; stop that one first, or name another directory", e.dir, e.holder)
}

// openExisting opens a directory of this machine that must hold rows, or say
// where they are.
func openExisting(dir string, rows config.Meta) (*data, error) {
	return Place{}.openExisting(dir, rows)
}

// inspect refuses a directory of which a part was lost. With rows but no packs
// every archive would be damaged; with packs but no rows every archive would
// be taken for what a crash left behind, and deleted.
func (d *data) inspect() error {
	place, err := d.findRows()
	if err != nil {
		return err
	}
	packs, err := d.packs()
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look for packs: %w", err)
	case d.used && err != nil:
		if r, found, err := d.readRecord(); err != nil || found && r.stores[mirror.Second] != "" {
			return err // whether the mirror can stand in is for settleStorage to say
		}
		return fmt.Errorf("%s has %s but %s is missing; restore both from the same backup", d.dir, place, packsDir)
	case !d.used && packs:
		return fmt.Errorf("%s holds packs but %s is missing, so every archive would be taken for an orphan and deleted; restore both from the same backup", d.dir, place)
	}
	// The directory for packs is durable before there are rows, so that a crash
	// here does not look like a loss.
	return disk.MkdirAll(d.fsys, d.path(packsDir))
}

// packs reports whether there is anything in the directory for packs.
func (d *data) packs() (bool, error) {
	b, err := d.lookAt(d.path(packsDir), mirror.Primary)
	if err == nil && !b.present {
		err = fs.ErrNotExist
	}
	return b.other, err
}

func (d *data) path(name string) string { return filepath.Join(d.dir, name) }

// free is the number of bytes that may still be written.
func (d *data) free() (int64, error) {
	n, _, err := d.place.space(d.dir)
	return n, err
}

// Close gives the directory up.
func (d *data) Close() error { return d.lock.Close() }

// stores are the open adapters of a data directory.
type stores struct {
	rows    *sqlmeta.Store
	storage *storage
	copies  *mirror.Store // what is stored
	blobs   *crypt.Store  // over copies, with room reserved: what services use
	keys    *blobkeys.Service
	pacer   *mend.Pacer
	audit   *audit.Log // nil for none
	alone   bool       // no other process has the rows or the blobs
}

// lease is the lease of a piece of work that one process at a time does; nil
// where there is one only.
func (s *stores) lease(name, owner string) *lease.Lease {
	if s.alone {
		return nil
	}
	return lease.New(s.rows, name, owner)
}

// openStores opens rows, whose time is now (nil: that of the machine), then bytes.
func (d *data) openStores(ctx context.Context, log *slog.Logger, now func() time.Time, want storageWanted) (*stores, error) {
	if hash, err := sha256x.Chosen(); err != nil {
		log.WarnContext(ctx, "fast hashing failed its test and is off; is the processor sound?", "hash", hash, "err", err)
	}
	_, _, bucket := config.ParseBucket(want.blobs)
	d.shared = d.rows.On() && bucket
	if d.shared && want.mirror != "" {
		return nil, errors.New("storage.mirror is for a server that has its bytes to itself: where several share a bucket, have the store of the bucket keep copies")
	}
	rows, err := d.openRows(ctx, log, now)
	if err != nil {
		return nil, err
	}
	// The name of the rows is durable before there are packs: packs without
	// rows are refused as a loss.
	if err := d.fsys.SyncDir(d.dir); err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	st, err := d.settleStorage(ctx, rows, want, log)
	if err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	s := &stores{rows: rows, storage: st, pacer: mend.NewPacer(want.rate), alone: !d.shared}
	if s.copies, err = d.openBlobs(st, want, s.pacer, log); err != nil {
		return nil, errors.Join(err, st.Close(), rows.Close())
	}
	// Without keys it opens what is not encrypted.
	s.blobs = crypt.New(reserving{s.copies, roomIn(d), st.buckets[mirror.Primary] != nil, want.tracer}, nil)
	return s, nil
}

// openBlobs opens the directories of blobs, and joins them and the buckets.
func (d *data) openBlobs(st *storage, want storageWanted, pacer *mend.Pacer, log *slog.Logger) (*mirror.Store, error) {
	cfg := mirror.Config{Rebuilding: st.rebuilding(), Pace: pacer.Wait, Log: log}
	if want.ack == config.AckOne {
		cfg.Ack = mirror.One
	}
	if bucket := st.buckets[mirror.Primary]; bucket != nil {
		cfg.Primary = bucket
	} else {
		primary, err := pack.Open(pack.Config{Dir: d.path(packsDir), FS: d.fsys, Log: log})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w", d.path(packsDir), err), st.buckets.Close())
		}
		cfg.Primary = reservingPacks{primary, roomIn(d)}
	}
	if bucket := st.buckets[mirror.Second]; bucket != nil {
		cfg.Second = bucket
	} else if st.mirror != "" {
		second, err := pack.Open(pack.Config{Dir: st.mirror, FS: d.fsys, Log: log.With("store", mirror.Second)})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w", st.mirror, err), cfg.Primary.Close())
		}
		cfg.Second = second
	}
	return mirror.New(cfg), nil
}

// Close closes the audit log, bytes, then rows.
func (s *stores) Close() error {
	return errors.Join(closeAudit(s.audit), s.blobs.Close(), s.storage.Close(), s.rows.Close())
}
