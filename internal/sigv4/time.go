package sigv4

import (
	"strconv"
	"strings"
	"time"
)

const (
	basicFormat = "20060102T150405Z"
	dateFormat  = "20060102"
	// expiresMax is the longest life of a presigned URL, seven days.
	expiresMax = 7 * 24 * time.Hour
)

// parseBasic reads the ISO 8601 basic form. The length check keeps out the
// fraction of a second that time.Parse accepts unasked.
func parseBasic(s string) (time.Time, bool) {
	if len(s) != len(basicFormat) {
		return time.Time{}, false
	}
	t, err := time.Parse(basicFormat, s)
	return t, err == nil
}

// parseDateHeader reads the Date header of a client that sends no X-Amz-Date:
// the basic form, or RFC 1123 with GMT or a numeric zone. Other zone names are
// refused because time.Parse would take them for UTC.
func parseDateHeader(s string) (time.Time, bool) {
	if t, ok := parseBasic(s); ok {
		return t, true
	}
	layout := time.RFC1123Z
	if strings.HasSuffix(s, " GMT") {
		layout = time.RFC1123
	}
	t, err := time.Parse(layout, s)
	return t.UTC(), err == nil
}

func basic(t time.Time) string { return t.UTC().Format(basicFormat) }

// checkWindow refuses a time further than skew from now, rows A7 and A8; with
// a life the time may lie that far back, row A9.
func checkWindow(t, now time.Time, skew, life time.Duration) error {
	minutes := int(skew / time.Minute)
	switch {
	case t.After(now.Add(skew)):
		return Refuse("A8", basic(t), basic(now.Add(skew)), basic(now), minutes)
	case life > 0 && now.After(t.Add(life)):
		return Refuse("A9", basic(t.Add(life)), basic(now))
	case life == 0 && t.Before(now.Add(-skew)):
		return Refuse("A7", basic(t), basic(now.Add(-skew)), basic(now), minutes)
	}
	return nil
}

// parseExpires reads X-Amz-Expires, a whole number of seconds.
func parseExpires(s string) (time.Duration, error) {
	seconds, err := strconv.ParseUint(s, 10, 32)
	life := time.Duration(seconds) * time.Second
	if err != nil || life == 0 || life > expiresMax {
		return 0, Refuse("A9b")
	}
	return life, nil
}
