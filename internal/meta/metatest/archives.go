package metatest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"moraine"
	"moraine/internal/meta"
)

var archiveTests = []test{
	{"round trip", in(testArchiveRoundTrip)},
	{"mark deleted", in(testMarkDeleted)},
	{"scan selects", in(testScan)},
	{"scan streams thousands of rows in pages", in(testScanMany)},
	{"scan ends with the error of fn", in(testScanError)},
}

func getArchive(id moraine.ArchiveID) func(tx meta.Tx) (moraine.Archive, error) {
	return func(tx meta.Tx) (moraine.Archive, error) { return tx.Archives().Get(id) }
}

func insert(list ...moraine.Archive) func(tx meta.Tx) error {
	return func(tx meta.Tx) error {
		for _, a := range list {
			if err := tx.Archives().Insert(a); err != nil {
				return err
			}
		}
		return nil
	}
}

func testArchiveRoundTrip(t *testing.T, s meta.Store) {
	a, b := archive("v", 1), archive("v", 2)
	b.Description, b.Size, b.TreeHash = "", 40_000<<30, moraine.TreeHash{}
	imported := archive("v", 3)
	imported.ID = "an id of any form: ä 'quoted' -- %"
	update(t, s, insert(a, b, imported))
	for _, a := range []moraine.Archive{a, b, imported} {
		want(t, s, a, getArchive(a.ID))
	}
	wantNone(t, s, getArchive("other"))
}

func testMarkDeleted(t *testing.T, s meta.Store) {
	a := archive("v", 1)
	update(t, s, func(tx meta.Tx) error {
		return errors.Join(insert(a)(tx), tx.Bodies().Put(a.Body, extent(0, a.Size, 1), at(1)))
	})
	deleteAt := func(id moraine.ArchiveID, when time.Time) error {
		return s.Update(t.Context(), func(tx meta.Tx) error { return tx.Archives().MarkDeleted(id, when) })
	}
	if err := deleteAt(a.ID, at(10)); err != nil {
		t.Fatal(err)
	}
	gone := a
	gone.Deleted = at(10)
	want(t, s, gone, getArchive(a.ID)) // the row remains
	// The instant of a deletion never changes: snapshots rely on it.
	for _, id := range []moraine.ArchiveID{a.ID, "other"} {
		if err := deleteAt(id, at(20)); !errors.Is(err, meta.ErrNotFound) {
			t.Errorf("MarkDeleted of %q: %v, want ErrNotFound", id, err)
		}
	}
	want(t, s, gone, getArchive(a.ID))
	release(t, s, at(30)) // its body was condemned
	want(t, s, []moraine.Garbage{{Blob: blob(1), Ref: "ref-1", Size: a.Size, Since: at(30)}}, garbage(10))
}

func scan(q meta.Scan) func(tx meta.Tx) ([]moraine.Archive, error) {
	return func(tx meta.Tx) (list []moraine.Archive, err error) {
		err = tx.Archives().Scan(q, func(a moraine.Archive) error {
			list = append(list, a)
			return nil
		})
		return list, err
	}
}

func testScan(t *testing.T, s meta.Store) {
	var all []moraine.Archive // archive n is created at n; two share an instant, ordered by bytes of id
	for n := range 10 {
		a := archive("v", n)
		if n == 5 {
			a.Created = at(4)
		}
		if n == 2 {
			a.Deleted = at(6)
		}
		all = append(all, a)
	}
	upper := archive("v", 20) // "Z" before "archive" in bytes, after it in dictionaries
	upper.ID, upper.Created = "Zarchive", at(3)
	update(t, s, insert(all[9], all[5], all[4], all[0], all[1], all[2], all[3], all[6], all[7], all[8], upper, archive("other", 1)))

	for _, c := range []struct {
		name string
		q    meta.Scan
		want []moraine.Archive
	}{
		{"everything", meta.Scan{At: at(5)}, []moraine.Archive{all[0], all[1], all[2], upper, all[3], all[4], all[5]}},
		{"created at the instant is in", meta.Scan{At: at(1)}, all[:2]},
		{"deleted at the instant is out", meta.Scan{At: at(6)}, []moraine.Archive{all[0], all[1], upper, all[3], all[4], all[5], all[6]}},
		{"before anything", meta.Scan{At: at(-1)}, nil},
		{"start is in", meta.Scan{At: at(9), Start: at(7)}, all[7:]},
		{"end is out", meta.Scan{At: at(9), End: at(2)}, all[:2]},
		{"start and end", meta.Scan{At: at(5), Start: at(1), End: at(3)}, all[1:3]},
		{"end after the instant", meta.Scan{At: at(1), End: at(9)}, all[:2]},
		{"limit", meta.Scan{At: at(9), Limit: 2}, all[:2]},
		{"after a position", meta.Scan{At: at(9), AfterCreated: at(4), AfterID: string(all[4].ID)}, all[5:]},
		{"after a position between rows", meta.Scan{At: at(9), AfterCreated: at(4), AfterID: "b"}, all[6:]},
		{"start beats an earlier position", meta.Scan{At: at(9), AfterCreated: at(1), AfterID: string(all[1].ID), Start: at(8)}, all[8:]},
		{"position beats an earlier start", meta.Scan{At: at(9), AfterCreated: at(8), AfterID: string(all[8].ID), Start: at(8)}, all[9:]},
		{"all bounds", meta.Scan{At: at(9), Start: at(3), End: at(8), AfterCreated: at(3), AfterID: "Zarchive", Limit: 3}, all[3:6]},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.q.Vault = "v"
			want(t, s, c.want, scan(c.q))
		})
	}
}

func testScanMany(t *testing.T, s meta.Store) {
	const n, page = scanRows, 999
	update(t, s, func(tx meta.Tx) error {
		for i := range n {
			a := archive("v", i)
			a.Created = at(i / 3)
			if err := tx.Archives().Insert(a); err != nil {
				return err
			}
		}
		return nil
	})
	inOrder := func(next *int) func(a moraine.Archive) error {
		return func(a moraine.Archive) error {
			if wanted := archive("v", *next).ID; a.ID != wanted {
				return fmt.Errorf("row %d is %q, want %q", *next, a.ID, wanted)
			}
			*next++
			return nil
		}
	}
	next := 0
	view(t, s, func(tx meta.Tx) error { return tx.Archives().Scan(meta.Scan{Vault: "v", At: at(n)}, inOrder(&next)) })
	if next != n {
		t.Errorf("scan gave %d rows, want %d", next, n)
	}
	next = 0
	for q := (meta.Scan{Vault: "v", At: at(n), Limit: page}); ; {
		before := next
		view(t, s, func(tx meta.Tx) error {
			visit := inOrder(&next)
			return tx.Archives().Scan(q, func(a moraine.Archive) error {
				q.AfterCreated, q.AfterID = a.Created, string(a.ID)
				return visit(a)
			})
		})
		if next-before < page {
			break
		}
	}
	if next != n {
		t.Errorf("pages gave %d rows, want %d", next, n)
	}
}

func testScanError(t *testing.T, s meta.Store) {
	update(t, s, insert(archive("v", 1), archive("v", 2)))
	mine, calls := errors.New("mine"), 0
	update(t, s, func(tx meta.Tx) error {
		err := tx.Archives().Scan(meta.Scan{Vault: "v", At: at(9)}, func(moraine.Archive) error {
			calls++
			return mine
		})
		if err != mine || calls != 1 {
			t.Errorf("Scan returned %v after %d calls, want the error of fn after one", err, calls)
		}
		return insert(archive("v", 3))(tx) // the transaction goes on
	})
	want(t, s, archive("v", 3), getArchive(archive("v", 3).ID))
}
