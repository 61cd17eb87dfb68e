package sqlmeta

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"moraine"
	"moraine/internal/meta"
)

const (
	houseGet  = `SELECT state, since_ms, other FROM house WHERE house_id = 1`
	houseSave = `INSERT INTO house (house_id, state, since_ms, other) VALUES (1, $1, $2, $3)
ON CONFLICT (house_id) DO UPDATE SET state = excluded.state, since_ms = excluded.since_ms, other = excluded.other`

	arrivalSave = `INSERT INTO arrivals (blob_id, ref, size) VALUES ($1, $2, $3)
ON CONFLICT (blob_id) DO UPDATE SET ref = excluded.ref, size = excluded.size`
	arrivalList = `SELECT blob_id, ref, size FROM arrivals WHERE blob_id > $1 ORDER BY blob_id LIMIT $2`
	arrivalDrop = `DELETE FROM arrivals WHERE blob_id = $1`
)

var _ meta.Mover = (*Store)(nil)

// House implements meta.Mover.
func (s *Store) House(ctx context.Context) (meta.House, error) {
	h := meta.House{State: meta.Home}
	err := s.View(ctx, func(mtx meta.Tx) error {
		found, err := one(mtx.(*tx), func(row scanner, h *meta.House) error {
			return row.Scan((*string)(&h.State), (*instant)(&h.Since), &h.Other)
		}, houseGet)
		if err == nil {
			h = found
		}
		if errors.Is(err, meta.ErrNotFound) {
			return nil
		}
		return err
	})
	return h, err
}

// SetHouse implements meta.Mover.
func (s *Store) SetHouse(ctx context.Context, h meta.House) error {
	return s.Update(ctx, func(mtx meta.Tx) error {
		_, err := mtx.(*tx).exec(houseSave, string(h.State), millis(h.Since), h.Other)
		if err != nil || h.State != meta.Home {
			return err
		}
		return mtx.(*tx).raw(s.clearing(arrivalsTable)) // rows say now what is there
	})
}

// Arrived implements meta.Mover.
func (s *Store) Arrived(ctx context.Context, blobs []moraine.Garbage, gone []moraine.BlobID) error {
	return s.Update(ctx, func(mtx meta.Tx) error {
		t := mtx.(*tx)
		for _, b := range blobs {
			if _, err := t.exec(arrivalSave, b.Blob[:], string(b.Ref), b.Size); err != nil {
				return err
			}
		}
		for _, id := range gone {
			if _, err := t.exec(arrivalDrop, id[:]); err != nil {
				return err
			}
		}
		return nil
	})
}

// Arrivals implements meta.Mover.
func (s *Store) Arrivals(ctx context.Context, after moraine.BlobID, limit int) (list []moraine.Garbage, err error) {
	err = s.View(ctx, func(mtx meta.Tx) error {
		list, err = many(mtx.(*tx), readBlob, arrivalList, after[:], limit)
		return err
	})
	return list, err
}

// arrivalsMax bounds the blobs that are asked for together.
const arrivalsMax = 256

// arrivalsOf has a place for each, so that it is one statement for any number.
var arrivalsOf = func() string {
	places := make([]string, arrivalsMax)
	for i := range places {
		places[i] = fmt.Sprintf("$%d", i+1)
	}
	return `SELECT blob_id, ref, size FROM arrivals WHERE blob_id IN (` + strings.Join(places, ", ") + `)`
}()

// ArrivalsOf implements meta.Mover.
func (s *Store) ArrivalsOf(ctx context.Context, blobs []moraine.BlobID) (list []moraine.Garbage, err error) {
	if len(blobs) > arrivalsMax {
		return nil, moraine.Errorf(moraine.Internal, "%d arrivals are asked for together", len(blobs))
	}
	args := make([]any, arrivalsMax)
	for i := range args {
		args[i] = []byte{} // no blob
	}
	for i := range blobs {
		args[i] = blobs[i][:]
	}
	err = s.View(ctx, func(mtx meta.Tx) error {
		list, err = many(mtx.(*tx), readBlob, arrivalsOf, args...)
		return err
	})
	return list, err
}

// moved lists the tables whose rows go along to another store as they are. A
// test holds it against the schema.
var moved = [...]string{
	"vaults", "dead_vaults", "archives", "condemned", "uploads", "jobs",
	"vault_tags", "access_policies", "vault_locks", "retrieval_policies", "capacity_units", "vault_notifications", "outbox",
	"accounts", "identities", "access_keys", "blob_keys", "scrub",
}

// extents go along with other references, and garbage stays behind: its bytes
// do.
const (
	movedExtents  = "extents"
	leftGarbage   = "garbage"
	arrivalsTable = "arrivals"
)

// Bounds of what one transaction of a move writes.
const (
	moveRows = 1000
	moveArgs = 30_000 // SQLite takes 32,766 and PostgreSQL 65,535
)

// Empty implements meta.Mover.
func (s *Store) Empty(ctx context.Context) (bool, error) {
	for _, table := range append(moved[:], movedExtents, leftGarbage) {
		n, err := s.countRows(ctx, table)
		if err != nil || n > 0 {
			return false, err
		}
	}
	return true, nil
}

// TakeRows implements meta.Mover. It is many transactions, so that none of them
// is large: between the first and the last the rows are not all there, which the
// state of the house tells.
func (s *Store) TakeRows(ctx context.Context, source meta.Mover, now time.Time, absent func(moraine.Extent) (fault string, ok bool)) (map[string]int64, error) {
	from, ok := source.(*Store)
	if !ok {
		return nil, moraine.Errorf(moraine.Internal, "rows of a %T cannot be taken", source)
	}
	for _, table := range append(moved[:], movedExtents, leftGarbage) {
		if err := s.clear(ctx, table); err != nil {
			return nil, err
		}
	}
	counts := make(map[string]int64)
	for _, table := range moved {
		n, err := s.takeTable(ctx, from, table)
		if err != nil {
			return nil, fmt.Errorf("rows of %s: %w", table, err)
		}
		counts[table] = n
	}
	n, err := s.takeExtents(ctx, from, now, absent)
	if err != nil {
		return nil, fmt.Errorf("rows of %s: %w", movedExtents, err)
	}
	counts[movedExtents] = n
	for table, want := range counts {
		got, err := s.countRows(ctx, table)
		if err != nil {
			return nil, err
		}
		if got != want {
			return nil, moraine.Errorf(moraine.Internal, "%d rows of %s were written and %d are there", want, table, got)
		}
	}
	return counts, nil
}

// clear removes all rows of a table.
func (s *Store) clear(ctx context.Context, table string) error {
	return s.Update(ctx, func(mtx meta.Tx) error { return mtx.(*tx).raw(s.clearing(table)) })
}

// clearing is the statement that removes all rows of a table. On both engines it
// takes about as long for many rows as for few, which on PostgreSQL, where
// statements have a limit, a DELETE does not.
func (s *Store) clearing(table string) string {
	if s.id == "" {
		return "DELETE FROM " + table
	}
	return "TRUNCATE " + table
}

func (s *Store) countRows(ctx context.Context, table string) (n int64, err error) {
	err = s.View(ctx, func(mtx meta.Tx) error {
		return translate(mtx.(*tx).ses.conn.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n))
	})
	return n, err
}

// raw runs a statement of its own, which is not prepared.
func (t *tx) raw(statement string, args ...any) error {
	if err := t.usable(); err != nil {
		return err
	}
	t.wrote = true
	if err := t.ses.writeHeld(); err != nil {
		return t.doom(err)
	}
	t.ses.vaults.forget()
	_, err := t.ses.conn.ExecContext(context.Background(), statement, args...)
	return t.doom(err)
}

// takeTable copies a table row by row, in one snapshot of from.
func (s *Store) takeTable(ctx context.Context, from *Store, table string) (n int64, err error) {
	err = from.View(ctx, func(mtx meta.Tx) (err error) {
		n = 0
		rows, err := mtx.(*tx).ses.conn.QueryContext(ctx, "SELECT * FROM "+table)
		if err != nil {
			return translate(err)
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		columns, err := rows.Columns()
		if err != nil {
			return translate(err)
		}
		in := newInsert(s, table, columns)
		for rows.Next() {
			row := make([]any, len(columns))
			to := make([]any, len(columns))
			for i := range row {
				to[i] = &row[i]
			}
			if err := rows.Scan(to...); err != nil {
				return translate(err)
			}
			if err := in.add(ctx, row); err != nil {
				return err
			}
			n++
		}
		return errors.Join(translate(rows.Err()), in.flush(ctx))
	})
	return n, err
}

// insert gathers rows and writes them many at a time.
type insert struct {
	to      *Store
	head    string
	columns int
	most    int // rows
	rows    [][]any
}

func newInsert(to *Store, table string, columns []string) *insert {
	return &insert{
		to: to, head: "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES ",
		columns: len(columns), most: min(moveRows, moveArgs/len(columns)),
	}
}

func (in *insert) add(ctx context.Context, row []any) error {
	in.rows = append(in.rows, row)
	if len(in.rows) < in.most {
		return nil
	}
	return in.flush(ctx)
}

func (in *insert) flush(ctx context.Context) error {
	if len(in.rows) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString(in.head)
	args := make([]any, 0, len(in.rows)*in.columns)
	for i, row := range in.rows {
		if i > 0 {
			b.WriteByte(',')
		}
		for j := range row {
			b.WriteByte("(,"[min(j, 1)])
			fmt.Fprintf(&b, "$%d", len(args)+j+1)
		}
		b.WriteByte(')')
		args = append(args, row...)
	}
	in.rows = in.rows[:0]
	return in.to.Update(ctx, func(mtx meta.Tx) error { return mtx.(*tx).raw(b.String(), args...) })
}

var extentNames = []string{"body_id", "first_byte", "size", "blob_id", "ref", "tree_hash", "verified_ms", "fault"}

// takeExtents copies extents in order of blob, beside the arrivals.
func (s *Store) takeExtents(ctx context.Context, from *Store, now time.Time, absent func(moraine.Extent) (string, bool)) (n int64, err error) {
	arrived := &arrivals{store: s}
	in := newInsert(s, movedExtents, extentNames)
	lost := newInsert(s, leftGarbage, []string{"blob_id", "ref", "size", "since_ms"})
	drop := func(g moraine.Garbage) error {
		return lost.add(ctx, []any{append([]byte(nil), g.Blob[:]...), string(g.Ref), g.Size, now.UnixMilli()})
	}
	for after := (moraine.BlobID{}); ; {
		var page []meta.Placed
		err := from.View(ctx, func(mtx meta.Tx) (err error) {
			page, err = many(mtx.(*tx), readPlaced, extentMoved, after[:], moveRows)
			return err
		})
		if err != nil {
			return n, err
		}
		for _, p := range page {
			ref, ok, err := arrived.find(ctx, p.Blob, drop)
			if err != nil {
				return n, err
			}
			if !ok {
				if p.Fault, ok = absent(p.Extent); !ok {
					return n, moraine.Errorf(moraine.NotFound, "the bytes of blob %s have not come", p.Blob)
				}
			}
			fault := any(p.Fault)
			if p.Fault == "" {
				fault = nil
			}
			blob := p.Blob
			hash := p.TreeHash
			if err := in.add(ctx, []any{string(p.Body), p.First, p.Size, blob[:], string(ref), hash[:], millis(p.Verified), fault}); err != nil {
				return n, err
			}
			n++
		}
		if len(page) < moveRows {
			break
		}
		after = page[len(page)-1].Blob
	}
	return n, errors.Join(arrived.rest(ctx, drop), in.flush(ctx), lost.flush(ctx))
}

// extentMoved reads extents with their bodies in order of blob.
const extentMoved = `SELECT ` + extentColumns + `, body_id FROM extents WHERE blob_id > $1 ORDER BY blob_id LIMIT $2`

// arrivals reads what arrived in order of blob.
type arrivals struct {
	store *Store
	page  []moraine.Garbage
	after moraine.BlobID
	over  bool
}

// next returns the first arrival that is not taken yet; nil at the end.
func (a *arrivals) next(ctx context.Context) (*moraine.Garbage, error) {
	if len(a.page) == 0 && !a.over {
		var err error
		if a.page, err = a.store.Arrivals(ctx, a.after, moveRows); err != nil {
			return nil, err
		}
		a.over = len(a.page) < moveRows
		if len(a.page) > 0 {
			a.after = a.page[len(a.page)-1].Blob
		}
	}
	if len(a.page) == 0 {
		return nil, nil //nolint:nilnil // there is none
	}
	return &a.page[0], nil
}

// find takes all up to a blob, and hands those before it to drop.
func (a *arrivals) find(ctx context.Context, id moraine.BlobID, drop func(moraine.Garbage) error) (moraine.BlobRef, bool, error) {
	for {
		g, err := a.next(ctx)
		if err != nil || g == nil {
			return "", false, err
		}
		switch order := bytes.Compare(g.Blob[:], id[:]); {
		case order > 0:
			return "", false, nil
		case order == 0:
			a.page = a.page[1:]
			return g.Ref, true, nil
		}
		if err := drop(*g); err != nil {
			return "", false, err
		}
		a.page = a.page[1:]
	}
}

func (a *arrivals) rest(ctx context.Context, drop func(moraine.Garbage) error) error {
	for {
		g, err := a.next(ctx)
		if err != nil || g == nil {
			return err
		}
		if err := drop(*g); err != nil {
			return err
		}
		a.page = a.page[1:]
	}
}
