package policy

import (
	"errors"
	"strings"
	"time"
)

var errDate = errors.New("not a date")

// epochDigitsMax bounds a date in epoch seconds.
const epochDigitsMax = 12

// parseDate reads a date of the W3C profile of ISO 8601, from the year alone
// to a fraction of a second with a zone, or whole seconds since the epoch
// (access-control §3.4). Four digits are a year. What is not written is its
// lowest value; a date without time is in UTC.
func parseDate(text string) (time.Time, bool) {
	if digits(text) && len(text) != len("2006") {
		if len(text) > epochDigitsMax {
			return time.Time{}, false
		}
		return time.Unix(int64(number(text)), 0), true
	}
	date, clock, timed := strings.Cut(text, "T")
	year, month, day, ok := parseDay(date)
	if !ok || timed && len(date) != len("2006-01-02") {
		return time.Time{}, false
	}
	midnight := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if !timed {
		return midnight, true
	}
	since, ok := parseClock(clock)
	return midnight.Add(since), ok
}

// parseDay reads YYYY, YYYY-MM or YYYY-MM-DD.
func parseDay(text string) (year, month, day int, ok bool) {
	month, day = 1, 1
	switch {
	case shaped(text, "0000-00-00"):
		day = number(text[8:10])
		fallthrough
	case shaped(text, "0000-00"):
		month = number(text[5:7])
		fallthrough
	case shaped(text, "0000"):
		year = number(text[:4])
	default:
		return 0, 0, 0, false
	}
	if month < 1 || month > 12 || day < 1 {
		return 0, 0, 0, false
	}
	last := time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
	return year, month, day, day <= last
}

// parseClock reads hh:mm, hh:mm:ss or hh:mm:ss.s… with a zone and returns how
// long after midnight UTC of the same day it is.
func parseClock(text string) (time.Duration, bool) {
	if len(text) < len("00:00Z") || !shaped(text[:5], "00:00") {
		return 0, false
	}
	hour, minute, second := number(text[:2]), number(text[3:5]), 0
	rest := text[5:]
	fraction := time.Duration(0)
	if len(rest) >= 3 && shaped(rest[:3], ":00") {
		second, rest = number(rest[1:3]), rest[3:]
		if tail, pointed := strings.CutPrefix(rest, "."); pointed {
			count := len(tail) - len(strings.TrimLeft(tail, "0123456789"))
			if count == 0 {
				return 0, false
			}
			fraction, rest = nanoseconds(tail[:count]), tail[count:]
		}
	}
	offset, ok := parseZone(rest)
	if !ok || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	seconds := hour*3600 + minute*60 + second
	return time.Duration(seconds)*time.Second + fraction - offset, true
}

// parseZone reads Z, +hh:mm or -hh:mm.
func parseZone(text string) (time.Duration, bool) {
	if text == "Z" {
		return 0, true
	}
	if !shaped(text, "+00:00") && !shaped(text, "-00:00") {
		return 0, false
	}
	hour, minute := number(text[1:3]), number(text[4:6])
	offset := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute
	if text[0] == '-' {
		offset = -offset
	}
	return offset, hour <= 23 && minute <= 59
}

// nanoseconds returns the value of the digits after a decimal point; digits
// after the ninth are dropped.
func nanoseconds(fraction string) time.Duration {
	var n time.Duration
	for i := range 9 {
		n *= 10
		if i < len(fraction) {
			n += time.Duration(fraction[i] - '0')
		}
	}
	return n
}

// shaped reports whether text is shape with any digit for each zero.
func shaped(text, shape string) bool {
	if len(text) != len(shape) {
		return false
	}
	for i := range len(text) {
		digit := '0' <= text[i] && text[i] <= '9'
		if shape[i] == '0' && !digit || shape[i] != '0' && shape[i] != text[i] {
			return false
		}
	}
	return true
}

// number returns the value of a few decimal digits.
func number(digits string) int {
	n := 0
	for i := range len(digits) {
		n = n*10 + int(digits[i]-'0')
	}
	return n
}

// dateOperand is a value of the date operators.
type dateOperand struct {
	date     time.Time
	relation relation
}

func compileDate(l literal) (operand, error) {
	date, ok := parseDate(l.text)
	if !ok {
		return nil, errDate
	}
	return &dateOperand{date, l.relation}, nil
}

func (o *dateOperand) match(value string, _ *Request) bool {
	date, ok := parseDate(value)
	return ok && o.relation.holds(date.Compare(o.date))
}
