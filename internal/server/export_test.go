package server

// What the fuzz target of the credentials file needs.
var (
	ParseCredentials  = parseCredentials
	FormatCredentials = formatCredentials
)

// What the fuzz target of the clock file needs.
var (
	ParseClock  = parseClock
	FormatClock = formatClock
)

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
