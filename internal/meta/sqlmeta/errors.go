package sqlmeta

import (
	"database/sql"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"moraine"
	"moraine/internal/meta"
)

// fault is what an error of an engine comes to.
type fault int

const (
	faultAway     fault = iota // the connection is lost, or in a state nobody is sure of
	faultRefused               // a statement is refused; connection and transaction are whole, or can be undone
	faultConflict              // the transaction lost a race with another, which may be run again
	faultSlow                  // a statement took too long; as with a refused one the rest is whole
	faultFull                  // no room
	faultCorrupt               // damaged rows
	faultMisuse                // what no caller should have asked; the connection goes
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
	switch faultOf(err) {
	case faultFull:
		return moraine.Wrap(err, moraine.Unavailable, "storage is full")
	case faultCorrupt:
		return moraine.Wrap(err, moraine.Corrupt, "the rows are damaged")
	case faultRefused, faultMisuse:
		return moraine.Wrap(err, moraine.Internal, "a row is refused")
	case faultAway, faultConflict, faultSlow:
	}
	return moraine.Wrap(err, moraine.Unavailable, "storage is unavailable")
}

// refused reports whether the engine only refused a statement: the connection
// is whole, and the transaction around it is or can be undone. After any other
// error the engine may have undone the entire transaction.
func refused(err error) bool {
	switch faultOf(err) {
	case faultRefused, faultConflict, faultSlow:
		return true
	case faultAway, faultFull, faultCorrupt, faultMisuse:
	}
	return false
}

// worthAnother reports whether a transaction that met the error, and committed
// nothing, may do better if it runs again.
func worthAnother(err error) bool {
	switch faultOf(err) {
	case faultConflict, faultAway:
		return true
	case faultRefused, faultSlow, faultFull, faultCorrupt, faultMisuse:
	}
	return false
}

// faultOf tells what an error of either engine comes to. What has no code is
// from database/sql or a driver that lost its connection.
func faultOf(err error) fault {
	if code, ok := primaryCode(err); ok {
		return sqliteFault(code)
	}
	if lostConnection(err) {
		return faultAway
	}
	var e *pgconn.PgError
	errors.As(err, &e)
	return postgresFault(e.Code)
}

func sqliteFault(code int) fault {
	switch code {
	case sqlite3.SQLITE_FULL:
		return faultFull
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return faultCorrupt
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE:
		return faultRefused
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISUSE:
		return faultMisuse
	}
	return faultAway
}

// postgresFault goes by the code of the error, whose first two characters are
// its class.
func postgresFault(code string) fault {
	switch code {
	case "40001", "40P01", "55P03": // serialization failure, deadlock, lock not available in time
		return faultConflict
	case "57014": // statement_timeout
		return faultSlow
	case "53100": // disk full
		return faultFull
	}
	switch {
	case code == "XX001", code == "XX002": // data corrupted, index corrupted
		return faultCorrupt
	case strings.HasPrefix(code, "22"), strings.HasPrefix(code, "23"): // data exception, integrity constraint
		return faultRefused
	case strings.HasPrefix(code, "25"), strings.HasPrefix(code, "42"), code == "0A000": // transaction state, syntax and rights, not supported
		return faultMisuse
	}
	return faultAway
}

// primaryCode is the result code of SQLite without its extension.
func primaryCode(err error) (int, bool) {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0, false
	}
	return e.Code() & 0xff, true
}
