package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"moraine/internal/meta/sqlmeta"
)

// databaseForm begins the file that says in which database of PostgreSQL the
// rows of a data directory are. Format: never change.
const databaseForm = "postgresql "

// findRows finds out where the rows of the directory are, and whether that is
// where the settings say: rows elsewhere would know of no archive.
func (d *data) findRows() (place string, err error) {
	id, err := d.database()
	if err != nil {
		return "", err
	}
	file, err := d.place.exists(d.path(rowsFile))
	if err != nil {
		return "", fmt.Errorf("look for rows: %w", err)
	}
	switch {
	case !d.rows.On() && id != "":
		return "", fmt.Errorf("the rows of %s are in a database of PostgreSQL; name it in meta or meta_file", d.dir)
	case d.rows.On() && file:
		return "", fmt.Errorf("%s keeps its rows in %s; leave meta and meta_file out, or begin with a new data directory", d.dir, rowsFile)
	case d.rows.On():
		d.used = id != ""
		return databaseFile, nil
	}
	d.used = file
	return rowsFile, nil
}

// database returns what tells the database with the rows from all others, "" if
// the directory names none.
func (d *data) database() (string, error) {
	text, err := d.place.readSmall(d.path(databaseFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", databaseFile, err)
	}
	id, ok := strings.CutPrefix(strings.TrimSpace(string(text)), databaseForm)
	if !ok || id == "" {
		return "", fmt.Errorf("the file %s of %s is not one of ours; restore it from a backup", databaseFile, d.dir)
	}
	return id, nil
}

// openRows opens the rows of the directory, wherever they are.
func (d *data) openRows(ctx context.Context, log *slog.Logger, now func() time.Time) (*sqlmeta.Store, error) {
	if !d.rows.On() {
		rows, err := sqlmeta.Open(ctx, sqlmeta.Config{Path: d.path(rowsFile), VFS: d.place.VFS, Log: log, Now: now})
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", d.path(rowsFile), err)
		}
		return rows, nil
	}
	address, err := d.databaseURL()
	if err != nil {
		return nil, err
	}
	if !d.testMode {
		now = nil // the time of the database, which all servers share
	}
	rows, err := sqlmeta.Open(ctx, sqlmeta.Config{
		URL: address, Views: d.rows.Readers, Log: log, Now: now,
		Alone: !d.shared, Together: d.shared && !d.moving, Moving: d.shared && d.moving,
	})
	if err != nil {
		return nil, fmt.Errorf("the database that meta or meta_file names: %w", err)
	}
	if err := d.bind(ctx, rows); err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	return rows, nil
}

// databaseURL puts the URL of the database together from its parts.
func (d *data) databaseURL() (string, error) {
	address := d.rows.URL
	if d.rows.File != "" {
		text, err := Place{}.readSmall(d.rows.File)
		if err != nil {
			return "", fmt.Errorf("meta_file: %w", err)
		}
		address = strings.TrimSpace(string(text))
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "", errors.New("meta_file does not hold the URL of a database of PostgreSQL; write it as in postgres://user:password@host:5432/moraine")
	}
	if d.rows.Password != "" {
		u.User = url.UserPassword(u.User.Username(), d.rows.Password)
	}
	return u.String(), nil
}

// bind sees to it that the directory and the database belong together. Rows that
// name the blobs of another directory would find none of them here.
func (d *data) bind(ctx context.Context, rows *sqlmeta.Store) error {
	id, err := d.database()
	switch {
	case err != nil:
		return err
	case id == rows.Database():
		return nil
	case id != "":
		return fmt.Errorf("the rows of %s are in another database than the one that meta or meta_file names; name that one", d.dir)
	}
	named, err := namesBlobs(ctx, rows)
	if err != nil {
		return err
	}
	if named && !d.shared {
		return fmt.Errorf("the database that meta or meta_file names has the rows of another data directory than %s; name an empty one, or that directory", d.dir)
	}
	// Durable before there are packs, which without it are refused as a loss. A
	// crash before leaves a database without rows that any directory may take.
	return d.write(databaseFile, databaseForm+rows.Database()+"\n")
}

// retries counts the transactions that ran again, which on SQLite none does.
func retries(rows *sqlmeta.Store) func() int64 {
	if rows.Database() == "" {
		return nil
	}
	return func() int64 { return int64(rows.Retries()) }
}
