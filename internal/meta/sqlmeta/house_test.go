package sqlmeta_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moraine"
	"moraine/internal/meta"
	"moraine/internal/meta/metatest"
	"moraine/internal/meta/sqlmeta"
)

// filled is a store with rows in every table.
func filled(t *testing.T, s *sqlmeta.Store) *sqlmeta.Store {
	t.Helper()
	metatest.Fill(t, s, 1)
	err := s.Update(t.Context(), func(tx meta.Tx) error {
		tick := time.Unix(1_700_000_000, 0).UTC()
		if err := tx.Scrub().Save(moraine.ScrubState{Started: tick}); err != nil {
			return err
		}
		const user = moraine.IdentityKind("user")
		return errors.Join(
			savePairPolicy(1, "policy")(tx), tx.Outbox().Save(pairMessage),
			tx.Accounts().Insert(moraine.Account{ID: benchAccount, Created: tick}), tx.AccessKeys().Save(pairKey(true)),
			tx.Vaults().Save(moraine.Vault{ID: "dead", Account: benchAccount, Region: benchRegion, Name: "dead", Created: tick}), tx.Vaults().Delete("dead"),
			tx.Identities().Save(moraine.Identity{ID: "AIDA", Account: benchAccount, Kind: user, Name: "u", ARN: "arn", Document: []byte{0, 255}}),
			tx.Settings().SetRetrievalPolicy(benchAccount, benchRegion, moraine.RetrievalPolicy{Strategy: moraine.BytesPerHour, BytesPerHour: 5}),
			tx.Settings().AddCapacity(moraine.CapacityUnit{ID: "u", Account: benchAccount, Region: benchRegion, Start: tick, Expires: tick.Add(time.Hour)}),
			tx.BlobKeys().Save(moraine.BlobKey{ID: "k", Created: tick, WrappedBy: "file:1", Wrapped: []byte("wrapped")}),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// arrive has the bytes of all extents arrive at places of their own, and returns
// their blobs.
func arrive(t *testing.T, from, to *sqlmeta.Store) (all []moraine.Extent) {
	t.Helper()
	err := from.View(t.Context(), func(tx meta.Tx) (err error) {
		all, err = tx.Bodies().Blobs(moraine.BlobID{}, 1_000_000)
		return err
	})
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	var came []moraine.Garbage
	for _, e := range all {
		came = append(came, moraine.Garbage{Blob: e.Blob, Ref: "new " + e.Ref, Size: e.Size})
	}
	if err := to.Arrived(t.Context(), came, nil); err != nil {
		t.Fatal(err)
	}
	return all
}

// dump prints the rows of a table in an order of their own.
func dump(t *testing.T, s *sqlmeta.Store, table string) []string {
	t.Helper()
	rows, err := sqlmeta.Rows(t.Context(), s, table)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, row := range rows {
		lines = append(lines, fmt.Sprintf("%q", row))
	}
	slices.Sort(lines)
	return lines
}

// TestTakeRows moves rows to a store that holds others from a move that was cut
// off, from each engine to each.
func TestTakeRows(t *testing.T) {
	t.Parallel()
	lite := func(t *testing.T) *sqlmeta.Store { return openFor(t, rowsPath(t)) }
	large := func(t *testing.T) *sqlmeta.Store { return openAt(t, sqlmeta.Config{URL: migrated(t)}) }
	for name, open := range map[string][2]func(t *testing.T) *sqlmeta.Store{
		"within SQLite": {lite, lite}, "to PostgreSQL": {lite, large}, "from PostgreSQL": {large, lite},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testTakeRows(t, filled(t, open[0](t)), open[1](t))
		})
	}
}

func testTakeRows(t *testing.T, from, to *sqlmeta.Store) {
	metatest.Fill(t, to, 2)
	extents := arrive(t, from, to)
	stray := moraine.Garbage{Blob: moraine.BlobID{255, 255}, Ref: "stray", Size: 7}
	if err := to.Arrived(t.Context(), []moraine.Garbage{stray}, nil); err != nil {
		t.Fatal(err)
	}
	wanted := []moraine.BlobID{{}, stray.Blob, extents[0].Blob, {254, 254}}
	some, err := to.ArrivalsOf(t.Context(), wanted)
	slices.SortFunc(some, func(a, b moraine.Garbage) int { return bytes.Compare(a.Blob[:], b.Blob[:]) })
	if diff := cmp.Diff([]moraine.Garbage{{Blob: extents[0].Blob, Ref: "new " + extents[0].Ref, Size: extents[0].Size}, stray}, some); diff != "" || err != nil {
		t.Errorf("arrivals of some blobs: %v, want (-), got (+):\n%s", err, diff)
	}
	now := time.Unix(1_800_000_000, 0).UTC()
	none := func(moraine.Extent) (string, bool) { return "", false }
	counts, err := to.TakeRows(t.Context(), from, now, none)
	if err != nil {
		t.Fatal(err)
	}
	if counts["extents"] != int64(len(extents)) {
		t.Errorf("counts %v, want %d extents", counts, len(extents))
	}
	for _, table := range sqlmeta.Moved() {
		want := dump(t, from, table)
		if diff := cmp.Diff(want, dump(t, to, table)); diff != "" {
			t.Errorf("%s: old (-), new (+):\n%s", table, diff)
		}
		if len(want) == 0 {
			t.Errorf("%s has no rows, so that nothing is proved of it", table)
		}
	}
	var got, garbage []moraine.Extent
	err = to.View(t.Context(), func(tx meta.Tx) (err error) {
		got, err = tx.Bodies().Blobs(moraine.BlobID{}, 1_000_000)
		if err != nil {
			return err
		}
		list, err := tx.Sweeps().Garbage(10)
		for _, g := range list {
			garbage = append(garbage, moraine.Extent{Blob: g.Blob, Ref: g.Ref, Size: g.Size, Verified: g.Since})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range extents {
		extents[i].Ref = "new " + extents[i].Ref
	}
	if diff := cmp.Diff(extents, got); diff != "" {
		t.Errorf("extents: old (-), new (+):\n%s", diff)
	}
	if err := to.SetHouse(t.Context(), meta.House{State: meta.Home, Since: now}); err != nil {
		t.Error(err)
	}
	if left := dump(t, to, "arrivals"); len(left) > 0 {
		t.Errorf("arrivals of a house that is served: %v", left)
	}
	if diff := cmp.Diff([]moraine.Extent{{Blob: stray.Blob, Ref: stray.Ref, Size: stray.Size, Verified: now}}, garbage); diff != "" {
		t.Errorf("garbage: want (-), got (+):\n%s", diff)
	}
}

// TestTakeRowsLacking has a blob that did not arrive.
func TestTakeRowsLacking(t *testing.T) {
	t.Parallel()
	from, to := filled(t, openFor(t, rowsPath(t))), openFor(t, rowsPath(t))
	lost := arrive(t, from, to)[1]
	if err := to.Arrived(t.Context(), nil, []moraine.BlobID{lost.Blob}); err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0).UTC()
	if _, err := to.TakeRows(t.Context(), from, now, func(moraine.Extent) (string, bool) { return "", false }); !moraine.IsKind(err, moraine.NotFound) {
		t.Errorf("without one blob: %v", err)
	}
	if _, err := to.TakeRows(t.Context(), from, now, func(e moraine.Extent) (string, bool) { return "gone", e.Blob == lost.Blob }); err != nil {
		t.Errorf("with leave to do without: %v", err)
	}
	err := to.View(t.Context(), func(tx meta.Tx) error {
		list, err := tx.Bodies().Faulty(moraine.BlobID{}, 10)
		if len(list) != 1 || list[0].Blob != lost.Blob || list[0].Ref != "" || list[0].Fault != "gone" {
			t.Errorf("faulty are %+v", list)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestEveryTableMoves holds the list of tables against the schema.
func TestEveryTableMoves(t *testing.T) {
	t.Parallel()
	s := openFor(t, rowsPath(t))
	tables, err := sqlmeta.Tables(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	known := append(sqlmeta.Moved(), "agreed", "extents", "garbage", "arrivals", "house", "leases", "schema_steps")
	slices.Sort(known)
	if diff := cmp.Diff(known, tables); diff != "" {
		t.Errorf("known to a move (-), in the schema (+):\n%s", diff)
	}
}

// TestHouse keeps what a store says it is.
func TestHouse(t *testing.T) {
	t.Parallel()
	path := rowsPath(t)
	s := openFor(t, path)
	if h, err := s.House(t.Context()); err != nil || h != (meta.House{State: meta.Home}) {
		t.Errorf("a new store is %+v, %v", h, err)
	}
	if empty, err := s.Empty(t.Context()); err != nil || !empty {
		t.Errorf("a new store is empty: %v, %v", empty, err)
	}
	want := meta.House{State: meta.Left, Since: time.Unix(1_700_000_000, 0).UTC(), Other: "there"}
	if err := s.SetHouse(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openFor(t, path)
	if h, err := s.House(t.Context()); err != nil || h != want {
		t.Errorf("it is %+v, %v", h, err)
	}
	metatest.Fill(t, s, 3)
	if empty, err := s.Empty(t.Context()); err != nil || empty {
		t.Errorf("a store with rows is empty: %v, %v", empty, err)
	}
}
