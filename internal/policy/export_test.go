package policy

// MatchPattern compiles a pattern and matches it, for tests of the matcher.
// Without a request, variables are text.
func MatchPattern(text, s string, fold bool, r *Request) (bool, error) {
	p, err := compile(text, dialect{wildcards: true, variables: r != nil, fold: fold})
	if err != nil {
		return false, err
	}
	return p.match(s, r), nil
}

// CompareNumbers orders two decimal texts, for tests of exactness.
func CompareNumbers(a, b string) (order int, ok bool) {
	x, okX := parseDecimal(a)
	y, okY := parseDecimal(b)
	if !okX || !okY {
		return 0, false
	}
	return x.compare(&y), true
}

// ParseDate and ParseNetwork are the readers of condition values.
var (
	ParseDate    = parseDate
	ParseNetwork = parseNetwork
)
