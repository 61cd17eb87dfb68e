package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
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
	packsDir        = "packs"
)

// data is a data directory that this process has to itself.
type data struct {
	dir  string // absolute
	fsys *disk.OS
	lock *disk.FileLock
	used bool // there were rows when it was opened
}

// openData makes the directory if need be, locks it and looks whether its
// parts are all there.
func openData(dir string) (*data, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", dir, err)
	}
	d := &data{dir: abs, fsys: disk.NewOS()}
	if err := disk.MkdirAll(d.fsys, abs); err != nil {
		return nil, fmt.Errorf("the data directory cannot be made: %w", err)
	}
	d.lock, err = disk.Lock(d.path(lockFile))
	var held *disk.LockedError
	if errors.As(err, &held) {
		return nil, &inUseError{dir: abs, holder: held.Holder}
	}
	if err != nil {
		return nil, fmt.Errorf("the data directory cannot be locked: %w", err)
	}
	if err := d.inspect(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// inUseError says that another process has the directory.
type inUseError struct{ dir, holder string }

func (e *inUseError) Error() string {
	return fmt.Sprintf("the data directory %s is in use by %s; stop that one first, or name another directory", e.dir, e.holder)
}

// openExisting is openData for a directory that must hold rows.
func openExisting(dir string) (*data, error) {
	if _, err := os.Stat(filepath.Join(dir, rowsFile)); err != nil {
		return nil, fmt.Errorf("%s is not a data directory in use: %w", dir, err)
	}
	return openData(dir)
}

// inspect refuses a directory of which a part was lost. With rows but no packs
// every archive would be damaged; with packs but no rows every archive would
// be taken for what a crash left behind, and deleted.
func (d *data) inspect() error {
	_, err := os.Stat(d.path(rowsFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for rows: %w", err)
	}
	d.used = err == nil
	packs, err := d.packs()
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look for packs: %w", err)
	case d.used && err != nil:
		if r, found, err := d.readRecord(); err != nil || found && r.stores[mirror.Second] != "" {
			return err // whether the mirror can stand in is for settleStorage to say
		}
		return fmt.Errorf("%s has %s but %s is missing; restore both from the same backup", d.dir, rowsFile, packsDir)
	case !d.used && packs:
		return fmt.Errorf("%s holds packs but %s is missing, so every archive would be taken for an orphan and deleted; restore both from the same backup", d.dir, rowsFile)
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
	rows, err := sqlmeta.Open(ctx, sqlmeta.Config{Path: d.path(rowsFile), Log: log, Now: now})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", d.path(rowsFile), err)
	}
	// The name of the rows is durable before there are packs: packs without
	// rows are refused as a loss.
	if err := d.fsys.SyncDir(d.dir); err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	st, err := d.settleStorage(ctx, rows, want)
	if err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	s := &stores{rows: rows, storage: st, pacer: mend.NewPacer(want.rate), alone: true} // for the directory is locked
	if s.copies, err = d.openBlobs(st, want, s.pacer, log); err != nil {
		return nil, errors.Join(err, st.Close(), rows.Close())
	}
	// Without keys it opens what is not encrypted.
	s.blobs = crypt.New(reserving{s.copies, roomIn(d.dir)}, nil)
	return s, nil
}

// openBlobs opens the directories of blobs.
func (d *data) openBlobs(st *storage, want storageWanted, pacer *mend.Pacer, log *slog.Logger) (*mirror.Store, error) {
	primary, err := pack.Open(pack.Config{Dir: d.path(packsDir), FS: d.fsys, Log: log})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", d.path(packsDir), err)
	}
	cfg := mirror.Config{Primary: reservingPacks{primary, roomIn(d.dir)}, Rebuilding: st.rebuilding(), Pace: pacer.Wait, Log: log}
	if want.ack == config.AckOne {
		cfg.Ack = mirror.One
	}
	if st.mirror != "" {
		second, err := pack.Open(pack.Config{Dir: st.mirror, FS: d.fsys, Log: log.With("store", mirror.Second)})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w", st.mirror, err), primary.Close())
		}
		cfg.Second = second
	}
	return mirror.New(cfg), nil
}

// Close closes the audit log, bytes, then rows.
func (s *stores) Close() error {
	return errors.Join(closeAudit(s.audit), s.blobs.Close(), s.storage.Close(), s.rows.Close())
}
