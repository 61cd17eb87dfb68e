package sqlmeta

import (
	"database/sql"
	"errors"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"moraine"
	"moraine/internal/meta"
)

// translate gives an error of the engine its kind. Errors that have one keep
// it.
func translate(err error) error {
	if err == nil {
		return nil
	}
	var known *moraine.Error
	switch {
	case errors.As(err, &known), errors.Is(err, meta.ErrNotFound):
		return err
	case errors.Is(err, sql.ErrNoRows):
		return meta.ErrNotFound
	}
	code, ok := primaryCode(err)
	if !ok { // database/sql or the driver lost the connection
		return moraine.Wrap(err, moraine.Unavailable, "storage is unavailable")
	}
	switch code {
	case sqlite3.SQLITE_FULL:
		return moraine.Wrap(err, moraine.Unavailable, "storage is full")
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return moraine.Wrap(err, moraine.Corrupt, "the rows are damaged")
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE,
		sqlite3.SQLITE_READONLY, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE:
		return moraine.Wrap(err, moraine.Internal, "a row is refused")
	}
	return moraine.Wrap(err, moraine.Unavailable, "storage is unavailable")
}

// refused reports whether the engine only refused a statement: the connection
// and the transaction around it are whole. After any other error the engine
// may have undone the entire transaction.
func refused(err error) bool {
	code, ok := primaryCode(err)
	if !ok {
		return false
	}
	switch code {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE:
		return true
	}
	return false
}

// primaryCode is the result code of SQLite without its extension.
func primaryCode(err error) (int, bool) {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Code() & 0xff, true
}
