package server

import "time"

// What the fuzz target of the credentials file needs.
var (
	ParseCredentials  = parseCredentials
	FormatCredentials = formatCredentials
)

// SetBodyWindow is how long a body may stand still.
func (o *Options) SetBodyWindow(d time.Duration) { o.bodyWindow = d }
