package api

import (
	"net/url"
	"strings"

	"moraine"
)

// query holds the parameters of a request, the first value of each name
// (§1.9).
type query map[string]string

// parseQuery splits and decodes a raw query: %XX and "+" for a space. It does
// not drop what it cannot read.
func parseQuery(raw string) (query, error) {
	q := query{}
	for raw != "" {
		var piece string
		piece, raw, _ = strings.Cut(raw, "&")
		name, value, _ := strings.Cut(piece, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, moraine.Wrap(err, moraine.BadRequest, "Invalid query string")
		}
		value, err = url.QueryUnescape(value)
		if err != nil {
			return nil, moraine.Wrap(err, moraine.BadRequest, "Invalid query string")
		}
		if _, repeated := q[name]; !repeated {
			q[name] = value
		}
	}
	return q, nil
}

// get returns a parameter, "" if it is absent or empty, which mean the same.
func (q query) get(name string) string { return q[name] }
