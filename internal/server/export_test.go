package server

import "time"

// What the fuzz target of the credentials file needs.
var (
	ParseCredentials  = parseCredentials
	FormatCredentials = formatCredentials
)

// SetBodyWindow is how long a body may stand still.
func (o *Options) SetBodyWindow(d time.Duration) { o.bodyWindow = d }

// ReprintRecord reads the record of a data directory and prints it again.
func ReprintRecord(text string) (string, error) {
	r, err := parseRecord(text)
	return formatRecord(r), err
}

// ReprintLabel does the same with the identity of a directory of blobs.
func ReprintLabel(text string) (string, error) {
	l, err := parseLabel(text)
	return formatLabel(l), err
}
