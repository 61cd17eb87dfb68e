package meta

import (
	"context"
	"time"

	"moraine"
)

// Mover is a Store whose rows can be moved to another store of its kind, after
// the bytes that they name. The bytes are noted one by one as they arrive, while
// the old store is still served; the rows come at the end, all of them, while
// nothing is.
type Mover interface {
	Store

	// House says whether the rows are those that are served.
	House(ctx context.Context) (House, error)
	// SetHouse changes that. Home forgets the Arrivals.
	SetHouse(ctx context.Context, h House) error
	// Empty reports whether there is no row but those of House and Arrivals.
	Empty(ctx context.Context) (bool, error)

	// Arrived notes blobs whose bytes are durable, at the references that rows are
	// to have for them, and forgets blobs that are gone again.
	Arrived(ctx context.Context, blobs []moraine.Garbage, gone []moraine.BlobID) error
	// Arrivals returns at most limit blobs that arrived in byte order of Blob, the
	// first one being after the given id, the zero id for the start. Their Since
	// is zero.
	Arrivals(ctx context.Context, after moraine.BlobID, limit int) ([]moraine.Garbage, error)

	// ArrivalsOf returns those of some blobs, at most 256, that arrived, in any
	// order. Their Since is zero.
	ArrivalsOf(ctx context.Context, blobs []moraine.BlobID) ([]moraine.Garbage, error)

	// TakeRows replaces all rows by those of from, which nobody changes meanwhile,
	// and returns how many there are, by table. Extents get the references that
	// arrived. One whose blob did not arrive is an error of kind NotFound, unless
	// absent allows it and says what its fault is. Garbage stays behind; what
	// arrived and has no extent becomes garbage as of now.
	// If it fails the rows are not all there. Repeated, it begins anew.
	TakeRows(ctx context.Context, from Mover, now time.Time, absent func(moraine.Extent) (fault string, ok bool)) (map[string]int64, error)
}

// House says whether a store holds the rows that are served.
type House struct {
	State HouseState
	Since time.Time
	Other string // where the rows come from or went, for people
}

// HouseState is a state of a House. Format: never change.
type HouseState string

// The states of a House.
const (
	Home     HouseState = "Home"     // the rows are served from here; also where nothing was said
	Arriving HouseState = "Arriving" // rows and bytes are on their way in, and nothing is served
	Left     HouseState = "Left"     // they are served from elsewhere
)
