//go:build !race

package metatest

const (
	scanRows    = 10_000
	historyLong = 20 // transactions at most
)
