//go:build race

package metatest

// Under the race detector an engine written in Go is some twenty times slower.
const (
	scanRows    = 2_000
	historyLong = 4 // transactions at most
)
