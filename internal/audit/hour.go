package audit

import (
	"strings"
	"time"
)

// Names of files: audit-REGION-HOUR.jsonl holds the lines of a region and an
// hour, with .gz behind it when it is compressed, manifest-HOUR.json the list
// of the files of an hour. Version 1 knew no regions. The names of a region
// sort by time.
//
// format: never change
const (
	linesPrefix    = "audit-"
	linesSuffix    = ".jsonl"
	gzipSuffix     = ".gz"
	manifestPrefix = "manifest-"
	manifestSuffix = ".json"
	hourFormat     = "2006-01-02T15"
	tornSuffix     = ".torn"
	reserveName    = "reserve"
)

// hour is one in which lines are made.
type hour struct {
	name string
	end  time.Time
}

func hourOf(t time.Time) *hour {
	t = t.UTC().Truncate(time.Hour)
	return &hour{t.Format(hourFormat), t.Add(time.Hour)}
}

// hour returns the hour of an instant, or a later one that was there before: a
// clock that goes back does not bring back a file that is closed.
func (l *Log) hour(now time.Time) *hour {
	for {
		h := l.current.Load()
		if now.Before(h.end) {
			return h
		}
		if next := hourOf(now); l.current.CompareAndSwap(h, next) {
			return next
		}
	}
}

// nextHour is the hour after one; of what is none, itself.
func nextHour(hour string) string {
	t, err := time.Parse(hourFormat, hour)
	if err != nil {
		return hour
	}
	return hourOf(t.Add(time.Hour)).name
}

// linesName is the name of the file of a region and an hour.
func linesName(region, hour string) string {
	if region != "" {
		region += "-"
	}
	return linesPrefix + region + hour + linesSuffix
}

// parseLinesName is the reverse of linesName. The region of a file of version 1
// is "".
func parseLinesName(name string) (region, hour string, ok bool) {
	name, found := strings.CutPrefix(name, linesPrefix)
	name, ended := strings.CutSuffix(name, linesSuffix)
	if !found || !ended {
		return "", "", false
	}
	return splitHour(name)
}

// splitHour takes the hour from the end of a name.
func splitHour(name string) (region, hour string, ok bool) {
	at := max(0, len(name)-len(hourFormat))
	region, hour = name[:at], name[at:]
	if _, err := time.Parse(hourFormat, hour); err != nil {
		return "", "", false
	}
	if region == "" {
		return "", hour, true
	}
	region, dashed := strings.CutSuffix(region, "-")
	return region, hour, dashed && regionName.MatchString(region)
}

func manifestName(hour string) string { return manifestPrefix + hour + manifestSuffix }

// parseManifestName returns the hour of a manifest.
func parseManifestName(name string) (hour string, ok bool) {
	name, found := strings.CutPrefix(name, manifestPrefix)
	name, ended := strings.CutSuffix(name, manifestSuffix)
	region, hour, ok := splitHour(name)
	return hour, found && ended && ok && region == ""
}
