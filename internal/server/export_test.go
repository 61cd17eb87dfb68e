package server

// What the fuzz target of the credentials file needs.
var (
	ParseCredentials  = parseCredentials
	FormatCredentials = formatCredentials
)
