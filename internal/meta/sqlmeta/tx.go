package sqlmeta

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"moraine"
	"moraine/internal/meta"
)

// tx is one transaction, used by the goroutine of its View or Update. An error
// of the engine dooms it: all that follows returns the same error, as it would
// on an engine that ends a transaction at the first error.
type tx struct {
	ses      *session
	now      func() time.Time // nil for the clock of the database
	time     time.Time        // read from it
	view     context.Context  // of a View, which it stops; nil in an Update
	failed   error            // the error that doomed it, translated
	broken   error            // why the connection must go, too
	again    error            // why all of the transaction is worth another try
	wrote    bool             // something, perhaps
	scanning bool
	over     bool
}

var _ meta.Tx = (*tx)(nil)

func (t *tx) Vaults() meta.Vaults     { return vaults{t} }
func (t *tx) Archives() meta.Archives { return archives{t} }
func (t *tx) Bodies() meta.Bodies     { return bodies{t} }
func (t *tx) Uploads() meta.Uploads   { return uploads{t} }
func (t *tx) Jobs() meta.Jobs         { return jobs{t} }
func (t *tx) Sweeps() meta.Sweeps     { return sweeps{t} }
func (t *tx) Scrub() meta.Scrub       { return scrub{t} }
func (t *tx) Leases() meta.Leases     { return leases{t} }

// Time is the clock of the process where one process at a time has the database,
// and that of the database where several do: they agree on no other.
func (t *tx) Time() (time.Time, error) {
	if t.now != nil {
		return t.now().UTC().Truncate(time.Millisecond), t.usable()
	}
	if t.time.IsZero() {
		now, err := one(t, func(row scanner, at *time.Time) error { return row.Scan((*instant)(at)) }, timeGet)
		if err != nil {
			return time.Time{}, err
		}
		t.time = now
	}
	return t.time, nil
}

func (t *tx) Accounts() meta.Accounts     { return accounts{t} }
func (t *tx) Identities() meta.Identities { return identities{t} }
func (t *tx) AccessKeys() meta.AccessKeys { return accessKeys{t} }
func (t *tx) BlobKeys() meta.BlobKeys     { return blobKeys{t} }

func (t *tx) Documents() meta.Documents { return documents{t} }
func (t *tx) Settings() meta.Settings   { return settings{t} }
func (t *tx) Outbox() meta.Outbox       { return outbox{t} }

// usable is nil if the transaction may run a statement.
func (t *tx) usable() error {
	switch {
	case t.over:
		return errors.New("transaction used after its end")
	case t.failed != nil:
		return t.failed
	case t.scanning:
		return t.doom(moraine.Errorf(moraine.Internal, "transaction used while it scans"))
	}
	return t.stopped()
}

// prepare returns the statement of a query if the transaction may run one.
func (t *tx) prepare(query string) (*sql.Stmt, error) {
	if err := t.usable(); err != nil {
		return nil, err
	}
	changes := writes[query]
	if t.ses.vaults.on && asksVaults[query] {
		if err := t.ses.writeHeld(); err != nil {
			return nil, t.doom(err)
		}
		if changes {
			t.ses.vaults.forget()
		}
	}
	t.wrote = t.wrote || changes
	st, err := t.ses.stmt(query)
	if err != nil {
		return nil, t.doom(err)
	}
	return st, nil
}

// stopped returns the error of the context of a View that has ended.
func (t *tx) stopped() error {
	if t.view == nil {
		return nil
	}
	return t.view.Err()
}

// doom notes an error of the engine and translates it. That there is no row is
// none.
func (t *tx) doom(err error) error {
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		return translate(err)
	}
	var ours *moraine.Error
	if !refused(err) && !errors.As(err, &ours) {
		t.broken = err
	}
	if t.ses.again && worthAnother(err) {
		t.again = err
	}
	t.failed = translate(err)
	return t.failed
}

// exec runs a statement that returns no rows and reports how many it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	st, err := t.prepare(query)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, t.doom(err)
	}
	n, err := res.RowsAffected()
	return n, t.doom(err)
}

// execOne is exec on a row that must be there.
func (t *tx) execOne(query string, args ...any) error {
	n, err := t.exec(query, args...)
	if err == nil && n == 0 {
		return meta.ErrNotFound
	}
	return err
}

// scanner is a row being read.
type scanner interface{ Scan(dest ...any) error }

// one reads the first row of a query with read, or returns ErrNotFound.
func one[T any](t *tx, read func(scanner, *T) error, query string, args ...any) (T, error) {
	var v T
	st, err := t.prepare(query)
	if err != nil {
		return v, err
	}
	if t.ses.dooms && !writes[query] && slices.ContainsFunc(args, noText) {
		return v, meta.ErrNotFound
	}
	if err := read(st.QueryRowContext(context.Background(), args...), &v); err != nil {
		var none T
		return none, t.doom(err)
	}
	return v, nil
}

// noText reports whether a value is a string that no column of text on PostgreSQL
// can hold, so that to ask for it is refused instead of answered. Clients may
// ask for any id.
func noText(arg any) bool {
	s, ok := arg.(string)
	return ok && (strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s))
}

// many reads all rows of a query with read. The query bounds their number.
func many[T any](t *tx, read func(scanner, *T) error, query string, args ...any) ([]T, error) {
	var list []T
	err := each(t, read, func(v *T) error {
		list = append(list, *v)
		return nil
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return list, nil
}

// each reads the rows of a query one by one and hands them to fn, whose error
// ends it. fn must not use the transaction.
func each[T any](t *tx, read func(scanner, *T) error, fn func(*T) error, query string, args ...any) error {
	st, err := t.prepare(query)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(context.Background(), args...)
	if err != nil {
		return t.doom(err)
	}
	t.scanning = true
	left := true // some of the result
	defer func() {
		t.scanning = false
		if left {
			t.cutOff()
		}
		rows.Close()
	}()
	for rows.Next() {
		if err := t.stopped(); err != nil {
			return err
		}
		var v T
		if err := read(rows, &v); err != nil {
			return t.doom(err)
		}
		if err := fn(&v); err != nil {
			return err
		}
	}
	left = false
	return t.doom(rows.Err())
}

// errCutOff is why a connection goes whose result nobody wants any more.
var errCutOff = errors.New("the rest of a result is not wanted")

// cutOff ends the connection of a View that has enough of a result, where the
// rest, which may be millions of rows, would be read before anything else. In an
// Update, which shares its connection, it is read.
func (t *tx) cutOff() {
	if t.view == nil || t.ses.hangUp == nil {
		return
	}
	if t.broken == nil {
		t.broken = errCutOff
	}
	_ = t.ses.conn.Raw(func(c any) error { //nolint:errcheck // the connection is done with
		t.ses.hangUp(c)
		return nil
	})
}

// number reads a single integer.
func number(row scanner, n *int64) error { return row.Scan(n) }
