package server

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"moraine"
	"moraine/internal/adminapi"
	"moraine/internal/adminclient"
	"moraine/internal/blob"
	"moraine/internal/blob/crypt"
	"moraine/internal/config"
	"moraine/internal/mend"
	"moraine/internal/meta"
	"moraine/internal/migrate"
	"moraine/internal/seal"
)

// Migration says from where to where a house moves.
type Migration struct {
	// From and To name the settings of the servers of both sides: a YAML file, or a
	// data directory that goes by the defaults.
	From, To     string
	AdminListen  string // of a server that is using From; "" for the one of its settings
	Rate         int64  // bytes per second that are read; 0 for no bound
	ReadBack     bool   // each copy is read again
	LeaveDamaged bool   // end although some blobs are damaged
	BytesOnly    bool   // the move does not end, though no server is using From
}

// HouseSettings reads the settings of one side of a migration. The environment
// counts for neither: it could not tell which is meant.
func HouseSettings(name string) (config.Config, error) {
	info, err := os.Stat(name)
	if err == nil && !info.IsDir() {
		return config.Load(config.Sources{File: name, House: true})
	}
	ext := filepath.Ext(name)
	if err != nil && (!errors.Is(err, fs.ErrNotExist) || ext == ".yaml" || ext == ".yml") {
		return config.Config{}, err // a misspelt file is no new directory
	}
	cfg, err := config.Load(config.Sources{})
	cfg.Data = name
	return cfg, err
}

// Migrate moves a house. If a server is using the old one, it is asked to copy
// what has not arrived; if none is, the rest is copied and the move ends, unless
// it is not to.
func Migrate(ctx context.Context, m Migration, opts Options) (adminapi.MigrateReply, error) {
	from, err := HouseSettings(m.From)
	if err != nil {
		return adminapi.MigrateReply{}, fmt.Errorf("the settings of the old house: %w", err)
	}
	if m.AdminListen != "" {
		from.Admin.Listen = m.AdminListen
	}
	// The server that is asked may have another working directory.
	if m.To, err = filepath.Abs(m.To); err != nil {
		return adminapi.MigrateReply{}, err
	}
	return operate(ctx, from, opts,
		func(c *adminclient.Client, ctx context.Context) (adminapi.MigrateReply, error) {
			return c.Migrate(ctx, adminapi.MigrateOrder{To: m.To, Rate: m.Rate, ReadBack: m.ReadBack})
		},
		func(ctx context.Context, d *data, opts Options) (reply adminapi.MigrateReply, err error) {
			// What a server of the old house wrote after its rows were taken would stay
			// behind, and nobody would notice.
			d.exclusive = !m.BytesOnly
			s, err := d.openStores(ctx, opts.Log, opts.Now, wanted(from.Storage, ""))
			if err != nil {
				return reply, err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			return m.run(ctx, &from, d, s, opts, !m.BytesOnly)
		})
}

// run copies bytes, and if the move is to end, the rest.
func (m Migration) run(ctx context.Context, from *config.Config, d *data, s *stores, opts Options, end bool) (reply adminapi.MigrateReply, err error) {
	to, err := HouseSettings(m.To)
	if err != nil {
		return reply, fmt.Errorf("the settings of the new house: %w", err)
	}
	if err := knowsMaster(from, &to, d); err != nil {
		return reply, err
	}
	there, err := Place{}.open(to.Data, to.Meta)
	if err != nil {
		return reply, fmt.Errorf("the new house: %w", err)
	}
	defer func() { err = errors.Join(err, there.Close()) }()
	there.exclusive = true
	stores, err := there.openStores(ctx, opts.Log.With("house", "new"), opts.Now, wanted(to.Storage, ""))
	if err != nil {
		return reply, fmt.Errorf("the new house: %w", err)
	}
	defer func() { err = errors.Join(err, stores.Close()) }()
	pacer := mend.NewPacer(m.Rate)
	move := migrate.New(migrate.Config{
		From: migrate.Side{Rows: s.rows, Blobs: s.copies, Name: d.dir},
		To:   migrate.Side{Rows: stores.rows, Blobs: stores.copies, Name: there.dir},
		Stored: func(i blob.Info) blob.Info {
			below, _ := crypt.Stored(i)
			return below
		},
		Place: crypt.At, Parts: stores.copies.Split, Pace: pacer.Wait, ReadBack: m.ReadBack, LeaveDamaged: m.LeaveDamaged,
		Now: opts.Now, Log: opts.Log, Progress: progress(ctx, opts.Log, opts.Now),
	})
	if err := move.Begin(ctx); err != nil {
		return reply, err
	}
	// The files come before the rows that are sealed with what is in them.
	if err := bringFiles(from, &to, d, there); err != nil {
		return reply, err
	}
	if !end {
		t, err := move.Bytes(ctx)
		return newMigrateReply(t, nil), err
	}
	t, rows, err := move.Finish(ctx)
	return newMigrateReply(t, rows), err
}

// progressEvery is how often a long copy is told of in the log.
const progressEvery = time.Minute

func progress(ctx context.Context, log *slog.Logger, now func() time.Time) func(migrate.Tally) {
	last := now()
	return func(t migrate.Tally) {
		if at := now(); at.Sub(last) >= progressEvery {
			last = at
			log.InfoContext(ctx, "bytes are moving", "blobs", t.Blobs, "copied", t.Copied, "bytes", t.Copies, "damaged", t.DamagedCount)
		}
	}
}

func newMigrateReply(t migrate.Tally, rows map[string]int64) adminapi.MigrateReply {
	r := adminapi.MigrateReply{
		Blobs: t.Blobs, Bytes: t.Bytes, Copied: t.Copied, CopiedBytes: t.Copies, Present: t.Present,
		Removed: t.Removed + t.Strays, Damaged: t.DamagedCount, Rows: rows, Done: rows != nil,
	}
	for _, d := range t.Damaged {
		r.DamagedBlobs = append(r.DamagedBlobs, fmt.Sprintf("blob %s of body %s: %v", d.Blob, d.Body, d.Err))
	}
	return r
}

// movedFiles are the files of a data directory that go along. What has another
// content in the new one is never overwritten, but for the clock, which is that
// of the rows.
var movedFiles = []string{accountFile, credentialsFile, masterKeyFile, fixityKeyFile, modeFile, clockFile}

// bringFiles copies the files that rows are of no use without.
func bringFiles(from, to *config.Config, old, there *data) error {
	for _, name := range movedFiles {
		source := old.path(name)
		if name == masterKeyFile {
			if to.MasterKeyFile != "" {
				continue // it is where the operator put it
			}
			if from.MasterKeyFile != "" {
				source = from.MasterKeyFile
			}
		}
		text, err := Place{}.readSmall(source)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		have, err := there.place.readSmall(there.path(name))
		switch {
		case err == nil && bytes.Equal(have, text):
			continue
		case err == nil && name != clockFile:
			return fmt.Errorf("%s is not that of the old house; remove it to have it replaced", there.path(name))
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
		if err := there.write(name, string(text)); err != nil {
			return err
		}
	}
	return nil
}

// knowsMaster refuses a master key file of the new house that would not open what
// the old one has sealed: that would only be seen when there is no way back.
func knowsMaster(from, to *config.Config, old *data) error {
	if to.MasterKeyFile == "" {
		return nil
	}
	path := cmp.Or(from.MasterKeyFile, old.path(masterKeyFile))
	text, err := Place{}.readSmall(path)
	if errors.Is(err, fs.ErrNotExist) && from.MasterKeyFile == "" {
		return nil // nothing was ever sealed
	}
	if err != nil {
		return fmt.Errorf("the master keys of the old house: %w", err)
	}
	mine, err := seal.Parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	text, err = Place{}.readSmall(to.MasterKeyFile)
	if err != nil {
		return fmt.Errorf("master_key_file of the new house: %w; copy %s there", err, path)
	}
	theirs, err := seal.Parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", to.MasterKeyFile, err)
	}
	const name = "a move"
	if _, err := theirs.Open(mine.Seal(nil, name), name); err != nil {
		return fmt.Errorf("the master key %s, with which the secrets of the old house are sealed, is not in %s; copy %s there", mine.Name(), to.MasterKeyFile, path)
	}
	return nil
}

// settleHouse refuses rows that are not there to be served.
func settleHouse(ctx context.Context, rows meta.Mover, dir string) error {
	h, err := rows.House(ctx)
	switch {
	case err != nil:
		return err
	case h.State == meta.Arriving:
		return fmt.Errorf("%s is being moved into from %s; end the move with `moraine migrate` first", dir, h.Other)
	case h.State == meta.Left:
		return fmt.Errorf("what was in %s moved to %s on %s; serve that, or, if that is lost, run `moraine migrate reopen` to go on from the state of that day",
			dir, h.Other, h.Since.Format(time.DateOnly))
	}
	return nil
}

// ReopenHouse has a house served again that was moved out of.
func ReopenHouse(ctx context.Context, name string, opts Options) (meta.House, error) {
	cfg, err := HouseSettings(name)
	if err != nil {
		return meta.House{}, err
	}
	return operate(ctx, cfg, opts,
		func(*adminclient.Client, context.Context) (meta.House, error) {
			return meta.House{}, fmt.Errorf("a server is serving %s already", cfg.Data)
		},
		func(ctx context.Context, d *data, opts Options) (h meta.House, err error) {
			s, err := d.openStores(ctx, opts.Log, opts.Now, wanted(cfg.Storage, ""))
			if err != nil {
				return h, err
			}
			defer func() { err = errors.Join(err, s.Close()) }()
			if h, err = s.rows.House(ctx); err != nil {
				return h, err
			}
			if h.State != meta.Left {
				return h, moraine.Errorf(moraine.Invalid, "%s was not moved out of", d.dir)
			}
			return h, s.rows.SetHouse(ctx, meta.House{State: meta.Home, Since: opts.Now(), Other: h.Other})
		})
}

// mover copies bytes to another house while this one is served.
type mover struct {
	cfg    config.Config
	opts   Options
	data   *data
	stores *stores
	busy   sync.Mutex // held while bytes are copied
}

// copyBytes copies what has not arrived, once through, for as long as ctx lets it.
func (m *mover) copyBytes(ctx context.Context, o adminapi.MigrateOrder) (adminapi.MigrateReply, error) {
	if !m.busy.TryLock() {
		return adminapi.MigrateReply{}, errors.New("bytes are being moved already")
	}
	defer m.busy.Unlock()
	m.opts.Log.InfoContext(ctx, "an operator has bytes moved", "to", o.To)
	return Migration{To: o.To, Rate: o.Rate, ReadBack: o.ReadBack}.run(ctx, &m.cfg, m.data, m.stores, m.opts, false)
}
