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
