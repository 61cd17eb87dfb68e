package server

import (
	"testing"

	"moraine"
	"moraine/internal/treehash"
)

func TestIncomplete(t *testing.T) {
	t.Parallel()
	leaf := func(s string) treehash.Digest { return treehash.Leaf([]byte(s)) }
	pieces := []moraine.Extent{
		{First: 0, Size: treehash.LeafSize, TreeHash: leaf("a")},
		{First: treehash.LeafSize, Size: 5, TreeHash: leaf("b")},
	}
	whole := moraine.Archive{Size: treehash.LeafSize + 5, TreeHash: treehash.Root([]treehash.Digest{leaf("a"), leaf("b")})}
	for name, tt := range map[string]struct {
		pieces []moraine.Extent
		change func(*moraine.Archive)
		flawed bool
	}{
		"whole":      {pieces, func(*moraine.Archive) {}, false},
		"no pieces":  {nil, func(*moraine.Archive) {}, true},
		"gap":        {pieces[1:], func(*moraine.Archive) {}, true},
		"short":      {pieces[:1], func(*moraine.Archive) {}, true},
		"other size": {pieces, func(a *moraine.Archive) { a.Size++ }, true},
		"other hash": {pieces, func(a *moraine.Archive) { a.TreeHash[0] ^= 1 }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := whole
			tt.change(&a)
			if flaw := incomplete(&a, tt.pieces); (flaw != "") != tt.flawed {
				t.Errorf("incomplete says %q", flaw)
			}
		})
	}
}

func TestRowsLost(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		res   FsckResult
		clean bool
	}{
		{FsckResult{}, true},
		{FsckResult{Orphans: 3, Extents: 1}, true},
		{FsckResult{Orphans: 3}, false},
		{FsckResult{Incomplete: 1, Extents: 5}, false},
	} {
		if got := tt.res.Clean(); got != tt.clean {
			t.Errorf("%+v is clean: %v, want %v", tt.res, got, tt.clean)
		}
	}
}
